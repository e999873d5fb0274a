"""A ledger in a folder with its parties, for tests; `checked` ends each with a check of everything it stored."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ledger.log import fsck, keyring
from ledger.log.engine import Engine
from ledger.log.registering import Registered
from protocol import documents, keys, receipt, statement
from protocol.growth import Placed
from protocol.keys import SigningKey

ORIGIN = "log.example/test"
NOW_MS = 1_700_000_000_000
BEGUN = 2  # entries of a log that has just begun: genesis and policy
GATEWAY = SigningKey.from_seed(bytes([3]) * 32)
STRANGER = SigningKey.from_seed(bytes([9]) * 32)


class Clock:
    """A clock that tests set, in ms."""

    def __init__(self, at_ms: int = NOW_MS) -> None:
        self.at_ms = at_ms

    def __call__(self) -> int:
        return self.at_ms


def opened(folder: Path, clock: Clock | None = None) -> Engine:
    """The log in `folder`."""
    return Engine.open(folder, now_ms=clock or Clock(), origin=ORIGIN)


@contextlib.contextmanager
def checked(folder: Path, clock: Clock | None = None) -> Iterator[Engine]:
    """The log in `folder`, which is closed and checked in the end."""
    with contextlib.closing(opened(folder, clock)) as engine:
        yield engine
    fsck.check(folder)


def admission(folder: Path, key: SigningKey = GATEWAY, name: str = "clinic") -> bytes:
    """The registry root's word that `key` is a gateway's."""
    return keyring.admission(keyring.load(folder, keyring.REGISTRY_KEY), role="gateway", key=key.public.x, name=name)


def anchor(n: int, key: SigningKey = GATEWAY, **changed: object) -> bytes:
    """A hash envelope over something, as an anchor of the gateway with `key`."""
    values: dict[str, object] = {
        "iss": key.public.urn,
        "sub": documents.anchor_subject(key.public.thumbprint),
        "preimage": b"batch %d" % n,
        "preimage_content_type": documents.ANCHOR,
    }
    return statement.sign_hash_envelope(key, **{**values, **changed})


def enrolment(n: int, key: SigningKey = GATEWAY, **changed: object) -> bytes:
    """A hash envelope over something, as an enrolment by the gateway with `key`."""
    subject = documents.enrolment_subject(key.public.thumbprint)
    return anchor(n, key, **{"sub": subject, "preimage_content_type": documents.ENROLMENT, **changed})


def placed(digest: bytes, index: int = 1, size: int = 2, *, receipt: bytes = b"") -> Placed:
    """The place of a statement, as if its receipt had been checked."""
    return Placed(
        digest=digest,
        entry_id=f"1.{index}",
        origin=ORIGIN,
        epoch=1,
        index=index,
        size=size,
        root=bytes(32),
        receipt=receipt,
    )


def log_key(folder: Path) -> keys.PublicKey:
    """The key that signs receipts and checkpoints."""
    return keyring.load(folder, keyring.LOG_KEY).public


def prove(folder: Path, found: Registered, raw: bytes) -> bytes:
    """The root under which the receipt of `found` proves `raw`."""
    key = log_key(folder)
    proof = receipt.check(found.receipt, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
    assert (proof.index, proof.size, proof.iss, proof.sub) == (found.index, found.size, ORIGIN, found.entry_id)
    return receipt.verify(proof, entry=statement.entry(raw), key=key)
