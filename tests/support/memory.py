"""A gateway's and a device's stores in memory, which survive what the simulation does to the processes around them."""

import dataclasses
from collections.abc import Callable, Sequence

from device_sim.agent import Entry, Place
from gateway.admission import Bucket, Member
from gateway.batch import Batch
from gateway.positions import Intervals
from protocol import keys, topics
from protocol.content import Range
from tests.support.virtual import VirtualLoop


class DeviceMemory:
    """A `device_sim.agent.Store`. entries_max: more readings than this evict; boot_durable: False forgets the boot counter
    at a power cut, as one that was not fsynced."""

    def __init__(self, *, entries_max: int = 10_000, boot_durable: bool = True) -> None:
        self.counters: dict[str, int] = {}
        self.entries: dict[Place, Entry] = {}
        self._entries_max, self._boot_durable = entries_max, boot_durable
        self._state_seq = 0
        self._durable_boot = 0
        self.sealed: list[Entry] = []

    def power_cut(self) -> None:
        """What was not on the disk is gone."""
        if not self._boot_durable:
            self.counters["boot"] = self._durable_boot

    def counter(self, name: str) -> int:
        return self.counters.get(name, 0)

    def highest_boot(self) -> int:
        return max((place[1] for place in self.entries), default=0) if self._boot_durable else 0

    def put(self, **counters: int) -> None:
        self.counters |= counters

    def begin(self, boot: int) -> None:
        self._durable_boot = self.counter("boot")
        self.put(boot=boot, seq_0=0, seq_1=0, seq_2=0)

    def take_state(self, *, boot: int) -> int:
        self._state_seq += 1
        return self._state_seq - 1

    def add(self, lane: int, seal: Callable[[int, int], Entry], *, counted: bool = True) -> Entry:
        entry = seal(self.counter("boot"), self.counter(f"seq_{lane}"))
        self.counters[f"seq_{lane}"] = entry.seq + 1
        self.counters["sealed"] = self.counter("sealed") + 1
        self.entries[entry.place] = entry
        self.sealed.append(entry)
        return entry

    def oldest(self, lane: int, limit: int, skip: frozenset[Place]) -> list[Entry]:
        return [e for e in self.entries.values() if e.lane == lane and e.place not in skip][:limit]

    def covered(self, lane: int, boot: int, ranges: Sequence[Range]) -> list[Entry]:
        found = []
        for first, last in ranges:
            if last - first > 100_000:
                seqs = sorted(p[2] for p in self.entries if p[:2] == (lane, boot) and first <= p[2] <= last)
            else:
                seqs = list(range(first, last + 1))
            found += [self.entries[lane, boot, seq] for seq in seqs if (lane, boot, seq) in self.entries]
        return found

    def drop(self, entries: Sequence[Entry], *, counter: str) -> None:
        for entry in entries:
            del self.entries[entry.place]
        self.counters[counter] = self.counter(counter) + len(entries)

    def replace(self, old: Entry, seal: Callable[[int, int], Entry]) -> Entry:
        entry = seal(self.counter("boot"), self.counter(f"seq_{old.lane}"))
        self.counters[f"seq_{old.lane}"] = entry.seq + 1
        del self.entries[old.place]
        self.entries[entry.place] = entry
        self.sealed.append(entry)
        return entry

    def all(self) -> list[Entry]:
        return list(self.entries.values())

    def count(self) -> int:
        return len(self.entries)

    def surplus(self) -> list[Entry]:
        data = [entry for entry in self.entries.values() if not entry.keep]
        return data[:8] if len(self.entries) > self._entries_max else []

    def wipe(self) -> None:
        self.entries.clear()


@dataclasses.dataclass(slots=True)
class Table:
    """What a gateway's disk holds: messages by position in the order of their commits, and conflicting ones."""

    rows: list[tuple[str, int, int, int, bytes, bytes]] = dataclasses.field(default_factory=list)
    conflicts: list[bytes] = dataclasses.field(default_factory=list)


class MemoryDirectory:
    """The part of `gateway.directory.Directory` that the intake uses."""

    def __init__(self, links: dict[str, tuple[keys.PublicKey, bytes, bytes]], table: Table, *, burst: float) -> None:
        self.members = {
            device: Member(
                row=row,
                device=device,
                key=key,
                kid=key.kid,
                state="active",
                link_id=link_id,
                lk=lk,
                data=Bucket(rate_per_s=50, burst=burst),
                alarms=Bucket(rate_per_s=1, burst=10),
            )
            for row, (device, (key, lk, link_id)) in enumerate(links.items(), 1)
        }
        self.lanes = {topics.up(device, lane): lane for device in links for lane in (0, 1, 2)}
        for device, lane, boot, seq, _, _ in table.rows:
            member = self.members[device]
            member.covered.setdefault((lane, boot), Intervals()).add(seq)
            member.floor = max(member.floor, boot)

    def device_of(self, public_key: bytes) -> str | None:
        return next((device for device, member in self.members.items() if member.key.x == public_key), None)

    def welcome(self, device: str) -> bool:
        return device in self.members


class MemoryCommitter:
    """Commits to a `Table` after a while; then acknowledges, receipts and counts as the real one does. tell: sends down."""

    def __init__(
        self,
        table: Table,
        loop: VirtualLoop,
        *,
        key: keys.SigningKey,
        tell: Callable[[str, str, bytes], object],
        takes_s: Callable[[], float],
    ) -> None:
        self._table, self._loop, self._key, self._tell, self._takes_s = table, loop, key, tell, takes_s
        self.healthy = True
        self.alive = True
        self.after: Callable[[], None] = lambda: None
        self._busy = False
        self.shown: list[tuple[str, object, int]] = []
        self.changes: list[object] = []

    @property
    def free(self) -> bool:
        return not self._busy

    def commit(self, batch: Batch) -> None:
        self._busy = True
        self._loop.call_later(self._takes_s(), self._write, batch)

    def _write(self, batch: Batch) -> None:
        if not self.alive:
            return
        if not self.healthy:
            self._loop.call_later(1.0, self._write, batch)
            return
        for (entrant, _), row in zip(batch.entrants, batch.rows, strict=True):
            self._table.rows.append((entrant.member.device, row.lane, row.boot, row.seq, row.hash, row.raw))
        self._table.conflicts += [row.raw for row in batch.conflicts]
        self._loop.call_soon(self._told, batch)

    def _told(self, batch: Batch) -> None:
        if not self.alive:
            return
        for entrant, arrival in batch.entrants:
            place = entrant.message.position
            entrant.member.pending.pop((place.lane, place.boot, place.seq), None)
            entrant.member.durable(place.lane, place.boot, place.seq)
            arrival.answer(0)
        for arrival, code in batch.answers:
            arrival.answer(code)
        for member, topic, receipt in batch.receipts.signed(self._key, now_ms=self._loop.now_ms):
            self._tell(member.device, topic, receipt)
        self.shown += batch.shown
        self.changes += batch.changes
        self._busy = False
        self.after()
