"""Signed snapshots of the state: where a replay goes on when what came before can no longer be judged."""

import hashlib
from collections.abc import Iterable, Mapping

from ledger.log.store import Head, Store
from protocol import cbor, cose
from protocol.errors import BadSignature, Malformed, VerificationFailed
from protocol.keys import SigningKey
from protocol.retention import Snapshot

_LABEL = b"vigil-ledger-state/1"

Items = Iterable[tuple[bytes, bytes]]


def digest_of(items: Items) -> bytes:
    """32 bytes: SHA-256 over a label and CBOR `[key, value]` of each, in the bytewise order of the keys."""
    said = hashlib.sha256(_LABEL)
    for key, value in items:
        said.update(cbor.encode([key, value]))
    return said.digest()


def name_of(signed: bytes) -> bytes:
    """32 bytes: what statements call a snapshot by."""
    return hashlib.sha256(signed).digest()


def sign(key: SigningKey, *, origin: str, epoch: int, head: Head, state: Mapping[bytes, bytes]) -> bytes:
    """The log's word for the state at `head`, signed: the same bytes each time."""
    return Snapshot(
        origin=origin,
        epoch=epoch,
        size=head.size,
        root=head.root,
        chain=head.chain,
        at_ms=head.at_ms,
        state=digest_of(sorted(state.items())),
    ).sign(key)


def load(store: Store, size: int, keys: Mapping[bytes, cose.Verifier]) -> tuple[Snapshot, dict[bytes, bytes], bytes]:
    """The snapshot that is kept at `size`, its whole state and its name. keys: the log's, by thumbprint.

    Raises VerificationFailed: snapshot_missing, snapshot_bad.
    """
    signed = dict(store.keeping.snapshots()).get(size)
    if signed is None:
        raise VerificationFailed("snapshot_missing", f"there is no snapshot at {size}")
    try:
        found = Snapshot.verified(signed, keys)
    except (Malformed, BadSignature) as error:
        raise VerificationFailed("snapshot_bad", f"the snapshot at {size} does not hold: {error}") from error
    state = store.keeping.snapshot_state(size)
    if found.size != size or found.state != digest_of(state):
        raise VerificationFailed("snapshot_bad", f"the snapshot at {size} is not of the state beside it")
    return found, dict(state), name_of(signed)
