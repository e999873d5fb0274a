"""SCRAPI's way to a receipt by 303 and 302, batches, and what else a client reads, from ledgers right and wrong."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ledger.client import BATCH_MAX, BATCH_SIZE_MAX, PROBLEM_KEY, PROBLEM_TYPE, LedgerBusy, LedgerRefused, Registered
from ledger.client.exchanges import POLLING_MAX_S, POLLS_MAX
from ledger.log.engine import Engine
from protocol import cbor, merkle, notes, receipt, statement, tiles
from protocol.errors import Malformed, NotFound, ProtocolError, Unavailable
from protocol.notes import Checkpoint
from tests.support import ledgers
from tests.support.clients import Asks, Opened, answer, answering, asked, problem

COSE = "application/cose"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path) as found:
        found.register(ledgers.admission(tmp_path))
        yield found


class Slow:
    """A ledger that lets its clients wait: 303, then 302 `times` times, then the receipt. after: of each Retry-After."""

    def __init__(self, engine: Engine, *, times: int, after: str = "1") -> None:
        self._engine, self._left, self._after = engine, times, after
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if request.method == "POST":
            self._found = self._engine.register(request.read())
            return answer(303, location="http://elsewhere.example/entries/0.7", retry_after=self._after)
        if self._left:
            self._left -= 1
            return answer(302, location="/entries/0.7", retry_after=self._after)
        return answer(200, self._found.receipt, location=f"/entries/{self._found.entry_id}", content_type=COSE)


def test_a_statement_that_still_runs_is_asked_after_until_its_receipt_is_there(engine: Engine, opened: Opened) -> None:
    for times, after, pauses in ((0, "1", [1.0]), (3, "2", [2.0] * 4), (1, "", [0.5, 0.5]), (1, "0", [0.5, 0.5])):
        slow, waited = Slow(engine, times=times, after=after), list[float]()
        raw = ledgers.anchor(times)
        found = asked(opened, slow, pause=waited.append).register(raw)
        assert slow.asked == ["POST /entries", *["GET /entries/0.7"] * (times + 1)]
        assert waited == pauses
        assert found.entry_id == f"1.{found.index}"
        receipt.read(found.receipt)


@pytest.mark.parametrize(("after", "most"), [("0", POLLS_MAX), ("1", POLLS_MAX), ("10", 3), ("31", 0), ("99999", 0)])
def test_a_statement_that_runs_for_ever_is_left(engine: Engine, opened: Opened, after: str, most: int) -> None:
    slow, waited = Slow(engine, times=10_000, after=after), list[float]()
    with pytest.raises(LedgerBusy) as busy:
        asked(opened, slow, pause=waited.append).register(ledgers.anchor(1))
    assert busy.value.code == "ledger_busy"
    assert len(slow.asked) - 1 == len(waited) <= most
    assert sum(waited) <= POLLING_MAX_S
    assert (busy.value.retry_after_s or 0) == min(float(after), 3600)


@pytest.mark.parametrize("location", ["", "/entries/", "/entries/..", "/entries/" + "1" * 65, "/entries/a b"])
@pytest.mark.parametrize("status", [303, 302])
def test_a_place_to_ask_that_has_no_name_is_no_answer(opened: Opened, status: int, location: str) -> None:
    steps = iter([answer(303, location="/entries/0.1"), answer(302, location=location)])
    first = answer(303, location=location)
    with pytest.raises(Malformed) as wrong:
        asked(opened, lambda _: first if status == 303 else next(steps), pause=lambda _: None).register(b"x")
    assert wrong.value.code == "ledger_answer"


def polled(opened: Opened, status: int, body: bytes = b"", media: str = PROBLEM_TYPE) -> Asks:
    """A client whose statement runs at first, and is then answered so."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return answer(303, location="/entries/0.1")
        return answer(status, body, content_type=media, location="/entries/1.1")

    return asked(opened, handle, pause=lambda _: None)


def test_a_running_statement_that_is_refused_in_the_end_is_refused(opened: Opened) -> None:
    with pytest.raises(LedgerRefused) as refused:
        polled(opened, 400, problem("issuer_unknown")).register(b"x")
    assert refused.value.code == "issuer_unknown"


def test_a_ledger_that_forgot_what_it_was_registering_refuses_nothing(opened: Opened) -> None:
    for body in (problem("entry_unknown"), b"<html>"):
        with pytest.raises(LedgerBusy):
            polled(opened, 404, body).register(b"x")
    for status in (301, 303, 307, 401, 501):
        with pytest.raises(Malformed):
            polled(opened, status, problem()).register(b"x")
    with pytest.raises(LedgerBusy):
        polled(opened, 503, problem()).register(b"x")


class Batches:
    """A ledger that takes batches, by its engine one after the other. bend: changes its verdicts on the way out."""

    def __init__(self, engine: Engine, bend: Callable[[list[object]], object] = lambda verdicts: verdicts) -> None:
        self._engine, self._bend = engine, bend
        self.sizes: list[int] = []
        self.bytes: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("POST", "/batches")
        assert request.headers["content-type"] == "application/cbor"
        body = request.read()
        raws = cbor.decode(body, size_max=BATCH_SIZE_MAX)
        assert isinstance(raws, list) and len(raws) <= BATCH_MAX
        self.sizes.append(len(raws))
        self.bytes.append(len(body))
        return answer(200, cbor.encode(self._bend([self._verdict(raw) for raw in raws])))

    def _verdict(self, raw: bytes) -> object:
        try:
            found = self._engine.register(raw)
        except ProtocolError as error:
            said = {-1: "Rejected", -2: error.detail, PROBLEM_KEY: {"code": error.code}}
            return {"status": 400, "problem": said}
        return {"status": 201 if found.new else 200, "entry": found.entry_id, "receipt": found.receipt}


def test_each_statement_of_a_batch_has_its_own_verdict(tmp_path: Path, engine: Engine, opened: Opened) -> None:
    raws = [
        ledgers.anchor(0),
        b"no statement",
        ledgers.anchor(1, ledgers.STRANGER),
        ledgers.anchor(0),
        bytes(statement.SIZE_MAX + 1),
        ledgers.anchor(2),
    ]
    first = engine.size
    found = asked(opened, Batches(engine)).register_many(raws)
    told = [each.entry_id if isinstance(each, Registered) else each.code for each in found]
    assert told == [f"1.{first}", "cose_tag", "issuer_unknown", f"1.{first}", "statement_size", f"1.{first + 1}"]
    key = ledgers.log_key(tmp_path)
    for raw, each in zip(raws, found, strict=True):
        if isinstance(each, Registered):
            proof = receipt.check(each.receipt, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
            assert (proof.index, proof.size) == (each.index, each.size)
    assert asked(opened, Batches(engine)).register_many([]) == []


def test_a_long_list_goes_in_requests_that_fit(engine: Engine, opened: Opened) -> None:
    ledger = Batches(engine, lambda verdicts: [{"status": 400, "problem": json_problem()} for _ in verdicts])
    client = asked(opened, ledger)
    for size, sizes in ((1, [1]), (BATCH_MAX, [BATCH_MAX]), (BATCH_MAX + 1, [BATCH_MAX, 1])):
        ledger.sizes.clear()
        assert len(client.register_many([b"x"] * size)) == size
        assert ledger.sizes == sizes
    ledger.bytes.clear()
    assert len(client.register_many([bytes(statement.SIZE_MAX)] * 130)) == 130
    assert len(ledger.bytes) == 3 and max(ledger.bytes) <= BATCH_SIZE_MAX
    assert len(client.register_many([bytes(statement.SIZE_MAX + 1)] * 300)) == 300  # nothing to send
    assert len(ledger.bytes) == 3


def json_problem(code: str = "log_full") -> object:
    """The problem of one verdict."""
    return {-1: "Rejected", -2: "no room", PROBLEM_KEY: {"code": code}}


@pytest.mark.parametrize(
    "bend",
    [
        lambda verdicts: verdicts[:-1],
        lambda verdicts: verdicts * 2,
        lambda verdicts: [],
        lambda verdicts: {"verdicts": verdicts},
    ],
)
def test_a_wrong_answer_to_a_batch_refuses_no_statement(
    engine: Engine, opened: Opened, bend: Callable[[list[object]], object]
) -> None:
    with pytest.raises(Malformed):
        asked(opened, Batches(engine, bend)).register_many([ledgers.anchor(0), ledgers.anchor(1)])
    with pytest.raises(Malformed):
        answering(opened, 200, b"\x81").register_many([b"x"])
    for status in (204, 400, 404, 413):
        with pytest.raises(Malformed):
            answering(opened, status, problem("http_404"), content_type=PROBLEM_TYPE).register_many([b"x"])


@pytest.mark.parametrize(
    "bend",
    [
        lambda verdicts: [7 for _ in verdicts],
        lambda verdicts: [{} for _ in verdicts],
        lambda verdicts: [{**verdict, "status": 202} for verdict in verdicts],
        lambda verdicts: [{**verdict, "entry": ".."} for verdict in verdicts],
        lambda verdicts: [{**verdict, "entry": 1} for verdict in verdicts],
        lambda verdicts: [{**verdict, "receipt": b"none"} for verdict in verdicts],
        lambda verdicts: [{"status": 400} for _ in verdicts],
        lambda verdicts: [{"status": 400, "problem": b"none"} for _ in verdicts],
        lambda verdicts: [{"status": 404, "problem": json_problem()} for _ in verdicts],
        lambda verdicts: [{"status": 410, "problem": json_problem("entry_pruned")} for _ in verdicts],
        lambda verdicts: [{"status": 400, "problem": json_problem("No code")} for _ in verdicts],
    ],
)
def test_a_verdict_that_says_nothing_refuses_no_statement_and_takes_no_other_with_it(
    engine: Engine, opened: Opened, bend: Callable[[list[object]], list[object]]
) -> None:
    def one(verdicts: list[object]) -> object:
        return [bend(verdicts)[0], *verdicts[1:]]

    found = asked(opened, Batches(engine, one)).register_many([ledgers.anchor(0), ledgers.anchor(1)])
    assert isinstance(found[0], Malformed) and not isinstance(found[0], LedgerRefused)
    assert isinstance(found[1], Registered) and found[1].index == engine.size - 1


def test_a_statement_that_cannot_be_judged_now_takes_no_other_of_its_batch_with_it(
    engine: Engine, opened: Opened
) -> None:
    def full(verdicts: list[object]) -> object:
        return [verdicts[0], {"status": 503, "problem": json_problem("storage_failed")}]

    found = asked(opened, Batches(engine, full)).register_many([ledgers.anchor(0), ledgers.anchor(1)])
    assert isinstance(found[0], Registered)
    assert isinstance(found[1], LedgerBusy) and "storage_failed" in found[1].detail


def test_a_batch_that_cannot_be_judged_now_is_busy_as_a_whole(engine: Engine, opened: Opened) -> None:
    raws = [ledgers.anchor(0), ledgers.anchor(1)]
    asked(opened, Batches(engine)).register_many(raws)
    with pytest.raises(LedgerBusy) as busy:
        answering(opened, 429, problem("too_many"), content_type=PROBLEM_TYPE, retry_after="3").register_many(raws)
    assert busy.value.retry_after_s == 3.0
    again = asked(opened, Batches(engine)).register_many(raws)
    assert [each.index for each in again if isinstance(each, Registered)] == [engine.size - 2, engine.size - 1]


class Reads:
    """A ledger that answers what is read, from an engine. full_only: partial tiles are gone once the full ones are there."""

    def __init__(self, engine: Engine, *, full_only: bool = False) -> None:
        self._engine, self._full_only = engine, full_only
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path)
        try:
            return answer(200, self._body(path.strip("/").split("/"), path))
        except NotFound as error:
            return answer(404, problem(error.code), content_type=PROBLEM_TYPE)

    def _body(self, parts: list[str], path: str) -> bytes:
        match parts:
            case ["entries", name, "statement"]:
                return self._engine.statement(self._engine.find(name))
            case ["entries", name]:
                return self._engine.receipt(self._engine.find(name))
            case ["consistency", size1]:
                return self._engine.consistency(int(size1))
            case ["tile", *_]:
                tile = tiles.Tile.from_path(path[1:])
                whole = tiles.Tile(level=tile.level, index=tile.index)
                if self._full_only and tile != whole and whole.fits(self._engine.size):
                    raise NotFound("tile_unknown")
                return self._engine.entries(tile) if tile.level is None else self._engine.tile(tile)
        raise NotFound("http_404")


def test_a_transparent_statement_is_the_statement_with_a_receipt_that_holds(
    tmp_path: Path, engine: Engine, opened: Opened
) -> None:
    client = asked(opened, Reads(engine))
    raw, key = ledgers.admission(tmp_path), ledgers.log_key(tmp_path)
    name = engine.entry_id(engine.size - 1)
    assert client.statement(name) == raw
    bare, proofs = receipt.detach(client.transparent(name))
    assert bare == raw
    receipt.check(proofs[0], entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
    with pytest.raises(LedgerRefused):
        client.transparent("1.9")
    for name in ("", "..", "1.0/statement"):
        with pytest.raises(NotFound):
            client.statement(name)
    with pytest.raises(LedgerRefused) as refused:
        answering(opened, 403, problem("statement_not_for_you"), content_type=PROBLEM_TYPE).statement("1.1")
    assert refused.value.code == "statement_not_for_you"


def test_a_receipt_of_consistency_holds_from_the_older_root(tmp_path: Path, engine: Engine, opened: Opened) -> None:
    size1, root1 = engine.size, Checkpoint.from_text(notes.parse(engine.checkpoint()).text).root
    for n in range(5):
        engine.register(ledgers.anchor(n))
    found = receipt.read_consistency(asked(opened, Reads(engine)).consistency_receipt(size1))
    assert (found.size1, found.size2) == (size1, size1 + 5)
    receipt.verify_consistency(found, root1=root1, key=ledgers.log_key(tmp_path))


def test_entries_are_read_from_bundles_full_and_partial(engine: Engine, opened: Opened) -> None:
    engine.register_many([ledgers.anchor(n) for n in range(600 - engine.size)])
    digests = [statement.entry(engine.statement(index)) for index in range(600)]
    for full_only in (False, True):
        client = asked(opened, Reads(engine, full_only=full_only))
        for first, count in ((0, 0), (0, 1), (255, 2), (0, 256), (256, 256), (100, 400), (511, 1), (0, 512), (590, 10)):
            for size in (first + count, 520, 600):
                if 0 < first + count <= size:
                    assert client.entries(first, count, size) == digests[first : first + count]
    for first, count, size in ((-1, 1, 5), (0, 6, 5), (5, 1, 5), (0, -1, 5)):
        with pytest.raises(IndexError):
            asked(opened, Reads(engine)).entries(first, count, size)
    with pytest.raises(LedgerRefused) as missing:
        asked(opened, Reads(engine)).entries(600, 1, 601)
    assert missing.value.code == "tile_unknown"
    path = asked(opened, Reads(engine, full_only=True)).consistency(300, 400)
    tree = merkle.Tree([merkle.leaf_hash(digest) for digest in digests])
    assert path == tree.consistency(300, 400)
    assert asked(opened, Reads(engine)).nodes([(9, 0), (8, 1), (0, 599)], 600) == [
        tree.node(*node) for node in ((9, 0), (8, 1), (0, 599))
    ]


@pytest.mark.parametrize("body", [b"", b"\x00\x20", tiles.bundle([b"a"]), tiles.bundle([b"a", b"b", b"c"]), b"\x00"])
def test_a_bundle_of_another_size_is_malformed(opened: Opened, body: bytes) -> None:
    with pytest.raises(Malformed) as wrong:
        answering(opened, 200, body).entries(0, 2, 2)
    assert wrong.value.code == "tile_size"


def test_a_key_is_asked_for_by_its_thumbprint(opened: Opened) -> None:
    paths: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return answer(200, b"\xa0")

    client = asked(opened, handle)
    assert client.key(b"\xff" * 32) == b"\xa0"
    assert paths == ["/.well-known/scitt-keys/__________________________________________8"]
    with pytest.raises(NotFound):
        client.key(b"")


def test_a_ledgers_status_is_read(opened: Opened) -> None:
    facts = {"origin": "log.example", "epoch": 2, "size": 7, "minimum": 3, "more": [1]}
    found = answering(opened, 200, json.dumps(facts).encode()).status()
    assert (found.origin, found.epoch, found.size, found.minimum) == ("log.example", 2, 7, 3)
    assert found.facts == facts
    wrong: list[object] = [None, [], "x", {}, *({**facts, name: bad} for name, bad in itertools.product(
        ("origin", "epoch", "size", "minimum"), (None, -1, 1.5, True, [], 1 << 64)))]  # fmt: skip
    for value in wrong:
        with pytest.raises(Malformed):
            answering(opened, 200, json.dumps(value).encode()).status()
    for body in (b"", b"\xff", b"{", b"[" * 60_000, b'{"size": ' + b"9" * 5000 + b"}"):
        with pytest.raises(Malformed):
            answering(opened, 200, body).status()


def test_requests_are_signed_when_the_caller_can_sign(opened: Opened) -> None:
    class Signs(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
            request.headers["signature"] = f"sig1=:{request.method}:"
            yield request

    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("signature", ""))
        return answer(200, b"\xa0")

    asked(opened, handle, auth=Signs()).statement("1.1")
    asked(opened, handle).statement("1.1")
    assert seen == ["sig1=:GET:", ""]


def test_an_unreachable_ledger_is_unreachable_in_the_middle_too(opened: Opened) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return answer(303, location="/entries/0.1")
        raise httpx.ConnectError("gone")

    with pytest.raises(Unavailable) as gone:
        asked(opened, handle, pause=lambda _: None).register(b"x")
    assert gone.value.code == "ledger_unreachable"
