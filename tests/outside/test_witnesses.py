"""Witnesses that are not ours, aics-witness and litewitness, cosign our log's checkpoints and notice when it goes back."""

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import httpx
import pytest

from ledger.witness import asking
from protocol import notes, witnessing
from protocol import policy as policies
from protocol.notes import Checkpoint
from tests.support import ledgers, outsiders, running
from tests.support.outside import installed, run
from tests.support.outsiders import Outsider

pytestmark = pytest.mark.outside

COSIGNED_WITHIN_S = 20
LOOK_S = 0.1
SIZE = 300

Witness = Callable[..., AbstractContextManager[Outsider]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A ledger at rest."""
    running.filled(tmp_path / "ledger", SIZE)
    return tmp_path / "ledger"


def policy_of(state: Path, *asked: Outsider) -> Path:
    """A policy in a file: all of these have to cosign."""
    file = state.parent / "policy.txt"
    names = " ".join(each.name for each in asked)
    lines = "".join(each.line() for each in asked)
    file.write_text(f"log {running.vkey(state)}\n{lines}group all all {names}\nquorum all\n")
    return file


def cosigned(url: str, file: Path, size: int) -> str:
    """The checkpoint of `size` entries, once it is shown and meets the policy; until the first one does, the log's own is."""
    policy = policies.parse(file.read_text())
    ends_s = time.monotonic() + COSIGNED_WITHIN_S
    while True:
        note = httpx.get(f"{url}/checkpoint").text
        if policy.meets({name for name, _ in policy.signed(note)[1]}):
            found = Checkpoint.from_text(notes.parse(note).text)
            if found.size == size:
                return note
        assert time.monotonic() < ends_s, note
        time.sleep(LOOK_S)


def registered(url: str, number: int) -> None:
    answer = httpx.post(f"{url}/entries", content=ledgers.anchor(number), headers={"content-type": "application/cose"})
    assert answer.status_code == 201, answer.content


def seen_by_aics(witness: Outsider) -> int:
    """The size that it cosigned last."""
    ran = run(installed("tlog", "bin/aics-witness"), "status", "-c", "w.json", "--json", cwd=witness.folder)
    (log,) = json.loads(ran.stdout)["logs"]
    return int(log["size"])


def seen_by_lite(witness: Outsider) -> int:
    """The same."""
    with closing(sqlite3.connect(witness.folder / "w.db")) as store:
        ((size,),) = store.execute("SELECT tree_size FROM log")
    return int(size)


def test_what_is_shown_has_the_cosignatures_of_both(state: Path, tmp_path: Path) -> None:
    log = {"origin": ledgers.ORIGIN, "vkey": running.vkey(state)}
    with outsiders.aics(tmp_path / "aics", **log) as aics, outsiders.lite(tmp_path / "lite", **log) as lite:
        file = policy_of(state, aics, lite)
        with running.ledger(state, witness_policy=file) as ledger:
            cosigned(ledger.url, file, SIZE)
            registered(ledger.url, 1_000_000)
            note = cosigned(ledger.url, file, SIZE + 1)
            (tmp_path / "log.vkey").write_text(f"{log['vkey']}\n")
            words = ["verify-checkpoint", "--tiles", ledger.url, "--vkey-file", "log.vkey", "--quorum", "2"]
            words += ["--witness-key", aics.vkey, "--witness-key", lite.vkey, "--max-age", "600"]
            ran = run(installed("tlog", "bin/aics-tlog"), *words, cwd=tmp_path)
            found = json.loads(ran.stdout)
            assert (ran.returncode, found["ok"], found["cosignatures"], found["tiles_ok"]) == (0, True, 2, True)
        assert seen_by_aics(aics) == seen_by_lite(lite) == SIZE + 1
    assert len(notes.parse(note).lines) == 3


@pytest.mark.parametrize("witness", [outsiders.aics, outsiders.lite])
def test_a_checkpoint_is_not_shown_before_its_witness_signed(state: Path, tmp_path: Path, witness: Witness) -> None:
    log = {"origin": ledgers.ORIGIN, "vkey": running.vkey(state)}
    with witness(tmp_path / "w", **log) as found:
        file = policy_of(state, found)
        with running.ledger(state, witness_policy=file) as ledger:
            cosigned(ledger.url, file, SIZE)
    with running.ledger(state, witness_policy=file) as ledger:  # nobody answers any more
        registered(ledger.url, 1_000_000)
        time.sleep(1.5 * asking.EVERY_S)
        shown = httpx.get(f"{ledger.url}/checkpoint").text
        policies.parse(file.read_text()).check(shown)
        assert Checkpoint.from_text(notes.parse(shown).text).size == SIZE


@pytest.mark.parametrize("witness", [outsiders.aics, outsiders.lite])
def test_a_ledger_from_an_old_copy_does_not_begin(state: Path, tmp_path: Path, witness: Witness) -> None:
    log = {"origin": ledgers.ORIGIN, "vkey": running.vkey(state)}
    shutil.copytree(state, tmp_path / "old")
    with witness(tmp_path / "w", **log) as found:
        file = policy_of(state, found)
        with running.ledger(state, witness_policy=file) as ledger:
            registered(ledger.url, 1_000_000)
            cosigned(ledger.url, file, SIZE + 1)
        code, told = running.refused(tmp_path / "old", witness_policy=file)
        assert (code, told["error"]) == (2, "log_rolled_back")
        with running.ledger(state, witness_policy=file) as ledger:
            cosigned(ledger.url, file, SIZE + 1)


def test_another_tree_of_the_same_size_is_never_cosigned(state: Path, tmp_path: Path) -> None:
    log = {"origin": ledgers.ORIGIN, "vkey": running.vkey(state)}
    shutil.copytree(state, tmp_path / "fork")
    with outsiders.aics(tmp_path / "w", **log) as found:
        file = policy_of(state, found)
        with running.ledger(state, witness_policy=file) as ledger:
            registered(ledger.url, 1_000_000)
            cosigned(ledger.url, file, SIZE + 1)
        with ledgers.checked(tmp_path / "fork") as engine:
            engine.register(ledgers.anchor(2_000_000))
            forked = engine.checkpoint()
        code, told = running.refused(tmp_path / "fork", witness_policy=file)
        assert (code, told["error"]) == (2, "log_rolled_back")
        request = witnessing.Request.make(old=SIZE + 1, proof=(), note=forked)
        answer = httpx.post(f"{found.url}/{witnessing.PATH}", content=request.body())
        assert request.checkpoint.size == SIZE + 1 and answer.status_code == 422
        ran = run(installed("tlog", "bin/aics-witness"), "evidence", "-c", "w.json", cwd=found.folder)
        assert len(json.loads(ran.stdout)) == 1
