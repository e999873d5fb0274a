"""Files and folders that are written whole: whoever opens one finds all of it, or what was there before."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ledger import keyfile
from protocol.errors import ConfigError, Unavailable


def write(path: Path, data: bytes) -> None:
    """Write a file whole: whoever opens `path` finds what was there before, or all of `data`.

    Raises Unavailable: file_unwritable.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)  # a pipe or /dev/stdout: nothing to put in its place
            return
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            _store(fresh, data)
            fresh.replace(path)  # Stop before here: the old file, and a hidden one beside it that nobody reads.
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable("file_unwritable", f"cannot write {path}: {error.strerror}") from error


def make_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """A new folder with these files by name, all of them on disk before it is there under its name.

    Raises ConfigError: out_exists, when there is something already; Unavailable: file_unwritable.
    """
    whole = path.absolute()
    try:
        if whole.exists() and (not whole.is_dir() or any(whole.iterdir())):
            raise ConfigError("out_exists", f"{path} is there already: name a new folder or an empty one")
        fresh = whole.with_name(f".{whole.name}.{os.getpid()}")
        whole.parent.mkdir(parents=True, exist_ok=True)
        try:
            fresh.mkdir()
            for name, data in files.items():
                _store(fresh / name, data)
            keyfile.sync(fresh)
            fresh.rename(whole)  # Stop before here: nothing under its name, and a hidden folder that nobody reads.
            keyfile.sync(whole.parent)
        finally:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(fresh)
    except OSError as error:
        raise Unavailable("file_unwritable", f"cannot write {path}: {error.strerror}") from error


def _store(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
