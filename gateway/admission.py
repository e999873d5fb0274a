"""Who gets in: the order in which a message is refused, cheapest check first. wire.md, "Admission order".

Everything here decides and nothing acts. Positions move only when the pipeline says that a commit succeeded; until then a
message is pending, and the same one again waits with it.
"""

from dataclasses import dataclass, field

from gateway.positions import DEVICE_INTERVALS_MAX, INTERVALS_MAX, Intervals
from protocol import message, topics
from protocol.content import Clock
from protocol.errors import ProtocolError
from protocol.keys import PublicKey

SUCCESS, NOT_YOURS, QUOTA, MALFORMED = 0x00, 0x87, 0x97, 0x99  # MQTT 5 PUBACK reason codes, as wire.md uses them
BAD_SIGNATURES_MAX = 32  # in a minute; the next one quarantines the data lane and costs the connection
BAD_SIGNATURES_MS = 60_000
QUARANTINE_MS = 60_000  # then the device may try again
STATES_PER_S, STATES_BURST = 1.0, 10.0  # heartbeats come every 10 s; more than this is over quota
CLOCK_FLAGS = ("unsynced", "ahead", "behind")
CLOCK_OFF_MS = 60_000  # a device's clock that differs by more from ours is flagged
TAKEN = frozenset({"enrolled", "active", "quarantined"})  # states whose messages are looked at
CODES = {
    "message_size": MALFORMED,
    "device_suspended": NOT_YOURS,
    "device_revoked": NOT_YOURS,
    "device_erasing": NOT_YOURS,
    "device_erased": NOT_YOURS,
    "device_unknown": NOT_YOURS,
    "topic_not_yours": NOT_YOURS,
    "kid_unknown": NOT_YOURS,
    "device_quarantined": QUOTA,
    "over_quota": QUOTA,
    "alarm_coalesced": QUOTA,
    "queue_full": QUOTA,
    "state_replayed": MALFORMED,
}
"""PUBACK reason by refusal; MALFORMED for all others."""
REFUSALS = frozenset(
    {
        *CODES,
        "message_shape",
        "message_header",
        "message_not_deterministic",
        "cbor_invalid",
        "lane_mismatch",
        "positions_scattered",
        "signature_bad",
        "conflict",
        "link_unknown",
        "commitment_bad",
        "tag_bad",
        "inner_shape",
        "inner_header",
        "inner_not_deterministic",
        "content_bad",
    }
)
"""Every code that may be counted: the closed set of a metric's label."""
_DEVICE = slice(8, 24)  # where an up-topic names the device


class Bucket:
    """A token bucket. rate_per_s: tokens that come back in a second; burst: tokens when full."""

    __slots__ = ("_at_ms", "_burst", "_rate", "_tokens")

    def __init__(self, *, rate_per_s: float, burst: float) -> None:
        self._rate, self._burst = rate_per_s / 1000, burst
        self._tokens, self._at_ms = burst, 0

    def take(self, now_ms: int) -> bool:
        """Take one token; False when there is none."""
        tokens = self._tokens
        if now_ms > self._at_ms:  # a clock that was set back brings nothing and takes nothing away
            tokens += (now_ms - self._at_ms) * self._rate
            if tokens > self._burst:
                tokens = self._burst
        self._at_ms = now_ms
        if tokens < 1:
            self._tokens = tokens
            return False
        self._tokens = tokens - 1
        return True


@dataclass(slots=True, kw_only=True, eq=False)
class Member:
    """What admission knows of one enrolled device. row: its row id; covered: durable positions by (lane, boot); pending:
    hashes of messages that wait for their commit, by position; floor: the highest boot seen durable; intervals: in all of
    `covered`."""

    row: int
    device: str
    key: PublicKey
    kid: bytes
    state: str
    link_id: bytes
    lk: bytes = field(repr=False)
    data: Bucket
    alarms: Bucket
    states: Bucket = field(default_factory=lambda: Bucket(rate_per_s=STATES_PER_S, burst=STATES_BURST))
    covered: dict[tuple[int, int], Intervals] = field(default_factory=dict)
    pending: dict[message.Position, bytes] = field(default_factory=dict)
    floor: int = 0
    intervals: int = 0
    last_state: tuple[int, int] = (-1, -1)
    quarantined_until_ms: int = 0
    bad_signatures: int = 0
    bad_since_ms: int = 0

    def durable(self, lane: int, boot: int, seq: int) -> None:
        """A commit made this position durable."""
        found = self.covered.get((lane, boot))
        if found is None:
            found = self.covered[lane, boot] = Intervals()
        before = len(found)
        found.add(seq)
        self.intervals += len(found) - before
        if boot > self.floor:
            self.floor = boot

    def bad_signature(self, now_ms: int) -> bool:
        """Count a signature that does not hold; True when this one was too many."""
        if now_ms - self.bad_since_ms > BAD_SIGNATURES_MS:
            self.bad_since_ms, self.bad_signatures = now_ms, 0
        self.bad_signatures += 1
        if self.bad_signatures <= BAD_SIGNATURES_MAX:
            return False
        self.quarantined_until_ms = now_ms + QUARANTINE_MS
        self.bad_signatures = 0
        return True


class Refusal(ProtocolError):
    """A message that is not taken. final: it never will be, and its signature proved whose it is."""

    def __init__(self, code: str, detail: str = "", *, final: bool = False) -> None:
        super().__init__(code, detail)
        self.final = final


@dataclass(slots=True, kw_only=True, eq=False)
class Entrant:
    """A message that passed the cheap checks. taken: its position is durable already, under a hash that must be looked up;
    again: it is pending under the same hash; excess: an alarm beyond its bucket, to be coalesced if it says nothing new."""

    member: Member
    message: message.Message
    hash: bytes
    taken: bool = False
    again: bool = False
    excess: bool = False


def admit(member: Member, *, lane: int | None, topic: str, raw: bytes, now_ms: int) -> Entrant:
    """The checks before the signature. lane: what `topic` is for, None when it is nobody's. Raises Refusal and Malformed."""
    if len(raw) > message.SIZE_MAX[topics.DATA if lane is None else lane]:
        raise Refusal("message_size", f"{len(raw)} bytes")
    if lane is None or topic[_DEVICE] != member.device:
        raise Refusal("topic_not_yours", "another device's topic")
    if member.state not in TAKEN and not (member.state == "erasing" and lane == topics.STATE):
        raise Refusal(f"device_{member.state}", "this device's messages are not taken now")
    excess = False
    if lane == topics.ALARM:
        excess = not member.alarms.take(now_ms)
    elif lane == topics.STATE:
        if not member.states.take(now_ms):
            raise Refusal("over_quota", "more states than this device may send")
    elif member.quarantined_until_ms > now_ms:
        raise Refusal("device_quarantined", "too many bad signatures; alarms are still taken")
    elif not member.data.take(now_ms):
        raise Refusal("over_quota", "more messages than this device may send; keep them")
    seen = message.parse(raw, topic=topic, size_max=message.SIZE_MAX[lane])
    if seen.kid != member.kid:
        raise Refusal("kid_unknown", "not the key of this device")
    position = seen.position
    if position.lane != lane:
        raise Refusal("lane_mismatch", "the position is in another lane than the topic")
    digest = message.message_hash(raw)
    if lane == topics.STATE:
        if (position.boot, position.seq) <= member.last_state:
            raise Refusal("state_replayed", "an older state than the last")
        return Entrant(member=member, message=seen, hash=digest)
    waiting = member.pending.get(position)
    intervals = member.covered.get((lane, position.boot))
    taken = waiting is not None or (intervals is not None and position.seq in intervals)
    full = member.intervals >= DEVICE_INTERVALS_MAX or (intervals is not None and len(intervals) >= INTERVALS_MAX)
    if full and not taken and lane == topics.DATA and (intervals is None or intervals.opens_a_hole(position.seq)):
        raise Refusal("positions_scattered", "this device leaves too many holes")
    return Entrant(member=member, message=seen, hash=digest, taken=taken, again=waiting == digest, excess=excess)


def clock_flag(clock: Clock, *, received_ms: int, live: bool) -> str:
    """What is wrong with the clock of a message, "" when nothing is. live: it was sent as soon as it was made, so that an
    old time means a slow clock; a spooled message may be a week old."""
    if not clock.synced:
        return "unsynced"
    if clock.wall_ms - received_ms > CLOCK_OFF_MS:
        return "ahead"
    if live and received_ms - clock.wall_ms > CLOCK_OFF_MS:
        return "behind"
    return ""


def answer_for(code: str) -> int:
    """The PUBACK reason code of a refusal."""
    return CODES.get(code, MALFORMED)


def counted(code: str) -> str:
    """The code under which a refusal is counted: itself, or the family of a content's fault."""
    if code in REFUSALS:
        return code
    return "content_bad"
