"""A ledger as a process of its own on a free port, for tests that look at it as strangers do."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.demo.supervise import Line, environment
from ledger.log import fsck
from protocol import notes, statement
from protocol.notes import Checkpoint, NoteKey
from tests.support import ledgers

ROOT = Path(__file__).parents[2]
ENDS_WITHIN_S = 30

_FREE = ("--port", "0", "--metrics-port", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """url: where it serves; state: its folder."""

    url: str
    state: Path

    def checkpoint(self) -> Checkpoint:
        """The tree that it shows now."""
        return Checkpoint.from_text(notes.parse(httpx.get(f"{self.url}/checkpoint").text).text)


@contextlib.contextmanager
def program(*command: str, state: Path, **settings: object) -> Iterator[Line]:
    """What a program says once it serves from the folder `state`; it runs while the block does, and has to end well.

    settings: of the environment, by their whole names.
    """
    words = [sys.executable, "-m", "vigil", *command, *_FREE, "--state", str(state), "--json"]
    with (state.parent / f"{state.name}.log").open("ab") as told:
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env=_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=told,
        )
    assert process.stdout is not None
    try:
        ready: Line = json.loads(process.stdout.readline() or "{}")
        assert ready.get("event") == "ready", Path(told.name).read_text()
        yield ready
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=ENDS_WITHIN_S)
        assert process.returncode == 0, Path(told.name).read_text()
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def ledger(state: Path, **settings: object) -> Iterator[Running]:
    """The ledger in the folder `state`, served while the block runs, and checked then."""
    with program("ledger", "run", state=state, **_named(settings)) as ready:
        yield Running(url=str(ready["url"]), state=state)
    fsck.check(state)


def refused(state: Path, **settings: object) -> tuple[int, Line]:
    """(exit code, error) of a ledger that is expected not to begin."""
    ran = subprocess.run(
        [sys.executable, "-m", "vigil", "ledger", "run", *_FREE, "--state", str(state), "--json"],
        cwd=ROOT,
        env=_environment(_named(settings)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=ENDS_WITHIN_S,
        check=False,
    )
    told: Line = json.loads(ran.stdout)
    return ran.returncode, told


def _named(settings: Mapping[str, object]) -> dict[str, object]:
    return {f"VIGIL_LEDGER_{name.upper()}": value for name, value in settings.items()}


def _environment(settings: Mapping[str, object]) -> dict[str, str]:
    return environment(os.environ) | {name: str(value) for name, value in settings.items()}


def filled(state: Path, *sizes: int) -> list[str]:
    """Grow a ledger in the folder `state` to each of `sizes`, mostly with anchors; the checkpoint it had at each."""
    found = []
    with ledgers.checked(state) as engine:
        engine.register(ledgers.admission(state))
        numbers = itertools.count()
        for size in sizes:
            while engine.size < size:  # those that are there already count for nothing
                engine.register_many([ledgers.anchor(next(numbers)) for _ in range(size - engine.size)])
            found.append(engine.checkpoint())
    return found


def entries(state: Path) -> list[bytes]:
    """The 32-byte entries of a ledger at rest."""
    with ledgers.checked(state) as engine:
        return [statement.entry(engine.statement(index)) for index in range(engine.size)]


def vkey(state: Path) -> str:
    """The verifier key of a ledger's checkpoints."""
    return NoteKey(name=ledgers.ORIGIN, kind=notes.SIGNATURE, key=ledgers.log_key(state)).vkey()
