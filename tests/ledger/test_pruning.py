"""Pruning: what is below the minimum index leaves the database, and all that stays has its statements and its proofs."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.log import custody, pruning
from ledger.log.engine import Engine
from ledger.log.store import FILE
from protocol import merkle, receipt, retention, statement, tiles
from protocol.errors import ConfigError, NotFound, VerificationFailed
from protocol.retention import Retention
from tests.support import ledgers, letters

DAY_MS = 86_400_000
SIZE = 564


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of 564 entries over 56 days, to copy; an admission is at 2 and another at 303."""
    folder = tmp_path_factory.mktemp("grown")
    clock = ledgers.Clock()
    with letters.checked(folder, clock) as engine:
        engine.register(ledgers.admission(folder))
        while engine.size < SIZE:
            clock.at_ms += DAY_MS
            if engine.size > 300 > engine.size - 10:
                engine.register(ledgers.admission(folder, ledgers.STRANGER, "another"))
            engine.register_many([letters.letter(b"%d " % n * 30) for n in range(engine.size, engine.size + 10)])
    return folder


@pytest.fixture
def folder(grown: Path, tmp_path: Path) -> Path:
    for path in grown.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@contextlib.contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        yield db


def leaves(engine: Engine) -> list[bytes]:
    """The leaf hashes of the log, by its own database."""
    return [merkle.leaf_hash(entry) for entry in engine._store.digests(0, engine.size)]


def prune(folder: Path, minimum: int) -> None:
    with letters.checked(folder) as engine:
        custody.prune(engine, letters.root(folder), minimum=minimum)


@given(st.integers(1, 3000), st.integers(0, 530), st.data())
def test_every_proof_from_the_minimum_on_needs_only_nodes_that_stay(
    minimum: int, more: int, data: st.DataObject
) -> None:
    """The nodes that go are exactly those that no proof, of no tree that is or will be, asks for."""
    size = minimum + more
    stays = data.draw(st.lists(st.integers(0, minimum - 1), max_size=4))
    needed = pruning.needed_below(minimum, stays)
    asked: set[merkle.Node] = set()

    def read(level: int, place: int) -> bytes:
        asked.add((level, place))
        return bytes(32)

    index = data.draw(st.sampled_from([*stays, *range(minimum, size)]) if stays or more else st.just(None))
    if index is not None:
        merkle.inclusion_path(read, index, size)
    merkle.consistency_path(read, data.draw(st.integers(minimum, size)), size)
    merkle.range_root(read, 0, size)
    for node, _ in merkle.completed(size, bytes(32), read):
        assert pruning.is_needed(node, minimum, needed)
    assert all(pruning.is_needed(node, minimum, needed) for node in asked)


def test_what_is_below_the_minimum_goes_and_what_stays_has_its_statement_and_its_receipt(folder: Path) -> None:
    with letters.checked(folder) as engine:
        raws = [engine.statement(index) for index in range(engine.size)]
        custody.prune(engine, letters.root(folder), minimum=530)
        assert engine.minimum == 530
        key = ledgers.log_key(folder)
        for index, raw in enumerate(raws):
            if index >= 530 or index in (0, 1, 2, 303):
                assert engine.statement(index) == raw
                proof = engine.receipt(index)
                assert (
                    receipt.check(proof, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint).index == index
                )
            else:
                with pytest.raises(NotFound) as gone:
                    engine.statement(index)
                assert gone.value.code == "entry_pruned"
        for index in (3, 100, 250, 511):
            with pytest.raises(NotFound) as gone:
                engine.receipt(index)
            assert gone.value.code == "entry_pruned"


def test_consistency_is_proved_from_every_size_that_is_not_below_the_minimum(folder: Path) -> None:
    prune(folder, 530)
    with letters.checked(folder) as engine:
        tree = merkle.Tree(leaves(engine))
        for size in range(530, engine.size + 1):
            proof = receipt.read_consistency(engine.consistency(size))
            receipt.verify_consistency(proof, root1=tree.root(size), key=ledgers.log_key(folder))
        with pytest.raises(NotFound) as gone:
            engine.consistency(301)
        assert gone.value.code == "size_pruned"


def test_tiles_that_end_at_or_below_the_minimum_are_denied_and_all_others_are_whole(folder: Path) -> None:
    prune(folder, 530)
    with letters.checked(folder) as engine:
        hashes = leaves(engine)
        for index in (0, 1):
            for ask, level in ((engine.tile, 0), (engine.entries, None)):
                with pytest.raises(NotFound) as gone:
                    ask(tiles.Tile(level=level, index=index))
                assert gone.value.code == "tile_pruned"
        width = engine.size - 512
        assert tiles.split(engine.tile(tiles.Tile(level=0, index=2, width=width)), width) == hashes[512:]
        assert tiles.unbundle(engine.entries(tiles.Tile(level=None, index=2, width=width)), width)
        upper = tiles.split(engine.tile(tiles.Tile(level=1, index=0, width=2)), 2)
        assert upper == [merkle.tree_root(hashes[:256]), merkle.tree_root(hashes[256:512])]


def test_a_pruned_log_grows_and_is_pruned_again(folder: Path) -> None:
    for minimum in (3, 256, 513, 565):
        with letters.checked(folder) as engine:
            custody.prune(engine, letters.root(folder), minimum=minimum)
            for n in range(20):
                engine.register(letters.letter(b"more %d %d" % (minimum, n)))
        assert letters.check(folder).minimum == minimum
    with letters.checked(folder) as engine:
        tree = merkle.Tree(leaves(engine))
        for index in (0, 1, 2, 303, *range(565, engine.size)):
            assert receipt.read(engine.receipt(index)).path == tuple(tree.path(index))


def test_pruning_makes_room(folder: Path) -> None:
    with database(folder) as db:
        before = dict(
            db.execute("SELECT 'body', sum(length(statement)) FROM entry UNION SELECT 'nodes', count(*) FROM node")
        )
    prune(folder, 564)
    with database(folder) as db:
        after = dict(
            db.execute("SELECT 'body', sum(length(statement)) FROM entry UNION SELECT 'nodes', count(*) FROM node")
        )
    assert after["body"] < before["body"] / 20 and after["nodes"] < before["nodes"] / 2


def test_a_statement_that_went_is_not_registered_a_second_time(folder: Path) -> None:
    with letters.checked(folder) as engine:
        raw, size = engine.statement(100), engine.size
        custody.prune(engine, letters.root(folder), minimum=530)
        with pytest.raises(NotFound) as gone:
            engine.register(raw)
        assert gone.value.code == "entry_pruned" and engine.size == size + 1


def test_the_minimum_only_rises_and_is_not_above_the_size(folder: Path) -> None:
    prune(folder, 500)
    with letters.checked(folder) as engine:
        for minimum in (0, 499, 500, engine.size + 1):
            with pytest.raises(ConfigError) as refused:
                custody.prune(engine, letters.root(folder), minimum=minimum)
            assert refused.value.code == "minimum_bad"


def test_what_witnesses_have_not_signed_is_not_pruned(folder: Path) -> None:
    with letters.checked(folder) as engine:
        engine.publish(engine.signed())
        for n in range(9):
            engine.register(letters.letter(b"unseen %d" % n))
        with pytest.raises(ConfigError) as refused:
            custody.prune(engine, letters.root(folder), minimum=engine.size)
        assert refused.value.code == "minimum_not_cosigned"
        custody.prune(engine, letters.root(folder), minimum=engine.size - 9)


def test_days_of_keeping_lead_to_a_minimum(folder: Path) -> None:
    with letters.checked(folder) as engine:
        now_ms = ledgers.NOW_MS + 100 * DAY_MS
        assert (
            custody.aged(engine, keep_days=200, now_ms=now_ms) == 0
            and custody.aged(engine, keep_days=1, now_ms=now_ms) == engine.size
        )
        minimum = custody.aged(engine, keep_days=60, now_ms=now_ms)
        times = [entry.at_ms for entry in engine._store.every_entry()]
        assert times[minimum - 1] < now_ms - 60 * DAY_MS <= times[minimum]


def test_what_a_log_keeps_is_said_on_the_log(folder: Path) -> None:
    with letters.checked(folder) as engine:
        custody.prune(engine, letters.root(folder), minimum=530, keep_days=90)
        found = statement.parse(engine.statement(engine.size - 1))
        document = Retention.decode(found.payload)
        assert found.content_type == retention.RETENTION
        assert (document.minimum, document.keep_days) == (530, 90)


def test_an_order_without_a_snapshot_takes_nothing_away(folder: Path) -> None:
    root = letters.root(folder)
    raw = statement.sign(
        root,
        iss=root.public.urn,
        sub=retention.retention_subject(root.public.thumbprint),
        payload=Retention(minimum=300, keep_days=None, snapshot=bytes(32)).encode(),
        content_type=retention.RETENTION,
    )
    with letters.checked(folder) as engine:
        engine.register(raw)
    with letters.checked(folder) as engine:
        assert engine.minimum == 0 and engine.statement(100)


def test_a_pruning_that_stopped_after_its_statement_is_carried_out_at_the_next_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as stopped, contextlib.closing(letters.opened(folder)) as engine:
        stopped.setattr(Engine, "finish", lambda _: None)
        custody.prune(engine, letters.root(folder), minimum=530)
        assert engine.statement(100)
    assert letters.check(folder).minimum == 0
    with letters.checked(folder) as engine, pytest.raises(NotFound):
        engine.statement(100)
    assert letters.check(folder).minimum == 530


def test_a_minimum_within_what_a_redaction_hides_is_refused_and_days_of_keeping_stop_before_it(folder: Path) -> None:
    with letters.checked(folder) as engine:
        custody.redact(engine, letters.root(folder), index=400, reason="court-order")
        with pytest.raises(ConfigError) as refused:
            custody.prune(engine, letters.root(folder), minimum=500)
        assert refused.value.code == "minimum_unknown"
        assert custody.aged(engine, keep_days=1, now_ms=ledgers.NOW_MS + 55 * DAY_MS) == 400
        custody.prune(engine, letters.root(folder), minimum=400)
    with letters.checked(folder) as engine:
        custody.prune(engine, letters.root(folder), minimum=565)
    assert letters.check(folder).redacted == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE entry SET digest = zeroblob(32) WHERE place = 99", "node_wrong"),
        ("DELETE FROM entry WHERE place = 99", "entry_missing"),
        ("UPDATE entry SET statement = X'' WHERE place = 303", "entry_missing"),
        ("UPDATE entry SET statement = X'' WHERE place = 540", "entry_missing"),
        ("UPDATE entry SET at_ms = 0 WHERE place = 99", "entry_time"),
        ("DELETE FROM node WHERE level = 9 AND place = 0", "node_wrong"),
        ("DELETE FROM node WHERE level = 0 AND place = 529", "node_wrong"),
        ("INSERT INTO node VALUES (0, 5, zeroblob(32))", "node_wrong"),
        ("UPDATE mark SET value = 529 WHERE name = 'minimum'", "snapshot_missing"),
        ("DELETE FROM mark WHERE name = 'minimum'", "node_wrong"),
        ("UPDATE snapshot_state SET value = zeroblob(8) WHERE key = CAST('letters' AS BLOB)", "snapshot_bad"),
        ("DELETE FROM snapshot", "snapshot_missing"),
    ],
)
def test_a_change_of_what_pruning_left_is_found(folder: Path, change: str, code: str) -> None:
    prune(folder, 530)
    with database(folder) as db:
        assert db.execute(change).rowcount > 0
    with pytest.raises(VerificationFailed) as found:
        letters.check(folder)
    assert found.value.code == code
