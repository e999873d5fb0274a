"""What the caregivers' page asks of the gateway's records."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.alerts.book import Changes
from gateway.batch import Batch
from gateway.store import alerts
from protocol.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from gateway.service import Gateway

log = logging.getLogger(__name__)


WRITTEN_WITHIN_S: Final = 5.0  # a person's answer waits no longer for the disk; then they are told that it fails


class Desk:
    """Reads the record and passes people's answers to the book of alerts. Runs on the event loop."""

    def __init__(self, gateway: "Gateway", *, now_ms: Callable[[], int]) -> None:
        self._gateway, self._now_ms = gateway, now_ms

    async def homes(self) -> list[dict[str, object]]:
        """Every enrolled device, oldest first."""
        heard = self._gateway.ward.heard
        return [
            {
                "device": device,
                "name": row.name or device,
                "state": self._gateway.directory.members[device].state,
                "simulated": self._gateway.ward.simulated(device),
                "last_ms": heard.get(device),
            }
            for device, row in self._gateway.directory.rows.items()
            if device in self._gateway.directory.members
        ]

    async def alerts(self, open_only: bool) -> list[dict[str, object]]:
        """Alerts, the newest first. While storage fails those that are open, as far as they are known: not all are durable."""
        if self._gateway.committing.healthy:
            try:
                return [dict(alerts.view(alert)) for alert in alerts.listed(self._gateway.record, open_only=open_only)]
            except sqlite3.Error as error:
                log.error("the record cannot be read: %s", error)
        found = sorted(self._gateway.ward.book.open(), key=lambda alert: alert.raised_ms, reverse=True)
        return [dict(alerts.view(alert)) for alert in found[: alerts.LISTED_MAX]]

    async def acknowledge(self, alert_id: str, by: str) -> dict[str, object]:
        """Acknowledge an alert; answered when that is durable. Raises NotFound, Refused; Unavailable: store_failing, when it is
        known here and not yet durable: the alert is not sent on meanwhile, but a restart would."""
        await self.commit(self._gateway.ward.book.acknowledge(alert_id, by=by, now_ms=self._now_ms()))
        found = alerts.find(self._gateway.record, alert_id)
        if found is None:
            raise NotFound("alert_unknown", "there is no such alert")
        return dict(alerts.view(found))

    async def commit(self, changes: Changes) -> None:
        """Write changes of alerts with the next commit, and wait for it. Raises Unavailable: store_failing."""
        if not changes:
            return
        batch: Batch = self._gateway.intake.batch
        batch.changes.append(changes)
        self._gateway.meanwhile.tell(changes)
        written: asyncio.Future[None] = self._gateway.loop.create_future()
        batch.waiters.append(written)
        self._gateway.intake.soon()
        try:
            async with asyncio.timeout(WRITTEN_WITHIN_S):
                await written
        except TimeoutError as error:
            raise Unavailable("store_failing", "storage fails: this is written down when it works again") from error
