"""Exporting the evidence of one message: from the gateway's record and the ledger's tiles, checked before it is written."""

import re
import sqlite3
from collections.abc import Mapping

from gateway.anchor import entry_of, tree_of
from gateway.store import anchors, devices
from ledger.client import Client
from protocol import growth, keys, message, notes, receipt, statement, topics
from protocol.documents import Genesis
from protocol.errors import Malformed, NotFound, Unavailable
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
    found = {
        "anchor": anchors.logged(conn, statement.entry(place.statement)),
        "enrolment": anchors.logged(conn, statement.entry(enrolment)),
    }
    found["registry"] = anchors.admission(conn, before=min((each.epoch, each.index) for each in found.values()))
    newest = max(found.values(), key=lambda each: (each.epoch, each.index))
    reader, note = _newest(client, trust, newest)
    checkpoint, _ = trust.policy.check(note)
    _grown(conn, reader, checkpoint)
    if checkpoint.size <= newest.index:
        raise Unavailable("checkpoint_old", "the ledger's checkpoint does not cover this batch yet; try again")
    oldest = min(each.epoch for each in found.values())
    trees, geneses = _epochs(client, reader, checkpoint, newest=newest.epoch, oldest=oldest)
    proofs = {name: _proof(each, trees, newest.epoch) for name, each in found.items()}
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
        geneses=geneses,
    ).encode()
    return bundle, verify(bundle, trust)


def _newest(client: Client, trust: Trust, newest: anchors.Logged) -> tuple[Client, str]:
    """Where the tree of an entry is read, and its checkpoint: when the log's epoch has ended, its last one."""
    note = trust.policy.kept(client.checkpoint())
    if trust.policy.signed(note)[0].origin == receipt.read(newest.receipt).iss:
        return client, note
    reader = client.of_epoch(newest.epoch)
    return reader, trust.policy.kept(reader.checkpoint())


def _epochs(
    client: Client, reader: Client, checkpoint: Checkpoint, *, newest: int, oldest: int
) -> tuple[dict[int, tuple[Client, int]], tuple[Proof, ...]]:
    """(where each epoch's tree is read and its size, how each epoch began) from the newest back to the oldest. Raises
    LedgerRefused, LedgerBusy, Malformed."""
    trees, geneses = {newest: (reader, checkpoint.size)}, []
    for epoch in range(newest, oldest, -1):
        raw = client.statement(f"{epoch}.0")
        place = anchors.Logged(statement=raw, epoch=epoch, index=0, receipt=b"")
        geneses.append(_proof(place, trees, newest))
        prior = Genesis.decode(statement.parse(raw).payload).prior
        if prior is None:
            raise Malformed("ledger_answer", "the ledger names no epoch before this one")
        trees[epoch - 1] = (client.of_epoch(epoch - 1), Checkpoint.from_text(notes.parse(prior).text).size)
    return trees, tuple(geneses)


def _proof(logged: anchors.Logged, trees: Mapping[int, tuple[Client, int]], newest: int) -> Proof:
    reader, size = trees[logged.epoch]
    path = tuple(reader.proof(logged.index, size))
    return Proof(statement=logged.statement, index=logged.index, path=path, back=newest - logged.epoch)


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
