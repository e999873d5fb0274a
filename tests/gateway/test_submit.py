"""The queue to the ledger: in order, once, for weeks if need be; and nothing counts as registered on a wrong word."""

import asyncio
import contextlib
import json
import logging
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from gateway import submit
from gateway.lookout import Contradicted, Lookout
from gateway.store import anchors
from gateway.store.writer import Writer
from gateway.submit import BACKOFF_MAX_S, BACKOFF_MIN_S, Submitter
from ledger.client import PROBLEM_KEY, PROBLEM_TYPE, AsyncClient, LedgerBusy
from ledger.contracts import CODES
from ledger.http import app as http
from ledger.log import custody, epochs, keyring
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol import cbor, evidence, notes, receipt, statement
from protocol.conflict import Conflict
from protocol.errors import BadSignature, ProtocolError, Unavailable, VigilError
from protocol.keys import SigningKey
from tests.support import ledgers
from tests.support.gatehouse import open_house, rows, until
from tests.support.ledgers import GATEWAY, NOW_MS

Change = Callable[["Wire", httpx.Request, httpx.Response], httpx.Response]


@dataclass(slots=True)
class Wire(httpx.AsyncBaseTransport):
    """The way to a ledger's real application, on which answers can be changed. asked: method and path of each request."""

    engine: Engine
    change: Change | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    _faces: dict[int, httpx.ASGITransport] = field(default_factory=dict)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The ledger's answer, or another."""
        self.asked.append((request.method, request.url.path))
        if id(self.engine) not in self._faces:
            self._faces[id(self.engine)] = httpx.ASGITransport(app=http.app(self.engine, Metrics(CODES)))
        answer = await self._faces[id(self.engine)].handle_async_request(request)
        body = await answer.aread()
        plain = httpx.Response(answer.status_code, headers=answer.headers, content=body)
        found = self.change(self, request, plain) if self.change else plain
        return httpx.Response(found.status_code, headers=found.headers, stream=httpx.ByteStream(found.content))

    def posts(self) -> int:
        """How many requests to register something there were."""
        return sum(method == "POST" for method, _ in self.asked)


@dataclass(slots=True)
class Post:
    """A gateway's queue, and the ledger that it goes to."""

    folder: Path
    writer: Writer
    engine: Engine
    wire: Wire
    clock: ledgers.Clock
    founded: int
    reports: list[tuple[str, Conflict]] = field(default_factory=list)

    def put(self, kind: str, raw: bytes, *, at_ms: int = NOW_MS) -> bytes:
        """Queue a statement; its digest."""
        self.writer.submit(lambda conn: anchors.queue(conn, kind, raw, now_ms=at_ms)).result()
        return statement.entry(raw)

    def admit(self) -> bytes:
        """Queue the admission."""
        return self.put("admission", ledgers.admission(self.folder / "ledger"))

    def read(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Rows of the record."""
        return rows(self.folder / "gateway" / "gateway.db", sql, *values)

    def states(self) -> list[tuple[object, ...]]:
        """(kind, place after what the log began with, refused) of each statement in the order of the queue."""
        sql = "SELECT kind, idx - ?, refused FROM submission ORDER BY rank, made_ms, rowid"
        return self.read(sql, self.founded)

    def waiting(self) -> int:
        """How many wait."""
        return self.writer.submit(anchors.backlog).result()[0]

    @contextlib.asynccontextmanager
    async def submitter(self, engine: Engine | None = None) -> AsyncIterator[Submitter]:
        """Sends on the wire."""
        value = (engine or self.engine).trust()
        trust = evidence.Trust.from_json(json.dumps(value).encode())
        async with AsyncClient("http://ledger.example", transport=self.wire) as client:
            lookout = Lookout(
                writer=self.writer, client=client, policy=trust.policy, now_ms=self.clock, report=self._reported
            )
            yield Submitter(
                writer=self.writer,
                client=client,
                lookout=lookout,
                policy=trust.policy,
                now_ms=self.clock,
                rng=random.Random(1),
            )

    async def _reported(self, found: Conflict, kind: str, origin: str) -> None:
        assert origin == ledgers.ORIGIN
        self.reports.append((kind, found))

    def turn(self) -> int:
        """One turn."""

        async def scene() -> int:
            async with self.submitter() as sender:
                return await sender.turn()

        return asyncio.run(scene())

    def failed(self, change: Change | None = None) -> str:
        """The code with which a turn fails, after which nothing more counts as registered than before."""
        before = self.states()
        heads = self.read("SELECT * FROM head")
        self.wire.change = change
        with pytest.raises((ProtocolError, VigilError)) as caught:
            self.turn()
        self.wire.change = None
        assert (self.states(), self.read("SELECT * FROM head")) == (before, heads)
        return caught.value.code


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    """A gateway that is not admitted yet, and a fresh ledger; whatever the test does, the ledger is whole in the end."""
    clock, writer = ledgers.Clock(), Writer(tmp_path / "gateway")
    with ledgers.checked(tmp_path / "ledger", clock) as engine:
        yield Post(tmp_path, writer, engine, Wire(engine), clock, engine.size)
    writer.close()


@pytest.fixture
def admitted(post: Post) -> Post:
    """The ledger knows the gateway, and the gateway the ledger's tree."""
    post.admit()
    assert post.turn() == 1
    return post


# -- as it should be -------------------------------------------------------------------------------------------------


def test_statements_go_in_order_and_each_has_a_receipt_that_holds(post: Post) -> None:
    raws = {"anchor": ledgers.anchor(1), "enrolment": ledgers.enrolment(1)}
    for kind, raw in raws.items():
        post.put(kind, raw)
    admission = post.admit()
    assert post.turn() == 3
    assert post.states() == [("admission", 0, None), ("enrolment", 1, None), ("anchor", 2, None)]
    key = ledgers.log_key(post.folder / "ledger")
    found = post.read("SELECT digest, entry_id, idx, receipt, done_ms FROM submission ORDER BY idx")
    assert [row[0] for row in found] == [admission, *(statement.entry(raws[kind]) for kind in ("enrolment", "anchor"))]
    for digest, entry_id, index, raw, done_ms in found:
        assert isinstance(raw, bytes) and isinstance(digest, bytes)
        proof = receipt.check(raw, entry=digest, key=key, thumbprint=key.thumbprint)
        assert (proof.index, proof.sub, done_ms) == (index, entry_id, NOW_MS)
    assert post.read("SELECT origin, size, note FROM head") == [
        (ledgers.ORIGIN, post.founded + 3, post.engine.checkpoint())
    ]
    assert post.turn() == 0


def test_what_waited_while_the_ledger_was_away_goes_in_the_order_in_which_it_was_made(admitted: Post) -> None:
    for n in range(100):
        admitted.put("anchor", ledgers.anchor(n), at_ms=NOW_MS + n * 60_000)

    def away(*_: object) -> httpx.Response:
        raise httpx.ConnectError("nobody is there")

    assert admitted.failed(away) == "ledger_unreachable"
    while admitted.turn():
        pass
    kinds = admitted.read("SELECT idx FROM submission WHERE kind = 'anchor' ORDER BY made_ms")
    assert [row[0] for row in kinds] == list(range(admitted.founded + 1, admitted.founded + 101))
    assert admitted.waiting() == 0
    assert admitted.wire.posts() <= 2 + 1 + 100 / submit.AT_ONCE + 1, "many in one request, and none for each"


def test_a_ledger_that_is_away_for_weeks_is_asked_again_and_again_and_found_when_it_is_back(
    admitted: Post, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    admitted.put("anchor", ledgers.anchor(1))
    pauses: list[float] = []
    real = asyncio.sleep

    async def passed(seconds: float) -> None:
        pauses.append(seconds)
        await real(0)

    failures = 0

    async def turn(sender: Submitter) -> int:
        nonlocal failures
        if failures < 3000:
            failures += 1
            raise Unavailable("ledger_unreachable", "the ledger cannot be reached")
        return await real_turn(sender)

    real_turn = Submitter.turn
    monkeypatch.setattr(Submitter, "turn", turn)
    monkeypatch.setattr(submit.asyncio, "sleep", passed)

    async def scene() -> None:
        async with admitted.submitter() as sender:
            running = asyncio.create_task(sender.run())
            while len(caplog.records) < 2 and not running.done():
                await real(0.001)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    with caplog.at_level(logging.WARNING, logger="gateway.submit"):
        asyncio.run(scene())
    assert admitted.states()[-1] == ("anchor", 1, None)
    away = pauses[:3000]
    assert all(BACKOFF_MIN_S <= pause <= BACKOFF_MAX_S for pause in away)
    assert max(away[:2]) <= 4 * BACKOFF_MIN_S and max(away) > 0.9 * BACKOFF_MAX_S
    assert sum(away) > 20 * 3600
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and "ledger_unreachable" in said[0] and "again, after 3000" in said[1]


# -- a ledger that says something wrong --------------------------------------------------------------------------------


def on(method: str, path: str, then: Callable[[Wire, httpx.Response], httpx.Response]) -> Change:
    """Changes the answer to one kind of request."""

    def change(wire: Wire, request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        return then(wire, answer) if (request.method, request.url.path) == (method, path) else answer

    return change


def said(answer: httpx.Response, content: bytes | None = None, **headers: str) -> httpx.Response:
    """The answer with another body or other headers."""
    merged = {name: value for name, value in answer.headers.items() if name != "content-length"} | headers
    return httpx.Response(answer.status_code, headers=merged, content=answer.content if content is None else content)


def flipped(body: bytes, place: int = -1) -> bytes:
    changed = bytearray(body)
    changed[place] ^= 1
    return bytes(changed)


def other_logs_receipt(wire: Wire, answer: httpx.Response) -> httpx.Response:
    """The same proof signed by a key of its own, as another log of the same name would."""
    proof, key = receipt.read(answer.content), SigningKey.from_seed(b"another log's".ljust(32))
    raw = receipt.issue(
        key, iss=proof.iss, sub=proof.sub, root=bytes(32), size=proof.size, index=proof.index, path=proof.path
    )
    return said(answer, raw)


def another_entrys_receipt(wire: Wire, answer: httpx.Response) -> httpx.Response:
    """The receipt of the genesis."""
    return said(answer, wire.engine.receipt(0), location="/entries/1.0")


def own_notes(key: SigningKey, origin: str, size: int, root: bytes) -> bytes:
    text = notes.Checkpoint(origin=origin, size=size, root=root).text()
    return notes.Note(text=text, lines=(notes.sign(text, name=origin, key=key),)).whole().encode()


def by_somebody(wire: Wire, answer: httpx.Response) -> httpx.Response:
    found = notes.Checkpoint.from_text(notes.parse(answer.text).text)
    return said(answer, own_notes(SigningKey.from_seed(bytes(32)), found.origin, found.size, found.root))


LIES: dict[str, tuple[Change, set[str]]] = {
    "a signature that does not hold": (
        on("POST", "/entries", lambda _, answer: said(answer, flipped(answer.content))),
        {"signature_bad"},
    ),
    "a receipt by another log": (on("POST", "/entries", other_logs_receipt), {"log_unknown"}),
    "a receipt of another entry": (on("POST", "/entries", another_entrys_receipt), {"signature_bad"}),
    "the name of another entry": (
        on("POST", "/entries", lambda _, answer: said(answer, location="/entries/1.7")),
        {"entry_other"},
    ),
    "no name of an entry": (
        on("POST", "/entries", lambda _, answer: said(answer, location="")),
        {"ledger_answer"},
    ),
    "half a receipt": (
        on("POST", "/entries", lambda _, answer: said(answer, answer.content[:40])),
        {"cbor_invalid"},
    ),
    "a page of a proxy": (on("POST", "/entries", lambda *_: httpx.Response(200, html="<p>hello")), {"cose_tag"}),
    "a refusal by a proxy": (on("POST", "/entries", lambda *_: httpx.Response(400, text="no")), {"ledger_answer"}),
    "a redirect": (
        on("POST", "/entries", lambda *_: httpx.Response(302, headers={"location": "http://evil.example/"})),
        {"ledger_answer"},
    ),
    "too many requests": (on("POST", "/entries", lambda *_: httpx.Response(429)), {"ledger_busy"}),
    "no service": (on("POST", "/entries", lambda *_: httpx.Response(503)), {"ledger_busy"}),
    "an error of its own": (on("POST", "/entries", lambda *_: httpx.Response(500)), {"ledger_busy"}),
    "a checkpoint by somebody": (on("GET", "/checkpoint", by_somebody), {"log_unsigned"}),
    "a checkpoint that is none": (
        on("GET", "/checkpoint", lambda _, answer: said(answer, b"hello\n")),
        {"note_bad"},
    ),
    "a checkpoint that cannot be had": (on("GET", "/checkpoint", lambda *_: httpx.Response(503)), {"ledger_busy"}),
}


@pytest.mark.parametrize("lie", LIES)
def test_on_a_wrong_answer_nothing_counts_as_registered_and_it_is_asked_again(admitted: Post, lie: str) -> None:
    admitted.put("anchor", ledgers.anchor(1))
    change, codes = LIES[lie]
    assert admitted.failed(change) in codes
    assert admitted.waiting() == 1
    assert admitted.turn() == 1
    assert admitted.states()[-1] == ("anchor", 1, None)


def test_a_receipt_that_does_not_hold_keeps_no_other_of_its_batch_back(admitted: Post) -> None:
    for n in range(4):
        admitted.put("anchor", ledgers.anchor(n), at_ms=NOW_MS + n)

    def second_is_forged(wire: Wire, answer: httpx.Response) -> httpx.Response:
        verdicts = cbor.decode_loosely(answer.content)
        assert isinstance(verdicts, list)
        verdicts[1]["receipt"] = flipped(verdicts[1]["receipt"])
        return said(answer, cbor.encode(verdicts))

    admitted.wire.change = on("POST", "/batches", second_is_forged)
    with pytest.raises(BadSignature):
        admitted.turn()
    answered = [("anchor", 1, None), ("anchor", None, None), ("anchor", 3, None), ("anchor", 4, None)]
    assert admitted.states()[1:] == answered
    admitted.wire.change = None
    assert admitted.turn() == 1 and admitted.states()[2] == ("anchor", 2, None)


def problem(code: str) -> object:
    """The problem of one verdict."""
    return {-1: "Rejected", -2: "because", PROBLEM_KEY: {"code": code}}


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        ({"status": 503, "problem": problem("storage_failed")}, "ledger_busy"),
        ({"status": 410, "problem": problem("entry_pruned")}, "ledger_answer"),
        ({"status": 200, "entry": "1.3", "receipt": b"none"}, "ledger_answer"),
        ({"status": 400, "problem": problem("issuer_unknown")}, "gateway_not_admitted"),
    ],
)
def test_a_statement_that_the_ledger_cannot_judge_now_keeps_no_other_of_its_batch_back(
    admitted: Post, verdict: dict[str, object], code: str
) -> None:
    for n in range(4):
        admitted.put("anchor", ledgers.anchor(n), at_ms=NOW_MS + n)

    def first_and_third_are_not(wire: Wire, answer: httpx.Response) -> httpx.Response:
        verdicts = cbor.decode_loosely(answer.content)
        assert isinstance(verdicts, list)
        verdicts[0] = {"status": 503, "problem": problem("storage_failed")}
        verdicts[2] = verdict
        return said(answer, cbor.encode_text(verdicts))

    admitted.wire.change = on("POST", "/batches", first_and_third_are_not)
    with pytest.raises((ProtocolError, VigilError)) as caught:
        admitted.turn()
    assert caught.value.code == (code if code == "gateway_not_admitted" else "ledger_busy")
    late = ("anchor", None, None)
    assert admitted.states()[-4:] == [late, ("anchor", 2, None), late, ("anchor", 4, None)]
    admitted.wire.change = None
    while admitted.waiting():
        admitted.turn()
    assert admitted.states()[-4:] == [("anchor", n, None) for n in (1, 2, 3, 4)]


def test_a_refused_statement_keeps_no_other_of_its_batch_back(admitted: Post) -> None:
    for n in range(5):
        raw = ledgers.anchor(n, sub="of somebody else") if n % 2 else ledgers.anchor(n)
        admitted.put("anchor", raw, at_ms=NOW_MS + n)
    assert admitted.turn() == 5 and admitted.waiting() == 0
    refused = ("anchor", None, "subject_wrong")
    assert admitted.states()[1:] == [("anchor", 1, None), refused, ("anchor", 2, None), refused, ("anchor", 3, None)]
    assert [path for method, path in admitted.wire.asked if method == "POST"] == ["/entries", "/batches"]


def test_a_batch_that_the_ledger_cannot_judge_now_is_sent_again_and_found(admitted: Post) -> None:
    for n in range(3):
        admitted.put("anchor", ledgers.anchor(n), at_ms=NOW_MS + n)
    assert admitted.failed(on("POST", "/batches", lambda *_: httpx.Response(503))) == "ledger_busy"
    size = admitted.engine.size
    assert admitted.turn() == 3 and admitted.engine.size == size


@pytest.mark.parametrize("status", [429, 503])
def test_a_ledger_that_asks_for_a_pause_gets_it(post: Post, status: int) -> None:
    post.admit()

    async def scene() -> list[float]:
        async with post.submitter() as sender:
            post.wire.change = on("POST", "/entries", lambda *_: httpx.Response(status, headers={"retry-after": "90"}))
            with pytest.raises(LedgerBusy) as caught:
                await sender.turn()
            sender._failures = 1
            return [sender.pause_s(caught.value), sender.pause_s(Unavailable("ledger_unreachable"))]

    asked, other = asyncio.run(scene())
    assert asked == 90.0 and other < 2.0


# -- a log that does not only grow -----------------------------------------------------------------------------------


@contextlib.contextmanager
def copied(post: Post, name: str) -> Iterator[Engine]:
    """The ledger as it is now, with its keys: whoever runs it shows this one to some, and another to others."""
    shutil.copytree(post.folder / "ledger", post.folder / name)
    with ledgers.checked(post.folder / name, post.clock) as engine:
        yield engine


def test_a_log_that_shows_another_history_is_reported_and_not_believed(admitted: Post) -> None:
    with copied(admitted, "fork") as fork:
        admitted.put("anchor", ledgers.anchor(1))
        admitted.turn()
        fork.register(ledgers.anchor(7))
        fork.register(ledgers.anchor(8))
        admitted.wire.engine = fork
        admitted.put("anchor", ledgers.anchor(2))
        assert admitted.failed() == "log_contradicts"
        assert admitted.failed() == "log_contradicts"
        assert [kind for kind, _ in admitted.reports] == 2 * ["other_beginning"]
        admitted.wire.engine = admitted.engine
        assert admitted.turn() == 1


def test_a_log_that_shows_another_history_of_the_same_size_is_reported_and_not_believed(admitted: Post) -> None:
    with copied(admitted, "fork") as fork:
        for n in (1, 2):
            admitted.put("anchor", ledgers.anchor(n), at_ms=NOW_MS + n)
            admitted.turn()
        admitted.wire.engine = fork
        admitted.put("anchor", ledgers.anchor(3))
        fork.register(ledgers.anchor(4))
        assert admitted.failed() == "log_contradicts"
        assert [kind for kind, _ in admitted.reports] == ["two_roots"]


def test_a_log_that_lost_entries_is_reported_and_not_believed(admitted: Post) -> None:
    with copied(admitted, "older") as older:
        for n in range(3):
            admitted.put("anchor", ledgers.anchor(n), at_ms=NOW_MS + n)
        admitted.turn()
        admitted.wire.engine = older
        admitted.put("anchor", ledgers.anchor(9))
        assert admitted.failed() == "log_contradicts"
        ((kind, found),) = admitted.reports
        assert kind == "place_taken" and found.taken is not None and found.taken.statement == ledgers.anchor(9)


def test_a_log_that_contradicted_itself_is_sent_nothing_until_it_holds_again_what_it_held(admitted: Post) -> None:
    async def scene() -> None:
        async with admitted.submitter() as sender:
            for other in (fork, older):
                admitted.wire.engine = other
                with pytest.raises(Contradicted):
                    await sender.turn()
                size = other.size
                for _ in range(3):
                    with pytest.raises((Contradicted, Unavailable)):
                        await sender.turn()
                assert other.size == size, "whoever runs it gets no more of what it could show to others"
                admitted.wire.engine = admitted.engine
                assert await sender.turn() == 1
                admitted.put("anchor", ledgers.anchor(other.size + 50))

    with copied(admitted, "older") as older:
        for n in range(3):
            admitted.put("anchor", ledgers.anchor(n), at_ms=NOW_MS + n)
        admitted.turn()
        with copied(admitted, "fork") as fork:
            fork.register(ledgers.anchor(60))
            admitted.put("anchor", ledgers.anchor(5), at_ms=NOW_MS + 5)
            admitted.turn()
            admitted.put("anchor", ledgers.anchor(9), at_ms=NOW_MS + 9)
            asyncio.run(scene())


def test_a_receipt_from_another_tree_than_the_checkpoints_is_not_believed(admitted: Post) -> None:
    with copied(admitted, "fork") as fork:
        fork.register(ledgers.anchor(8))
        admitted.put("anchor", ledgers.anchor(1))

        def from_the_fork(wire: Wire, answer: httpx.Response) -> httpx.Response:
            found = fork.register(ledgers.anchor(1))
            return said(answer, found.receipt, location=f"/entries/{found.entry_id}")

        change = on("POST", "/entries", from_the_fork)
        assert admitted.failed(change) == "checkpoint_old"  # the fork has more entries than the log
        admitted.engine.register(ledgers.anchor(5))
        assert admitted.failed(change) == "consistency_bad"


def test_an_older_checkpoint_than_the_receipts_is_waited_over(admitted: Post) -> None:
    old = admitted.engine.checkpoint().encode()
    admitted.put("anchor", ledgers.anchor(1))
    assert admitted.failed(on("GET", "/checkpoint", lambda _, answer: said(answer, old))) == "checkpoint_old"
    assert admitted.turn() == 1


def test_others_entries_between_ours_do_not_matter(admitted: Post) -> None:
    def busy(wire: Wire, answer: httpx.Response) -> httpx.Response:
        wire.engine.register(ledgers.enrolment(100 + wire.posts()))
        return answer

    admitted.wire.change = on("POST", "/entries", busy)
    for n in range(4):
        admitted.put("anchor", ledgers.anchor(n), at_ms=NOW_MS + n)
        assert admitted.turn() == 1
    assert [row[1] for row in admitted.states()] == [0, 1, 3, 5, 7]
    assert admitted.read("SELECT size FROM head") == [(admitted.engine.size,)]


# -- epochs ------------------------------------------------------------------------------------------------------------


def rolled_over(post: Post, folder: Path) -> str:
    """The ledger in the folder ends its epoch; the name of the next."""
    with ledgers.checked(folder) as engine:
        root, origin = keyring.load(folder, keyring.REGISTRY_KEY), epochs.next_origin(engine.origin)
        custody.roll_over(engine, folder, root, origin=origin, note=engine.signed(), now_ms=post.clock)
    return origin


@pytest.mark.parametrize(("others", "code"), [(0, "epoch_cut_short"), (5, "log_contradicts")])
def test_an_epoch_that_did_not_end_with_what_it_held_is_not_followed(admitted: Post, others: int, code: str) -> None:
    older = admitted.folder / "older"
    with copied(admitted, "older") as fork:
        for n in range(others):
            fork.register(ledgers.anchor(70 + n))
    for n in range(3):
        admitted.put("anchor", ledgers.anchor(n), at_ms=NOW_MS + n)
        admitted.turn()
    rolled_over(admitted, older)
    admitted.put("anchor", ledgers.anchor(9), at_ms=NOW_MS + 9)
    with ledgers.checked(older) as engine:
        real, admitted.engine = admitted.engine, engine
        admitted.wire.engine = engine
        assert admitted.failed() == code
        assert [kind for kind, _ in admitted.reports] == (["other_beginning"] if others else [])
        admitted.wire.engine = admitted.engine = real
    assert admitted.turn() == 1, "the log that it knows goes on"


def test_a_log_cannot_leave_out_what_it_held_by_ending_two_epochs_before_anybody_looks(admitted: Post) -> None:
    older = admitted.folder / "older"
    with copied(admitted, "older"):
        pass
    for n in range(3):
        admitted.put("anchor", ledgers.anchor(n), at_ms=NOW_MS + n)
        admitted.turn()
    rolled_over(admitted, older)
    rolled_over(admitted, older)
    admitted.put("anchor", ledgers.anchor(9), at_ms=NOW_MS + 9)
    with ledgers.checked(older) as engine:
        assert engine.epoch == 3
        real, admitted.engine = admitted.engine, engine
        admitted.wire.engine = engine
        assert admitted.failed() == "epoch_cut_short"
        admitted.wire.engine = admitted.engine = real
    assert admitted.turn() == 1, "the log that it knows goes on"


def test_a_log_that_ended_twice_since_anybody_looked_is_followed(admitted: Post) -> None:
    folder = admitted.folder / "ledger"
    admitted.engine.close()
    rolled_over(admitted, folder)
    origin = rolled_over(admitted, folder)
    with ledgers.checked(folder) as engine:
        admitted.wire.engine = admitted.engine = engine
        admitted.put("anchor", ledgers.anchor(2), at_ms=NOW_MS + 2)
        assert admitted.turn() == 1 and admitted.waiting() == 0
        ended = admitted.read("SELECT origin, ended IS NULL FROM head ORDER BY origin")
        assert ended == [(ledgers.ORIGIN, False), (origin, True)]


def test_an_epoch_that_ends_between_a_receipt_and_its_checkpoint_loses_nothing(admitted: Post) -> None:
    folder = admitted.folder / "ledger"
    admitted.put("anchor", ledgers.anchor(1), at_ms=NOW_MS + 1)
    assert admitted.failed(on("GET", "/checkpoint", lambda *_: httpx.Response(503))) == "ledger_busy"
    admitted.engine.close()
    origin = rolled_over(admitted, folder)
    with ledgers.checked(folder) as engine:
        admitted.wire.engine = admitted.engine = engine
        admitted.put("anchor", ledgers.anchor(2), at_ms=NOW_MS + 2)
        while admitted.waiting():
            admitted.turn()
        found = [row[0] for row in admitted.read("SELECT entry_id FROM submission ORDER BY made_ms")]
        assert [name.split(".")[0] for name in found] == ["1", "1", "2"]
        heads = admitted.read("SELECT origin FROM head ORDER BY origin")
        assert heads == [(ledgers.ORIGIN,), (origin,)] and admitted.reports == []


# -- stops -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["before the ledger has it", "before its answer is here", "before it is written"])
def test_a_statement_that_is_sent_again_after_a_stop_is_in_the_log_once(admitted: Post, where: str) -> None:
    admitted.put("anchor", ledgers.anchor(1))

    def stopped(wire: Wire, request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if request.method == "POST" and where != "before it is written":
            raise httpx.ReadError("the gateway is gone")
        if request.url.path == "/checkpoint":
            raise httpx.ReadError("the gateway is gone")
        return answer

    size = admitted.engine.size
    if where == "before the ledger has it":
        real, admitted.wire.engine = admitted.wire.engine, None  # type: ignore[assignment]
        with pytest.raises(AttributeError):
            admitted.turn()
        admitted.wire.engine = real
    else:
        assert admitted.failed(stopped) == "ledger_unreachable"
    reached = 0 if where == "before the ledger has it" else 1
    assert admitted.engine.size == size + reached
    assert admitted.turn() == 1
    assert admitted.engine.size == size + 1
    assert admitted.states()[-1] == ("anchor", 1, None)


def test_a_store_that_cannot_be_written_loses_nothing(admitted: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    admitted.put("anchor", ledgers.anchor(1))

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(anchors, "keep_head", full)  # the last of the transaction
        assert admitted.failed() == "store_failing"
    assert admitted.turn() == 1


# -- refusals --------------------------------------------------------------------------------------------------------


def test_without_its_admission_nothing_of_a_gateway_is_refused_and_all_of_it_waits(post: Post) -> None:
    post.put("enrolment", ledgers.enrolment(1))
    post.put("anchor", ledgers.anchor(1))
    assert post.failed() == "gateway_not_admitted"
    post.admit()
    assert post.turn() == 3
    assert [row[1] for row in post.states()] == [0, 1, 2]


def test_an_admission_for_another_ledger_does_not_block_the_right_one(post: Post, tmp_path: Path) -> None:
    with ledgers.checked(tmp_path / "other"):
        wrong = ledgers.admission(tmp_path / "other")
    post.put("admission", wrong, at_ms=NOW_MS - 1000)
    post.put("anchor", ledgers.anchor(1))
    with pytest.raises(Unavailable, match="gateway_not_admitted"):
        post.turn()
    assert post.states() == [("admission", None, "issuer_unknown"), ("anchor", None, None)]
    post.admit()
    assert post.turn() == 2
    assert post.states()[1:] == [("admission", 0, None), ("anchor", 1, None)]


def test_a_refusal_is_kept_by_its_code_holds_up_nothing_else_and_is_tried_again_at_the_next_start(
    admitted: Post,
) -> None:
    refused = admitted.put("anchor", ledgers.anchor(1, sub="of somebody else"), at_ms=NOW_MS)
    admitted.put("anchor", ledgers.anchor(2), at_ms=NOW_MS + 1)
    assert admitted.turn() == 2
    assert admitted.states()[1:] == [("anchor", None, "subject_wrong"), ("anchor", 1, None)]
    assert admitted.waiting() == 0 and admitted.turn() == 0
    assert admitted.writer.submit(anchors.count_refused).result() == 1
    admitted.writer.submit(anchors.reopen).result()
    (waiting,) = admitted.writer.submit(lambda conn: anchors.waiting(conn, most=9)).result()
    assert waiting.digest == refused
    assert admitted.writer.submit(anchors.count_refused).result() == 0


def test_a_refusal_by_the_ledger_itself_is_told_from_one_by_a_proxy(admitted: Post) -> None:
    admitted.put("anchor", ledgers.anchor(1))
    problem = cbor.encode({-1: "Rejected", PROBLEM_KEY: {"code": "too_old"}})
    headers = {"content-type": PROBLEM_TYPE}
    for status in (401, 403, 404, 410):
        by_proxy = on(
            "POST", "/entries", lambda *_, status=status: httpx.Response(status, headers=headers, content=problem)
        )
        assert admitted.failed(by_proxy) == "ledger_answer"
    admitted.wire.change = on("POST", "/entries", lambda *_: httpx.Response(400, headers=headers, content=problem))
    assert admitted.turn() == 1
    assert admitted.states()[-1] == ("anchor", None, "too_old")


def test_a_refused_statement_raises_the_alarm_that_the_ledger_is_behind_until_it_is_taken(tmp_path: Path) -> None:
    async def life(*, refuse: bool) -> list[tuple[object, ...]]:
        async with open_house(tmp_path) as house:
            await house.gateway.writer.run(anchors.reopen)
            await house.gateway.writer.run(
                lambda conn: anchors.queue(conn, "anchor", ledgers.anchor(1), now_ms=house.now_ms())
            )
            digest = statement.entry(ledgers.anchor(1))
            if refuse:
                await house.gateway.writer.run(
                    lambda conn: anchors.refused(conn, digest, code="subject_wrong", now_ms=house.now_ms())
                )
            await house.gateway.duties._batch()
            house.gateway.intake.soon()
            await until(lambda: house.gateway.committing.free and not house.gateway.intake.batch)
            return house.record("SELECT kind, cleared_ms IS NULL FROM alert")

    assert asyncio.run(life(refuse=False)) == []
    assert asyncio.run(life(refuse=True)) == [("ledger_behind", 1)]
    assert asyncio.run(life(refuse=False)) == [("ledger_behind", 0)]


def test_nothing_private_is_said_about_a_failure(admitted: Post, caplog: pytest.LogCaptureFixture) -> None:
    admitted.put("anchor", ledgers.anchor(1, sub="of somebody else"))
    admitted.put("anchor", ledgers.anchor(2), at_ms=NOW_MS + 1)
    with caplog.at_level(logging.DEBUG, logger="gateway"):
        admitted.wire.change = on("POST", "/batches", lambda *_: httpx.Response(200, html="<p>hello"))
        with pytest.raises(VigilError):
            admitted.turn()
        admitted.wire.change = None
        admitted.turn()
    assert "refused a statement of kind anchor" in caplog.text
    for secret in (GATEWAY.seed.hex(), GATEWAY.public.x.hex(), ledgers.anchor(1).hex()):
        assert secret not in caplog.text
