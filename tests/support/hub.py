"""The gateway's intake on virtual time, with its stores in memory: messages go in, and everything that it did can be looked at."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.admission import Member
from gateway.ingress.arrival import Arrival
from gateway.ingress.session import Lane
from gateway.intake import Intake
from gateway.verifying import Pool
from protocol import content, delivery, keys, message, topics
from tests.support.memory import MemoryCommitter, MemoryDirectory, Table
from tests.support.sealed import LINK_ID, NOW_MS, Sender
from tests.support.virtual import VirtualLoop

GATEWAY = keys.SigningKey.from_seed(b"the gateway of intake tests".ljust(32, b"."))
COMMIT_S = 0.004  # how long a commit takes


@dataclass(slots=True)
class Watching:
    """A ward that notes what it is shown. Whatever is on the alarm lane raises an alarm."""

    seen: list[tuple[str, content.Content]] = field(default_factory=list)
    repeats: Counter[tuple[str, str]] = field(default_factory=Counter)

    def look(self, member: Member, seen: content.Content, **_: object) -> bool:
        """Notes it."""
        self.seen.append((member.device, seen))
        return isinstance(seen, content.Alarm)

    def repeated(self, member: Member, alarm: content.Alarm) -> None:
        """Counts it."""
        self.repeats[member.device, alarm.kind] += 1


class Hub:
    """burst: messages of the data lane that a device may send at once; pool: verifies when many wait."""

    def __init__(self, *senders: Sender, burst: float = 500, pool: Pool | None = None) -> None:
        self.loop = VirtualLoop(NOW_MS)
        self.table = Table()
        self.counts: Counter[str] = Counter()
        self.flags: Counter[str] = Counter()
        self.held: list[bool] = []
        self.dropped: list[tuple[str, Lane]] = []
        self.receipts: list[tuple[str, delivery.Receipt]] = []
        self.commits: list[int] = []  # when each began, ms after the start
        self.ward = Watching()
        links = {sender.device: (sender.key.public, sender.lk, LINK_ID) for sender in senders}
        self.directory = MemoryDirectory(links, self.table, burst=burst)
        self.committer = MemoryCommitter(
            self.table, self.loop, key=GATEWAY, tell=self._told, takes_s=self._commit_begins
        )
        self.intake = Intake(
            directory=self.directory,  # type: ignore[arg-type]
            ward=self.ward,  # type: ignore[arg-type]
            committer=self.committer,
            look_up=self._look_up,
            count=self._counter(self.counts),
            drop=lambda device, lane: self.dropped.append((device, lane)),
            hold=self.held.append,
            flag=self._counter(self.flags),
            answered=lambda _, __: None,
            loop=self.loop,  # type: ignore[arg-type]
            pool=pool,
        )
        self.committer.after = self.intake.room

    def send(self, sender: Sender, raw: bytes, topic: str | None = None, *, lane: int = topics.DATA) -> list[int]:
        """One message comes in on the sender's connection; the answers that it gets, now or later."""
        answers: list[int] = []
        connection: Lane = "alarm" if lane == topics.ALARM else "data"
        self.intake.arrived(
            Arrival(
                device=sender.device,
                lane_connection=connection,
                topic=topic or sender.up(lane),
                payload=raw,
                received_ms=self.loop.now_ms,
                answer=answers.append,
            )
        )
        return answers

    def pass_ms(self, ms: float = 100) -> None:
        """Time goes by, and with it whatever is due."""
        self.loop.run_until(self.loop.now_ms + ms)

    def settled(self, sender: Sender, raw: bytes, topic: str | None = None, *, lane: int = topics.DATA) -> int:
        """The one answer to a message, after a while."""
        answers = self.send(sender, raw, topic, lane=lane)
        self.pass_ms()
        (answer,) = answers
        return answer

    def member(self, sender: Sender) -> Member:
        """What the gateway knows of a device."""
        return self.directory.members[sender.device]

    def stored(self, sender: Sender, lane: int = topics.DATA) -> list[int]:
        """Sequence numbers of what is on the disk, in the order of the commits."""
        return [row[3] for row in self.table.rows if row[:2] == (sender.device, lane)]

    def _commit_begins(self) -> float:
        self.commits.append(self.loop.now_ms - NOW_MS)
        return COMMIT_S

    def _told(self, device: str, topic: str, raw: bytes) -> bool:
        self.receipts.append((device, delivery.read(raw, topic, GATEWAY.public)))
        return True

    def _look_up(self, row: int, place: message.Position) -> bytes | None:
        device = next(device for device, member in self.directory.members.items() if member.row == row)
        wanted = (device, place.lane, place.boot, place.seq)
        return next((found[4] for found in self.table.rows if found[:4] == wanted), None)

    @staticmethod
    def _counter(counts: "Counter[str]") -> Callable[[str], None]:
        def count(name: str) -> None:
            counts[name] += 1

        return count
