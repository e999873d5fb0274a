"""Exporting the evidence of one message: from the gateway's record and the ledger's tiles, checked before it is written."""

import re
import sqlite3

from gateway.anchor import entry_of, tree_of
from gateway.store import anchors, devices
from ledger.client import Client
from protocol import growth, keys, message, statement, topics
from protocol.errors import NotFound, Unavailable
from protocol.evidence import Bundle, Proof, Trust, Verdict, verify
from protocol.notes import Checkpoint

_POSITION = re.compile(r"([0-9a-f]{16})/([a-z]+)/([0-9]{1,10})/([0-9]{1,15})")


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
    closed. Raises NotFound: message_unknown, not_anchored, not_logged, keys_replaced; Unavailable; EvidenceError and
    VerificationFailed when it would not hold."""
    lane, boot, seq = position
    place = anchors.place(conn, device, lane, boot, seq)
    link = message.link_of(message.parse(place.raw, topic=topics.up(device, lane), size_max=message.SIZE_MAX[lane]))
    document, enrolment = devices.enrolled(conn, device, link)
    if lk is not None and link != devices.find(conn, device).link:
        raise NotFound("keys_replaced", "the device was paired again since, with other keys; export without --disclose")
    statements = {
        "anchor": anchors.logged(conn, statement.entry(place.statement)),
        "enrolment": anchors.logged(conn, statement.entry(enrolment)),
    }
    first = min(index for _, index in statements.values())
    statements["registry"] = anchors.logged(conn, anchors.admission(conn, before=first))
    note = trust.policy.kept(client.checkpoint())
    checkpoint, _ = trust.policy.check(note)
    _grown(conn, client, checkpoint)
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
        enrolment_document=document,
        enrolment=proofs["enrolment"],
        registry=proofs["registry"],
        checkpoint=note,
    ).encode()
    return bundle, verify(bundle, trust)


def _grown(conn: sqlite3.Connection, client: Client, checkpoint: Checkpoint) -> None:
    """Raises Unavailable: checkpoint_old; VerificationFailed: consistency_bad, unless the log holds what it held before."""
    kept = anchors.head(conn, checkpoint.origin)
    if kept is not None:
        span = growth.span(kept.checkpoint.size, checkpoint)
        path = client.consistency(*span) if span else []
        growth.verify(kept.checkpoint.size, kept.checkpoint.root, checkpoint, path)


def position_from(text: str) -> tuple[str, tuple[int, int, int]]:
    """`DEVICE/LANE/BOOT/SEQ`, as lists show it. Raises NotFound: message_unknown."""
    found = _POSITION.fullmatch(text)
    if found is None or found[2] not in topics.LANES:
        raise NotFound(
            "message_unknown", "name a message as DEVICE/LANE/BOOT/SEQ, for example 0123456789abcdef/data/1/42"
        )
    return found[1], (topics.LANES[found[2]], int(found[3]), int(found[4]))
