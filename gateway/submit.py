"""Statements on their way to the ledger: a durable queue, sent in order until a log that only grew has receipted each."""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable, Sequence

from gateway.lookout import Lookout, Sent
from gateway.store import anchors
from gateway.store.anchors import Submission
from gateway.store.writer import Writer
from ledger.client import AsyncClient, LedgerBusy, LedgerRefused, Registered, Verdict
from protocol import growth
from protocol.errors import ProtocolError, Unavailable, VerificationFailed
from protocol.policy import Policy

AT_ONCE = 64  # statements in one request; more would hold up the gateway while their receipts are read
LOOK_EVERY_S = 0.5  # for new statements
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.5, 60.0  # full jitter: a ledger that comes back is not met by every gateway at once
DOUBLINGS_MAX = 10  # enough to reach the longest wait; a ledger may be away for a week
SAID_AGAIN_S = 600.0  # a failure that lasts is in the log so often
ORDINARY = frozenset({"checkpoint_old", "quorum_missed"})  # while witnesses sign what was just registered
NOT_ADMITTED = "gateway_not_admitted"
ORDINARY_TRIES = 8  # so often in a row they are not in the log

Failure = (Unavailable, VerificationFailed, ProtocolError)
AnyFailure = Unavailable | VerificationFailed | ProtocolError

log = logging.getLogger(__name__)


class Submitter:
    """Sends what waits. policy: whose receipts are accepted; failed: told the code of each failure."""

    def __init__(
        self,
        *,
        writer: Writer,
        client: AsyncClient,
        lookout: Lookout,
        policy: Policy,
        now_ms: Callable[[], int],
        rng: random.Random,
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._writer, self._client, self._lookout, self._policy = writer, client, lookout, policy
        self._now_ms, self._rng, self._failed = now_ms, rng, failed
        self._sent: list[Sent] = []  # answered, and not under a checkpoint that counts: at most AT_ONCE
        self._failures = 0
        self._said, self._say_again_s = "", 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._lookout.on_time()
                sent = await self.turn()
            except Failure as error:
                self._failures += 1
                self._failed(error.code)
                pause_s = self.pause_s(error)
                self._say(error)
            else:
                if self._said:
                    log.warning("the ledger takes statements again, after %d failed tries", self._failures)
                self._failures, self._said = 0, ""
                pause_s = 0.0 if sent else LOOK_EVERY_S
            await asyncio.sleep(pause_s)

    async def turn(self) -> int:
        """Send some of what waits; how many were answered. Raises what keeps the rest waiting, by its code.

        A log that contradicted itself is sent nothing until it shows that it holds what it held.
        """
        if self._lookout.doubted:
            await self._lookout.look()
        if self._failures > ORDINARY_TRIES:
            self._sent = []  # they may be in a tree that is gone: the ledger is asked for them again, and for all that came since
        if self._sent:
            await self._settle()
        waiting = await self._writer.run(lambda conn: anchors.waiting(conn, most=AT_ONCE))
        if not waiting:
            return 0
        failed = await self._send(waiting)
        if self._sent:
            await self._settle()
        if failed is not None:
            raise failed
        return len(waiting)

    def pause_s(self, error: Exception) -> float:
        """How long to leave the ledger alone after this failure: a random while that grows, and at least what it asks for."""
        most_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** min(self._failures, DOUBLINGS_MAX))
        asked_s = error.retry_after_s if isinstance(error, LedgerBusy) else None
        return max(self._rng.uniform(BACKOFF_MIN_S, most_s), asked_s or 0.0)

    async def _send(self, waiting: Sequence[Submission]) -> AnyFailure | None:
        """Have all of them judged, each on its own: one that is refused or cannot be judged now, or whose receipt does not hold,
        keeps no other back. What says why some have to wait; what they all wait for is raised."""
        verdicts = await self._verdicts([each.statement for each in waiting])
        failed: AnyFailure | None = None
        for each, verdict in zip(waiting, verdicts, strict=True):
            try:
                await self._take(each, verdict)
            except Failure as error:
                if failed is None or error.code == NOT_ADMITTED:
                    failed = error
            await asyncio.sleep(0)  # a receipt takes a while to verify, and alarms do not wait for many of them
        if failed is not None and failed.code == NOT_ADMITTED:
            await self._writer.run(anchors.reopen_admission)
        return failed  # Stop here: the ledger has them, we do not know. They are sent again, and found there.

    async def _verdicts(self, raws: Sequence[bytes]) -> Sequence[Verdict]:
        """One goes as every ledger of SCRAPI takes it, several in a batch."""
        if len(raws) > 1:
            return await self._client.register_many(raws)
        try:
            return [await self._client.register(raws[0])]
        except LedgerRefused as error:
            return [error]

    async def _take(self, each: Submission, verdict: Verdict) -> None:
        """Verify a receipt, or write down a refusal for good. Raises LedgerBusy, Malformed, BadSignature, VerificationFailed;
        Unavailable: gateway_not_admitted."""
        if isinstance(verdict, Registered):
            placed = growth.placed(self._policy, verdict.receipt, digest=each.digest, entry_id=verdict.entry_id)
            self._sent.append(Sent(submission=each, placed=placed))
            return
        if not isinstance(verdict, LedgerRefused):
            raise verdict
        if verdict.code == "issuer_unknown" and each.kind != "admission":
            raise Unavailable(NOT_ADMITTED, "the ledger does not know this gateway's key yet") from verdict
        code, now_ms = verdict.code, self._now_ms()
        log.error("the ledger refused a statement of kind %s: %s", each.kind, verdict)
        await self._writer.run(lambda conn: anchors.refused(conn, each.digest, code=code, now_ms=now_ms))

    async def _settle(self) -> None:
        """Write down the receipts of one log after the other (there are two while one epoch follows another), once a checkpoint
        that counts shows a tree that holds all of theirs and the one that we saw last. Until then they are kept in mind, and a
        restart asks for them again."""
        failed: AnyFailure | None = None
        for origin in {each.placed.origin for each in self._sent}:
            some = [each for each in self._sent if each.placed.origin == origin]
            try:
                await self._settle_with(some)
            except Failure as error:
                failed = failed or error
                if not isinstance(error, Unavailable) and error.code != "quorum_missed":
                    self._forget(some)  # what is wrong may be with them: they are sent again
        if failed is not None:
            raise failed

    async def _settle_with(self, some: Sequence[Sent]) -> None:
        head = await self._lookout.see(some)
        now_ms = self._now_ms()

        def keep(conn: sqlite3.Connection) -> None:
            for each in some:
                anchors.registered(conn, each.placed, now_ms=now_ms)
            anchors.keep_head(conn, head)

        await self._writer.run(keep)
        self._forget(some)

    def _forget(self, some: Sequence[Sent]) -> None:
        self._sent = [each for each in self._sent if each not in some]

    def _say(self, error: AnyFailure) -> None:
        """Say a failure when it is another one than the last, and now and then when it lasts."""
        now_s = asyncio.get_running_loop().time()
        if error.code in ORDINARY and self._failures <= ORDINARY_TRIES:
            return
        if str(error) != self._said or now_s >= self._say_again_s:
            log.warning("the ledger did not take a statement, and is asked again: %s", error)
            self._said, self._say_again_s = str(error), now_s + SAID_AGAIN_S
