"""Asking software that we did not write: a script of ours in an environment of theirs, JSON in and JSON out."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHIN_S = 60


def python(environment: str) -> Path:
    """The Python of an environment. Skips the test when it is not installed; fails it where everything has to run."""
    found = ROOT / ".outside" / environment / "bin" / "python"
    if not found.exists():
        reason = f".outside/{environment} is not here: make outside"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def ask(environment: str, script: str, question: object) -> object:
    """What `script` of tests/outside answers, run by the environment's Python without anything of ours."""
    path = ROOT / "tests" / "outside" / script
    ran = subprocess.run(
        [str(python(environment)), "-I", str(path)],
        input=json.dumps(question).encode(),
        capture_output=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return json.loads(ran.stdout)
