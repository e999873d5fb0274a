"""Statements on their way to the ledger: a durable queue, sent in order until a verified receipt is held for each."""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable

from gateway.store import anchors
from gateway.store.writer import Writer
from ledger.client import AsyncClient, LedgerRefused
from protocol import receipt
from protocol.errors import ProtocolError, Unavailable, VerificationFailed
from protocol.evidence import Trust
from protocol.keys import PublicKey

AT_ONCE = 32  # statements read from the queue at a time
LOOK_EVERY_S = 0.5  # for new statements
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.5, 60.0  # full jitter: a ledger that comes back is not met by every gateway at once

log = logging.getLogger(__name__)


class Submitter:
    """Sends what waits. trust: whose receipts are accepted; None accepts none, so that nothing counts as registered."""

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
        self._keys: list[PublicKey] = [key.key for key in trust.policy.logs.values()]
        self._failures = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                sent = await self.turn()
                self._failures = 0
                pause_s = 0.0 if sent else LOOK_EVERY_S
            except (Unavailable, VerificationFailed, ProtocolError) as error:
                self._failures += 1
                most_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2**self._failures)
                pause_s = self._rng.uniform(BACKOFF_MIN_S, max(BACKOFF_MIN_S, most_s))
                log.warning("the ledger did not take a statement, trying again in %.1f s: %s", pause_s, error)
            await asyncio.sleep(pause_s)

    async def turn(self) -> int:
        """Send some of what waits; how many were answered. Raises what keeps the rest waiting."""
        waiting = await self._writer.run(lambda conn: anchors.waiting(conn, most=AT_ONCE))
        for each in waiting:
            await self._send(each)
        return len(waiting)

    async def _send(self, each: anchors.Submission) -> None:
        try:
            answer = await self._client.register(each.statement)
        except LedgerRefused as error:
            if error.code in ("issuer_unknown", "issuer_not_admitted"):
                raise Unavailable("gateway_not_admitted", "the ledger does not know this gateway's key yet") from error
            refused_code = error.code
            log.error("the ledger refused a statement of kind %s: %s", each.kind, error)
            await self._write(lambda conn: anchors.refused(conn, each.digest, code=refused_code, now_ms=self._now_ms()))
            return
        self._verify(answer.receipt, each.digest)
        await self._write(
            lambda conn: anchors.registered(
                conn,
                each.digest,
                entry_id=answer.entry_id,
                index=answer.index,
                size=answer.size,
                receipt=answer.receipt,
                now_ms=self._now_ms(),
            )
        )

    def _verify(self, raw: bytes, entry: bytes) -> None:
        found = receipt.read(raw)
        key = next((key for key in self._keys if key.thumbprint == found.kid), None)
        if key is None:
            raise VerificationFailed("log_unknown", "the receipt is by a key that the trust file does not name")
        receipt.verify(found, entry=entry, key=key)

    async def _write(self, job: Callable[[sqlite3.Connection], None]) -> None:
        await self._writer.run(job)
