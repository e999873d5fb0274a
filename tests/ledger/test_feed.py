"""What one contract was told, in order: whole, in bounded answers, for who may read it; and what clients make of it."""

import base64
import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ledger import contracts
from ledger.client import LedgerRefused, Told
from ledger.http import app as http
from ledger.log import custody, keyring, shelf
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from ledger.signing import Signed
from protocol import cbor, documents, statement
from protocol.documents import ISSUER, MEMBERS
from protocol.errors import Malformed, NotFound
from protocol.keys import SigningKey
from tests.support import ledgers
from tests.support.clients import Opened, answering
from tests.support.policies import read_by, signed
from tests.support.serving import served
from tests.support.web import Web, problem

OTHER = SigningKey.from_seed(bytes([5]) * 32)
ANCHORS = "/contracts/anchors/entries"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path) as found:
        found.register(ledgers.admission(tmp_path))
        yield found


@pytest.fixture
def web(engine: Engine) -> Web:
    return Web(http.app(engine, Metrics(contracts.CODES)))


def read(web: Web, path: str, **headers: str) -> dict[str, object]:
    """An answer in CBOR."""
    answer = web.get(path, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cbor")
    found = cbor.decode(answer.content, size_max=1 << 21)
    assert isinstance(found, dict)
    return found  # type: ignore[return-value]


def everything(web: Web, name: str) -> tuple[list[tuple[int, bytes]], int]:
    """(index, statement) of all that a contract was told, and in how many answers."""
    found, place, size, answers = [], 0, 1, 0
    while place < size:
        said = read(web, f"/contracts/{name}/entries?from={place}")
        found += [(each["index"], each["statement"]) for each in said["entries"]]  # type: ignore[attr-defined]
        place, size, answers = said["next"], said["size"], answers + 1  # type: ignore[assignment]
    return found, answers


def test_the_contracts_together_were_told_the_whole_log_each_in_its_order(web: Web, engine: Engine) -> None:
    for n in range(20):
        engine.register(ledgers.anchor(n))
        engine.register(ledgers.enrolment(n))
    parts = [everything(web, contract.name)[0] for contract in engine.contracts.all]
    assert all(part == sorted(part) for part in parts)
    whole = dict(itertools.chain(*parts))
    assert len(whole) == sum(map(len, parts)) == engine.size
    for index, raw in whole.items():
        assert raw == engine.statement(index)
    assert len(parts[[each.name for each in engine.contracts.all].index("anchors")]) == 20


def test_an_answer_is_bounded_by_statements_bytes_and_entries_looked_at(
    web: Web, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.register_many([ledgers.anchor(n) for n in range(300)])
    whole, answers = everything(web, "anchors")
    assert (len(whole), answers, shelf.OF_CONTRACT_MAX) == (300, 2, 256)
    with monkeypatch.context() as few:
        few.setattr(shelf, "OF_CONTRACT_SIZE_MAX", 2 * len(ledgers.anchor(1)) + 1)
        assert len(read(web, f"{ANCHORS}?from=10")["entries"]) == 2  # type: ignore[arg-type]
        few.setattr(shelf, "OF_CONTRACT_SIZE_MAX", 1)  # less than any statement: one by one, and on
        assert everything(web, "anchors") == (whole, 300)
    monkeypatch.setattr(shelf, "LOOKED_MAX", 10)
    found = read(web, "/contracts/retention/entries?from=100")
    assert (found["entries"], found["next"], found["size"]) == ([], 110, engine.size)
    assert everything(web, "anchors")[0] == whole


def test_who_follows_is_told_of_the_new_alone_and_that_there_is_nothing_new(web: Web, engine: Engine) -> None:
    engine.register(ledgers.anchor(1))
    size = engine.size
    path = f"{ANCHORS}?from={size}"
    answer = web.get(path)
    assert answer.headers["cache-control"] == "public, max-age=1"
    assert web.get(path, if_none_match=answer.headers["etag"]).status_code == 304
    engine.register(ledgers.anchor(2))
    found = read(web, path, if_none_match=answer.headers["etag"])
    assert [each["index"] for each in found["entries"]] == [size]  # type: ignore[attr-defined]
    assert read(web, f"{ANCHORS}?from=900")["next"] == 900  # of a tree that was larger once: `size` tells


def test_json_says_the_same_as_cbor(web: Web, engine: Engine) -> None:
    engine.register(ledgers.anchor(1))
    answer = web.get(ANCHORS, accept="application/json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["vary"] == "accept, signature, signature-input"
    found = json.loads(answer.text)
    for each in found["entries"]:
        each["statement"] = base64.b64decode(each["statement"])
    assert found == read(web, ANCHORS)
    assert found["entries"][0]["at_ms"] == ledgers.NOW_MS and (found["contract"], found["epoch"]) == ("anchors", 1)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/contracts/nothing/entries", "contract_unknown"),
        ("/contracts/nothing/entries?from=x", "contract_unknown"),
        ("/epochs/7/contracts/anchors/entries", "epoch_unknown"),
        ("/epochs/0/contracts/anchors/entries", "epoch_unknown"),
        ("/contracts//entries", "http_404"),
        *((f"{ANCHORS}?from={bad}", "place_unknown") for bad in ("-1", "01", "x", "", "1.2", "9" * 19, "%0A1")),
    ],
)
def test_what_is_not_there_is_answered_404(web: Web, path: str, code: str) -> None:
    assert problem(web.get(path)) == (404, code)


def test_what_the_caller_may_not_read_is_left_out_and_the_rest_goes_on(
    web: Web, engine: Engine, tmp_path: Path
) -> None:
    engine.register(ledgers.admission(tmp_path, OTHER, "other"))
    engine.register(read_by(tmp_path, engine, ISSUER))
    for n in range(3):
        engine.register(ledgers.anchor(n))
        engine.register(ledgers.anchor(n, OTHER))
    found = read(web, ANCHORS)
    assert (found["entries"], found["next"]) == ([], engine.size)
    for who in (ledgers.GATEWAY, OTHER):
        answer = web.request("GET", ANCHORS, headers=signed(ANCHORS, who))
        assert answer.headers["cache-control"] == "no-store" and "etag" not in answer.headers
        said = cbor.decode(answer.content, size_max=1 << 20)
        assert [each["statement"] for each in said["entries"]] == [ledgers.anchor(n, who) for n in range(3)]  # type: ignore


def test_a_signature_has_to_hold_for_this_request(web: Web, engine: Engine, tmp_path: Path) -> None:
    fields = signed(ANCHORS, ledgers.GATEWAY)
    assert web.request("GET", ANCHORS, headers=fields).status_code == 200
    assert problem(web.request("GET", ANCHORS, headers=fields)) == (401, "signature_replayed")
    fresh = signed(ANCHORS, ledgers.GATEWAY)
    assert problem(web.request("GET", f"{ANCHORS}?from=1", headers=fresh)) == (401, "signature_bad")
    assert problem(web.request("GET", ANCHORS, headers=signed(ANCHORS, ledgers.STRANGER)))[0] == 401
    engine.register(read_by(tmp_path, engine, MEMBERS))
    engine.register(ledgers.anchor(1))
    assert read(web, ANCHORS)["entries"] == []


def test_what_was_taken_away_leaves_a_gap(web: Web, engine: Engine, tmp_path: Path) -> None:
    engine.register_many([ledgers.anchor(n) for n in range(3)])
    root = keyring.load(tmp_path, keyring.REGISTRY_KEY)
    custody.redact(engine, root, index=engine.index_of(statement.entry(ledgers.anchor(1))), reason="court-order")
    assert [raw for _, raw in everything(web, "anchors")[0]] == [ledgers.anchor(0), ledgers.anchor(2)]


def test_an_epoch_that_has_ended_is_still_read(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        engine.register(ledgers.admission(tmp_path))
        engine.register(ledgers.anchor(1))
        before = everything(Web(http.app(engine, Metrics(contracts.CODES))), "anchors")
        root = keyring.load(tmp_path, keyring.REGISTRY_KEY)
        custody.roll_over(engine, tmp_path, root, origin="log.example/2", note=engine.signed(), now_ms=ledgers.Clock())
    with contextlib.closing(Engine.open(tmp_path, now_ms=ledgers.Clock())) as engine:
        web = Web(http.app(engine, Metrics(contracts.CODES)))
        assert everything(web, "anchors") == ([], 1)
        found = read(web, f"/epochs/1{ANCHORS}")
        assert found["epoch"] == 1
        assert [(each["index"], each["statement"]) for each in found["entries"]] == before[0]  # type: ignore[attr-defined]


def test_a_damaged_file_is_answered_503(web: Web, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.register(ledgers.anchor(1))
    found, after, size = engine.shelf(1).of_contract("anchors", 0)
    object.__setattr__(found[0], "statement", b"\x00")
    monkeypatch.setattr(engine.shelf(1), "of_contract", lambda *_: (found, after, size))
    assert problem(web.get(ANCHORS)) == (503, "entry_missing")


def test_what_follows_is_found_by_place_and_no_scan_of_what_came_before(engine: Engine) -> None:
    reader = engine.shelf(1)._reader
    seen: list[str] = []
    reader._db.set_trace_callback(seen.append)
    list(reader.of_contract("anchors", 5, 9))
    reader._db.set_trace_callback(None)
    (plan,) = reader._db.execute(f"EXPLAIN QUERY PLAN {seen[0]}").fetchall()
    assert plan[3] == "SEARCH entry USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"


def test_both_clients_read_what_a_contract_was_told(engine: Engine, tmp_path: Path, opened: Opened) -> None:
    engine.register(read_by(tmp_path, engine, MEMBERS))
    engine.register_many([ledgers.anchor(n) for n in range(300)])
    with served(http.app(engine, Metrics(contracts.CODES))) as url:
        assert opened(url).contract_entries("anchors", 0).entries == ()
        client = opened(url, auth=Signed(ledgers.GATEWAY, now_s=lambda: int(time.time())))
        first = client.contract_entries("anchors", 0)
        rest = client.contract_entries("anchors", first.next)
        assert (first.epoch, len(first.entries), rest.next, rest.size) == (1, 256, engine.size, engine.size)
        found = [*first.entries, *rest.entries]
        assert [each.statement for each in found] == [ledgers.anchor(n) for n in range(300)]
        assert all(each.statement == engine.statement(each.index) for each in found)
        with pytest.raises(LedgerRefused, match="contract_unknown"):
            client.contract_entries("nothing", 0)
        for name in ("", "..", "a/b", "a?b"):
            with pytest.raises(NotFound, match="contract_unknown"):
                client.contract_entries(name, 0)


ENTRY = {"index": 5, "at_ms": 1, "statement": b"x"}
SAID = {"contract": "c", "epoch": 1, "entries": [ENTRY], "next": 6, "size": 9}


def test_an_answer_that_holds_together_is_taken(opened: Opened) -> None:
    found = answering(opened, 200, cbor.encode(SAID)).contract_entries("c", 5)
    assert found.entries == (Told(index=5, at_ms=1, statement=b"x"),) and (found.next, found.size) == (6, 9)


@pytest.mark.parametrize(
    "changed",
    [
        {"contract": "d"},
        {"epoch": "1"},
        {"epoch": True},
        {"entries": None},
        {"entries": [5]},
        {"entries": [{**ENTRY, "index": 4}]},  # before what was asked for
        {"entries": [{**ENTRY, "index": 6}]},  # where to look next, and here already
        {"entries": [ENTRY, ENTRY]},
        {"entries": [{**ENTRY, "statement": b""}]},
        {"entries": [{**ENTRY, "statement": bytes(statement.SIZE_MAX + 1)}]},
        {"entries": [{**ENTRY, "at_ms": -1}]},
        {"entries": [], "next": 5},  # which would be asked for ever
        {"entries": [], "next": 4},
        {"next": 10},
        {"size": -1},
    ],
    ids=str,
)
def test_an_answer_that_would_lead_a_client_astray_is_refused(opened: Opened, changed: dict[str, object]) -> None:
    client = answering(opened, 200, cbor.encode({**SAID, **changed}))
    with pytest.raises(Malformed, match="ledger_answer"):
        client.contract_entries("c", 5)


def test_an_answer_is_read_no_further_than_its_bound(opened: Opened) -> None:
    with pytest.raises(Malformed, match="ledger_answer"):
        answering(opened, 200, bytes(2 << 20)).contract_entries("c", 0)


def test_no_other_page_reads_it_with_a_visitors_address(web: Web) -> None:
    answer: httpx.Response = web.get(ANCHORS)
    assert "access-control-allow-origin" not in answer.headers
    assert documents.ANCHOR not in answer.headers.values()
