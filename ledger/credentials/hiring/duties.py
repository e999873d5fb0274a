"""What runs beside a party's hiring: rounds, and alerts on their way to whoever the settings name."""

import asyncio
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
    """Rounds, every hour and when there is news."""
    while True:
        news.clear()
        try:
            found = await asyncio.to_thread(hiring.round)
            if found.failed:
                log.warning("hiring files that could not be looked at: %d", found.failed)
        except Unavailable as error:
            log.warning("a round over hiring files waits: %s", error.code)
        await asyncio.sleep(NEWS_EVERY_S)
        try:
            async with asyncio.timeout(ROUND_EVERY_S - NEWS_EVERY_S):
                await news.wait()
        except TimeoutError:
            continue


async def sending(store: Store, url: str, auth: httpx.Auth, raised: asyncio.Event) -> NoReturn:
    """Send alerts to a webhook, in their order and each until it is taken. auth: signs requests with the party's key.

    Stop between an answer and its note: the alert goes again, with the same idempotency key.
    """
    async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, auth=auth) as client:
        while True:
            raised.clear()
            taken = await _sent(store, client, url)
            try:
                async with asyncio.timeout(SEND_AGAIN_S):
                    if taken:
                        await raised.wait()
                    else:
                        await asyncio.sleep(SEND_AGAIN_S)
            except TimeoutError:
                continue


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


async def _sent(store: Store, client: httpx.AsyncClient, url: str) -> bool:
    """Whether all that waits was taken."""
    try:
        while waiting := await asyncio.to_thread(store.unsent, SEND_MOST):
            for alert in waiting:
                headers = {"content-type": "application/json", "idempotency-key": f'"{alert.file.hex()}-{alert.n}"'}
                answer = await client.post(url, content=body(alert), headers=headers)
                if not 200 <= answer.status_code < 300:
                    log.warning("a webhook did not take an alert about a hiring file: %d", answer.status_code)
                    return False
                await asyncio.to_thread(store.sent, alert.n)
    except httpx.HTTPError as error:
        log.warning("a webhook cannot be reached with alerts about hiring files: %s", type(error).__name__)
        return False
    except Unavailable as error:
        log.warning("alerts about hiring files wait: %s", error.code)
        return False
    return True
