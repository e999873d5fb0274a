"""Redaction: one body is in no file any more, its entry and every proof stay, and the check of the ledger still holds."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.log import custody, keyring, upkeep
from ledger.log.engine import Engine
from ledger.log.store import FILE, Head
from protocol import merkle, receipt, retention, statement, tiles
from protocol.errors import ConfigError, NotFound, Unavailable, VerificationFailed
from protocol.retention import Redaction
from protocol.statement import Statement
from tests.support import ledgers, letters

BODY = b"what nobody may read any more, in so many words " * 40
REASON = "court-order"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger of letters, one of which is at index 40."""
    with letters.checked(tmp_path) as engine:
        filled(tmp_path, engine)
    return tmp_path


def filled(folder: Path, engine: Engine) -> None:
    engine.register(ledgers.admission(folder))
    while engine.size < 40:
        engine.register(letters.letter(b"%d " % engine.size * 200))
    engine.register(letters.letter(BODY))
    for n in range(20):
        engine.register(letters.letter(b"later %d " % n * 100))


def traces(folder: Path, words: bytes) -> list[str]:
    """The files of the ledger that have `words`."""
    return [path.name for path in sorted(folder.iterdir()) if words in path.read_bytes()]


def redacted(folder: Path, index: int = 40) -> bytes:
    """The statement that was at `index`, which is redacted now."""
    with letters.checked(folder) as engine:
        raw = engine.statement(index)
        custody.redact(engine, letters.root(folder), index=index, reason=REASON)
    return raw


def test_a_redacted_body_is_in_no_file_of_the_ledger_any_more(folder: Path) -> None:
    words = BODY[:32]
    assert traces(folder, words)
    with letters.checked(folder) as engine:
        custody.redact(engine, letters.root(folder), index=40, reason=REASON)
        assert traces(folder, words) == []
        engine.register(letters.letter(b"more"))
    assert traces(folder, words) == []


def test_copies_of_a_body_in_free_room_of_the_file_go_too(folder: Path) -> None:
    """SQLite may have left some when it moved rows about, long before anybody thought of a redaction."""
    with database(folder) as db:
        db.execute("PRAGMA secure_delete = 0").fetchone()
        db.execute("CREATE TABLE moved AS SELECT statement FROM entry WHERE place = 40")
        db.execute("DROP TABLE moved")
    assert FILE in traces(folder, BODY[:32])
    redacted(folder)
    assert traces(folder, BODY[:32]) == []


def test_a_redacted_entry_keeps_its_receipts_and_every_other_proof_stays_valid(folder: Path) -> None:
    with letters.checked(folder) as engine:
        raw, old, size1 = engine.statement(40), engine.receipt(40), engine.size
        root1 = merkle.tree_root([merkle.leaf_hash(entry) for entry in entries(engine)])
        custody.redact(engine, letters.root(folder), index=40, reason=REASON)
        key = ledgers.log_key(folder)
        for proof in (old, engine.receipt(40)):
            assert receipt.check(proof, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint).index == 40
        grown = receipt.read_consistency(engine.consistency(size1))
        receipt.verify_consistency(grown, root1=root1, key=key)
        assert entries(engine)[40] == statement.entry(raw)


def entries(engine: Engine) -> list[bytes]:
    """What the log publishes as its entries."""
    return tiles.unbundle(engine.entries(tiles.Tile(level=None, index=0, width=engine.size)), engine.size)


def test_whoever_asks_for_a_redacted_statement_is_told_that_it_is_gone(folder: Path) -> None:
    redacted(folder)
    with letters.checked(folder) as engine:
        with pytest.raises(NotFound) as gone:
            engine.statement(40)
        assert gone.value.code == "statement_redacted"
        assert letters.letter(b"41 " * 200) != engine.statement(41)


def test_a_redaction_is_on_the_log_with_its_reason_and_its_snapshot(folder: Path) -> None:
    redacted(folder)
    with letters.checked(folder) as engine:
        found: Statement = statement.parse(engine.statement(engine.size - 1))
        document = Redaction.decode(found.payload)
        assert (found.content_type, document.epoch, document.index) == (retention.REDACTION, 1, 40)
        assert document.reason == REASON
        assert found.kid == letters.root(folder).public.thumbprint


def test_a_redacted_statement_that_is_registered_again_has_its_old_place_and_no_body(folder: Path) -> None:
    raw = redacted(folder)
    with letters.checked(folder) as engine:
        again = engine.register(raw)
        assert (again.index, again.new) == (40, False)
        with pytest.raises(NotFound):
            engine.statement(40)
    assert traces(folder, BODY[:32]) == []


def test_what_the_rules_read_cannot_be_redacted(folder: Path) -> None:
    with letters.checked(folder) as engine:
        size = engine.size
        for index in (0, 1):
            with pytest.raises(ConfigError) as refused:
                custody.redact(engine, letters.root(folder), index=index, reason=REASON)
            assert refused.value.code == "not_redactable"
        with pytest.raises(ConfigError) as refused:
            custody.redact(engine, letters.root(folder), index=40, reason="because")
        assert refused.value.code == "reason_unknown"
        with pytest.raises(NotFound) as unknown:
            custody.redact(engine, letters.root(folder), index=size, reason=REASON)
        assert unknown.value.code == "entry_unknown"
        assert engine.size == size


def test_nobody_but_the_registry_root_redacts(folder: Path) -> None:
    with letters.checked(folder) as engine:
        with pytest.raises(Exception, match="issuer_not_allowed"):
            custody.redact(engine, ledgers.GATEWAY, index=40, reason=REASON)
        assert statement.entry(engine.statement(40)) == statement.entry(letters.letter(BODY))


def test_an_order_without_a_snapshot_takes_nothing_away(folder: Path) -> None:
    """Whoever holds the root may send one over the network: without the state after it, a replay would end there."""
    root = letters.root(folder)
    raw = statement.sign(
        root,
        iss=root.public.urn,
        sub=retention.redaction_subject(root.public.thumbprint),
        payload=Redaction(epoch=1, index=40, reason=REASON, snapshot=bytes(32)).encode(),
        content_type=retention.REDACTION,
    )
    with letters.checked(folder) as engine:
        engine.register(raw)
    with letters.checked(folder) as engine:
        assert engine.statement(40) == letters.letter(BODY)
        custody.redact(engine, root, index=40, reason=REASON)
        with pytest.raises(NotFound):
            engine.statement(40)


def test_a_redaction_that_stopped_after_its_statement_is_carried_out_at_the_next_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as stopped, contextlib.closing(letters.opened(folder)) as engine:
        stopped.setattr(Engine, "finish", lambda _: None)
        custody.redact(engine, letters.root(folder), index=40, reason=REASON)
        assert engine.statement(40) == letters.letter(BODY)
    letters.check(folder)
    with letters.checked(folder) as engine, pytest.raises(NotFound):
        engine.statement(40)
    assert traces(folder, BODY[:32]) == []


def test_a_snapshot_that_no_statement_names_is_thrown_away_at_the_next_start(folder: Path) -> None:
    with contextlib.closing(letters.opened(folder)) as engine:
        engine._log().take_newest()
        assert engine._store.keeping.snapshots()
    letters.check(folder)
    with letters.checked(folder) as engine:
        assert engine._store.keeping.snapshots() == []


def test_while_somebody_reads_the_files_a_redaction_does_not_say_that_it_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.log.store.BUSY_MS", 50)
    with contextlib.closing(letters.opened(folder)) as engine, database(folder) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entry").fetchone()
        with pytest.raises(Unavailable) as busy:
            custody.redact(engine, letters.root(folder), index=40, reason=REASON)
        assert busy.value.code == "database_busy"
        reader.execute("ROLLBACK")
    with letters.checked(folder):
        assert traces(folder, BODY[:32]) == []


def test_two_redactions_leave_a_ledger_that_can_be_checked_whatever_their_order(folder: Path) -> None:
    for index in (40, 30, 45):
        redacted(folder, index)
    assert letters.check(folder).redacted == (30, 40, 45)
    with letters.checked(folder) as engine:
        engine.register(letters.letter(b"after"))


def test_an_order_said_again_without_a_snapshot_leaves_a_ledger_that_can_be_checked(folder: Path) -> None:
    redacted(folder)
    for snapshot in (bytes(32), bytes([1]) * 32):
        with letters.checked(folder) as engine:
            engine.register(
                upkeep.order_redaction(letters.root(folder), epoch=1, index=40, reason=REASON, snapshot=snapshot)
            )
    with letters.checked(folder) as engine:
        engine.register(letters.letter(b"after"))
    assert letters.check(folder).redacted == (40,)


@contextlib.contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        yield db


def test_a_body_that_is_missing_without_an_order_is_found(folder: Path) -> None:
    redacted(folder)
    for index in (39, 59):
        with database(folder) as db:
            body = db.execute("SELECT statement FROM entry WHERE place = ?", (index,)).fetchone()[0]
            db.execute("UPDATE entry SET statement = X'' WHERE place = ?", (index,))
        with pytest.raises(VerificationFailed) as found:
            letters.check(folder)
        assert found.value.code == "entry_missing"
        with database(folder) as db:
            db.execute("UPDATE entry SET statement = ? WHERE place = ?", (body, index))
    letters.check(folder)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE snapshot_state SET value = zeroblob(8) WHERE key = CAST('letters' AS BLOB)", "snapshot_bad"),
        ("DELETE FROM snapshot_state WHERE key = CAST('letters' AS BLOB)", "snapshot_bad"),
        ("UPDATE snapshot SET signed = zeroblob(length(signed))", "snapshot_bad"),
        ("UPDATE snapshot SET size = size - 1", "snapshot_bad"),
        ("DELETE FROM snapshot", "entry_missing"),
        ("INSERT INTO mark VALUES ('minimum', 12)", "snapshot_missing"),
        (
            "UPDATE state SET key = CAST('redacted/        ' AS BLOB) WHERE substr(key, 1, 9) = CAST('redacted/' AS BLOB)",
            "state_wrong",
        ),
    ],
)
def test_a_change_of_what_a_redaction_left_is_found(folder: Path, change: str, code: str) -> None:
    redacted(folder)
    with database(folder) as db:
        assert db.execute(change).rowcount > 0
    with pytest.raises(VerificationFailed) as found:
        letters.check(folder)
    assert found.value.code == code


def test_a_snapshot_of_another_state_signed_by_the_log_but_named_by_nobody_is_found(folder: Path) -> None:
    """Whoever holds the log's key and its disk could otherwise change the state after a redaction."""
    redacted(folder)
    with contextlib.closing(letters.opened(folder)) as engine:
        store, log = engine._store, engine._log()
        size = store.keeping.snapshots()[0][0]
        state = dict(store.keeping.snapshot_state(size)) | {letters.COUNT: bytes(8)}
        found = retention.Snapshot.verified(store.keeping.snapshots()[0][1], log.keys)
        forged = Head(size=size, root=found.root, chain=found.chain, at_ms=found.at_ms)
        log.take_snapshot(forged, state)
    with pytest.raises(VerificationFailed) as wrong:
        letters.check(folder)
    assert wrong.value.code == "state_wrong"


def test_the_registry_root_is_needed_to_redact(folder: Path) -> None:
    (folder / keyring.REGISTRY_KEY).unlink()
    with pytest.raises(NotFound, match="key_missing"):
        letters.root(folder)
