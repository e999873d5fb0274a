"""A log and its witnesses: who is asked for what, when a checkpoint is shown, and whom nobody waits for."""

import asyncio
import contextlib
import itertools
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ledger.log import fsck, keyring
from ledger.log.engine import Engine
from ledger.log.store import FILE
from ledger.metrics import Metrics
from ledger.witness import app as http
from ledger.witness import asking
from ledger.witness import peer as peers
from ledger.witness.asking import Asking
from ledger.witness.metrics import Metrics as WitnessMetrics
from protocol import notes, policy, witnessing
from protocol.errors import ConfigError, Unavailable, VerificationFailed
from protocol.keys import SigningKey
from protocol.notes import NoteKey
from protocol.policy import Policy
from tests.support import exposition, ledgers
from tests.support import witnesses as rig
from tests.support.serving import nobody
from tests.support.witnesses import Clock

KEYS = [SigningKey.from_seed(bytes([50 + number]) * 32) for number in range(4)]
VKEYS = [NoteKey(name=f"w{number}.example", kind=notes.COSIGNATURE, key=key.public) for number, key in enumerate(KEYS)]


APPS: dict[str, httpx.ASGITransport] = {}  # applications that are reached without a socket, by URL


@contextlib.contextmanager
def reached(app: ASGIApp) -> Iterator[str]:
    """The URL of `app` while the block runs, for `asked`."""
    url = f"http://w{len(APPS)}.test"
    APPS[url] = httpx.ASGITransport(app=app)
    yield url
    del APPS[url]


@contextlib.contextmanager
def witness(
    folder: Path,
    engine: Engine,
    name: str = "w.example",
    serve: Callable[[ASGIApp], contextlib.AbstractContextManager[str]] = reached,
) -> Iterator[tuple[str, NoteKey]]:
    """A real witness of ours, which knows the log: (URL, key)."""
    log = rig.Log(engine.origin)
    key = rig.made(folder, name=name)
    with contextlib.closing(rig.Store.open(folder)) as store:
        vkey = policy.parse(str(engine.trust()["policy"])).logs[engine.origin][0]
        store.add_log(vkey, url="", path=witnessing.checkpoint_path(log.origin))
    with rig.opened(folder, rate_per_s=10_000.0) as found:
        app = http.app(found, WitnessMetrics(), rate_per_s=10_000.0, monotonic_s=Clock())
        with serve(app) as url:
            yield url, key


class Fake:
    """A witness that does what a test says. asked: (old, size) of each request."""

    def __init__(self, number: int, say: Callable[["Fake", witnessing.Request], Response] | None = None) -> None:
        self.key, self.vkey, self.say = KEYS[number], VKEYS[number], say or Fake.cosign
        self.shows: str | None = None
        self.asked: list[tuple[int, int]] = []
        self.stands = 0
        self.held: asyncio.Event | None = None

    def cosign(self, request: witnessing.Request) -> Response:
        """As an honest witness that checks nothing."""
        if request.old != self.stands:
            return Response(
                witnessing.size_body(self.stands), status_code=409, headers={"content-type": witnessing.SIZE_TYPE}
            )
        self.stands = request.checkpoint.size
        return PlainTextResponse(self.line(request.checkpoint.text()))

    def line(self, text: str, at_s: int = 1_700_000_000) -> str:
        return notes.cosign(text, name=self.vkey.name, key=self.key, at_s=at_s).text()

    @property
    def app(self) -> Starlette:
        async def add(request: Request) -> Response:
            found = witnessing.Request.parse(await request.body())
            self.asked.append((found.old, found.checkpoint.size))
            return self.say(self, found)

        async def newest(_: Request) -> Response:
            return PlainTextResponse(self.shows or "", status_code=404 if self.shows is None else 200)

        return Starlette(
            routes=[Route("/add-checkpoint", add, methods=["POST"]), Route("/{digest}/checkpoint", newest)]
        )


def policy_of(engine: Engine, people: Sequence[tuple[str, NoteKey, str]], rule: str) -> Policy:
    """people: (name, key, URL) of witnesses."""
    log = str(engine.trust()["policy"]).split("quorum")[0]
    return policy.parse(log + "".join(f"witness {name} {key.vkey()} {url}\n" for name, key, url in people) + rule)


@contextlib.asynccontextmanager
async def asked(
    engine: Engine, rules: Policy, metrics: Metrics | None = None, clock: Clock | None = None
) -> AsyncIterator[Asking]:
    """Witnesses as the service has them, but nobody asks before the test says `step`."""
    async with peers.client(APPS) as client:
        witnesses = [
            peers.Peer(name=name, key=rules.witnesses[name], url=url, http=client)
            for name, url in rules.witness_urls.items()
        ]
        found = Asking(
            engine=engine,
            policy=rules,
            witnesses=witnesses,
            metrics=(metrics or Metrics(frozenset())).witnesses,
            monotonic_s=clock or Clock(),
            rng=random.Random(1),
        )
        yield found
        await found.settled()


async def step(found: Asking) -> None:
    """One look at the log, until every witness has answered."""
    found.step()
    await found.settled()


def size_shown(engine: Engine, rules: Policy) -> int:
    """The size of the checkpoint that the log shows, which meets the policy."""
    return rules.check(engine.checkpoint())[0].size


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path / "ledger") as found:
        yield found


def grow(engine: Engine, folder: Path, count: int = 1) -> None:
    engine.register(ledgers.admission(folder / "ledger"))
    for number in range(engine.size, engine.size + count):
        engine.register(ledgers.anchor(number))


def counted(metrics: Metrics, outcome: str) -> float:
    value = metrics.registry.get_sample_value("vigil_ledger_witness_cosignatures_total", {"outcome": outcome})
    assert value is not None
    return value


def gauge(metrics: Metrics, name: str) -> float:
    value = metrics.registry.get_sample_value(f"vigil_ledger_{name}")
    assert value is not None
    return value


def test_a_checkpoint_is_shown_once_the_quorum_has_cosigned_it(tmp_path: Path, engine: Engine) -> None:
    grow(engine, tmp_path)
    with contextlib.ExitStack() as held:
        people = [
            (f"w{number}", key, url)
            for number in range(3)
            for url, key in [held.enter_context(witness(tmp_path / f"w{number}", engine, f"w{number}.example"))]
        ]
        rules = policy_of(engine, people, "group g 2 w0 w1 w2\nquorum g\n")

        async def ask() -> None:
            async with asked(engine, rules) as found:
                await found.look()
                assert engine.checkpoint() == engine.signed()  # nobody has cosigned: what is signed is shown, as ever
                await step(found)
                for _ in range(3):
                    assert size_shown(engine, rules) == engine.size
                    before = engine.checkpoint()
                    grow(engine, tmp_path, 5)
                    assert engine.checkpoint() == before != engine.signed()
                    await step(found)
                assert len(rules.check(engine.checkpoint())[1]) == 3

        asyncio.run(ask())


def test_receipts_do_not_wait_for_witnesses(tmp_path: Path, engine: Engine) -> None:
    rules = policy_of(engine, [("w0", VKEYS[0], nobody())], "quorum w0\n")

    async def ask() -> None:
        async with asked(engine, rules) as found:
            await found.look()
            await step(found)
            grow(engine, tmp_path)
            said = engine.register(ledgers.anchor(99))
            assert (said.new, said.size) == (True, engine.size)
            assert engine.checkpoint() == engine.signed()

    asyncio.run(ask())


def test_what_was_shown_is_shown_after_a_restart_and_what_no_longer_counts_is_not(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path / "ledger") as engine:
        grow(engine, tmp_path)
        with witness(tmp_path / "w", engine) as (url, key):
            rules = policy_of(engine, [("w0", key, url)], "quorum w0\n")

            async def ask() -> None:
                async with asked(engine, rules) as found:
                    await step(found)

            asyncio.run(ask())
            shown = engine.checkpoint()
            grow(engine, tmp_path, 3)
    with ledgers.checked(tmp_path / "ledger") as engine:
        assert engine.checkpoint() == engine.signed() != shown  # without a policy

        async def begin(rules: Policy) -> None:
            async with asked(engine, rules):
                pass

        asyncio.run(begin(policy_of(engine, [("w0", VKEYS[0], nobody())], "quorum w0\n")))
        assert engine.checkpoint() == engine.signed()  # under another policy
        asyncio.run(begin(rules))
        assert engine.checkpoint() == shown


def test_a_log_learns_where_a_witness_stands(tmp_path: Path, engine: Engine) -> None:
    """From 409: after a restart, and when somebody else has shown it a checkpoint in between."""
    grow(engine, tmp_path)
    with reached((fake := Fake(0)).app) as url:
        rules = policy_of(engine, [("w0", VKEYS[0], url)], "quorum w0\n")

        async def ask() -> None:
            async with asked(engine, rules) as found:
                await step(found)
                grow(engine, tmp_path, 4)
                fake.stands = engine.size - 2
                fake.asked.clear()
                await step(found)

        first = engine.size
        asyncio.run(ask())
        assert fake.asked == [(first, engine.size), (engine.size - 2, engine.size)]
        assert size_shown(engine, rules) == engine.size


def test_a_slow_witness_delays_nobody(tmp_path: Path, engine: Engine) -> None:
    grow(engine, tmp_path)
    ending = threading.Event()

    async def never(_: Request) -> Response:
        await asyncio.to_thread(ending.wait, 10)
        return PlainTextResponse("")

    slow = Starlette(routes=[Route("/{path:path}", never, methods=["GET", "POST"])])
    with reached(slow) as away, witness(tmp_path / "w", engine) as (url, key):
        rules = policy_of(engine, [("w0", key, url), ("slow", VKEYS[0], away)], "group g 1 w0 slow\nquorum g\n")

        async def ask() -> None:
            async with asked(engine, rules) as found:
                quick, late = found._standings
                for _ in range(3):
                    grow(engine, tmp_path)
                    found.step()
                    await found._busy[quick][1]
                    assert late in found._busy and size_shown(engine, rules) == engine.size
                ending.set()

        asyncio.run(ask())


LIES = [
    (lambda fake, _: PlainTextResponse("yes"), "bad_answer"),
    (lambda fake, _: PlainTextResponse(""), "bad_answer"),
    (lambda fake, _: PlainTextResponse("x" * 200_000), "unreachable"),
    (lambda fake, request: PlainTextResponse(fake.line(request.checkpoint.text(), at_s=0)), "bad_answer"),
    (lambda fake, request: PlainTextResponse(fake.line("another\n1\ntext\n")), "bad_answer"),
    (lambda fake, request: PlainTextResponse(Fake(1).line(request.checkpoint.text())), "bad_answer"),
    (lambda fake, _: Response(b"7", status_code=409, headers={"content-type": witnessing.SIZE_TYPE}), "bad_answer"),
    (lambda fake, _: Response(b"7\n", status_code=409), "inconsistent"),
    (lambda fake, _: Response(b"", status_code=422), "inconsistent"),
    (lambda fake, _: Response(b"", status_code=403), "refused"),
    (lambda fake, _: Response(b"", status_code=302, headers={"location": "/"}), "bad_answer"),
    (lambda fake, _: Response(b"", status_code=429, headers={"retry-after": "9999999999999"}), "busy"),
    (lambda fake, _: Response(b"", status_code=500), "busy"),
    (lambda fake, _: Response(witnessing.size_body(2**62), status_code=409, headers={"content-type": witnessing.SIZE_TYPE}), "ahead"),
]  # fmt: skip


def test_a_lying_witness_is_counted_and_nobody_else_notices(tmp_path: Path, engine: Engine) -> None:
    grow(engine, tmp_path)
    fake = Fake(0)
    with reached(fake.app) as away, witness(tmp_path / "w", engine) as (url, key):
        rules = policy_of(engine, [("liar", VKEYS[0], away), ("w0", key, url)], "group g 1 w0 liar\nquorum g\n")

        async def ask(metrics: Metrics) -> None:
            clock = Clock()
            async with asked(engine, rules, metrics, clock) as found:
                for _ in range(2):
                    clock.at_s += 100
                    grow(engine, tmp_path)
                    await step(found)
                    assert [name for name, _ in rules.check(engine.checkpoint())[1]] == ["w0"]
                    assert size_shown(engine, rules) == engine.size

        for number, (lie, outcome) in enumerate(LIES):
            metrics, fake.say = Metrics(frozenset()), lie
            asyncio.run(ask(metrics))
            assert counted(metrics, outcome) >= 1 and counted(metrics, "cosigned") == 2, f"lie {number}"
    assert engine.stopped is None and engine.register(ledgers.anchor(999)).new


def test_a_witness_that_fails_is_asked_again_after_a_pause_that_grows(tmp_path: Path, engine: Engine) -> None:
    grow(engine, tmp_path)
    metrics, clock = Metrics(frozenset()), Clock()
    fake = Fake(0, lambda fake, _: Response(b"", status_code=403))
    with reached(fake.app) as url:
        rules = policy_of(engine, [("w0", VKEYS[0], url)], "quorum w0\n")

        async def ask() -> list[int]:
            found_at = []
            async with asked(engine, rules, metrics, clock) as found:
                for second in range(200):
                    clock.at_s = rig.NOW_S + second
                    before = len(fake.asked)
                    await step(found)
                    if len(fake.asked) > before:
                        found_at.append(second)
                assert gauge(metrics, "witnesses_missing") == 1
                assert gauge(metrics, "checkpoint_waiting_seconds") == 199
                fake.say = Fake.cosign
                clock.at_s += 60
                await step(found)
                await step(found)
                assert gauge(metrics, "witnesses_missing") == 0
                assert gauge(metrics, "checkpoint_waiting_seconds") == 0
            return found_at

        found_at = asyncio.run(ask())
    gaps = [after - before for before, after in itertools.pairwise(found_at)]
    assert found_at[0] == 0 and 8 <= len(found_at) <= 14 and max(gaps) <= 61 and gaps[-1] > gaps[0]
    assert size_shown(engine, rules) == engine.size


def test_witnesses_are_asked_for_one_checkpoint_until_enough_have_signed_it(tmp_path: Path, engine: Engine) -> None:
    """Two that are slow at different times would else never sign the same one while the log grows."""
    grow(engine, tmp_path)
    fakes = [Fake(0), Fake(1)]
    clock = Clock()
    with reached(fakes[0].app) as first, reached(fakes[1].app) as second:
        rules = policy_of(engine, [("w0", VKEYS[0], first), ("w1", VKEYS[1], second)], "group g all w0 w1\nquorum g\n")

        async def ask() -> None:
            async with asked(engine, rules, clock=clock) as found:
                found._standings[next(iter(found._standings))].due_s = clock.at_s + 1  # the first is not free yet
                size = engine.size
                found.step()
                grow(engine, tmp_path, 3)
                clock.at_s += 2
                found.step()  # the second is still busy with the first checkpoint, which the first one joins now
                await found.settled()
                assert {asked for fake in fakes for _, asked in fake.asked} == {size}
                assert size_shown(engine, rules) == size
                await step(found)
                assert size_shown(engine, rules) == engine.size

        asyncio.run(ask())


def test_a_checkpoint_that_cannot_be_kept_is_not_shown_and_tried_again(
    tmp_path: Path, engine: Engine, monkeypatch
) -> None:
    grow(engine, tmp_path)
    clock = Clock()
    with witness(tmp_path / "w", engine) as (url, key):
        rules = policy_of(engine, [("w0", key, url)], "quorum w0\n")

        def fail(note: str) -> None:
            raise Unavailable("storage_failed", "the disk is full")

        async def ask() -> None:
            async with asked(engine, rules, clock=clock) as found:
                with monkeypatch.context() as broken:
                    broken.setattr(engine, "publish", fail)
                    await step(found)
                assert engine.checkpoint() == engine.signed()
                clock.at_s += 10
                await step(found)
                assert size_shown(engine, rules) == engine.size

        asyncio.run(ask())


def test_without_a_quorum_witnesses_are_asked_and_the_newest_checkpoint_is_shown(
    tmp_path: Path, engine: Engine
) -> None:
    grow(engine, tmp_path)
    with reached((fake := Fake(0)).app) as url:
        rules = policy_of(engine, [("w0", VKEYS[0], url)], "quorum none\n")

        async def ask() -> None:
            async with asked(engine, rules) as found:
                await step(found)
                grow(engine, tmp_path)
                assert engine.checkpoint() == engine.signed()

        asyncio.run(ask())
    assert fake.stands > 1


def more(count: int) -> str:
    """Lines of so many other witnesses."""
    keys = (SigningKey.from_seed(bytes([100 + number]) * 32).public for number in range(count))
    found = (notes.NoteKey(name=f"m{number}", kind=notes.COSIGNATURE, key=key) for number, key in enumerate(keys))
    return "".join(f"witness {key.name} {key.vkey()} http://m.example\n" for key in found)


@pytest.mark.parametrize(
    ("change", "about"),
    [
        (lambda text: text.replace("quorum w0", "quorum w9"), "is no policy"),
        (lambda text: text.replace("log ", "# log ").replace("quorum", f"log {rig.Log().vkey.vkey()}\nquorum"), "does not name the log"),
        (lambda text: text.replace(" http://w.example", ""), "cannot be met"),
        (lambda text: text.replace("quorum", f"log {rig.Log().vkey.vkey()}\nquorum"), "names other logs"),
        (lambda text: "\xff", "is no policy"),
        (lambda text: text.replace("quorum", more(62) + "quorum"), "more than 62 witnesses"),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_work_is_refused_at_the_start(tmp_path: Path, engine: Engine, change, about: str) -> None:
    file = tmp_path / "policy"
    good = str(engine.trust()["policy"]).replace(
        "quorum none", f"witness w0 {VKEYS[0].vkey()} http://w.example\nquorum w0"
    )
    file.write_text(good)
    assert asking.read_policy(str(file), engine).witness_urls == {"w0": "http://w.example"}
    file.write_text(good.replace("quorum", more(61) + "quorum"))
    assert len(asking.read_policy(str(file), engine).witness_urls) == 62
    file.write_text(change(good))
    with pytest.raises(ConfigError, match="witness_policy") as caught:
        asking.read_policy(str(file), engine)
    assert about in caught.value.detail
    with pytest.raises(ConfigError, match="cannot read"):
        asking.read_policy(str(tmp_path / "none"), engine)


@pytest.mark.parametrize(
    "url", ["ftp://w.example", "w.example", "http://", "http://w.example?x", "http://w.example:99999", "http://[::1"]
)
def test_an_address_that_nobody_can_call_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="witness_url"):
        peers.Peer(name="w", key=VKEYS[0], url=url, http=peers.client())


def test_a_ledger_without_witnesses_exposes_their_series_all_the_same(tmp_path: Path) -> None:
    found = exposition.read(exposition.of_ledger(tmp_path))
    assert found["vigil_ledger_witness_cosignatures_total"].labels == {"outcome": set(peers.OUTCOMES)}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda note, log: note.replace("\n\n", "\nmore\n\n", 1), "cosigned_bad"),
        (lambda note, log: note.replace(ledgers.ORIGIN, "log.example/x", 1), "cosigned_bad"),
        (lambda note, log: "no note", "cosigned_bad"),
        (lambda note, log: signed(log, 99), "cosigned_bad"),
        (lambda note, log: signed(log, 2), "cosigned_wrong"),
    ],
)
def test_a_cosigned_checkpoint_is_checked_with_the_rest(tmp_path: Path, change, code: str) -> None:
    folder = tmp_path / "ledger"
    with ledgers.checked(folder) as engine:
        grow(engine, tmp_path)
        note = engine.signed()
        engine.publish(note)
        grow(engine, tmp_path, 3)
    fsck.check(folder)
    log = rig.Log(ledgers.ORIGIN)
    log.key = keyring.load(folder, keyring.LOG_KEY)
    with contextlib.closing(sqlite3.connect(folder / FILE)) as db:
        db.execute("UPDATE cosigned SET note = ?", (change(note, log),))
        db.commit()
    with pytest.raises(VerificationFailed) as caught:
        fsck.check(folder)
    assert caught.value.code == code


def signed(log: rig.Log, size: int) -> str:
    """A checkpoint of a tree that the log never had, under its own key."""
    text = notes.Checkpoint(origin=log.origin, size=size, root=bytes(32)).text()
    return notes.Note(text=text, lines=(notes.sign(text, name=log.origin, key=log.key),)).whole()
