"""A real disk that is too small, so that the kernel itself says that there is no room (ENOSPC)."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

CHUNK = 4096


@contextlib.contextmanager
def small_disk(folder: Path, *, kib: int) -> Iterator[Path]:
    """`folder` as a file system of its own of that size, while the block runs. Only root may mount: for others the test is
    skipped; it fails where root may not (CI=true), for then nothing shows what a full disk does."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=700", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        reason = mounted.stderr.strip() if mounted.returncode else ""
    except FileNotFoundError:
        reason = "there is no mount"
    if reason:
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(f"cannot mount a small disk: {reason}")
        pytest.skip(f"cannot mount a small disk: {reason}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Ballast:
    """A file that takes all room that is left on the disk of `folder`, until it is thrown out."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"

    def fill(self) -> None:
        """Take what is left. The kernel must have said that there is no more."""
        with self._path.open("ab", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(CHUNK))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    return

    def throw_out(self) -> None:
        """Make room again."""
        self._path.unlink()
