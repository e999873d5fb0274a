"""What one commit writes, and what is said to whom once it is durable."""

import asyncio
from dataclasses import dataclass, field

from gateway.admission import MALFORMED, SUCCESS, Entrant, Member
from gateway.alerts.book import Changes
from gateway.ingress.arrival import Arrival
from gateway.receipts import Receipts
from gateway.store.messages import Row
from gateway.store.values import Kept
from protocol import message
from protocol.content import Content, Gap

Source = tuple[int, int, int]
"""(lane, boot, seq)"""


@dataclass(slots=True, eq=False)
class Batch:
    """Filled by the intake, written by the committer. urgent_ms: when the arrivals that raised something came in."""

    rows: list[Row] = field(default_factory=list)
    entrants: list[tuple[Entrant, Arrival]] = field(default_factory=list)
    conflicts: list[Row] = field(default_factory=list)
    gaps: list[tuple[int, tuple[Gap, ...], Source]] = field(default_factory=list)
    changes: list[Changes] = field(default_factory=list)
    values: dict[Member, list[Kept]] = field(default_factory=dict)
    shown: list[tuple[str, Content, int]] = field(default_factory=list)
    answers: list[tuple[Arrival, int]] = field(default_factory=list)
    activated: list[Member] = field(default_factory=list)
    urgent_ms: list[int] = field(default_factory=list)
    receipts: Receipts = field(default_factory=Receipts)
    waiters: list["asyncio.Future[None]"] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows or self.answers or self.receipts or self.changed or self.conflicts)

    @property
    def changed(self) -> bool:
        """Whether an alert or a device's state changes."""
        return bool(self.changes or self.activated)

    def keep(self, entrant: Entrant, arrival: Arrival, opened: message.Opened) -> None:
        """A message to store, receipt and acknowledge."""
        member, place = entrant.member, entrant.message.position
        self.rows.append(row_of(entrant, arrival.received_ms))
        self.entrants.append((entrant, arrival))
        self.receipts.kept(member, place.lane, place.boot, place.seq, entrant.hash)
        kept = (arrival.received_ms, opened.content_type, opened.content)
        self.values.setdefault(member, []).append(kept)
        if member.state == "enrolled":
            self.activate(member)

    def again(self, entrant: Entrant, arrival: Arrival) -> None:
        """A message that is stored, or will be by this or an earlier commit."""
        place = entrant.message.position
        self.receipts.kept(entrant.member, place.lane, place.boot, place.seq, entrant.hash)
        self.answers.append((arrival, SUCCESS))

    def conflict(self, entrant: Entrant, arrival: Arrival, *, stored: bytes, kept: bool) -> None:
        """A second message under a position that the message of SHA-256 `stored` holds."""
        place = entrant.message.position
        if kept:
            self.conflicts.append(row_of(entrant, arrival.received_ms))
        self.receipts.conflict(entrant.member, place.lane, place.boot, place.seq, stored)
        self.answers.append((arrival, MALFORMED))

    def refused(self, entrant: Entrant, code: str) -> None:
        """A message that its device need not send again."""
        place = entrant.message.position
        self.receipts.refused(entrant.member, place.lane, place.boot, place.seq, code)

    def activate(self, member: Member) -> None:
        """A device was heard for the first time."""
        member.state = "active"
        self.activated.append(member)


def row_of(entrant: Entrant, received_ms: int) -> Row:
    """The row that keeps an entrant's message."""
    place = entrant.message.position
    return Row(entrant.member.row, place.lane, place.boot, place.seq, received_ms, entrant.hash, entrant.message.raw)
