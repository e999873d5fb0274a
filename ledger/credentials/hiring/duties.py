"""What runs beside a party's hiring: rounds, and alerts on their way to whoever the settings name."""

import asyncio
import contextlib
import json
import logging
from typing import NoReturn

import httpx

from ledger.credentials.hiring.service import Hiring
from ledger.credentials.hiring.store import Alert, Store
from protocol.errors import Unavailable

ROUND_EVERY_S = 3600  # a round at least every hour, so that one is missed when the party is down and no day is
NEWS_EVERY_S = 30  # what is known changes often; a round comes so long after the one before at the earliest
SEND_AGAIN_S = 60  # after an alert that was not taken
SEND_MOST = 100  # alerts that are read at one time
TIMEOUT_S = 10.0

log = logging.getLogger(__name__)


async def watching(hiring: Hiring, news: asyncio.Event) -> NoReturn:
    """Rounds, every hour and when there is news. Trouble is logged when it begins and when it ends."""
    trouble = ""
    while True:
        news.clear()
        try:
            found = await asyncio.to_thread(hiring.round)
            now = f"{found.failed} files could not be looked at" if found.failed else ""
        except Unavailable as error:
            now = error.code
        trouble = _logged("hiring files cannot be looked at", trouble, now)
        await asyncio.sleep(NEWS_EVERY_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), ROUND_EVERY_S - NEWS_EVERY_S)


async def sending(store: Store, url: str, auth: httpx.Auth, raised: asyncio.Event) -> NoReturn:
    """Send alerts to a webhook, in their order and each until it is taken. auth: signs requests with the party's key.

    Stop between an answer and its note: the alert goes again, with the same idempotency key.
    """
    trouble = ""
    async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, auth=auth) as client:
        while True:
            raised.clear()
            now = await sent(store, client, url)
            trouble = _logged("alerts about hiring files are not taken", trouble, now)
            if now:
                await asyncio.sleep(SEND_AGAIN_S)
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(raised.wait(), SEND_AGAIN_S)


def body(alert: Alert) -> bytes:
    """What a webhook gets: no name and no number of a person, only those of the file."""
    said = {
        "v": 1,
        "n": alert.n,
        "file": alert.file.hex(),
        "code": alert.code,
        "type": alert.type,
        "days": alert.days,
        "end_ms": alert.end_ms,
        "raised_ms": alert.raised_ms,
    }
    return json.dumps(said).encode()


async def sent(store: Store, client: httpx.AsyncClient, url: str) -> str:
    """Send all that waits; why the first that was not taken was not, empty when all were."""
    try:
        while waiting := await asyncio.to_thread(store.unsent, SEND_MOST):
            for alert in waiting:
                headers = {"content-type": "application/json", "idempotency-key": f'"{alert.file.hex()}-{alert.n}"'}
                answer = await client.post(url, content=body(alert), headers=headers)
                if not 200 <= answer.status_code < 300:
                    return str(answer.status_code)
                await asyncio.to_thread(store.sent, alert.n)
    except httpx.HTTPError as error:
        return type(error).__name__
    except Unavailable as error:
        return error.code
    return ""


def _logged(what: str, before: str, now: str) -> str:
    """Log trouble once when it begins, and once when it is over; the trouble there is."""
    if now and not before:
        log.warning("%s: %s", what, now)
    elif before and not now:
        log.warning("over: %s", what)
    return now
