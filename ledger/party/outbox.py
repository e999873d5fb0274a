"""Statements on their way to the log: sent again and again, in order, until a receipt holds and the log is seen to have grown.

Nothing counts as registered on the ledger's word: the receipt is by a log of the trust file, and a checkpoint that meets its
policy shows a tree of which the last kept one, and that of each receipt, is the beginning.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence

from ledger.client import AsyncClient, LedgerBusy, LedgerRefused
from ledger.party.store import Kept, Store, Waiting
from protocol import conflict, growth
from protocol.conflict import Seen
from protocol.errors import ProtocolError, Unavailable, VerificationFailed
from protocol.growth import Placed
from protocol.notes import Checkpoint
from protocol.policy import Policy

AT_ONCE = 32  # statements sent before the log's growth is checked and all of them are written down
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.5, 60.0  # full jitter: a ledger that comes back is not met by every party at once
HELD_UP_AFTER = 8  # failed turns, some minutes: then a statement that the log cannot judge holds up no others
PASSED_MAX = 4  # such statements in one turn; with more of them it is the log that fails
DOUBLINGS_MAX = 10  # enough to reach the longest wait; a ledger may be away for a week
SAID_AGAIN_S = 600.0  # a failure that lasts is in the log so often

Failure = (Unavailable, VerificationFailed, ProtocolError)

log = logging.getLogger(__name__)


class Outbox:
    """Sends what waits in the store. policy: whose receipts and checkpoints are believed."""

    def __init__(
        self,
        *,
        store: Store,
        client: AsyncClient,
        policy: Policy,
        now_ms: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self._store, self._client, self._policy, self._now_ms, self._rng = store, client, policy, now_ms, rng
        self._wake = asyncio.Event()
        self._said, self._say_again_s = "", 0.0
        self.failures = 0
        """Turns in a row that failed."""
        self.failed: Callable[[], None] = lambda: None
        """Told of each failed turn."""
        self.settled: Callable[[Collection[bytes]], Awaitable[None]] = _nothing
        """Told of each receipt, by the SHA-256 of its statement, once it is on disk."""

    def wake(self) -> None:
        """Something new waits."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            pause_s = await self.attempt()
            if pause_s is None:
                await self._wake.wait()
            else:
                await asyncio.sleep(pause_s)

    async def attempt(self) -> float | None:
        """One turn; how long to pause before the next one, None when nothing waits any more."""
        try:
            sent = await self.turn()
        except Failure as error:
            self.failures += 1
            self.failed()
            self._say(error)
            return self.pause_s(error)
        if self.failures:
            log.warning("the ledger takes statements again, after %d failed tries", self.failures)
        self.failures, self._said = 0, ""
        return 0.0 if sent else None

    async def turn(self) -> int:
        """Send some of what waits; how many were answered. Raises what keeps the rest waiting, by its code."""
        waiting = await asyncio.to_thread(self._store.waiting, most=AT_ONCE)
        answered: list[Placed] = []
        failed: list[Unavailable | VerificationFailed | ProtocolError] = []
        for each in waiting:
            try:
                found = await self._send(each, last_word=not failed)
            except Failure as error:
                failed.append(error)
                if len(failed) > PASSED_MAX or not self._passes(error):
                    break
                continue
            if found is not None:
                answered.append(found)  # Stop here: the log has it, we do not know. It is sent again, and found there.
        if answered:
            await self._settle(answered)
        if failed:
            raise failed[0]
        return len(waiting)

    def _passes(self, error: Exception) -> bool:
        """Whether what comes after a statement that failed so is sent all the same: it may be the statement's own fault."""
        whole = isinstance(error, Unavailable) and not isinstance(error, LedgerBusy)  # nobody there, or not admitted
        return self.failures >= HELD_UP_AFTER and not whole

    def pause_s(self, error: Exception) -> float:
        """How long to leave the ledger alone after this failure: a random while that grows, and at least what it asks for."""
        most_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** min(self.failures, DOUBLINGS_MAX))
        asked_s = error.retry_after_s if isinstance(error, LedgerBusy) else None
        return max(self._rng.uniform(BACKOFF_MIN_S, most_s), asked_s or 0.0)

    async def _send(self, each: Waiting, *, last_word: bool) -> Placed | None:
        """What the ledger answers to one statement; None when it refuses it for good, which is written down.

        last_word: False while one before it fails, for the want of which it may be refused: then it waits on.
        """
        try:
            found = await self._client.register(each.statement)
        except LedgerRefused as error:
            if error.code == "issuer_unknown" and not each.first:
                raise Unavailable("party_not_admitted", "the ledger does not know this party's key yet") from error
            if not last_word:
                return None
            log.error("the ledger refused a statement: %s", error.code)
            await asyncio.to_thread(self._store.refuse, each.digest, error.code, now_ms=self._now_ms())
            return None
        return growth.placed(self._policy, found.receipt, digest=each.digest, entry_id=found.entry_id)

    async def _settle(self, answered: Sequence[Placed]) -> None:
        """Write down the receipts of each log. What an epoch had that has ended since is found there, and proved by its end."""
        note = await self._client.checkpoint()
        newest, _ = self._policy.check(note)
        for origin in dict.fromkeys(each.origin for each in answered):
            some = [each for each in answered if each.origin == origin]
            if origin == newest.origin:
                await self._settle_with(self._client, note, some)
            else:
                ended = self._client.of_epoch(some[0].epoch)
                await self._settle_with(ended, await ended.checkpoint(), some)

    async def _settle_with(self, client: AsyncClient, note: str, answered: Sequence[Placed]) -> None:
        """Write down one log's receipts, once its checkpoint shows a tree that holds theirs and the one that we saw last."""
        checkpoint, _ = self._policy.check(note)
        if any(each.origin != checkpoint.origin for each in answered):
            raise VerificationFailed("log_unknown", "the checkpoint is of another log than the receipts")
        seen = Seen(note=self._policy.kept(note), at_ms=self._now_ms())
        kept = await asyncio.to_thread(self._store.head, checkpoint.origin)
        if kept is not None:
            await self._grown(client, kept, checkpoint, seen)
        for size, root in {(each.size, each.root) for each in answered}:
            between = growth.span(size, checkpoint)
            path = [] if between is None else await client.consistency(*between)
            growth.verify(size, root, checkpoint, path)
        await asyncio.to_thread(self._store.settle, answered, checkpoint, seen)
        await self.settled({each.digest for each in answered})

    async def _grown(self, client: AsyncClient, kept: Kept, checkpoint: Checkpoint, seen: Seen) -> None:
        """Raises unless the kept tree is the beginning of the checkpoint's; what proves that it is not is kept.

        A smaller tree proves nothing, since anybody on the way may hold an old answer back: it is waited over. A log that was
        set back is found out when it has grown again.
        """
        between = growth.span(kept.checkpoint.size, checkpoint)
        path = [] if between is None else await client.beginning(*between)
        kind = conflict.contradiction(kept.checkpoint, checkpoint, path)
        if kind is not None:
            found = conflict.Conflict(earlier=kept.seen, later=seen, path=tuple(path))
            await asyncio.to_thread(self._store.accuse, found)
            raise VerificationFailed("log_contradicts_itself", f"{conflict.SAYS[kind]}: the proof is kept")

    def _say(self, error: Exception) -> None:
        """Say a failure when it is another one than the last, and now and then when it lasts."""
        now_s = asyncio.get_running_loop().time()
        if str(error) != self._said or now_s >= self._say_again_s:
            log.warning("the ledger did not take a statement, and is asked again: %s", error)
            self._said, self._say_again_s = str(error), now_s + SAID_AGAIN_S


async def _nothing(_: Collection[bytes]) -> None:
    """Nobody is told."""
