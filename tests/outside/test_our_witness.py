"""`vigil ledger witness run` cosigns a log that tlog-scales keeps, for the client of aics-witness; neither is ours."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from protocol import keys, notes
from protocol.notes import Checkpoint, NoteKey
from tests.support import running
from tests.support.outside import ask, python, run

pytestmark = pytest.mark.outside

ORIGIN = "kept.example/log"
SEED = bytes([41]) * 32
LOG = NoteKey(name=ORIGIN, kind=notes.SIGNATURE, key=keys.SigningKey.from_seed(SEED).public)
NAME = "witness.example/ours"

Step = Mapping[str, object]


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[tuple[str, NoteKey]]:
    """(URL, key) of a witness of ours that knows the log."""
    python("tlog")
    state = tmp_path / "witness"
    vkey = NoteKey.from_vkey(str(told("init", state, "--name", NAME)["vkey"]))
    told("add-log", state, LOG.vkey())
    with running.program("ledger", "witness", "run", state=state) as ready:
        yield str(ready["url"]), vkey


def told(command: str, state: Path, *words: str) -> Mapping[str, object]:
    """What a command of the witness says."""
    ran = run(
        Path(sys.executable), "-m", "vigil", "ledger", "witness", command, "--state", state, "--json", *words,
        cwd=running.ROOT,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr.decode()
    found = json.loads(ran.stdout)
    assert isinstance(found, dict)
    return found


def asked(witness: tuple[str, NoteKey], folder: Path, *steps: Step) -> list[Mapping[str, object]]:
    """What the log's keeper is answered at each step."""
    url, key = witness
    question = {"url": url, "witness": key.vkey(), "origin": ORIGIN, "seed": SEED.hex(), "folder": str(folder)}
    found = ask("tlog", "ask_log_keeper.py", {**question, "steps": steps})
    assert isinstance(found, list) and len(found) == len(steps)
    return found


def grow(leaves: int, *, log: str = "main", **more: object) -> Step:
    return {"log": log, "leaves": leaves, "text": log, **more}


def test_each_checkpoint_of_a_log_that_grew_is_cosigned(witness: tuple[str, NoteKey], tmp_path: Path) -> None:
    _, key = witness
    sizes, notes_of = (1, 2, 3, 256, 257, 700), []
    steps = [grow(size - before) for before, size in zip((0, *sizes), sizes, strict=False)]
    for answer in asked(witness, tmp_path, *steps):
        note = notes.parse(str(answer["note"]))
        signed = dict(notes.verify(note, [LOG, key]))
        assert LOG in signed and signed[key] is not None
        notes_of.append(Checkpoint.from_text(note.text).size)
    assert notes_of == list(sizes)


def test_another_past_and_a_step_back_are_refused_and_kept_as_evidence(
    witness: tuple[str, NoteKey], tmp_path: Path
) -> None:
    steps = [grow(300), grow(20), grow(0, show=300), grow(350, log="fork"), grow(0)]
    first, second, back, fork, again = asked(witness, tmp_path, *steps)
    assert "note" in first and "note" in second and "note" in again
    assert back == {"ahead": 320}
    assert fork == {"status": 422}
    (row,) = told("evidence", tmp_path / "witness")["evidence"]  # type: ignore[misc, attr-defined]
    held, refused = (Checkpoint.from_text(notes.parse(row[name]).text) for name in ("cosigned", "refused"))
    assert (row["origin"], held.size, refused.size) == (ORIGIN, 320, 350)
