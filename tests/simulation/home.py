"""A whole home in virtual time: devices, a bad network, a gateway, and everything that may happen to them, from one seed.

The cores are the real ones: the device's agent, the gateway's admission, intake, batches and receipts. Disks, sockets and
clocks are simulated. What must hold at the end: every reading is stored exactly once or covered by a stored gap record, every
alarm is stored exactly once, what is stored is what a device sealed, no position was signed twice unless its counter was lost,
and the spools are empty.
"""

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from unittest import mock

from device_sim import agent as agent_module
from device_sim.agent import Agent, Entry, Link
from device_sim.sources import DeviceAlarm, Sample
from gateway import verifying
from gateway.batch import Batch
from gateway.ingress.arrival import Arrival
from gateway.intake import Intake
from protocol import content, delivery, keys, message, topics
from protocol.errors import ProtocolError
from protocol.senml import Vital
from tests.support.memory import DeviceMemory, MemoryCommitter, MemoryDirectory, Table
from tests.support.virtual import VirtualLoop

START_MS = 1_700_000_000_000
LIVE_MS = 120_000  # readings are made for this long
SETTLE_MS = 1_500_000  # then the network is good, and everything must come to rest
BEAT_MS = 250
OUTAGE_MS = range(START_MS + 30_000, START_MS + 95_000)  # nothing gets through
GATEWAY = keys.SigningKey.from_seed(b"simulated gateway".ljust(32, b"."))
BUGS = (
    "no resend",
    "no dedupe",
    "receipt without digest check",
    "duplicate not receipted again",
    "no signature check",
    "boot not fsynced",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad it is. Rates are of messages, or of seconds for what happens to machines."""

    drop: float
    double: float
    flip: float
    delay_ms: float
    device_cut: float
    gateway_cut: float
    lost_counter: bool
    clone: bool
    small_spool: bool
    outage: bool

    @classmethod
    def drawn(cls, rng: Random) -> "Weather":
        """Some weather."""
        return cls(
            drop=rng.choice((0.0, 0.05, 0.3)),
            double=rng.choice((0.0, 0.05, 0.2)),
            flip=rng.choice((0.0, 0.02, 0.1)),
            delay_ms=rng.choice((5.0, 80.0, 1500.0)),
            device_cut=rng.choice((0.0, 0.02, 0.06)),
            gateway_cut=rng.choice((0.0, 0.02, 0.06)),
            lost_counter=rng.random() < 0.3,
            clone=rng.random() < 0.25,
            small_spool=rng.random() < 0.25,
            outage=rng.random() < 0.4,
        )


@dataclass(slots=True)
class Body:
    """One device: its agent, which a power cut ends, and its store, which a power cut spares. made, pressed: its readings, and
    those with which an alarm came; lost, silenced: such of them as a lost store took along."""

    name: str
    link: Link
    store: DeviceMemory
    agent: Agent
    made: list[int] = field(default_factory=list)
    pressed: list[int] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    silenced: set[int] = field(default_factory=set)
    before: list[Entry] = field(default_factory=list)


class Home:
    """One run. bug: one of BUGS to inject, or None. `faults` lists what does not hold, empty when all is well."""

    def __init__(self, seed: int, *, bug: str | None = None, weather: Weather | None = None) -> None:
        self.rng = Random(f"vigil simulation {seed}")
        self.weather = weather or Weather.drawn(self.rng)
        self.bug = bug
        self.loop = VirtualLoop(START_MS)
        self.table = Table()
        self.calm = False
        self.readings = 0
        self.bodies: list[Body] = []
        self.links: dict[str, Link] = {}
        for number in range(2):
            key = keys.SigningKey.from_seed(f"device {number}".encode().ljust(32, b"."))
            link = Link(
                device=keys.device_id(key.public),
                key=key,
                gateway_key=GATEWAY.public,
                lk=bytes([number + 1]) * 32,
                link_id=bytes([number]) * 4,
            )
            self.links[link.device] = link
            self._body(f"device {number}", link)
        if self.weather.clone:
            self._body("clone", self.bodies[0].link)
        self.counter_lost = False
        self._start_gateway()

    # -- machines ----------------------------------------------------------------------------------------------------

    def _body(self, name: str, link: Link) -> None:
        store = DeviceMemory(
            entries_max=40 if self.weather.small_spool else 10_000, boot_durable=self.bug != "boot not fsynced"
        )
        self.bodies.append(Body(name, link, store, Agent(link, store, rng=self.rng)))

    def _start_gateway(self) -> None:
        links = {device: (link.key.public, link.lk, link.link_id) for device, link in self.links.items()}
        self.committer = MemoryCommitter(
            self.table, self.loop, key=GATEWAY, tell=self._down, takes_s=lambda: self.rng.uniform(0.001, 0.08)
        )
        self.directory = MemoryDirectory(links, self.table, burst=500)
        stored = {(row[0], row[1], row[2], row[3]): row[4] for row in self.table.rows}
        by_row = {member.row: device for device, member in self.directory.members.items()}

        def look_up(row: int, place: message.Position) -> bytes | None:
            position = (by_row[row], place.lane, place.boot, place.seq)
            if position not in stored:
                stored.update({(r[0], r[1], r[2], r[3]): r[4] for r in self.table.rows})
            return stored.get(position)

        self.intake = Intake(
            directory=self.directory,  # type: ignore[arg-type]
            ward=_Blind(),
            committer=self.committer,
            look_up=look_up,
            count=lambda _: None,
            drop=lambda _, __: None,
            hold=lambda _: None,
            flag=lambda _: None,
            answered=lambda _, __: None,
            loop=self.loop,  # type: ignore[arg-type]
            pool=None,
        )
        self.committer.after = self.intake.room

    def _cut_gateway(self) -> None:
        self.committer.alive = False
        self._start_gateway()
        for body in self.bodies:
            body.agent.reconnected()

    def _cut_device(self, body: Body, *, lose: bool) -> None:
        if lose:
            for entry in body.store.entries.values():
                body.lost |= {*_numbers(entry)}
                body.silenced |= {*_numbers(entry, topics.ALARM)}
            body.before += body.store.sealed
            body.store = DeviceMemory()
            self.counter_lost = True
        else:
            body.store.power_cut()
        body.agent = Agent(body.link, body.store, rng=self.rng)

    # -- network -----------------------------------------------------------------------------------------------------

    def _delay(self) -> float:
        return 2.0 if self.calm else self.rng.expovariate(1 / self.weather.delay_ms)

    def _carried(self, raw: bytes) -> list[bytes]:
        """What comes out of the network for one message that goes in."""
        if self.calm:
            return [raw]
        if self.rng.random() < self.weather.drop or (self.weather.outage and self.loop.now_ms in OUTAGE_MS):
            return []
        if self.rng.random() < self.weather.flip:
            place = self.rng.randrange(8 * len(raw))
            damaged = bytearray(raw)
            damaged[place // 8] ^= 1 << place % 8
            return [bytes(damaged)]
        return [raw, raw] if self.rng.random() < self.weather.double else [raw]

    def _up(self, device: str, lane: int, raw: bytes) -> None:
        for carried in self._carried(raw):
            self.loop.call_at(self.loop.now_ms + self._delay(), self._arrive, device, lane, carried)

    def _arrive(self, device: str, lane: int, raw: bytes) -> None:
        self.intake.arrived(
            Arrival(
                device=device,
                lane_connection="alarm" if lane == topics.ALARM else "data",
                topic=topics.up(device, lane),
                payload=raw,
                received_ms=self.loop.now_ms,
                answer=lambda _: None,
            )
        )

    def _down(self, device: str, topic: str, raw: bytes) -> bool:
        for carried in self._carried(raw):
            for body in self.bodies:
                if body.link.device == device:
                    self.loop.call_at(self.loop.now_ms + self._delay(), self._hear, body, carried)
        return True

    @staticmethod
    def _hear(body: Body, raw: bytes) -> None:
        with contextlib.suppress(ProtocolError):
            body.agent.on_receipt(raw)

    # -- a run -------------------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        """Live, settle, and say what does not hold."""
        with _injected(self.bug):
            for at_ms in range(START_MS, START_MS + LIVE_MS, BEAT_MS):
                self.loop.run_until(at_ms)
                self._beat(at_ms)
            self.calm = True
            at_ms = START_MS + LIVE_MS
            while at_ms < START_MS + LIVE_MS + SETTLE_MS and any(body.store.entries for body in self.bodies):
                at_ms += BEAT_MS
                self.loop.run_until(at_ms)
                self._send(at_ms)
            self.loop.run_until(at_ms + 10_000)
        return self.faults()

    def _beat(self, at_ms: int) -> None:
        weather, seconds = self.weather, BEAT_MS / 1000
        for body in self.bodies:
            if self.rng.random() < weather.device_cut * seconds:
                self._cut_device(body, lose=weather.lost_counter and self.rng.random() < 0.5)
            if at_ms % 1000 == 0:
                self._read(body, at_ms)
        if self.rng.random() < weather.gateway_cut * seconds:
            self._cut_gateway()
        self._send(at_ms)

    def _read(self, body: Body, at_ms: int) -> None:
        self.readings += 1
        body.made.append(self.readings)
        clock = content.Clock(up_ms=at_ms - START_MS, wall_ms=at_ms, synced=True)
        vital = Vital(name="MDC_ECG_HEART_RATE", value=60, at_ms=self.readings)
        alarms = ()
        if self.rng.random() < 0.02:
            alarms = (DeviceAlarm(kind="button", at_ms=at_ms, detail={"number": self.readings}),)
            body.pressed.append(self.readings)
        body.agent.read(Sample(vitals=(vital,), alarms=alarms), clock=clock, simulated=True)

    def _send(self, at_ms: int) -> None:
        for body in self.bodies:
            for lane in (topics.ALARM, topics.DATA):
                for entry in body.agent.due(lane, now_ms=at_ms):
                    self._up(body.link.device, lane, entry.raw)

    # -- what must hold ----------------------------------------------------------------------------------------------

    def faults(self) -> list[str]:
        """One line for everything that does not hold."""
        found: list[str] = []
        stored, alarms, gaps = Counter[int](), Counter[int](), set[tuple[str, int, int, int]]()
        sealed = {entry.hash: entry for body in self.bodies for entry in (*body.before, *body.store.sealed)}
        for device, lane, boot, seq, digest, raw in self.table.rows:
            if digest not in sealed:
                found.append(f"a message that nobody sealed is stored at {lane}/{boot}/{seq}")
                continue
            opened = self._open(device, lane, raw)
            if isinstance(opened, content.Alarm):
                alarms[int(opened.detail["number"])] += 1
            else:
                assert isinstance(opened, content.Data)
                stored.update(vital.at_ms for vital in opened.vitals)
                for gap in opened.gaps:
                    for first, last in gap.ranges:
                        gaps |= {(device, gap.lane, gap.boot, number) for number in range(first, last + 1)}
        places = Counter(row[:4] for row in self.table.rows)
        found += [f"position {place} is stored {count} times" for place, count in places.items() if count > 1]
        for body in self.bodies:
            found += self._faults_of(body, stored, gaps)
            found += [
                f"{body.name}: alarm {number} is stored {alarms[number]} times"
                for number in body.pressed
                if alarms[number] != 1 and not (alarms[number] == 0 and number in body.silenced)
            ]
        return found

    def _faults_of(self, body: Body, stored: Counter[int], gaps: set[tuple[str, int, int, int]]) -> list[str]:
        found = []
        where: dict[int, list[Entry]] = {}
        for entry in (*body.before, *body.store.sealed):
            for number in _numbers(entry):
                where.setdefault(number, []).append(entry)
        for number in body.made:
            covered = any((body.link.device, e.lane, e.boot, e.seq) in gaps for e in where.get(number, ()))
            times = stored[number]
            if times > 1 or (times == 0 and not covered and number not in body.lost):
                found.append(f"{body.name}: reading {number} is stored {times} times, gap record: {covered}")
        if body.store.entries:
            found.append(f"{body.name}: the spool still holds {len(body.store.entries)} messages")
        if not self.counter_lost:
            seen: dict[tuple[int, int, int], bytes] = {}
            for entry in body.store.sealed:
                if seen.setdefault(entry.place, entry.hash) != entry.hash:
                    found.append(f"{body.name}: position {entry.place} was signed twice")
        return found

    def _open(self, device: str, lane: int, raw: bytes) -> content.Content:
        seen = message.parse(raw, topic=topics.up(device, lane), size_max=message.SIZE_MAX[lane])
        opened = message.open_content(seen, lk=self.links[device].lk, link_id=self.links[device].link_id)
        return content.decode(opened.content, content_type=opened.content_type)


class _Blind:
    """Watches nothing: detectors are not what is simulated."""

    def look(self, *_: object, **__: object) -> bool:
        """Nothing to see."""
        return False

    def repeated(self, *_: object) -> None:
        """Nothing to count."""


def _numbers(entry: Entry, lane: int = topics.DATA) -> list[int]:
    """The readings in an entry of the data lane; of the alarm lane: the reading with which an alarm came."""
    if entry.lane != lane:
        return []
    opened = content.decode(entry.content, content_type=entry.content_type)
    if isinstance(opened, content.Alarm):
        return [int(opened.detail["number"])]
    assert isinstance(opened, content.Data)
    return [vital.at_ms for vital in opened.vitals]


@contextlib.contextmanager
def _injected(bug: str | None):  # type: ignore[no-untyped-def]
    """The cores with one mistake in them."""
    with contextlib.ExitStack() as stack:
        put = stack.enter_context
        if bug == "no resend":
            put(mock.patch.object(agent_module, "RESEND_AFTER_MS", 1 << 40))
            put(mock.patch.object(agent_module, "RESEND_MAX_MS", 1 << 40))
            put(mock.patch.object(agent_module, "ALARM_RESEND_MS", 1 << 40))
        elif bug == "no dedupe":
            put(mock.patch.object(Intake, "_known", lambda *_: False))
            put(mock.patch.object(Intake, "_conflicting", lambda *_: False))
        elif bug == "receipt without digest check":
            put(mock.patch.object(delivery, "digest", lambda _: bytes(32)))
        elif bug == "duplicate not receipted again":
            put(mock.patch.object(Batch, "again", lambda self, _, arrival: self.answers.append((arrival, 0))))
        elif bug == "no signature check":
            put(mock.patch.object(verifying, "holds", lambda _: True))
        elif bug not in (None, "boot not fsynced"):
            raise AssertionError(bug)
        yield
