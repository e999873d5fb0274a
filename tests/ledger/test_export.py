"""The auditor's pack of an entry: what is in it holds, and a pack that would not hold is not written."""

import contextlib
import json
import os
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import vigil
from ledger import export
from ledger.log import custody, epochs, keyring, signer
from ledger.log.store import FILE
from protocol import declarations, notes, policy, receipt, statement, tlog_proof
from protocol.errors import NotFound, Unavailable
from protocol.keys import EDDSA, PublicKey, SigningKey
from protocol.notes import Checkpoint
from protocol.p256 import ES256
from tests.support import ledgers, letters

FILES = {
    "README.txt", "checkpoint", "entry.tlog-proof", "issuer.pem", "log.pem", "log.vkey", "receipt.cose", "statement.cose",
    "transparent.cose",
}  # fmt: skip
DAY_MS = 86_400_000
WITNESS = notes.NoteKey(name="witness.example", kind=notes.COSIGNATURE, key=ledgers.STRANGER.public)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger at rest, with an admitted gateway and ten anchors."""
    state = tmp_path / "ledger"
    with ledgers.checked(state) as engine:
        engine.register_many([ledgers.admission(state), *(ledgers.anchor(n) for n in range(10))])
    return state


def ran(*words: str | Path) -> Result:
    """`vigil ledger export` in this process."""
    return CliRunner().invoke(vigil.cli, ["ledger", "export", *map(str, words)])


def check(files: dict[str, bytes], *, key: PublicKey, size: int) -> None:
    """What an auditor with the log's key checks, with nothing but the files."""
    raw = files["statement.cose"]
    found = statement.parse(raw)
    issuer = PublicKey.from_pem(files["issuer.pem"].decode())
    statement.verify(found, issuer, thumbprint=issuer.thumbprint)
    assert PublicKey.from_pem(files["log.pem"].decode()) == key
    said = receipt.check(files["receipt.cose"], entry=found.entry, key=key, thumbprint=key.thumbprint)
    assert receipt.detach(files["transparent.cose"]) == (raw, (files["receipt.cose"],))
    trusted = policy.parse(f"log {files['log.vkey'].decode().strip()}\nquorum none\n")
    proof = tlog_proof.Proof.decode(files["entry.tlog-proof"])
    head = tlog_proof.verify(proof, entry=found.entry, policy=trusted)
    assert proof.checkpoint.encode() == files["checkpoint"]
    assert (head.size, said.size, said.index, said.path) == (size, size, proof.index, proof.path)
    assert head.root == receipt.verify(said, entry=found.entry, key=key)


def test_a_pack_of_any_entry_holds_by_itself(folder: Path) -> None:
    key = ledgers.log_key(folder)
    with contextlib.closing(ledgers.opened(folder)) as engine:  # while it runs
        for index in range(engine.size):
            made = export.pack(folder, f"1.{index}")
            assert made.files.keys() == FILES
            assert made.files["statement.cose"] == engine.statement(index)
            assert (made.index, made.size, made.origin) == (index, engine.size, ledgers.ORIGIN)
            check(dict(made.files), key=key, size=engine.size)
        size = engine.size
    check(dict(export.pack(folder, "1.0").files), key=key, size=size)  # and when it does not


def test_the_command_writes_the_folder_and_says_what_is_in_it(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "pack"
    result = ran("1.3", "--state", folder, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    assert sorted(files) == told["files"] == sorted(FILES)
    assert told["digest"] == statement.entry(files["statement.cose"]).hex()
    check(files, key=ledgers.log_key(folder), size=told["size"])
    readme = files["README.txt"].decode()
    for word in ("scitt-cose --statement", "aics-tlog verify-checkpoint", "tlog-tiles gen-proof URL 3", told["digest"]):
        assert word in readme
    plain = ran("1.3", "--state", tmp_path, "--out", tmp_path / "other")  # as a demo that was kept lies
    assert plain.exit_code == 0 and "1.3" in plain.stdout
    assert {path.name: path.read_bytes() for path in (tmp_path / "other").iterdir()} == files


def test_exit_codes_tell_what_happened(tmp_path: Path, folder: Path) -> None:
    for name, state, code, exit_code in (
        ("1.99", folder, "entry_unknown", 3),
        ("2.0", folder, "entry_unknown", 3),
        ("0.1", folder, "entry_unknown", 3),
        ("../1", folder, "entry_unknown", 3),
        ("1.01", folder, "entry_unknown", 3),
        ("1.1", tmp_path / "none", "state_missing", 3),
        ("1.1", folder, "out_exists", 2),
    ):
        out = tmp_path / "pack" if code != "out_exists" else folder
        result = ran(name, "--state", state, "--out", out, "--json")
        assert (json.loads(result.stdout)["error"], result.exit_code) == (code, exit_code)
    assert not (tmp_path / "pack").exists()


def test_the_pack_is_for_the_checkpoint_that_witnesses_cosigned(folder: Path) -> None:
    with contextlib.closing(ledgers.opened(folder)) as engine:
        note, size = engine.checkpoint(), engine.size
        text = notes.parse(note).text
        cosigned = note + notes.cosign(text, name=WITNESS.name, key=ledgers.STRANGER, at_s=1_700_000_000).text()
        engine.publish(cosigned)
        engine.register(ledgers.anchor(50))
    made = export.pack(folder, "1.2")
    assert (made.size, made.cosigned_by, made.files["checkpoint"].decode()) == (size, (WITNESS.name,), cosigned)
    assert f"Cosigned by: {WITNESS.name}".encode() in made.files["README.txt"]
    check(dict(made.files), key=ledgers.log_key(folder), size=size)
    vkey = made.files["log.vkey"].decode()
    asked = policy.parse(f"log {vkey}witness w {WITNESS.vkey()}\nquorum w\n")
    proof = tlog_proof.Proof.decode(made.files["entry.tlog-proof"])
    tlog_proof.verify(proof, entry=made.digest, policy=asked)
    newest = export.pack(folder, f"1.{size}")  # nobody cosigned a tree that has it yet
    assert (newest.size, newest.cosigned_by) == (size + 1, ())
    check(dict(newest.files), key=ledgers.log_key(folder), size=size + 1)


def test_a_statement_that_was_taken_away_leaves_a_pack_with_its_proofs(tmp_path: Path) -> None:
    state = tmp_path / "letters"
    with letters.checked(state) as engine:
        engine.register_many([ledgers.admission(state), letters.letter(b"a"), letters.letter(b"b")])
        index = engine.size - 1
        digest = statement.entry(engine.statement(index))
        custody.redact(engine, letters.root(state), index=index, reason="court-order")
    made = export.pack(state, f"1.{index}")
    assert made.files.keys() == FILES - {"statement.cose", "transparent.cose", "issuer.pem"}
    assert made.digest == digest
    key = ledgers.log_key(state)
    receipt.check(made.files["receipt.cose"], entry=digest, key=key, thumbprint=key.thumbprint)
    readme = made.files["README.txt"].decode()
    assert "taken away" in readme and "--statement" not in readme
    assert b"letter" not in b"".join(made.files.values())


def test_an_entry_that_was_pruned_has_no_pack_and_the_others_have(tmp_path: Path) -> None:
    state = tmp_path / "letters"
    with letters.checked(state) as engine:
        engine.register_many([ledgers.admission(state), *(letters.letter(b"%d" % n) for n in range(300))])
        custody.prune(engine, letters.root(state), minimum=256)
        size = engine.size
    with pytest.raises(NotFound) as pruned:
        export.pack(state, "1.5")
    assert pruned.value.code == "entry_pruned"
    check(dict(export.pack(state, "1.256").files), key=ledgers.log_key(state), size=size)


def test_entries_of_epochs_that_ended_keep_their_packs(folder: Path) -> None:
    with contextlib.closing(ledgers.opened(folder)) as engine:
        old_key, size, note = ledgers.log_key(folder), engine.size, engine.checkpoint()
        root = keyring.load(folder, keyring.REGISTRY_KEY)
        custody.roll_over(engine, folder, root, origin="log.example/test/2", note=note, now_ms=ledgers.Clock())
    made = export.pack(folder, "1.5")
    assert made.origin == ledgers.ORIGIN
    check(dict(made.files), key=old_key, size=size)
    next_one = export.pack(folder, "2.0")
    assert next_one.origin == "log.example/test/2"
    check(dict(next_one.files), key=keyring.load(folder, epochs.key_of(2)).public, size=next_one.size)


def test_packs_hold_while_and_after_a_log_changes_its_keys(folder: Path) -> None:
    old, clock = keyring.load(folder, keyring.LOG_KEY), ledgers.Clock()
    with contextlib.closing(ledgers.opened(folder, clock)) as engine:
        new, ec = signer.make(folder, alg=EDDSA), signer.make(folder, alg=ES256)
        assert isinstance(new, SigningKey)
        engine.register(declarations.log_key(old, ec, log=ledgers.ORIGIN, until_ms=None))
        engine.register(declarations.log_key(old, new, log=ledgers.ORIGIN, until_ms=clock.at_ms + DAY_MS))
        size = engine.size
        check(dict(export.pack(folder, "1.5").files), key=old.public, size=size)  # both sign: the older goes on
        clock.at_ms += 2 * DAY_MS
        engine.register(ledgers.anchor(77))
    check(dict(export.pack(folder, "1.5").files), key=new.public, size=size + 1)
    made = export.pack(folder, "1.5", alg=ES256)
    receipt.check(made.files["receipt.cose"], entry=made.digest, key=ec.public, thumbprint=ec.thumbprint)
    assert made.files["log.pem"].decode() == ec.public.pem()
    with pytest.raises(NotFound) as none:
        export.pack(folder, "1.5", alg=-35)
    assert none.value.code == "alg_not_offered"


def change(folder: Path, *sql: str) -> None:
    """Damage the database."""
    with contextlib.closing(sqlite3.connect(folder / FILE)) as db:
        for one in sql:
            db.execute(one)
        db.commit()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE node SET hash = zeroblob(32) WHERE level = 0 AND place = 2",
        "DELETE FROM node WHERE level = 0 AND place = 2",
        "UPDATE entry SET digest = zeroblob(32) WHERE place = 3",
        "UPDATE entry SET statement = zeroblob(9) WHERE place = 3",
        "UPDATE entry SET statement = (SELECT statement FROM entry WHERE place = 4) WHERE place = 3",
        "DELETE FROM entry WHERE place = 3",
        "DELETE FROM checkpoint",
        "DELETE FROM state",
    ],
)
def test_a_damaged_database_gives_no_pack(tmp_path: Path, folder: Path, sql: str) -> None:
    change(folder, sql)
    result = ran("1.3", "--state", folder, "--out", tmp_path / "pack", "--json")
    assert result.exit_code == 5, result.output
    assert not (tmp_path / "pack").exists()


def test_a_ledger_without_its_key_or_of_another_key_gives_no_pack(folder: Path) -> None:
    (folder / keyring.LOG_KEY).write_text(ledgers.STRANGER.pem())
    with pytest.raises(Unavailable) as wrong:
        export.pack(folder, "1.3")
    assert wrong.value.code == "key_missing"
    (folder / keyring.LOG_KEY).unlink()
    with pytest.raises(NotFound) as missing:
        export.pack(folder, "1.3")
    assert missing.value.code == "key_missing"


def test_a_failed_export_leaves_nothing(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(os, "fsync", fail)
    result = ran("1.3", "--state", folder, "--out", tmp_path / "pack", "--json")
    assert (json.loads(result.stdout)["error"], result.exit_code) == ("file_unwritable", 5)
    assert sorted(tmp_path.iterdir()) == before


def test_an_export_changes_nothing_in_the_ledgers_folder(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    export.pack(folder, "1.3")
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name: after[name] for name in before} == before
    assert Checkpoint.from_text(notes.parse(export.pack(folder, "1.3").files["checkpoint"].decode()).text).size > 3
