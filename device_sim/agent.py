"""The device's mind: seals readings and alarms, decides what to send and send again, and believes signed receipts only. Pure.

Messages stay in the store until the gateway's signed receipt digests to exactly what is there; an acknowledgement by MQTT
forgets nothing here, at most it says when to try again. wire.md, "Receipt" and "Command".
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from device_sim.cutting import alarm_of, pieces
from device_sim.sources import Sample
from protocol import command, content, delivery, message, topics
from protocol.content import Clock, Gap, Range, State
from protocol.keys import PublicKey, SigningKey

WINDOW = 20  # messages of a lane on their way at a time: what the gateway's Receive Maximum allows any client
RESEND_AFTER_MS = 5_000  # without a receipt; doubled with every try
RESEND_MAX_MS = 60_000
ALARM_RESEND_MS = 2_000  # an alarm is never let rest longer
QUOTA = 0x97  # MQTT reason of an acknowledgement: refused for now, keep it. Source: wire.md "Endpoint profile"
QUOTA_PAUSE_MS, QUOTA_PAUSE_MAX_MS = 1_000, 16_000  # doubled with every such refusal of one message
HEARTBEAT_EVERY_MS = 10_000
UNSEALED_MAX = 600  # contents of a lane that wait in memory while the store cannot be written: ten minutes of readings
OBEYED = frozenset({"erase", "ping"})  # kinds of command that this device carries out
CONFLICT = "conflict"  # the code of a position that another message took: this device's boot counter was lost
ERASED_KEY = bytes(32)  # seals the answer of a device that has erased its link key; it hides nothing

Place = tuple[int, int, int]
"""(lane, boot, seq)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A sealed message that waits for its receipt. keep: an alarm or a gap record, never evicted; hash: SHA-256 of raw."""

    lane: int
    boot: int
    seq: int
    keep: bool
    content_type: str
    content: bytes
    raw: bytes
    hash: bytes

    @property
    def place(self) -> Place:
        """(lane, boot, seq)"""
        return self.lane, self.boot, self.seq


class Store(Protocol):
    """Where entries are durable before they are sent: `device_sim.spool.Spool`, or memory in simulations."""

    def counter(self, name: str) -> int:
        """A counter's value."""

    def put(self, **counters: int) -> None:
        """Set counters."""

    def highest_boot(self) -> int:
        """The highest boot of any entry; 0 without one."""

    def begin(self, boot: int) -> None:
        """Use a new boot number."""

    def take_state(self, *, boot: int) -> int:
        """The next sequence number of lane 2."""

    def add(self, lane: int, seal: Callable[[int, int], Entry], *, counted: bool = True) -> Entry:
        """Keep what `seal(boot, seq)` makes."""

    def oldest(self, lane: int, limit: int, skip: frozenset[Place]) -> list[Entry]:
        """The first entries of a lane."""

    def covered(self, lane: int, boot: int, ranges: Sequence[Range]) -> list[Entry]:
        """The entries within ranges."""

    def drop(self, entries: Sequence[Entry], *, counter: str) -> None:
        """Forget entries."""

    def replace(self, old: Entry, seal: Callable[[int, int], Entry]) -> Entry:
        """Give an entry a new position."""

    def all(self) -> list[Entry]:
        """Every entry."""

    def count(self) -> int:
        """How many entries there are."""

    def surplus(self) -> list[Entry]:
        """Readings that must make room."""

    def wipe(self) -> None:
        """Forget every entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One enrolment as the device knows it. lk: 32 bytes; link_id: 4 bytes."""

    device: str
    key: SigningKey
    gateway_key: PublicKey
    lk: bytes
    link_id: bytes


@dataclass(slots=True, eq=False)
class _Flight:
    tries: int
    next_ms: int
    quota: int = 0


class Agent:
    """rng: for IVs, alarm ids and jitter (a system one in the device, a seeded one in simulations)."""

    def __init__(self, link: Link, store: Store, *, rng: Random) -> None:
        self._link, self._store, self._rng = link, store, rng
        self._flights: dict[Place, _Flight] = {}
        self._birth = True
        self._heartbeat_ms = 0
        self._clock = Clock(up_ms=0, wall_ms=0, synced=False)
        self._simulated = False
        self._unsealed: tuple[deque[content.Content], deque[content.Content]] = (deque(), deque())
        self.unkept = 0
        self.erased = False
        self.boot = max(store.counter("boot"), store.highest_boot()) + 1
        store.begin(self.boot)

    def read(self, sample: Sample, *, clock: Clock, simulated: bool) -> int:
        """Seal what the sensors gave. The number of messages. Raises Unavailable when the store fails; what was given
        then waits in memory, and the next call or `seal_waiting` seals it once."""
        self._clock, self._simulated = clock, simulated
        if self.erased:
            return 0
        for alarm in sample.alarms:
            alarm_id = self._rng.randbytes(content.ALARM_ID_SIZE)
            self._wait(topics.ALARM, alarm_of(alarm, alarm_id, clock=clock, simulated=simulated))
        for data in pieces(sample, clock=clock, simulated=simulated):
            self._wait(topics.DATA, data)
        return self.seal_waiting()

    def seal_waiting(self) -> int:
        """Seal what waits in memory, alarms first. The number of messages. Raises Unavailable when the store fails."""
        sealed = 0
        for lane, waiting in enumerate(self._unsealed):
            while waiting and not self.erased:
                self._seal(lane, waiting[0], keep=lane == topics.ALARM)
                waiting.popleft()
                sealed += 1
        self._make_room()
        return sealed

    @property
    def unsealed(self) -> int:
        """Contents that wait in memory for a store that can be written."""
        return sum(len(waiting) for waiting in self._unsealed)

    def _wait(self, lane: int, what: content.Content) -> None:
        waiting = self._unsealed[lane]
        if len(waiting) >= UNSEALED_MAX:
            waiting.popleft()
            self.unkept += 1
        waiting.append(what)

    def due(self, lane: int, *, now_ms: int) -> list[Entry]:
        """What to publish on a lane now, oldest first; each counts as on its way until a receipt or its next time."""
        if self.erased:
            return []
        mine = {place: flight for place, flight in self._flights.items() if place[0] == lane}
        again = [place for place, flight in mine.items() if flight.next_ms <= now_ms]
        found: list[Entry] = []
        for place in again:
            entries = self._store.covered(place[0], place[1], [(place[2], place[2])])
            if not entries:
                del self._flights[place]
            found += entries
        room = WINDOW - len(mine)
        if room > 0:
            found += self._store.oldest(lane, room, frozenset(mine))
        for entry in found:
            self._fly(entry.place, now_ms)
        return found

    def state(self, *, clock: Clock, simulated: bool, now_ms: int) -> bytes | None:
        """A birth or a heartbeat, when it is time for one: a message for the state topic, not kept."""
        self._clock, self._simulated = clock, simulated
        if self.erased or (not self._birth and now_ms - self._heartbeat_ms < HEARTBEAT_EVERY_MS):
            return None
        kind = "birth" if self._birth else "heartbeat"
        self._birth, self._heartbeat_ms = False, now_ms
        detail = {"waiting": self.waiting, "boot": self.boot}
        if self.unkept:
            detail["unkept"] = self.unkept  # readings that never got a position, so that no gap record can name them
        return self._state(State(kind=kind, clock=clock, simulated=simulated, detail=detail))

    def reconnected(self, lane: int | None = None) -> None:
        """The connection of a lane (None: every one) is new: what was on its way there is sent again at once. A birth comes
        first, unless only alarms have a new connection."""
        self._flights = {place: flight for place, flight in self._flights.items() if lane not in (None, place[0])}
        if lane != topics.ALARM:
            self._birth = True

    def on_puback(self, place: Place, reason: int, *, now_ms: int) -> None:
        """How MQTT acknowledged a message. Over quota: it waits a little and the refusal does not count as a try, so that a
        long backlog does not end in long pauses. Alarms go on as they do."""
        flight = self._flights.get(place)
        if reason == QUOTA and flight is not None and place[0] != topics.ALARM:
            pause_ms = min(QUOTA_PAUSE_MAX_MS, QUOTA_PAUSE_MS * 2 ** min(flight.quota, 8))
            flight.next_ms = now_ms + round(pause_ms * self._rng.uniform(0.8, 1.2))
            flight.tries, flight.quota = flight.tries - 1, flight.quota + 1

    def on_receipt(self, raw: bytes) -> int:
        """Believe a receipt as far as it is true; how many messages left the store. Raises Malformed, BadSignature."""
        receipt = delivery.read(raw, topics.down_receipt(self._link.device), self._link.gateway_key)
        gone = 0
        if receipt.ranges:
            entries = self._store.covered(receipt.lane, receipt.boot, receipt.ranges)
            if entries and delivery.digest(entry.hash for entry in entries) == receipt.digest:
                self._forget(entries, counter="receipted")
                gone = len(entries)
        codes = dict(receipt.refused)
        for conflicting in (False, True):
            seqs = sorted(seq for seq, code in codes.items() if (code == CONFLICT) is conflicting)
            entries = self._store.covered(receipt.lane, receipt.boot, [(seq, seq) for seq in seqs])
            if conflicting and entries:
                self._start_over(entries, floor=receipt.floor)
            elif entries:
                for entry in entries:
                    self._note_gap([entry], reason=codes[entry.seq])
                self._forget(entries, counter="refused")
                gone += len(entries)
        return gone

    def on_command(self, raw: bytes, *, now_ms: int) -> list[bytes]:
        """Obey a signed command; the answers to publish on the state topic. Raises Malformed, BadSignature."""
        order = command.read(raw, topics.down_command(self._link.device), self._link.gateway_key)
        last = (self._store.counter("command_epoch"), self._store.counter("command_count"))
        command.accept(order, last=last, now_ms=now_ms)
        if order.kind == "erase":
            self._erase()
        self._store.put(command_epoch=order.n[0], command_count=order.n[1])
        detail: dict[str, str | int | float] = {"kind": order.kind, "epoch": order.n[0], "count": order.n[1]}
        if order.kind not in OBEYED:
            detail["refused"] = "command_unsupported"
        return [self._state(State(kind="answer", clock=self._clock, simulated=self._simulated, detail=detail))]

    def _erase(self) -> None:
        """Forget every content and the link key. When the store fails, nothing is forgotten and the command may come again."""
        self._store.wipe()
        self._flights.clear()
        for waiting in self._unsealed:
            waiting.clear()
        self.erased = True
        self._link = dataclasses.replace(self._link, lk=ERASED_KEY)

    @property
    def waiting(self) -> int:
        """Messages without a receipt, and contents that are to become messages."""
        return self._store.count() + self.unsealed

    # -- sealing -----------------------------------------------------------------------------------------------------

    def _seal(self, lane: int, what: content.Content, *, keep: bool, counted: bool = True) -> Entry:
        body, kind = content.encode(what), content.CONTENT_TYPES[lane]
        return self._store.add(
            lane, lambda boot, seq: self._entry(lane, boot, seq, body, kind, keep=keep), counted=counted
        )

    def _entry(self, lane: int, boot: int, seq: int, body: bytes, kind: str, *, keep: bool) -> Entry:
        raw = self._message(lane, boot, seq, body, kind)
        return Entry(
            lane=lane,
            boot=boot,
            seq=seq,
            keep=keep,
            content_type=kind,
            content=body,
            raw=raw,
            hash=message.message_hash(raw),
        )

    def _message(self, lane: int, boot: int, seq: int, body: bytes, kind: str) -> bytes:
        link = self._link
        return message.seal(
            key=link.key,
            lk=link.lk,
            link_id=link.link_id,
            topic=topics.up(link.device, lane),
            position=message.Position(lane=lane, boot=boot, seq=seq),
            content=body,
            iv=self._rng.randbytes(12),
            content_type=kind,
        )

    def _state(self, what: State) -> bytes:
        seq = self._store.take_state(boot=self.boot)
        kind = content.CONTENT_TYPES[topics.STATE]
        return self._message(topics.STATE, self.boot, seq, content.encode(what), kind)

    # -- the store's bounds ------------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        surplus = self._store.surplus()
        if surplus:
            self._note_gap(surplus, reason="spool_full")
            self._forget(surplus, counter="evicted")

    def _note_gap(self, entries: Sequence[Entry], *, reason: str) -> None:
        """Seal the record of positions that nobody will ever get. Before they are dropped: a power cut between the two
        leaves a record of messages that still come, never a loss without a record."""
        for lane, boot in sorted({(entry.lane, entry.boot) for entry in entries}):
            seqs = sorted(entry.seq for entry in entries if (entry.lane, entry.boot) == (lane, boot))
            ranges = _ranges(seqs)
            for begin in range(0, len(ranges), content.RANGES_MAX):
                gap = Gap(lane=lane, boot=boot, ranges=tuple(ranges[begin : begin + content.RANGES_MAX]), reason=reason)
                data = content.Data(clock=self._clock, simulated=self._simulated, gaps=(gap,))
                self._seal(topics.DATA, data, keep=True)

    def _forget(self, entries: Sequence[Entry], *, counter: str) -> None:
        self._store.drop(entries, counter=counter)
        for entry in entries:
            self._flights.pop(entry.place, None)

    def _start_over(self, taken: Sequence[Entry], *, floor: int) -> None:
        """Other messages hold these positions: the boot counter was lost, or the device has a double. Go on above everything
        that the gateway knows, and seal these messages anew; the others stay, for they may be durable where they are."""
        if any(entry.boot == self.boot for entry in taken) or floor >= self.boot:
            self.boot = max(floor, self.boot) + 1
            self._store.begin(self.boot)
        for entry in taken:
            self._flights.pop(entry.place, None)
            self._store.replace(entry, self._resealed(entry))

    def _resealed(self, entry: Entry) -> Callable[[int, int], Entry]:
        return lambda boot, seq: self._entry(entry.lane, boot, seq, entry.content, entry.content_type, keep=entry.keep)

    def _fly(self, place: Place, now_ms: int) -> None:
        flight = self._flights.get(place)
        tries, quota = (0, 0) if flight is None else (flight.tries + 1, flight.quota)
        pause_ms = min(RESEND_MAX_MS, RESEND_AFTER_MS * 2 ** min(tries, 8))
        if place[0] == topics.ALARM:
            pause_ms = ALARM_RESEND_MS
        self._flights[place] = _Flight(tries, now_ms + round(pause_ms * self._rng.uniform(0.8, 1.2)), quota)


def _ranges(seqs: Sequence[int]) -> list[Range]:
    found: list[Range] = []
    for seq in seqs:
        if found and found[-1][1] == seq - 1:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return found
