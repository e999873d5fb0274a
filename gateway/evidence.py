"""Exporting the evidence of one message: from the gateway's record and the ledger's tiles, checked before it is written."""

import sqlite3

from gateway.anchor import entry_of, tree_of
from gateway.store import anchors, devices
from ledger.client import Client
from protocol import keys, statement, topics
from protocol.errors import NotFound, Unavailable
from protocol.evidence import Bundle, Proof, Trust, Verdict, verify


def export(
    conn: sqlite3.Connection,
    client: Client,
    trust: Trust,
    *,
    device: str,
    position: tuple[int, int, int],
    lk: bytes | None,
) -> tuple[bytes, Verdict]:
    """(bundle, what it proves) of one message. position: (lane, boot, seq); lk: to disclose the content, None to keep it
    closed. Raises NotFound: message_unknown, not_anchored, not_logged; Unavailable; EvidenceError when it would not hold."""
    lane, boot, seq = position
    place = anchors.place(conn, device, lane, boot, seq)
    enrolled = devices.find(conn, device)
    statements = {
        "anchor": anchors.logged(conn, statement.entry(place.statement)),
        "enrolment": anchors.logged(conn, statement.entry(enrolled.statement)),
        "registry": anchors.logged(conn, anchors.admission(conn)),
    }
    note = trust.policy.kept(client.checkpoint())
    checkpoint, _ = trust.policy.check(note)
    newest = max(index for _, index in statements.values())
    if checkpoint.size <= newest:
        raise Unavailable("checkpoint_old", "the ledger's checkpoint does not cover this batch yet; try again")
    proofs = {
        name: Proof(statement=raw, index=index, path=tuple(client.proof(index, checkpoint.size)))
        for name, (raw, index) in statements.items()
    }
    bundle = Bundle(
        topic=topics.up(device, lane),
        message=place.raw,
        cek=None if lk is None else keys.content_key(lk, lane, boot, seq),
        entry=entry_of(place.batch[place.index]),
        index=place.index,
        path=tuple(tree_of(place.batch).path(place.index)),
        anchor_document=place.document,
        anchor=proofs["anchor"],
        enrolment_document=enrolled.document,
        enrolment=proofs["enrolment"],
        registry=proofs["registry"],
        checkpoint=note,
    ).encode()
    return bundle, verify(bundle, trust)


def position_from(text: str) -> tuple[str, tuple[int, int, int]]:
    """`DEVICE/LANE/BOOT/SEQ`, as lists show it. Raises NotFound: message_unknown."""
    parts = text.split("/")
    if len(parts) != 4 or parts[1] not in topics.LANES or not parts[2].isdecimal() or not parts[3].isdecimal():
        raise NotFound(
            "message_unknown", "name a message as DEVICE/LANE/BOOT/SEQ, for example 0123456789abcdef/data/1/42"
        )
    return parts[0], (topics.LANES[parts[1]], int(parts[2]), int(parts[3]))
