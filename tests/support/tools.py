"""Programs that tests call and that a machine may not have."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ELSEWHERE = "/usr/local/sbin:/usr/sbin:/sbin"  # where Debian keeps what a user's PATH does not name
SECONDS_MAX = 60


def tool(name: str) -> str:
    """The path of a program; without it the test is skipped, or fails when nothing may skip (CI=true)."""
    found = shutil.which(name) or shutil.which(name, path=ELSEWHERE)
    if found is not None:
        return found
    reason = f"{name} is not here"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def called(command: Sequence[str], **environment: str) -> tuple[int, str]:
    """The exit code of a program and all that it printed."""
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    return done.returncode, done.stdout
