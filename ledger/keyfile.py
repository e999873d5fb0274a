"""A folder of one program's state: key files that only the owner may read, and a lock so that one process at a time writes."""

import fcntl
import os
from pathlib import Path

from protocol.errors import ConfigError, Malformed, NotFound, Unavailable
from protocol.keys import SigningKey

LOCK = "lock"


def load(path: Path, *, fix: str) -> SigningKey:
    """The key in a PEM file. fix: what to do when there is none. Raises NotFound: key_missing; Unavailable: key_unreadable."""
    try:
        return SigningKey.from_pem(path.read_text())
    except FileNotFoundError as error:
        raise NotFound("key_missing", f"there is no {path}: {fix}") from error
    except (OSError, UnicodeDecodeError, Malformed) as error:
        raise Unavailable("key_unreadable", f"cannot use {path}") from error


def make(path: Path) -> None:
    """A new key in a PEM file of mode 0600, whole and on disk before this returns; none when there is a file already."""
    if not path.exists():
        put(path, SigningKey.from_seed(os.urandom(32)).pem())


def put(path: Path, pem: str) -> None:
    """Write a key file of mode 0600, whole and on disk before this returns."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync(path.parent)


def hold(folder: Path, *, program: str) -> int:
    """Make `folder` when needed and lock it. program: what else may run there, for people. Returns a descriptor to close.

    Raises ConfigError: state_in_use; Unavailable: state_unreadable.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unavailable("state_unreadable", f"cannot use the folder {folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(
            "state_in_use", f"a {program} is running on {folder}; stop it, or name another folder with --state"
        ) from error
    return descriptor


def sync(folder: Path) -> None:
    """Names that were made or changed in `folder` are on disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
