"""What everybody who checks a log reads over HTTP: checkpoint, tiles, bundles and status, and how long they may be kept."""

import contextlib
import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import contracts
from ledger.http import app as http
from ledger.log import custody, epochs
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol import merkle, notes, statement, tiles, tlog_proof
from tests.support import ledgers
from tests.support.web import Web, problem

SIZE = 262
IMMUTABLE = "public, max-age=31536000, immutable"
PUBLIC = (
    "/checkpoint",
    "/status",
    "/openapi.json",
    "/entries/1.1",
    "/consistency/2",
    "/tile/0/000",
    "/tile/0/001.p/6",
    "/tile/entries/000",
    "/.well-known/scitt-keys",
)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[Engine]:
    """A log of SIZE entries."""
    with ledgers.checked(folder) as found:
        found.register(ledgers.admission(folder))
        found.register_many([ledgers.anchor(n) for n in range(SIZE - found.size)])
        assert found.size == SIZE
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    """A log that nobody here writes to."""
    with filled(folder) as found:
        yield found


@pytest.fixture(scope="module")
def web(engine: Engine) -> Web:
    return Web(http.app(engine, Metrics(contracts.CODES)))


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Engine]:
    """A log for one test alone."""
    with filled(tmp_path) as found:
        yield found


def test_tiles_are_bytes_that_never_change(web: Web, engine: Engine) -> None:
    for path, width in {"0/000": 256, "0/001.p/6": 6, "0/001.p/3": 3, "0/000.p/7": 7, "1/000.p/1": 1}.items():
        answer = web.get(f"/tile/{path}")
        assert (answer.status_code, len(answer.content)) == (200, width * 32)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["cache-control"] == IMMUTABLE
    bundle = web.get("/tile/entries/001.p/4")
    assert bundle.headers["cache-control"] == IMMUTABLE
    assert tiles.unbundle(bundle.content, 4) == [statement.entry(engine.statement(index)) for index in range(256, 260)]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/tile/0/002", "tile_unknown"),
        ("/tile/0/001.p/7", "tile_unknown"),
        ("/tile/1/000.p/2", "tile_unknown"),
        ("/tile/entries/001.p/7", "tile_unknown"),
        ("/tile/0/0", "tile_path"),
        ("/tile/9/000", "tile_path"),
        ("/tile/0/000.p/256", "tile_path"),
        ("/tile/0/000.p/01", "tile_path"),
        ("/tile/", "tile_path"),
    ],
)
def test_a_tile_that_is_not_there_is_answered_404_and_not_kept(web: Web, path: str, code: str) -> None:
    answer = web.get(path)
    assert problem(answer) == (404, code)
    assert answer.headers["cache-control"] == "no-store" and "etag" not in answer.headers


def test_a_checkpoint_is_text_that_may_be_kept_for_a_second(folder: Path, web: Web) -> None:
    answer = web.get("/checkpoint")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=1"
    key = notes.NoteKey(name=ledgers.ORIGIN, kind=notes.SIGNATURE, key=ledgers.log_key(folder))
    note = notes.parse(answer.text)
    assert notes.verify(note, [key]) == [(key, None)]
    assert notes.Checkpoint.from_text(note.text).size == SIZE


def test_the_tree_of_the_checkpoint_is_that_of_the_bundles(web: Web) -> None:
    head = notes.Checkpoint.from_text(notes.parse(web.get("/checkpoint").text).text)
    entries = tiles.unbundle(web.get("/tile/entries/000").content, 256)
    entries += tiles.unbundle(web.get("/tile/entries/001.p/6").content, 6)
    assert merkle.tree_root([merkle.leaf_hash(entry) for entry in entries]) == head.root


@pytest.mark.parametrize("path", ["/checkpoint", "/status", "/openapi.json", "/tile/0/000", "/tile/entries/000"])
def test_who_has_it_already_is_answered_304(web: Web, path: str) -> None:
    answer = web.get(path)
    tag = answer.headers["etag"]
    assert tag.startswith('"') and tag.endswith('"')
    for said in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = web.get(path, if_none_match=said)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), said
        assert again.headers["cache-control"] == answer.headers["cache-control"]
    for said in ('"other"', tag.strip('"'), ""):
        assert web.get(path, if_none_match=said).status_code == 200, said


def test_another_content_has_another_tag(other: Engine) -> None:
    web = Web(http.app(other, Metrics(contracts.CODES)))
    before = {path: web.get(path).headers["etag"] for path in ("/checkpoint", "/status", "/tile/0/000")}
    other.register(ledgers.anchor(1000))
    after = {path: web.get(path).headers["etag"] for path in before}
    assert {path for path in before if before[path] != after[path]} == {"/checkpoint", "/status"}
    assert web.get("/checkpoint", if_none_match=before["/checkpoint"]).status_code == 200


@pytest.mark.parametrize("path", ["/openapi.json", "/tile/entries/000", "/status"])
def test_who_takes_gzip_gets_the_same_in_fewer_bytes(web: Web, path: str) -> None:
    plain = web.get(path)
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == "accept-encoding"
    packed = web.get(path, accept_encoding="br, gzip;q=0.5")
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content)
    assert packed.content == plain.content  # the client has unpacked it
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == "accept-encoding"
    assert web.get(path, accept_encoding="gzip", if_none_match=packed.headers["etag"]).status_code == 304
    assert web.get(path, accept_encoding="gzip", if_none_match=plain.headers["etag"]).status_code == 200


@pytest.mark.parametrize(
    ("said", "packed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip; q=1.0", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
        ("identity", False),
        ("", False),
        ("gzipped", False),
    ],
)
def test_gzip_is_for_who_names_it(web: Web, said: str, packed: bool) -> None:
    answer = web.get("/openapi.json", accept_encoding=said)
    assert ("content-encoding" in answer.headers) is packed


def test_hashes_are_not_packed_because_nothing_makes_them_smaller(web: Web) -> None:
    plain, asked = web.get("/tile/0/000"), web.get("/tile/0/000", accept_encoding="gzip")
    assert len(gzip.compress(plain.content)) > len(plain.content)
    assert (asked.content, asked.headers["etag"]) == (plain.content, plain.headers["etag"])
    assert "content-encoding" not in asked.headers


@pytest.mark.parametrize("path", [*PUBLIC, "/", "/log/static/log.css"])
def test_a_head_has_the_fields_of_a_get_and_no_body(web: Web, path: str) -> None:
    got, asked = web.get(path), web.request("HEAD", path)
    assert (asked.status_code, asked.content) == (200, b"")
    assert dict(asked.headers) == dict(got.headers)
    assert int(asked.headers["content-length"]) == len(got.content)


@pytest.mark.parametrize("path", [*PUBLIC, "/entries/1.9999", "/tile/0/0"])
def test_pages_of_other_places_may_read_what_is_public(web: Web, path: str) -> None:
    answer = web.get(path, origin="https://auditor.example")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert "location" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("path", PUBLIC)
def test_query_parameters_that_nobody_knows_change_nothing(web: Web, path: str) -> None:
    plain, asked = web.get(path), web.get(f"{path}?api-version=2026-03-26&x=%00&x")
    assert (asked.status_code, asked.content, asked.headers) == (200, plain.content, plain.headers)


def test_the_status_says_where_the_log_stands(web: Web, engine: Engine, folder: Path) -> None:
    answer = web.get("/status")
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == (
        "application/json",
        "public, max-age=1",
    )
    found, head = answer.json(), notes.Checkpoint.from_text(notes.parse(engine.checkpoint()).text)
    key = notes.NoteKey(name=ledgers.ORIGIN, kind=notes.SIGNATURE, key=ledgers.log_key(folder))
    assert (found["origin"], found["epoch"], found["size"], found["minimum"]) == (ledgers.ORIGIN, 1, SIZE, 0)
    assert (found["root"], found["newest_ms"], found["healthy"]) == (
        head.text().splitlines()[2],
        ledgers.NOW_MS,
        True,
    )
    assert (len(found["keys"]), found["keys"][0]["alg"], found["vkeys"]) == (1, "EdDSA", [key.vkey()])


def test_the_status_names_the_witnesses_that_cosigned(web: Web, engine: Engine, monkeypatch) -> None:
    note = notes.parse(engine.checkpoint())
    witness = ledgers.STRANGER
    line = notes.cosign(note.text, name="witness.example/w", key=witness, at_s=1_700_000_000)
    cosigned = notes.Note(text=note.text, lines=(*note.lines, line)).whole()
    monkeypatch.setattr(engine.shelf(1), "cosigned", cosigned)
    assert web.get("/status").json()["witnesses"] == [{"name": "witness.example/w", "cosigned_s": 1_700_000_000}]
    assert web.get("/checkpoint").text == cosigned
    assert "witness.example/w" in web.get("/").text


def test_what_is_below_the_minimum_index_is_gone_and_the_rest_is_there(other: Engine, tmp_path: Path) -> None:
    web = Web(http.app(other, Metrics(contracts.CODES)))
    name = f"1.{SIZE - 1}"
    custody.prune(other, ledgers.keyring.load(tmp_path, ledgers.keyring.REGISTRY_KEY), minimum=257)
    assert web.get("/status").json()["minimum"] == 257
    tag = f'"{hashlib.sha256(b"").hexdigest()[:32]}"'
    for path in ("/tile/0/000", "/tile/entries/000"):
        answer = web.get(path, if_none_match=tag)
        assert problem(answer) == (410, "tile_pruned")
        assert answer.headers["cache-control"] == "no-store"
    assert problem(web.get("/entries/1.9/statement")) == (410, "entry_pruned")
    assert "257" in web.get("/").text
    for path in (
        "/tile/0/001.p/6",
        "/tile/1/000.p/1",
        f"/entries/{name}",
        f"/entries/{name}/proof",
        "/consistency/257",
    ):
        assert web.get(path).status_code == 200, path


def test_an_epoch_that_ended_is_read_under_its_number(tmp_path: Path) -> None:
    with filled(tmp_path) as first:
        last, raw = first.signed(), first.statement(9)
        origin = epochs.next_origin(first.origin)
        root = ledgers.keyring.load(tmp_path, ledgers.keyring.REGISTRY_KEY)
        custody.roll_over(first, tmp_path, root, origin=origin, note=last, now_ms=ledgers.Clock())
    with contextlib.closing(Engine.open(tmp_path, now_ms=ledgers.Clock())) as engine:
        web = Web(http.app(engine, Metrics(contracts.CODES)))
        assert (web.get("/status").json()["epoch"], web.get("/status").json()["size"]) == (2, engine.size)
        assert web.get("/epochs/1/checkpoint").text == last
        assert web.get("/epochs/2/checkpoint").text == web.get("/checkpoint").text != last
        entries = tiles.unbundle(web.get("/epochs/1/tile/entries/000").content, 256)
        entries += tiles.unbundle(web.get("/epochs/1/tile/entries/001.p/6").content, 6)
        head = notes.Checkpoint.from_text(notes.parse(last).text)
        assert merkle.tree_root([merkle.leaf_hash(entry) for entry in entries]) == head.root
        assert len(web.get("/epochs/1/tile/0/000").content) == 8192
        assert problem(web.get("/tile/0/000")) == (404, "tile_unknown")
        assert problem(web.get("/epochs/3/checkpoint")) == (404, "epoch_unknown")
        for named in ("0", "01", "x", "99999999999"):
            assert problem(web.get(f"/epochs/{named}/checkpoint")) == (404, "epoch_unknown")
        assert web.get("/entries/1.9/statement").content == raw
        proof = tlog_proof.Proof.decode(web.get("/entries/1.9/proof").content)
        assert proof.checkpoint == last
        assert web.get(f"/log/find?q={statement.entry(raw).hex()}").headers["location"] == "/log/entries/1.9"
        assert ledgers.ORIGIN in web.get("/log/entries/1.9").text
