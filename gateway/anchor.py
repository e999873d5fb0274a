"""Batches for the ledger: the Merkle root of what became durable since the last one, and the chain from one to the next.

A batch is made on schedule, also when nothing came, and never because much came: its cadence and presence tell nothing about
anybody. wire.md, "From message to ledger".
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from protocol import documents, merkle, statement
from protocol.keys import SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A durable message as a batch needs it. digest: SHA-256 of the message."""

    topic: str
    received_ms: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A new anchor: its fields, its document, and the statement to register."""

    anchor: documents.Anchor
    document: bytes
    statement: bytes


def entry_of(stored: Stored) -> bytes:
    """The entry of a message in its batch."""
    return documents.BatchEntry(topic=stored.topic, received_ms=stored.received_ms, digest=stored.digest).encode()


def tree_of(batch: Sequence[Stored]) -> merkle.Tree:
    """The batch's tree, in the order in which the messages became durable."""
    return merkle.Tree([merkle.leaf_hash(entry_of(stored)) for stored in batch])


def make(key: SigningKey, batch: Sequence[Stored], *, last: bytes | None, begun_ms: int, now_ms: int) -> Made:
    """The anchor of `batch`. last: the document of the anchor before; begun_ms: when the first batch of all begins."""
    before = None if last is None else documents.Anchor.decode(last)
    received = [stored.received_ms for stored in batch]
    from_ms = min([begun_ms if before is None else before.to_ms, *received])
    tree = tree_of(batch)
    anchor = documents.Anchor(
        gateway=key.public.thumbprint,
        n=0 if before is None else before.n + 1,
        prev=documents.FIRST_PREV if last is None else hashlib.sha256(last).digest(),
        root=tree.root() if batch else merkle.EMPTY_ROOT,
        size=len(batch),
        from_ms=from_ms,
        to_ms=max([now_ms, from_ms, *received]),
    )
    document = anchor.encode()
    signed = statement.sign_hash_envelope(
        key,
        iss=key.public.urn,
        sub=documents.anchor_subject(key.public.thumbprint),
        preimage=document,
        preimage_content_type=documents.ANCHOR,
    )
    return Made(anchor=anchor, document=document, statement=signed)
