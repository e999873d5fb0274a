"""Asking software that we did not write: a program of theirs, or a script of ours in an environment of theirs.

All of it is below .outside/, where tests/outside/install.sh puts it.
"""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHIN_S = 60


def installed(group: str, file: str) -> Path:
    """A file of what is installed under `group`.

    Skips the test where this machine cannot run the group, which install.sh found, or where nothing was installed; fails
    it where everything has to run, unless install.sh says that this machine cannot.
    """
    found = ROOT / ".outside" / group / file
    if not found.exists():
        absent = found.parents[len(Path(file).parts) - 1] / "absent.txt"
        if absent.exists():
            pytest.skip(absent.read_text().strip())
        missing(f".outside/{group} is not here: make outside")
    return found


def missing(reason: str) -> None:
    """Skips the test; fails it where everything has to run."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def python(environment: str) -> Path:
    """The Python of an environment."""
    return installed(environment, "bin/python")


def ask(environment: str, script: str, question: object) -> object:
    """What `script` of tests/outside answers, run by the environment's Python without anything of ours."""
    path = ROOT / "tests" / "outside" / script
    return answered([str(python(environment)), "-I", str(path)], question)


def ask_node(script: str, question: object) -> object:
    """What `script` of tests/outside answers, run by Node.js with the packages of .outside/node."""
    packages = installed("node", "node_modules")
    return answered(["node", str(ROOT / "tests" / "outside" / script), str(packages)], question)


def answered(command: Sequence[str], question: object) -> object:
    """JSON in, JSON out."""
    given = json.dumps(question).encode()
    ran = subprocess.run(command, input=given, capture_output=True, timeout=WITHIN_S, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return json.loads(ran.stdout)


def run(program: Path, *words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """A program of theirs, to its end."""
    command = [str(program), *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=WITHIN_S, check=False
    )
