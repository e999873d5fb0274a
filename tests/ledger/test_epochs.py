"""Epochs: a log ends and the next begins, with everything that was acknowledged, and never two that grow."""

import contextlib
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.log import custody, epochs, fsck
from ledger.log.engine import Engine
from ledger.log.keeping import CLOSED, Keeping
from ledger.log.store import FILE, Store
from ledger.registry.records import KEY, PARTY, Key, Party
from ledger.rules import Refused
from protocol import declarations, merkle, notes, policy, receipt, statement, tiles
from protocol.documents import Genesis, Revocation
from protocol.errors import ConfigError, NotFound, Unavailable, VerificationFailed
from protocol.keys import SigningKey
from tests.support import ledgers, letters

NEXT = "log.example/test/2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger of twenty letters."""
    with letters.checked(tmp_path) as engine:
        engine.register(ledgers.admission(tmp_path))
        for n in range(20):
            engine.register(letters.letter(b"letter %d" % n))
    return tmp_path


def rolled(folder: Path, engine: Engine) -> None:
    origin = epochs.next_origin(engine.origin)
    custody.roll_over(engine, folder, letters.root(folder), origin=origin, note=engine.signed(), now_ms=ledgers.Clock())


def roll(folder: Path) -> None:
    """One epoch ends and the next begins."""
    with letters.checked(folder) as engine:
        rolled(folder, engine)


def proves(engine: Engine, raw: bytes, proof: bytes) -> receipt.Inclusion:
    """The receipt, which verifies under the key that the log's trust file has for the log it names."""
    found = receipt.read(proof)
    key = policy.parse(str(engine.trust()["policy"])).logs[found.iss]
    [key] = key if isinstance(key, list | tuple) else [key]
    return receipt.check(proof, entry=statement.entry(raw), key=key.key, thumbprint=key.key.thumbprint)


def test_the_next_epoch_begins_with_the_last_checkpoint_and_another_name_and_key(folder: Path) -> None:
    with letters.checked(folder) as engine:
        last, keys = engine.signed(), engine.trust()
        rolled(folder, engine)
    with letters.checked(folder) as engine:
        genesis = Genesis.decode(statement.parse(engine.statement(0)).payload)
        assert (engine.origin, engine.epoch, engine.size, genesis.epoch, genesis.prior) == (NEXT, 2, 2, 2, last)
        assert set(policy.parse(str(engine.trust()["policy"])).logs) == {ledgers.ORIGIN, NEXT}
        assert engine.trust()["registry_root"] == keys["registry_root"]
        assert notes.Checkpoint.from_text(notes.parse(engine.signed()).text).origin == NEXT


def test_parties_and_what_contracts_know_are_there_in_the_next_epoch(folder: Path) -> None:
    roll(folder)
    with letters.checked(folder) as engine:
        found = engine.register(letters.letter(b"in the second epoch"))
        assert (found.entry_id, found.new) == ("2.2", True)
        proves(engine, letters.letter(b"in the second epoch"), found.receipt)
        assert engine.look(lambda state: state[letters.COUNT]) == (21).to_bytes(8, "big")


def test_everything_of_an_epoch_that_ended_is_still_handed_out(folder: Path) -> None:
    with letters.checked(folder) as engine:
        raws = [engine.statement(index) for index in range(engine.size)]
        kept = [engine.receipt(index) for index in range(engine.size)]
        tile = engine.tile(tiles.Tile(level=0, index=0, width=engine.size))
        last = engine.signed()
        rolled(folder, engine)
    with letters.checked(folder) as engine:
        engine.register(letters.letter(b"more"))
        for index, raw in enumerate(raws):
            shelf, place = engine.locate(f"1.{index}")
            assert (place, shelf.statement(place)) == (index, raw)
            for proof in (kept[index], shelf.receipt(place)):
                assert proves(engine, raw, proof).index == index
        first = engine.shelf(1)
        assert first.checkpoint() == last
        assert first.tile(tiles.Tile(level=0, index=0, width=len(raws))) == tile
        receipt.read_consistency(first.consistency(5))
        for name in (f"1.{len(raws)}", "3.0", "0.1", f"2.{engine.size}"):
            with pytest.raises(NotFound):
                engine.locate(name)
        with pytest.raises(NotFound) as unknown:
            engine.shelf(3)
        assert unknown.value.code == "epoch_unknown"


def test_a_statement_of_an_earlier_epoch_has_its_old_receipt_and_is_not_registered_again(folder: Path) -> None:
    roll(folder)
    roll(folder)
    with letters.checked(folder) as engine:
        size = engine.size
        again, new = engine.register_many([letters.letter(b"letter 7"), letters.letter(b"new")])
        assert not isinstance(again, Exception) and not isinstance(new, Exception)
        assert (again.entry_id, again.new, new.entry_id, new.new) == ("1.10", False, f"3.{size}", True)
        assert proves(engine, letters.letter(b"letter 7"), again.receipt).iss == ledgers.ORIGIN


def test_keys_of_epochs_that_ended_are_still_published(folder: Path) -> None:
    with letters.checked(folder) as engine:
        kid = ledgers.log_key(folder).thumbprint
        old = engine.key(kid)
        rolled(folder, engine)
    with letters.checked(folder) as engine:
        assert engine.key(kid) == old
        assert statement.parse(engine.statement(0)).kid != kid


def test_nothing_is_registered_in_an_epoch_that_has_ended(folder: Path) -> None:
    with contextlib.closing(letters.opened(folder)) as engine:
        rolled(folder, engine)
        with pytest.raises(Unavailable) as ended:
            engine.register(letters.letter(b"too late"))
        assert ended.value.code == "epoch_ended"
    assert letters.check(folder).epoch == 2


def test_a_log_whose_next_epoch_is_lost_does_not_go_on_in_the_old_one(folder: Path) -> None:
    roll(folder)
    (folder / epochs.file_of(2)).unlink()
    with pytest.raises(ConfigError) as lost:
        letters.opened(folder)
    assert lost.value.code == "database_lost"
    with pytest.raises(VerificationFailed) as found:
        letters.check(folder)
    assert found.value.code == "epoch_missing"


def test_a_revoked_key_stays_revoked_in_the_next_epoch(folder: Path) -> None:
    party = ledgers.GATEWAY.public.thumbprint
    with letters.checked(folder) as engine:
        document = Revocation(log=engine.origin, party=party, key=None, epoch=1, index=engine.size)
        engine.register(declarations.revocation(letters.root(folder), document))
        rolled(folder, engine)
    with letters.checked(folder) as engine:
        with pytest.raises(Refused) as refused:
            engine.register(letters.letter(b"by a revoked key"))
        assert refused.value.code == "issuer_revoked"


def test_redaction_and_pruning_go_on_in_the_next_epoch(folder: Path) -> None:
    with letters.checked(folder) as engine:
        custody.redact(engine, letters.root(folder), index=5, reason="court-order")
        custody.prune(engine, letters.root(folder), minimum=4)
        rolled(folder, engine)
    with letters.checked(folder) as engine:
        for n in range(20):
            engine.register(letters.letter(b"later %d" % n))
        assert engine.minimum == 0 and engine.shelf(1).minimum == 4
        custody.redact(engine, letters.root(folder), index=3, reason="court-order")
        custody.prune(engine, letters.root(folder), minimum=engine.size)
        for n in range(3):
            engine.register(letters.letter(b"last %d" % n))
        for name, code in (("1.3", "entry_pruned"), ("1.5", "statement_redacted"), ("2.3", "entry_pruned")):
            shelf, place = engine.locate(name)
            with pytest.raises(NotFound) as gone:
                shelf.statement(place)
            assert gone.value.code == code


SECRET = b"what nobody may read any more " * 50


def secret_of_the_first_epoch(folder: Path) -> int:
    """The index of a letter that goes, two epochs before the newest."""
    with letters.checked(folder) as engine:
        index = engine.register(letters.letter(SECRET)).index
        engine.register(letters.letter(b"after it"))
        rolled(folder, engine)
    roll(folder)
    return index


def test_a_body_of_an_epoch_that_has_ended_can_be_redacted(folder: Path) -> None:
    index = secret_of_the_first_epoch(folder)
    with letters.checked(folder) as engine:
        proof = engine.shelf(1).receipt(index)
        said = custody.redact(engine, letters.root(folder), epoch=1, index=index, reason="court-order")
        assert said.entry_id == "3.2"
        with pytest.raises(NotFound, match="statement_redacted"):
            engine.shelf(1).statement(index)
        assert engine.shelf(1).receipt(index) == proof
        assert not engine.register(letters.letter(SECRET)).new
    assert [path.name for path in folder.iterdir() if SECRET[:30] in path.read_bytes()] == []


def test_a_redaction_in_an_earlier_epoch_that_stopped_is_carried_out_at_the_next_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = secret_of_the_first_epoch(folder)
    with monkeypatch.context() as stopped, contextlib.closing(letters.opened(folder)) as engine:
        stopped.setattr(Engine, "finish", lambda _: None)
        custody.redact(engine, letters.root(folder), epoch=1, index=index, reason="court-order")
        assert engine.shelf(1).statement(index)
    letters.check(folder)
    with letters.checked(folder) as engine, pytest.raises(NotFound, match="statement_redacted"):
        engine.shelf(1).statement(index)


def test_a_body_that_is_missing_in_an_earlier_epoch_without_an_order_is_found(folder: Path) -> None:
    index = secret_of_the_first_epoch(folder)
    with letters.checked(folder) as engine:
        custody.redact(engine, letters.root(folder), epoch=1, index=index, reason="court-order")
    with contextlib.closing(database(folder, 1)) as db:
        db.execute("UPDATE entry SET statement = X'' WHERE place = ?", (index - 1,))
    with pytest.raises(VerificationFailed) as found:
        letters.check(folder)
    assert found.value.code == "entry_missing"


def test_the_old_name_in_the_settings_does_not_stop_a_log_that_rolled_over(folder: Path) -> None:
    roll(folder)
    with contextlib.closing(
        Engine.open(folder, now_ms=ledgers.Clock(), origin=ledgers.ORIGIN, contracts=letters.CONTRACTS)
    ):
        pass
    with pytest.raises(ConfigError) as changed:
        Engine.open(folder, now_ms=ledgers.Clock(), origin="log.example/other", contracts=letters.CONTRACTS)
    assert changed.value.code == "origin_changed"


@pytest.mark.parametrize("origin", [ledgers.ORIGIN, "with space", ""])
def test_an_epoch_has_a_name_of_its_own(folder: Path, origin: str) -> None:
    with letters.checked(folder) as engine, pytest.raises(ConfigError):
        custody.roll_over(
            engine, folder, letters.root(folder), origin=origin, note=engine.signed(), now_ms=ledgers.Clock()
        )
    with letters.checked(folder) as engine:
        assert engine.epoch == 1 and engine.register(letters.letter(b"on it goes")).new


def test_no_epoch_has_the_name_of_an_earlier_one(folder: Path) -> None:
    roll(folder)
    with letters.checked(folder) as engine:
        with pytest.raises(ConfigError) as taken:
            custody.roll_over(
                engine,
                folder,
                letters.root(folder),
                origin=ledgers.ORIGIN,
                note=engine.signed(),
                now_ms=ledgers.Clock(),
            )
        assert taken.value.code == "origin_taken"


def test_what_ended_an_epoch_is_shown_even_when_witnesses_never_signed_it(folder: Path) -> None:
    with letters.checked(folder) as engine:
        engine.publish(engine.signed())
        engine.register(letters.letter(b"after the witnesses went away"))
        last = engine.signed()
        rolled(folder, engine)
    with letters.checked(folder) as engine:
        assert engine.shelf(1).checkpoint() == last


def test_names_of_epochs_count() -> None:
    assert [epochs.next_origin(name) for name in ("log.example/1", "log.example/9", "log.example", "a/b")] == [
        *("log.example/2", "log.example/10", "log.example/2", "a/b/2")
    ]


def database(folder: Path, epoch: int) -> sqlite3.Connection:
    return sqlite3.connect(folder / epochs.file_of(epoch), isolation_level=None)


@pytest.mark.parametrize(
    ("epoch", "change", "code"),
    [
        (2, "UPDATE snapshot_state SET value = zeroblob(8) WHERE key = CAST('letters' AS BLOB)", "snapshot_bad"),
        (2, "UPDATE snapshot SET signed = zeroblob(length(signed))", "snapshot_unnamed"),
        (2, "DELETE FROM snapshot", "snapshot_missing"),
        (2, "UPDATE state SET value = zeroblob(8) WHERE key = CAST('letters' AS BLOB)", "state_wrong"),
        (1, "UPDATE state SET value = zeroblob(8) WHERE key = CAST('letters' AS BLOB)", "state_wrong"),
        (1, "UPDATE entry SET statement = X'' WHERE place = 9", "entry_missing"),
    ],
)
def test_a_change_in_any_epoch_is_found(folder: Path, epoch: int, change: str, code: str) -> None:
    roll(folder)
    with contextlib.closing(database(folder, epoch)) as db:
        assert db.execute(change).rowcount > 0
    with pytest.raises(VerificationFailed) as found:
        letters.check(folder)
    assert found.value.code == code


def test_an_epoch_that_does_not_follow_from_the_one_before_is_found(folder: Path, tmp_path: Path) -> None:
    """The old epoch went on after the next one had begun: two logs grew."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("copy"))
    roll(folder)
    with letters.checked(copy) as engine:
        engine.register(letters.letter(b"a fork"))
    shutil.copy(copy / FILE, folder / FILE)
    with pytest.raises(VerificationFailed) as found:
        letters.check(folder)
    assert found.value.code == "epoch_wrong"


def test_an_older_copy_of_an_epoch_that_has_ended_is_refused(folder: Path, tmp_path: Path) -> None:
    older = shutil.copy(folder / FILE, tmp_path / "older.db")
    with letters.checked(folder) as engine:
        engine.register(letters.letter(b"after the backup"))
        rolled(folder, engine)
    whole = shutil.copy(folder / FILE, tmp_path / "whole.db")
    shutil.copy(older, folder / FILE)
    with pytest.raises(ConfigError) as refused:
        letters.opened(folder)
    assert refused.value.code == "database_lost"
    shutil.copy(whole, folder / FILE)
    with letters.checked(folder) as engine:
        assert not engine.register(letters.letter(b"after the backup")).new


def test_a_party_that_the_epoch_before_did_not_know_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the log's key, and not the registry root, signed another state than the one that the epoch ended with."""
    name, whole = ledgers.STRANGER.public.thumbprint, Keeping.state
    forged = {
        PARTY + name: Party(role="gateway", name="nobody", newest=name).encode(),
        KEY + name: Key(party=name, key=ledgers.STRANGER.public).encode(),
    }
    with contextlib.closing(letters.opened(folder)) as engine, monkeypatch.context() as patched:
        patched.setattr(Keeping, "state", lambda *args: sorted([*whole(*args), *forged.items()]))
        rolled(folder, engine)
    with pytest.raises(VerificationFailed) as found:
        letters.check(folder)
    assert found.value.code == "epoch_wrong"


def test_a_first_epoch_that_begins_with_a_state_is_found(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    key, root = (SigningKey.from_seed(bytes([seed]) * 32) for seed in (51, 52))
    with letters.checked(folder) as engine, engine.alone() as parts:
        none: str = None  # type: ignore[assignment]
        epochs._write_next(
            other, FILE, replace(parts, epoch=0), key=key, root=root, origin=NEXT, note=none, now_ms=ledgers.Clock()
        )
    with pytest.raises(VerificationFailed) as found:
        letters.check(other)
    assert found.value.code == "epoch_wrong"


def test_a_stop_before_the_old_epoch_is_marked_leaves_a_log_that_goes_on(folder: Path) -> None:
    roll(folder)
    with contextlib.closing(Store.open(folder)) as store, store.writing():
        store.keeping.set_mark(CLOSED, 0)
    letters.check(folder)
    with letters.checked(folder) as engine:
        assert engine.epoch == 2
    with contextlib.closing(Store.reader(folder)) as store:
        assert store.keeping.mark(CLOSED) == 2


def test_a_copy_of_the_tree_of_each_epoch_has_the_root_that_was_signed(folder: Path) -> None:
    roll(folder)
    with letters.checked(folder) as engine:
        for shelf in (engine.shelf(1), engine.shelf(2)):
            checkpoint = notes.Checkpoint.from_text(notes.parse(shelf.published.note).text)
            bundle = tiles.Tile(level=None, index=0, width=checkpoint.size)
            entries = tiles.unbundle(shelf.entries(bundle), checkpoint.size)
            assert merkle.tree_root([merkle.leaf_hash(entry) for entry in entries]) == checkpoint.root


def test_an_unfinished_next_epoch_is_removed(folder: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        (folder / f"{epochs.file_of(2)}{epochs.FRESH}{suffix}").write_bytes(b"half an epoch")
    with letters.checked(folder) as engine:
        assert engine.epoch == 1
    assert not list(folder.glob("*.new*"))
    assert fsck.check(folder, contracts=letters.CONTRACTS).epoch == 1
