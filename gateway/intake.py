"""From an arrival to a durable, receipted, watched message: cheap checks, signatures, detectors, one commit, acknowledgement.

One thread runs all of this. Signatures are verified inline, or in processes of their own when many wait; a writer thread
commits. Nothing is acknowledged, receipted, or shown before its commit. wire.md, "Admission order".
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.admission import QUOTA, SUCCESS, Entrant, Member, Refusal, admit, answer_for, clock_flag, counted
from gateway.batch import Batch
from gateway.directory import Directory
from gateway.ingress.arrival import Arrival
from gateway.ingress.session import Lane
from gateway.verifying import Pool, Verifying
from protocol import content, message, topics
from protocol.errors import BadSignature, ProtocolError

COMMIT_ROWS = 500  # wire.md: commit at 500 rows or after 20 ms
COMMIT_AFTER_S = 0.020
TURN_MESSAGES = 64  # handled before sockets get their turn again
QUEUE_MAX = 4096  # messages that wait for verification; beyond it data is answered "keep it", alarms are still taken
PENDING_MAX = 1024  # messages of one device that wait for a commit: the same beyond it, and alarms that say nothing new
HOLD_FROM, HOLD_UNTIL = 2048, 512  # so many waiting: stop reading data connections; so few: read them again
CONFLICT_KEPT_MAX = 64  # conflicting messages of one device kept as evidence in one run; more are counted only
ALARM_IDS_MAX = 256  # alarm ids and kinds remembered per device for coalescing; older ones count as new
COALESCE_MS = 60_000  # beyond its bucket, an alarm of a kind that was heard within this time says nothing new


class Ward(Protocol):
    """Watches contents: what the intake asks of it."""

    def look(
        self, member: Member, seen: content.Content, *, received_ms: int, source: tuple[int, int, int], batch: Batch
    ) -> bool:
        """Put what the content means into the batch; True when it raises an alarm, which commits at once."""

    def repeated(self, member: Member, alarm: content.Alarm) -> None:
        """Count an alarm that says nothing new and is not kept."""


class Committer(Protocol):
    """Commits batches: what the intake asks of it."""

    healthy: bool

    def commit(self, batch: Batch) -> None:
        """Write the batch, then acknowledge it; never called again before `free`."""

    @property
    def free(self) -> bool:
        """Whether no commit is under way."""


class Intake:
    """The gateway's Sink: takes arrivals on the event loop. count: adds to a refusal's counter; drop: ends a device's
    connection of one lane; hold: stops reading data connections (True; for a while only), or reads them again; flag:
    counts messages of a clock that is off; look_up: SHA-256 of the stored message at a position, or None."""

    def __init__(
        self,
        *,
        directory: Directory,
        ward: Ward,
        committer: Committer,
        look_up: Callable[[int, message.Position], bytes | None],
        count: Callable[[str], None],
        drop: Callable[[str, Lane], None],
        hold: Callable[[bool], None],
        flag: Callable[[str], None],
        answered: Callable[[Member, content.State], None],
        loop: asyncio.AbstractEventLoop,
        pool: Pool | None,
    ) -> None:
        self._directory, self._ward, self._committer = directory, ward, committer
        self._look_up, self._count, self._drop, self._answered = look_up, count, drop, answered
        self._hold, self._flag, self._loop = hold, flag, loop
        self._held = False
        self._verifying = Verifying(pool, self._wake)
        self._inbox: deque[tuple[Arrival, Entrant]] = deque()
        self._woken = False
        self._urgent = False
        self._timer: asyncio.TimerHandle | None = None
        self._conflicts: dict[str, int] = {}
        self._alarms: dict[str, dict[bytes | str, int]] = {}  # when each alarm id and kind was last heard, by device
        self.batch = Batch()

    # -- Sink --------------------------------------------------------------------------------------------------------

    def device_of(self, public_key: bytes) -> str | None:
        """The device whose active key this is."""
        return self._directory.device_of(public_key)

    def device_known(self, device: str) -> bool:
        """Whether `device` may connect."""
        return self._directory.welcome(device)

    def arrived(self, arrival: Arrival) -> None:
        """Take one message through the cheap checks and queue it."""
        member = self._directory.members.get(arrival.device)
        try:
            if member is None:
                raise Refusal("device_unknown", "not enrolled here")
            lane = self._directory.lanes.get(arrival.topic)
            entrant = admit(member, lane=lane, topic=arrival.topic, raw=arrival.payload, now_ms=arrival.received_ms)
            if entrant.taken and self._known(entrant):
                self._again(arrival, entrant)
                return
            waiting = len(self._inbox) + self._verifying.count
            if lane != topics.ALARM and (waiting >= QUEUE_MAX or len(member.pending) >= PENDING_MAX):
                raise Refusal("queue_full", "the gateway is behind; keep it")
        except ProtocolError as error:
            self._refuse(arrival, error)
            return
        if lane == topics.ALARM:  # it overtakes whatever waits
            self._judge(arrival, entrant, self._verifying.now(entrant))
            return
        self._inbox.append((arrival, entrant))
        self._wake()
        if waiting + 1 >= HOLD_FROM:
            self._held = True
            self._hold(True)

    # -- turns -------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Verify and judge some of what waits, then let the sockets have their turn."""
        self._woken = False
        for (arrival, entrant), good in self._verifying.turn(self._inbox, TURN_MESSAGES):
            self._judge(arrival, entrant, good)
        if self._held and self.waiting <= HOLD_UNTIL:
            self._held = False
            self._hold(False)
        if self._verifying.pressing(self._inbox):
            self._wake()

    def _judge(self, arrival: Arrival, entrant: Entrant, good: bool) -> None:
        """What comes after the signature."""
        member, seen = entrant.member, entrant.message
        try:
            if not good:
                if member.bad_signature(arrival.received_ms):
                    self._count("device_quarantined")
                    self._drop(member.device, arrival.lane_connection)
                raise BadSignature("signature_bad", "the signature does not hold")
            if seen.position.lane == topics.STATE:
                self._state(arrival, entrant)
                return
            if self._conflicting(arrival, entrant):
                return
            opened, found = self._open(entrant)
            if isinstance(found, content.Alarm) and self._says_nothing_new(entrant, found, arrival.received_ms):
                self._ward.repeated(member, found)
                raise Refusal("alarm_coalesced", "it says nothing new", final=True)
        except ProtocolError as error:
            self._refuse(arrival, error)
            final = isinstance(error, Refusal) and error.final and seen.position.lane != topics.STATE
            if final and self._committer.healthy:  # else nothing gathers: it will come again, and be refused again
                self.batch.refused(entrant, counted(error.code))
                self._schedule(now=False)
            return
        self._take(arrival, entrant, opened, found)

    def _open(self, entrant: Entrant) -> tuple[message.Opened, content.Content]:
        """Decrypt and decode a message whose signature holds; what fails now fails for ever."""
        member = entrant.member
        lane = entrant.message.position.lane
        try:
            opened = message.open_content(entrant.message, lk=member.lk, link_id=member.link_id)
            if opened.content_type != content.CONTENT_TYPES[lane]:
                raise Refusal("content_bad", "another lane's content")
            return opened, content.decode(opened.content, content_type=opened.content_type)
        except ProtocolError as error:
            raise Refusal(counted(error.code), error.detail, final=True) from error

    def _take(self, arrival: Arrival, entrant: Entrant, opened: message.Opened, found: content.Content) -> None:
        """Into the batch, under the eyes of the detectors."""
        member, position = entrant.member, entrant.message.position
        member.pending[position] = entrant.hash
        self._look_at_clock(found, arrival.received_ms, live=False)
        batch = self.batch
        batch.keep(entrant, arrival, opened)
        urgent = self._ward.look(member, found, received_ms=arrival.received_ms, source=position, batch=batch)
        if type(found) is content.Data and found.gaps:
            batch.gaps.append((member.row, found.gaps, position))
        batch.shown.append((member.device, found, arrival.received_ms))
        self._schedule(now=urgent or position.lane == topics.ALARM)

    def _state(self, arrival: Arrival, entrant: Entrant) -> None:
        """A heartbeat, a birth or an answer: heard, shown, not kept."""
        member, position = entrant.member, entrant.message.position
        if (position.boot, position.seq) <= member.last_state:
            raise Refusal("state_replayed", "the same state came twice at once")
        _, found = self._open(entrant)
        member.last_state = (position.boot, position.seq)
        self._look_at_clock(found, arrival.received_ms, live=True)
        arrival.answer(SUCCESS)
        urgent = self._ward.look(member, found, received_ms=arrival.received_ms, source=position, batch=self.batch)
        if isinstance(found, content.State):
            if found.kind == "answer":
                self._answered(member, found)
            if member.state == "enrolled":
                self.batch.activate(member)
        if self.batch.changed:
            self._schedule(now=urgent)

    def _look_at_clock(self, found: content.Content, received_ms: int, *, live: bool) -> None:
        """A wrong clock is flagged, and no reason to refuse."""
        if wrong := clock_flag(found.clock, received_ms=received_ms, live=live):
            self._flag(wrong)

    # -- positions that are taken ------------------------------------------------------------------------------------

    def _known(self, entrant: Entrant) -> bool:
        """Whether the very same message is durable or about to be."""
        if entrant.again:
            return True
        place = entrant.message.position
        if place in entrant.member.pending:
            return False
        return self._look_up(entrant.member.row, place) == entrant.hash

    def _again(self, arrival: Arrival, entrant: Entrant) -> None:
        """The same message again: acknowledged and receipted again, with the commit that is under way or the next."""
        self._count("duplicate")
        if (
            not self._committer.healthy
        ):  # it waits here once; its copies must not fill the window that an alarm may need
            arrival.answer(QUOTA)
            return
        self.batch.again(entrant, arrival)
        self._schedule(now=False)

    def _conflicting(self, arrival: Arrival, entrant: Entrant) -> bool:
        """True when the position is taken: by the same bytes, or by others, which is evidence of a clone or a lost counter."""
        member, place = entrant.member, entrant.message.position
        waiting = member.pending.get(place)
        intervals = member.covered.get((place.lane, place.boot))
        if waiting is None and (intervals is None or place.seq not in intervals):
            return False
        stored = waiting if waiting is not None else self._look_up(member.row, place)
        if stored is None or stored == entrant.hash:
            self._again(arrival, entrant)
            return True
        if place.lane == topics.ALARM:
            with contextlib.suppress(ProtocolError):  # what cannot be read raises nothing, and is evidence all the same
                _, found = self._open(entrant)
                self._ward.look(member, found, received_ms=arrival.received_ms, source=place, batch=self.batch)
        if not self._committer.healthy:
            raise Refusal("queue_full", "storage fails; keep it")
        seen = self._conflicts[member.device] = self._conflicts.get(member.device, 0) + 1
        kept = seen <= CONFLICT_KEPT_MAX
        self.batch.conflict(entrant, arrival, stored=stored, kept=kept)
        self._count("conflict")
        self._schedule(now=place.lane == topics.ALARM)
        return True

    def _says_nothing_new(self, entrant: Entrant, found: content.Alarm, now_ms: int) -> bool:
        """Whether an alarm beyond its bucket repeats an id, or a kind within the last minute. The first is never coalesced."""
        member = entrant.member
        heard = self._alarms.setdefault(member.device, {})
        repeated = found.id in heard or now_ms - heard.get(found.kind, -COALESCE_MS) < COALESCE_MS
        heard[found.id] = heard[found.kind] = now_ms
        while len(heard) > ALARM_IDS_MAX:
            del heard[next(iter(heard))]
        return repeated and (entrant.excess or len(member.pending) >= PENDING_MAX)

    # -- the end of a message's way ----------------------------------------------------------------------------------

    def _refuse(self, arrival: Arrival, error: ProtocolError) -> None:
        self._count(counted(error.code))
        arrival.answer(answer_for(counted(error.code)))

    def _schedule(self, *, now: bool) -> None:
        """Commit at once, when the batch is full, or a moment from now."""
        self._urgent |= now
        if (now or len(self.batch.rows) >= COMMIT_ROWS) and self._committer.free:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(COMMIT_AFTER_S, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._committer.free:
            self.flush()

    def soon(self) -> None:
        """Commit as soon as possible: now, or when the commit under way is done."""
        self._urgent = True
        if self._committer.free:
            self.flush()

    def room(self) -> None:
        """A commit is done: begin the next one when something is urgent or much has gathered."""
        if self._urgent or len(self.batch.rows) >= COMMIT_ROWS:
            self.flush()
        elif self.batch and self._timer is None:
            self._timer = self._loop.call_later(COMMIT_AFTER_S, self._due)

    @property
    def waiting(self) -> int:
        """Messages that wait for verification."""
        return len(self._inbox) + self._verifying.count

    def flush(self) -> None:
        """Hand the batch to the committer, if there is anything in it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._urgent = False
        if self.batch:
            batch, self.batch = self.batch, Batch()
            self._committer.commit(batch)
