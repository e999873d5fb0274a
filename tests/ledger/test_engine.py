"""The engine: one tree, receipts that hold at every size, idempotence, and nothing acknowledged lost."""

import contextlib
import json
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger import founding
from ledger.contracts import STANDARD
from ledger.log import fsck, keyring, registering, store
from ledger.log.engine import DEFAULT_ORIGIN, Engine
from ledger.log.registering import BATCH_MAX, Registered
from ledger.log.store import FILE, StateView
from ledger.log.writer import Prepared, Writer
from ledger.rules import Refused
from protocol import cbor, cose, documents, merkle, notes, policy, receipt, statement, tiles
from protocol.documents import Genesis, Policy
from protocol.errors import BadSignature, ConfigError, Malformed, NotFound, ProtocolError, Unavailable
from protocol.evidence import Trust
from protocol.statement import Statement
from tests.support import ledgers

ROOT = Path(__file__).parents[2]


def admitted(folder: Path, engine: Engine) -> None:
    engine.register(ledgers.admission(folder))


def head(engine: Engine) -> notes.Checkpoint:
    trusted = policy.parse(str(engine.trust()["policy"]))
    return trusted.check(engine.checkpoint())[0]


def test_the_first_run_makes_keys_that_only_the_owner_reads_and_a_genesis(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "ledger"
    with ledgers.checked(folder) as engine:
        for name in (keyring.LOG_KEY, keyring.REGISTRY_KEY):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        assert (engine.size, engine.origin, engine.epoch) == (ledgers.BEGUN, ledgers.ORIGIN, 1)
        first = statement.parse(engine.statement(0))
        genesis = Genesis.decode(first.payload)
        statement.verify(first, ledgers.log_key(folder), thumbprint=first.kid)
        assert genesis.log_key == ledgers.log_key(folder).x
        assert genesis.registry_root == keyring.load(folder, keyring.REGISTRY_KEY).public.x
        assert engine.find("1.0") == 0
        second = statement.parse(engine.statement(1))
        root = keyring.load(folder, keyring.REGISTRY_KEY).public
        statement.verify(second, root, thumbprint=root.thumbprint)
        assert Policy.decode(second.payload) == founding.default_policy(ledgers.ORIGIN, STANDARD)
        assert head(engine).root == merkle.tree_root([merkle.leaf_hash(each.entry) for each in (first, second)])


def test_a_receipt_of_consistency_leads_from_every_earlier_tree_to_the_newest(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        admitted(tmp_path, engine)
        roots = {engine.size: head(engine).root}
        for n in range(9):
            engine.register(ledgers.anchor(n))
            roots[engine.size] = head(engine).root
        for size, root in roots.items():
            proof = receipt.read_consistency(engine.consistency(size))
            assert (proof.size1, proof.size2, proof.root) == (size, engine.size, head(engine).root)
            receipt.verify_consistency(proof, root1=root, key=ledgers.log_key(tmp_path))
        for size in (0, -1, engine.size + 1):
            with pytest.raises(NotFound) as unknown:
                engine.consistency(size)
            assert unknown.value.code == "size_unknown"


def test_no_tree_has_one_entry_so_every_entry_has_a_receipt_from_the_start(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        assert head(engine).size == ledgers.BEGUN
        for index in range(ledgers.BEGUN):
            raw = engine.statement(index)
            found = engine.register(raw)
            assert (found.new, found.size) == (False, ledgers.BEGUN)
            ledgers.prove(tmp_path, found, raw)


def test_receipts_hold_at_every_size_and_every_tree_continues_the_one_before(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        raws = [engine.statement(0), engine.statement(1), ledgers.admission(tmp_path)]
        raws += [ledgers.anchor(n) for n in range(40)]
        key = ledgers.log_key(tmp_path)
        tree = merkle.Tree([merkle.leaf_hash(statement.entry(raw)) for raw in raws[: ledgers.BEGUN]])
        for size, raw in enumerate(raws[ledgers.BEGUN :], start=ledgers.BEGUN + 1):
            found = engine.register(raw)
            assert (found.index, found.size, found.new, found.entry_id) == (size - 1, size, True, f"1.{size - 1}")
            root = ledgers.prove(tmp_path, found, raw)
            tree.append(merkle.leaf_hash(statement.entry(raw)))
            assert (root, head(engine).root, head(engine).size) == (tree.root(), tree.root(), size)
            merkle.verify_consistency(
                size1=size - 1, size2=size, root1=tree.root(size - 1), root2=root, path=tree.consistency(size - 1)
            )
            for index in range(size):
                proof = receipt.check(
                    engine.receipt(index), entry=statement.entry(raws[index]), key=key, thumbprint=key.thumbprint
                )
                assert (proof.index, proof.size) == (index, size)


def test_the_same_statement_is_registered_once(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        admitted(tmp_path, engine)
        raw = ledgers.anchor(1)
        first = engine.register(raw)
        engine.register(ledgers.anchor(2))
        again = engine.register(raw)
        assert (again.entry_id, again.index, again.new) == (first.entry_id, first.index, False)
        assert (again.size, engine.size) == (5, 5)
        ledgers.prove(tmp_path, again, raw)


def test_a_transparent_statement_is_the_statement_again(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        admitted(tmp_path, engine)
        raw = ledgers.anchor(1)
        first = engine.register(raw)
        again = engine.register(receipt.attach(raw, [first.receipt]))
        assert (again.index, again.new, engine.statement(first.index)) == (first.index, False, raw)


def test_what_is_refused_leaves_no_trace(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        before, good = engine.checkpoint(), ledgers.admission(tmp_path)
        wrong: list[tuple[bytes, type[ProtocolError], str]] = [
            (b"", Malformed, "cose_tag"),
            (ledgers.anchor(1), Refused, "issuer_unknown"),
            (ledgers.anchor(1, sub="Mrs Smith"), Refused, "issuer_unknown"),
            (ledgers.anchor(1, preimage_content_type="text/plain"), Refused, "content_type_not_allowed"),
            (good[:-1] + bytes((good[-1] ^ 1,)), BadSignature, "signature_bad"),
        ]
        for raw, kind, code in wrong:
            with pytest.raises(kind) as refused:
                engine.register(raw)
            assert refused.value.code == code
        assert engine.checkpoint() == before
        admitted(tmp_path, engine)
        assert (
            engine.register(ledgers.anchor(1)).index == ledgers.BEGUN + 1
        )  # what was refused once is not refused for ever


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        for name in ("1.2", "2.0", "0.0", "1", "1.-1", "1.00", "01.0", "", "1.0\n", "1.９", "9" * 40, "1." + "9" * 18):
            with pytest.raises(NotFound) as missing:
                engine.find(name)
            assert missing.value.code == "entry_unknown"
        for index in (-1, 2, 1 << 80):
            for ask in (engine.statement, engine.receipt):
                with pytest.raises(NotFound):
                    ask(index)
        with pytest.raises(NotFound) as missing:
            engine.key(bytes(32))
        assert missing.value.code == "key_unknown"
        for tile in (
            tiles.Tile(level=0, index=0),
            tiles.Tile(level=0, index=1, width=1),
            tiles.Tile(level=1, index=0, width=1),
        ):
            with pytest.raises(NotFound) as missing:
                engine.tile(tile)
            assert missing.value.code == "tile_unknown"
        with pytest.raises(NotFound):
            engine.entries(tiles.Tile(level=None, index=0, width=3))


def test_tiles_and_bundles_lead_to_the_root(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        admitted(tmp_path, engine)
        raws = [ledgers.anchor(n) for n in range(300)]
        for raw in raws:
            engine.register(raw)
        size = engine.size

        def fetch(tile: tiles.Tile) -> list[bytes]:
            return tiles.split(engine.tile(tile), tile.width)

        read = tiles.reader(fetch, size)
        assert merkle.range_root(read, 0, size) == head(engine).root
        assert merkle.inclusion_path(read, 77, size) == list(receipt.read(engine.receipt(77)).path)
        entries = tiles.unbundle(engine.entries(tiles.Tile(level=None, index=0)), 256)
        entries += tiles.unbundle(engine.entries(tiles.Tile(level=None, index=1, width=size - 256)), size - 256)
        assert entries[3:] == [statement.entry(raw) for raw in raws]
        assert merkle.tree_root([merkle.leaf_hash(entry) for entry in entries]) == head(engine).root


def test_keys_and_trust_are_what_verifiers_read(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        key = ledgers.log_key(tmp_path)
        [found] = cbor.decode(engine.keys(), size_max=1000)
        assert found == key.cose_key()
        assert cbor.decode(engine.key(key.thumbprint), size_max=1000) == found
        trust = Trust.from_json(json.dumps(engine.trust()).encode())
        assert trust.registry_root == keyring.load(tmp_path, keyring.REGISTRY_KEY).public
        assert trust.policy.check(engine.checkpoint())[0].size == ledgers.BEGUN


def test_a_log_goes_on_where_it_stopped(tmp_path: Path) -> None:
    clock = ledgers.Clock()
    with ledgers.checked(tmp_path, clock) as engine:
        admitted(tmp_path, engine)
        before, size = engine.checkpoint(), engine.size
    clock.at_ms -= 3_600_000  # a clock that was set back does not make the log's times fall
    with ledgers.checked(tmp_path, clock) as engine:
        assert (engine.checkpoint(), engine.size) == (before, size)
        assert engine.register(ledgers.anchor(1)).index == size
    with contextlib.closing(Engine.open(tmp_path, now_ms=clock)) as engine:
        assert (engine.size, engine.origin) == (size + 1, ledgers.ORIGIN)


def test_a_log_without_a_name_gets_the_default_one(tmp_path: Path) -> None:
    with contextlib.closing(Engine.open(tmp_path, now_ms=ledgers.Clock())) as engine:
        assert engine.origin == DEFAULT_ORIGIN


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "a\nb", "x" * 129, "dött"])
def test_a_name_that_a_note_cannot_carry_is_refused(tmp_path: Path, origin: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Engine.open(tmp_path / "ledger", now_ms=ledgers.Clock(), origin=origin)
    assert refused.value.code == "origin_bad"
    assert not (tmp_path / "ledger").exists()


def test_another_name_or_key_is_not_the_same_log(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path):
        pass
    with pytest.raises(ConfigError) as refused:
        Engine.open(tmp_path, now_ms=ledgers.Clock(), origin="log.example/other")
    assert refused.value.code == "origin_changed"
    kept = (tmp_path / keyring.LOG_KEY).read_text()
    (tmp_path / keyring.LOG_KEY).write_text(ledgers.STRANGER.pem())
    with pytest.raises(ConfigError) as refused:
        ledgers.opened(tmp_path)
    assert refused.value.code == "log_key_changed"
    (tmp_path / keyring.LOG_KEY).write_text("nothing")
    with pytest.raises(Unavailable) as unusable:
        ledgers.opened(tmp_path)
    assert unusable.value.code == "key_unreadable"
    (tmp_path / keyring.LOG_KEY).write_text(kept)
    with ledgers.checked(tmp_path) as engine:
        assert engine.size == ledgers.BEGUN


def test_the_registry_root_may_be_taken_away_after_the_first_run(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path):
        raw = ledgers.admission(tmp_path)
    (tmp_path / keyring.REGISTRY_KEY).unlink()
    with ledgers.checked(tmp_path) as engine:
        assert engine.register(raw).new
    assert not (tmp_path / keyring.REGISTRY_KEY).exists()


@pytest.mark.parametrize("left", ["nothing", "an empty file"])
def test_a_log_whose_database_is_lost_is_not_begun_anew_under_the_same_key(tmp_path: Path, left: str) -> None:
    """It would sign other trees of sizes that it has signed before."""
    with ledgers.checked(tmp_path) as engine:
        admitted(tmp_path, engine)
    kept = (tmp_path / FILE).read_bytes()
    if left == "nothing":
        (tmp_path / FILE).unlink()
    else:
        (tmp_path / FILE).write_bytes(b"")
    with pytest.raises(ConfigError) as refused:
        ledgers.opened(tmp_path)
    assert refused.value.code == "database_lost"
    assert FILE in refused.value.detail and keyring.LOG_KEY in refused.value.detail
    assert (tmp_path / FILE).exists() is (left != "nothing")
    (tmp_path / FILE).write_bytes(kept)
    with ledgers.checked(tmp_path) as engine:
        assert engine.size == ledgers.BEGUN + 1


def test_a_log_whose_key_is_lost_does_not_make_another(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path):
        pass
    kept = (tmp_path / keyring.LOG_KEY).read_text()
    (tmp_path / keyring.LOG_KEY).unlink()
    with pytest.raises(NotFound) as refused:
        ledgers.opened(tmp_path)
    assert refused.value.code == "key_missing"
    assert not (tmp_path / keyring.LOG_KEY).exists()
    (tmp_path / keyring.LOG_KEY).write_text(kept)
    with ledgers.checked(tmp_path) as engine:
        assert engine.size == ledgers.BEGUN


def test_two_processes_do_not_write_one_log(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path):
        with pytest.raises(ConfigError) as refused:
            ledgers.opened(tmp_path)
        assert refused.value.code == "state_in_use"
    with ledgers.checked(tmp_path) as engine:
        assert engine.size == ledgers.BEGUN


def test_a_file_that_is_no_ledger_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"something else" * 100)
    with pytest.raises(Unavailable) as refused:
        ledgers.opened(tmp_path)
    assert refused.value.code == "state_unreadable"
    assert (tmp_path / FILE).read_bytes() == b"something else" * 100


def test_threads_share_commits_and_all_get_receipts_that_hold(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        admitted(tmp_path, engine)
        raws = [ledgers.anchor(n // 2) for n in range(120)]  # each twice
        found: dict[int, list[bool]] = {}
        failures: list[str] = []

        def work(part: int) -> None:
            for raw in raws[part::8]:
                answer = engine.register(raw)
                ledgers.prove(tmp_path, answer, raw)
                found.setdefault(answer.index, []).append(answer.new)
            try:
                engine.register(ledgers.anchor(part, ledgers.STRANGER))
            except Refused as error:
                failures.append(error.code)

        threads = [threading.Thread(target=work, args=(part,)) for part in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == list(range(3, 63))
        assert all(sorted(news) == [False, True] for news in found.values())
        assert failures == ["issuer_unknown"] * 8
        assert engine.size == 63


def test_one_statement_by_many_at_once_is_one_entry(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        admitted(tmp_path, engine)
        for round_ in range(10):
            raw, start = ledgers.anchor(round_), threading.Barrier(8)
            found: list[Registered] = []

            def work(raw: bytes = raw, start: threading.Barrier = start, found: list[Registered] = found) -> None:
                start.wait()
                found.append(engine.register(raw))

            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert {(one.index, one.entry_id) for one in found} == {(3 + round_, f"1.{3 + round_}")}
            assert sorted(one.new for one in found) == [*[False] * 7, True]
            for one in found:
                ledgers.prove(tmp_path, one, raw)
        assert engine.size == 13


def test_a_disk_that_refuses_loses_the_batch_and_nothing_else(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        admitted(tmp_path, engine)
        before = engine.checkpoint()
        pages = engine._store._db.execute("PRAGMA page_count").fetchone()[0]
        engine._store._db.execute(f"PRAGMA max_page_count = {pages}")
        stored = 0
        with pytest.raises(Unavailable) as refused:  # noqa: PT012 - which one fails is SQLite's affair
            for n in range(BATCH_MAX):
                engine.register(ledgers.anchor(n))
                stored += 1
        assert refused.value.code == "storage_failed"
        assert head(engine).size == ledgers.BEGUN + 1 + stored == engine.size
        assert stored or engine.checkpoint() == before
        engine._store._db.execute("PRAGMA max_page_count = 1000000")
        assert engine.register(ledgers.anchor(stored)).index == ledgers.BEGUN + 1 + stored


def test_a_disk_that_cannot_be_read_while_the_next_batch_is_prepared_costs_nobody_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, get, prepared = Writer.prepare, StateView.get, [0]

    def preparing(writer: Writer, batch: Sequence[Statement]) -> Prepared:
        prepared[0] += 1
        with monkeypatch.context() as patched:
            patched.setattr(StateView, "get", _unreadable if prepared[0] == 2 else get)
            return prepare(writer, batch)

    with ledgers.checked(tmp_path) as engine:
        admitted(tmp_path, engine)
        monkeypatch.setattr(registering, "BATCH_MAX", 4)
        monkeypatch.setattr(Writer, "prepare", preparing)
        raws = [ledgers.anchor(n) for n in range(12)]
        for raw, found in zip(raws, engine.register_many(raws), strict=True):
            assert isinstance(found, Registered)
            ledgers.prove(tmp_path, found, raw)
    assert prepared == [3]


def test_a_path_that_cannot_be_read_takes_its_receipt_from_one_statement_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = merkle.Paths.path

    with ledgers.checked(tmp_path) as engine:
        admitted(tmp_path, engine)
        raws, bad = [ledgers.anchor(n) for n in range(3)], engine.size + 1
        with monkeypatch.context() as patched:
            patched.setattr(
                merkle.Paths, "path", lambda paths, index: _unreadable() if index == bad else path(paths, index)
            )
            first, second, third = engine.register_many(raws)
        assert isinstance(first, Registered) and isinstance(third, Registered)
        assert isinstance(second, Unavailable) and second.code == "storage_failed"
        again = engine.register(raws[1])
        assert (again.index, again.new) == (bad, False)
        ledgers.prove(tmp_path, again, raws[1])


def _unreadable(*_: object) -> list[bytes]:
    raise sqlite3.OperationalError("disk I/O error")


def test_what_the_writer_remembers_of_the_state_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "KNOWN_MAX", 10)
    with contextlib.closing(store.Store.open(tmp_path)) as written:
        for n in range(100):
            with written.writing():
                written.state.changed[b"key %d" % n] = b"value"
                written.add((), {})
        assert len(written.state._known) <= 10
        assert written.state[b"key 3"] == b"value"


def test_a_tile_that_lacks_a_hash_is_not_served(tmp_path: Path) -> None:
    """Whoever asks may keep a tile for ever."""
    with contextlib.closing(ledgers.opened(tmp_path)) as engine:
        admitted(tmp_path, engine)
        engine.register(ledgers.anchor(1))
        with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as db:
            db.execute("DELETE FROM node WHERE level = 0 AND place = 1")
            db.execute("DELETE FROM entry WHERE place = 1")
            db.commit()
        for ask, level in ((engine.tile, 0), (engine.entries, None)):
            with pytest.raises(Unavailable) as refused:
                ask(tiles.Tile(level=level, index=0, width=3))
            assert refused.value.code == "node_missing"


def test_a_checkpoint_that_does_not_fit_its_tree_is_not_served(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        admitted(tmp_path, engine)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as db:
        kept = db.execute("SELECT hash FROM node WHERE level = 1").fetchone()[0]
        db.execute("UPDATE node SET hash = zeroblob(32) WHERE level = 1")
        db.commit()
        with pytest.raises(Unavailable) as refused:
            ledgers.opened(tmp_path)
        assert refused.value.code == "state_damaged"
        db.execute("UPDATE node SET hash = ? WHERE level = 1", (kept,))
        db.commit()
    with ledgers.checked(tmp_path) as engine:
        assert engine.size == ledgers.BEGUN + 1


WRITER = """
import sys, time
from pathlib import Path
from tests.support import ledgers
folder = Path(sys.argv[1])
engine = ledgers.opened(folder, lambda: time.time_ns() // 1_000_000)
raw = ledgers.admission(folder)
n = int(sys.argv[2])
while True:
    found = engine.register(raw)
    print(found.index, found.size, found.receipt.hex(), raw.hex(), flush=True)
    n += 1
    raw = ledgers.anchor(n)
"""


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    key = None
    for round_ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(round_ * 1_000_000)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        time.sleep(0.15 + 0.05 * round_)
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.read().splitlines(keepends=True)
        writer.stdout.close()
        writer.wait()
        whole = [line.split() for line in lines if line.endswith("\n")]
        assert len(whole) > 10
        fsck.check(tmp_path)
        key = key or ledgers.log_key(tmp_path)
        with ledgers.checked(tmp_path) as engine:
            current = head(engine)
            for index, size, proof, raw in whole:
                assert engine.statement(int(index)).hex() == raw
                assert current.size >= int(size)
                entry = statement.entry(bytes.fromhex(raw))
                receipt.check(bytes.fromhex(proof), entry=entry, key=key, thumbprint=key.thumbprint)
                assert engine.register(bytes.fromhex(raw)).index == int(index)
            signed = cose.parse_sign1(bytes.fromhex(whole[-1][2]), size_max=receipt.SIZE_MAX)
            assert signed.protected[cose.KID] == key.thumbprint
            assert engine.size == current.size
            assert statement.parse(engine.statement(0)).content_type == documents.GENESIS
