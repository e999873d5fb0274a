"""A log asks its witnesses: for cosignatures on what it signs, and at the start for what they hold of it.

Receipts wait for nobody here. A checkpoint is shown once the policy's quorum has cosigned it.
"""

import asyncio
import contextlib
import functools
import logging
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from ledger.log.engine import Engine
from ledger.witness import gathering, history
from ledger.witness import peer as peers
from ledger.witness.gathering import Candidate, Standing
from ledger.witness.history import RolledBack
from ledger.witness.metrics import Asked
from ledger.witness.peer import Peer, Said
from protocol import notes
from protocol import policy as policies
from protocol.errors import ConfigError, Malformed, Unavailable
from protocol.notes import Line
from protocol.policy import Policy
from protocol.witnessing import Request

EVERY_S = 1.0  # between two looks at whether the log grew: witnesses are asked for no more checkpoints than that
TRIES_MAX = 3  # of one witness for one checkpoint: others may ask it in between, and it stands elsewhere each time
WITNESSES_MAX = (
    notes.LINES_MAX - policies.LOG_KEYS_MAX
)  # that a log asks: the checkpoint with all their lines is one that verifiers still read

log = logging.getLogger(__name__)


def read_policy(file: str, engine: Engine) -> Policy:
    """The policy in `file`, which fits the log of `engine` and whose quorum its witnesses with an address can meet.

    Raises ConfigError: witness_policy.
    """
    path = Path(file).expanduser()
    try:
        found = policies.parse(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("witness_policy", f"cannot read the witness_policy {path}") from error
    except Malformed as error:
        raise ConfigError("witness_policy", f"the witness_policy {path} is no policy: {error.detail}") from error
    if not notes.verify(notes.parse(engine.signed()), found.logs.get(engine.origin, ())):
        raise ConfigError(
            "witness_policy",
            f"the witness_policy {path} does not name the log {engine.origin} with its key; add a log line",
        )
    if len(found.logs) > 1:  # or a copy from before a roll-over would still be named, and sign on where its epoch ended
        raise ConfigError(
            "witness_policy",
            f"the witness_policy {path} names other logs too: leave the line of {engine.origin} alone there",
        )
    if len(found.witness_urls) > WITNESSES_MAX:
        raise ConfigError("witness_policy", f"{path} gives addresses of more than {WITNESSES_MAX} witnesses")
    if not found.meets(found.witness_urls.keys()):
        raise ConfigError(
            "witness_policy",
            f"the quorum of {path} cannot be met: give enough of its witnesses an address after their key",
        )
    return found


class Asking:
    """Everything here belongs to one event loop. rng: for pauses that differ; monotonic_s: seconds."""

    def __init__(
        self,
        *,
        engine: Engine,
        policy: Policy,
        witnesses: Sequence[Peer],
        metrics: Asked,
        monotonic_s: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._engine, self._policy, self._metrics = engine, policy, metrics
        self._monotonic_s, self._rng = monotonic_s, rng
        self._standings = {each: Standing() for each in witnesses}
        self._busy: dict[Peer, tuple[Candidate, asyncio.Task[None]]] = {}
        self._candidate: Candidate | None = None
        self._publishing = asyncio.Lock()
        self._origin, self._shown_size = engine.origin, 0  # another epoch, and so another name, is another engine
        self._behind_since_s: float | None = None
        self._resume()

    async def look(self) -> None:
        """Ask every witness what it holds, before anything is signed or served. One that is away is looked at later.

        Raises ConfigError: log_rolled_back.
        """
        note = self._engine.signed()
        found = await asyncio.gather(*(self._look(each, note) for each in self._standings))
        self._metrics.missing(gathering.missing(self._standings.values()))
        for wrong in found:
            if wrong is not None:
                raise ConfigError(history.CODE, wrong.sentence())

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                self.step()
                await asyncio.sleep(EVERY_S)
        finally:
            for _, task in list(self._busy.values()):
                task.cancel()

    async def settled(self) -> None:
        """Return once no witness is being asked."""
        while self._busy:
            await asyncio.gather(*(task for _, task in self._busy.values()))

    def step(self) -> None:
        """Choose the checkpoint that is asked for, and ask every witness that is free and has not signed it."""
        now_s = self._monotonic_s()
        self._measure(now_s)
        if self._engine.stopped is not None:
            return
        candidate = self._chosen(now_s)
        for each, standing in self._standings.items():
            if each not in self._busy and each.name not in candidate.lines and standing.due_s <= now_s:
                task = asyncio.create_task(self._ask(each, candidate), name=f"witness {each.name}")
                self._busy[each] = (candidate, task)
                task.add_done_callback(functools.partial(self._free, each))

    def _chosen(self, now_s: float) -> Candidate:
        candidate = self._candidate
        busy = any(asked is candidate for asked, _ in self._busy.values())
        if candidate is None or (
            candidate.checkpoint.size < self._engine.size and gathering.is_over(candidate, busy=busy, now_s=now_s)
        ):
            candidate = self._candidate = Candidate.of(self._engine.signed(), now_s)
        return candidate

    def _free(self, each: Peer, done: "asyncio.Task[None]") -> None:
        del self._busy[each]
        _told(done)  # and the witness is asked again

    def _resume(self) -> None:
        """Show again what was shown before, when today's policy takes it."""
        note = self._engine.cosigned()
        if self._policy.quorum is None or not note or not gathering.meets(note, self._policy):
            return
        found = Candidate.of(note, 0.0).checkpoint
        if found.origin == self._origin and found.size <= self._engine.size:
            self._engine.show(note)
            self._shown_size = found.size

    async def _ask(self, each: Peer, candidate: Candidate) -> None:
        standing = self._standings[each]
        if not standing.looked and not await self._fits(each, standing, candidate):
            return
        said = await self._asked(each, standing, candidate)
        if said is None:
            return
        self._metrics.asked(said.outcome)
        if said.outcome == peers.COSIGNED and said.line is not None:
            if standing.succeeded(candidate.checkpoint.size):
                log.warning("a witness is back: %s", each.name)
            await self._add(each, said.line, candidate)
            return
        self._failed(each, said)
        if said.outcome in (peers.INCONSISTENT, peers.AHEAD):
            standing.looked, standing.old = False, None  # look again: only the log's own signature convicts the log

    async def _asked(self, each: Peer, standing: Standing, candidate: Candidate) -> Said | None:
        """Ask from where the witness stands, and again from where it says that it stands.

        None when it has cosigned a newer checkpoint of ours, which somebody else showed to it: ask it for the next one.
        """
        size, said = candidate.checkpoint.size, Said(outcome=peers.MOVED)
        for _ in range(TRIES_MAX):
            old = standing.old or 0
            if old > size:
                return Said(outcome=peers.AHEAD) if old > self._engine.size else None
            try:
                path = () if old in (0, size) else tuple(await asyncio.to_thread(self._engine.path, old, size))
            except (Unavailable, sqlite3.Error):
                return Said(outcome=peers.UNPROVABLE)
            said = await each.add(Request.make(old=old, proof=path, note=candidate.note))
            if said.outcome != peers.MOVED:
                return said
            standing.old = said.size
        return said

    async def _fits(self, each: Peer, standing: Standing, candidate: Candidate) -> bool:
        """Whether a witness has been looked at, and holds nothing that stops this log.

        A bare claim does not, here: a witness that was away at the start could otherwise stop a running log by one lie.
        """
        wrong = await self._look(each, candidate.note)
        if wrong is not None and wrong.proved:
            self._stop(wrong)
            return False
        return standing.looked

    async def _look(self, each: Peer, note: str) -> RolledBack | None:
        """What is wrong between what a witness holds and what is here. It is `looked` at once it has answered.

        note: a checkpoint of ours to ask with, when it does not show what it holds.
        """
        standing = self._standings[each]
        try:
            shown = await each.newest(self._origin)
        except Unavailable:
            self._failed(each, Said(outcome=peers.UNREACHABLE))
            self._metrics.asked(peers.UNREACHABLE)
            return None
        keys = self._policy.logs.get(self._origin, ())
        held = None if shown is None else history.signed_by(shown, self._origin, keys)
        if held is None:
            return await self._look_by_size(each, standing, Request.make(old=0, proof=(), note=note))
        standing.looked, standing.old = True, held.size
        return await asyncio.to_thread(history.compare, each.name, held, self._engine)

    async def _look_by_size(self, each: Peer, standing: Standing, request: Request) -> RolledBack | None:
        """The same of a witness that does not show what it holds: it says its size when it is asked to begin at 0."""
        said = await each.add(request)
        if said.outcome in (peers.BUSY, peers.UNREACHABLE):
            self._metrics.asked(said.outcome)
            self._failed(each, said)
            return None
        standing.looked = True
        if said.outcome == peers.COSIGNED:
            standing.old = request.checkpoint.size
        if said.outcome == peers.MOVED:
            standing.old = said.size
            return history.claimed(each.name, said.size, self._engine)
        return None

    async def _add(self, each: Peer, line: Line, candidate: Candidate) -> None:
        """One more cosignature; with enough of them the checkpoint is shown, and shown again with each that comes later."""
        if not candidate.add(each.name, line, self._policy) or self._policy.quorum is None:
            return
        async with self._publishing:
            if candidate.checkpoint.size < self._shown_size:
                return
            try:
                await asyncio.to_thread(self._engine.publish, candidate.whole())
            except Unavailable:
                candidate.take_back(each.name)
                self._failed(each, Said(outcome=peers.COSIGNED))
                return
            if candidate.checkpoint.size > self._shown_size:
                self._shown_size, self._behind_since_s = candidate.checkpoint.size, None

    def _failed(self, each: Peer, said: Said) -> None:
        now_s = self._monotonic_s()
        if self._standings[each].failed(now_s, self._rng, at_least_s=said.retry_after_s):
            log.warning("a witness is missing: %s (%s)", each.name, said.outcome)

    def _stop(self, wrong: RolledBack) -> None:
        self._metrics.rolled_back()
        if self._engine.stopped is None:
            log.error("nothing is registered any more: %s", wrong.sentence())
            self._engine.stop(Unavailable(history.CODE, wrong.sentence()))

    def _measure(self, now_s: float) -> None:
        behind = self._policy.quorum is not None and self._shown_size < self._engine.size
        if not behind:
            self._behind_since_s = None
        elif self._behind_since_s is None:
            self._behind_since_s = now_s
        self._metrics.waiting(0.0 if self._behind_since_s is None else now_s - self._behind_since_s)
        self._metrics.missing(gathering.missing(self._standings.values()))


@contextlib.asynccontextmanager
async def asked(
    engine: Engine, policy: Policy, metrics: Asked, *, monotonic_s: Callable[[], float], rng: random.Random
) -> AsyncIterator[Asking]:
    """Witnesses are looked at before the block, and asked while it runs.

    Raises ConfigError: log_rolled_back, witness_url.
    """
    async with peers.client() as http:
        witnesses = [
            Peer(name=name, key=policy.witnesses[name], url=url, http=http) for name, url in policy.witness_urls.items()
        ]
        asking = Asking(
            engine=engine, policy=policy, witnesses=witnesses, metrics=metrics, monotonic_s=monotonic_s, rng=rng
        )
        await asking.look()
        task = asyncio.create_task(asking.run(), name="witnesses")
        task.add_done_callback(_told)
        try:
            yield asking
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _told(done: "asyncio.Task[None]") -> None:
    """A bug of ours is said where the log is run; it takes no receipt from anybody."""
    error = None if done.cancelled() else done.exception()
    if error is not None:
        context = {"message": "asking witnesses failed", "exception": error, "task": done}
        asyncio.get_running_loop().call_exception_handler(context)
