"""What the gateway tells devices after a commit: one signed receipt for each device, lane and boot that it touched."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.admission import Member
from gateway.positions import Range, ranges_of
from protocol import delivery, topics
from protocol.content import RANGES_MAX
from protocol.keys import SigningKey

CONFLICT = "conflict"
"""Refused beside the digest of the message that holds the position: who has that one is receipted, its double is not."""

Place = tuple[str, int, int]
"""(device, lane, boot)"""


@dataclass(slots=True, eq=False)
class Told:
    """What is to be receipted of one device, lane and boot. kept: hash by seq; refused: code by seq."""

    member: Member
    kept: dict[int, bytes] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)


class Receipts:
    """Collects what a commit covers, and makes the receipts of it."""

    __slots__ = ("_conflicts", "_told")

    def __init__(self) -> None:
        self._told: dict[Place, Told] = {}
        self._conflicts: dict[tuple[str, int, int, int], tuple[Member, bytes]] = {}

    def __bool__(self) -> bool:
        return bool(self._told or self._conflicts)

    def kept(self, member: Member, lane: int, boot: int, seq: int, digest: bytes) -> None:
        """This position is durable with the message of this SHA-256."""
        self._at(member, lane, boot).kept[seq] = digest

    def refused(self, member: Member, lane: int, boot: int, seq: int, code: str) -> None:
        """This position will never be taken."""
        self._at(member, lane, boot).refused[seq] = code

    def conflict(self, member: Member, lane: int, boot: int, seq: int, stored: bytes) -> None:
        """Another message than the one of SHA-256 `stored` claims this position."""
        self._conflicts[member.device, lane, boot, seq] = (member, stored)

    def signed(self, key: SigningKey, *, now_ms: int) -> Iterator[tuple[Member, str, bytes]]:
        """(member, topic, receipt) of everything collected."""
        for (device, lane, boot), told in self._told.items():
            topic = topics.down_receipt(device)
            for ranges, refused in _cut(told):
                receipt = delivery.Receipt(
                    lane=lane,
                    boot=boot,
                    ranges=ranges,
                    digest=delivery.digest(told.kept[seq] for first, last in ranges for seq in range(first, last + 1)),
                    refused=refused,
                    floor=told.member.floor,
                    at_ms=now_ms,
                )
                yield told.member, topic, delivery.sign(key, topic, receipt)
        for (device, lane, boot, seq), (member, stored) in self._conflicts.items():
            topic = topics.down_receipt(device)
            receipt = delivery.Receipt(
                lane=lane,
                boot=boot,
                ranges=((seq, seq),),
                digest=delivery.digest([stored]),
                refused=((seq, CONFLICT),),
                floor=member.floor,
                at_ms=now_ms,
            )
            yield member, topic, delivery.sign(key, topic, receipt)

    def _at(self, member: Member, lane: int, boot: int) -> Told:
        place = (member.device, lane, boot)
        found = self._told.get(place)
        if found is None:
            found = self._told[place] = Told(member)
        return found


def _cut(told: Told) -> Iterator[tuple[tuple[Range, ...], tuple[tuple[int, str], ...]]]:
    """Ranges and refusals in pieces that fit one receipt each."""
    ranges = ranges_of(sorted(told.kept))
    refused = sorted(told.refused.items())
    while ranges or refused:
        yield tuple(ranges[:RANGES_MAX]), tuple(refused[: delivery.REFUSED_MAX])
        ranges, refused = ranges[RANGES_MAX:], refused[delivery.REFUSED_MAX :]
