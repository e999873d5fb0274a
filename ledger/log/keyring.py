"""The ledger's folder: key files that only the owner may read, and a lock so that one process at a time writes."""

from pathlib import Path

from ledger import keyfile
from protocol import declarations
from protocol.documents import Admission
from protocol.errors import ConfigError, Malformed
from protocol.keys import SigningKey

LOG_KEY, REGISTRY_KEY = "log.key", "registry.key"


def load(folder: Path, name: str) -> SigningKey:
    """The key in a PEM file. Raises NotFound: key_missing; Unavailable: key_unreadable."""
    return keyfile.load(folder / name, fix="run the ledger once, or bring the file here")


def load_or_make(folder: Path, name: str) -> SigningKey:
    """The key in a PEM file, made and on disk before this returns when there is none yet (mode 0600)."""
    keyfile.make(folder / name)
    return load(folder, name)


def lock(folder: Path) -> int:
    """Make `folder` when needed and hold it. Returns a descriptor to close in the end.

    Raises ConfigError: state_in_use; Unavailable: state_unreadable.
    """
    return keyfile.hold(folder, program="ledger")


def admission(root: SigningKey, *, role: str, key: bytes, name: str) -> bytes:
    """The registry root's statement that `key` has `role`: the same bytes each time, so that it is registered once.

    Raises ConfigError: admission_bad.
    """
    document = Admission(role=role, key=key, name=name)
    try:
        Admission.decode(document.encode())
    except Malformed as error:
        raise ConfigError("admission_bad", f"cannot be admitted so: {error.detail}") from error
    return declarations.admission(root, document)
