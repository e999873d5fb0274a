"""Statements on their way to the ledger: a durable queue, sent in order until a log that only grew has receipted each."""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.store import anchors
from gateway.store.writer import Writer
from ledger.client import AsyncClient, LedgerBusy, LedgerRefused, Registered
from protocol import merkle, receipt
from protocol.errors import ProtocolError, Unavailable, VerificationFailed
from protocol.evidence import Trust
from protocol.notes import Checkpoint

AT_ONCE = 32  # statements sent before the log's growth is checked and all of them are written down
LOOK_EVERY_S = 0.5  # for new statements
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.5, 60.0  # full jitter: a ledger that comes back is not met by every gateway at once
DOUBLINGS_MAX = 10  # enough to reach the longest wait; a ledger may be away for a week
SAID_AGAIN_S = 600.0  # a failure that lasts is in the log so often

Failure = (Unavailable, VerificationFailed, ProtocolError)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A statement with its receipt, which holds. origin, root: of the log that signed, as the receipt proves them."""

    digest: bytes
    found: Registered
    origin: str
    root: bytes


class Submitter:
    """Sends what waits. trust: whose receipts and checkpoints are accepted."""

    def __init__(
        self,
        *,
        writer: Writer,
        client: AsyncClient,
        trust: Trust,
        now_ms: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self._writer, self._client, self._now_ms, self._rng = writer, client, now_ms, rng
        self._trust = trust
        self._origins = {key.key.thumbprint: origin for origin, key in trust.policy.logs.items()}
        self._failures = 0
        self._said, self._say_again_s = "", 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                sent = await self.turn()
            except Failure as error:
                self._failures += 1
                pause_s = self.pause_s(error)
                self._say(error)
            else:
                if self._failures:
                    log.warning("the ledger takes statements again, after %d failed tries", self._failures)
                self._failures, self._said = 0, ""
                pause_s = 0.0 if sent else LOOK_EVERY_S
            await asyncio.sleep(pause_s)

    async def turn(self) -> int:
        """Send some of what waits; how many were answered. Raises what keeps the rest waiting, by its code."""
        waiting = await self._writer.run(lambda conn: anchors.waiting(conn, most=AT_ONCE))
        answered: list[Answered] = []
        failed: Unavailable | VerificationFailed | ProtocolError | None = None
        for each in waiting:
            try:
                found = await self._send(each)
            except Failure as error:
                failed = error
                break
            if found is not None:
                answered.append(
                    found
                )  # Stop here: the ledger has it, we do not know. It is sent again, and found there.
        if answered:
            await self._settle(answered)
        if failed is not None:
            raise failed
        return len(waiting)

    def pause_s(self, error: Exception) -> float:
        """How long to leave the ledger alone after this failure: a random while that grows, and at least what it asks for."""
        most_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** min(self._failures, DOUBLINGS_MAX))
        asked_s = error.retry_after_s if isinstance(error, LedgerBusy) else None
        return max(self._rng.uniform(BACKOFF_MIN_S, most_s), asked_s or 0.0)

    async def _send(self, each: anchors.Submission) -> Answered | None:
        """What the ledger answers to one statement; None when it refuses it for good, which is written down."""
        try:
            found = await self._client.register(each.statement)
        except LedgerRefused as error:
            if error.code == "issuer_unknown" and each.kind != "admission":
                raise Unavailable("gateway_not_admitted", "the ledger does not know this gateway's key yet") from error
            code, now_ms = error.code, self._now_ms()
            log.error("the ledger refused a statement of kind %s: %s", each.kind, error)
            await self._writer.run(lambda conn: anchors.refused(conn, each.digest, code=code, now_ms=now_ms))
            return None
        return self._verified(each.digest, found)

    def _verified(self, digest: bytes, found: Registered) -> Answered:
        """Raises Malformed, BadSignature, VerificationFailed: unless a log that we trust says that it has the statement."""
        said = receipt.read(found.receipt)
        origin = self._origins.get(said.kid)
        if origin is None or said.iss != origin:
            raise VerificationFailed("log_unknown", "the receipt is by a log that the trust file does not name")
        if said.sub != found.entry_id:
            raise VerificationFailed("entry_other", "the ledger named another entry than its receipt")
        root = receipt.verify(said, entry=digest, key=self._trust.policy.logs[origin].key)
        return Answered(digest=digest, found=found, origin=origin, root=root)

    async def _settle(self, answered: Sequence[Answered]) -> None:
        """Write down the receipts, once a checkpoint shows a tree that holds all of theirs and the one that we saw last."""
        note = await self._client.checkpoint()
        checkpoint, _ = self._trust.policy.check(note)
        if any(each.origin != checkpoint.origin for each in answered):
            raise VerificationFailed("log_unknown", "the checkpoint is of another log than the receipts")
        kept = await self._writer.run(lambda conn: anchors.head(conn, checkpoint.origin))
        if kept is not None:
            await self._grown(kept.size, kept.root, checkpoint)
        if max(each.found.size for each in answered) > checkpoint.size:
            raise Unavailable("checkpoint_old", "the ledger's checkpoint is older than its receipts")
        for size, root in {(each.found.size, each.root) for each in answered}:
            await self._grown(size, root, checkpoint)
        now_ms = self._now_ms()

        def keep(conn: sqlite3.Connection) -> None:
            for each in answered:
                anchors.registered(
                    conn,
                    each.digest,
                    entry_id=each.found.entry_id,
                    index=each.found.index,
                    size=each.found.size,
                    receipt=each.found.receipt,
                    now_ms=now_ms,
                )
            anchors.keep_head(conn, checkpoint, note)

        await self._writer.run(keep)

    async def _grown(self, size: int, root: bytes, checkpoint: Checkpoint) -> None:
        """Raises VerificationFailed: log_shrank, consistency_bad, unless the tree (size, root) is how the checkpoint's began."""
        if size > checkpoint.size:
            raise VerificationFailed("log_shrank", "the log has fewer entries than it had")
        path = [] if size == checkpoint.size else await self._client.consistency(size, checkpoint.size)
        merkle.verify_consistency(size1=size, size2=checkpoint.size, root1=root, root2=checkpoint.root, path=path)

    def _say(self, error: Exception) -> None:
        """Say a failure when it is another one than the last, and now and then when it lasts."""
        now_s = asyncio.get_running_loop().time()
        if str(error) != self._said or now_s >= self._say_again_s:
            log.warning("the ledger did not take a statement, and is asked again: %s", error)
            self._said, self._say_again_s = str(error), now_s + SAID_AGAIN_S
