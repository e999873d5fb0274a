"""The ledger's folder: key files that only the owner may read, and a lock so that one process at a time writes."""

import fcntl
import os
from pathlib import Path

from protocol import documents, statement
from protocol.documents import Admission
from protocol.errors import ConfigError, Malformed, NotFound, Unavailable
from protocol.keys import PublicKey, SigningKey

LOG_KEY, REGISTRY_KEY = "log.key", "registry.key"
LOCK = "lock"


def load(folder: Path, name: str) -> SigningKey:
    """The key in a PEM file. Raises NotFound: key_missing; Unavailable: key_unreadable."""
    path = folder / name
    try:
        return SigningKey.from_pem(path.read_text())
    except FileNotFoundError as error:
        raise NotFound("key_missing", f"there is no {path}: run the ledger once, or bring the file here") from error
    except (OSError, UnicodeDecodeError, Malformed) as error:
        raise Unavailable("key_unreadable", f"cannot use {path}") from error


def load_or_make(folder: Path, name: str) -> SigningKey:
    """The key in a PEM file, made and on disk before this returns when there is none yet (mode 0600)."""
    if not (folder / name).exists():
        fresh = folder / f".{name}.{os.getpid()}"
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(SigningKey.from_seed(os.urandom(32)).pem())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / name)
        _sync(folder)
    return load(folder, name)


def lock(folder: Path) -> int:
    """Make `folder` when needed and hold it. Returns a descriptor to close in the end.

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
            "state_in_use", f"a ledger is running on {folder}; stop it, or name another folder with --state"
        ) from error
    return descriptor


def admission(root: SigningKey, *, role: str, key: bytes, name: str) -> bytes:
    """The registry root's statement that `key` has `role`: the same bytes each time, so that it is registered once.

    Raises ConfigError: admission_bad.
    """
    try:
        document = Admission(role=role, key=key, name=name).encode()
        Admission.decode(document)
        subject = documents.registry_subject(PublicKey(key).thumbprint)
    except Malformed as error:
        raise ConfigError("admission_bad", f"cannot be admitted so: {error.detail}") from error
    return statement.sign(root, iss=root.public.urn, sub=subject, payload=document, content_type=documents.REGISTRY)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
