"""A party's hiring put together: its store, its duties, its routes and its answers to other use cases."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute

from ledger.credentials.exchange.asking import Asking
from ledger.credentials.hiring import collecting, duties
from ledger.credentials.hiring.collecting import Collecting
from ledger.credentials.hiring.posts import DAY_MS
from ledger.credentials.hiring.routes import HiringRoutes
from ledger.credentials.hiring.service import Hiring
from ledger.credentials.hiring.store import Store
from ledger.credentials.verdict import Known
from ledger.credentials.verifying import Answer, Verifier
from ledger.party.node import Node
from ledger.questions import MayAct, Question

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Opened:
    """hiring, store: for pages. news, raised: what its duties wait for."""

    hiring: Hiring
    store: Store
    verifier: Verifier
    news: asyncio.Event
    raised: asyncio.Event
    now_ms: Callable[[], int]
    seen: int = -1

    def look(self, changes: int) -> None:
        """Look at everybody soon, when something changed since the last time. changes: a number that rises with what is known;
        in the event loop."""
        if changes != self.seen:
            self.seen = changes
            self.news.set()

    def answers(self) -> Mapping[type[Question[Any]], Callable[[Any], object]]:
        """To questions of other use cases of the party."""
        return {MayAct: self.hiring.may}

    def take_up(self, audience: str, answer: Answer) -> None:
        """Keep what a wallet showed to a request that a hiring file made. It may block."""
        collecting.take_up(self.hiring, audience, answer)

    def duties(self, node: Node) -> list[Coroutine[None, None, None]]:
        """What runs beside."""
        url = node.chosen.hiring_webhook
        found: list[Coroutine[None, None, None]] = [duties.watching(self.hiring, self.news)]
        return [*found, duties.sending(self.store, url, node.auth(), self.raised)] if url else found

    def routes(self, node: Node, asking: Asking | None) -> list[BaseRoute]:
        """Under the use case."""
        asks = None if asking is None else Collecting(self.hiring, asking)
        routes = HiringRoutes(node, self.hiring, self.store, self.verifier, asks, now_ms=self.now_ms)
        return routes.routes()


def opened(
    node: Node,
    verifier: Verifier,
    known: Known,
    held: contextlib.ExitStack | contextlib.AsyncExitStack,
    *,
    mark: Callable[[], str],
    now_ms: Callable[[], int],
    random_bytes: Callable[[int], bytes],
) -> Opened:
    """Hiring at a party, for as long as `held` is; called in the event loop. mark: as `Hiring`.

    Raises Unavailable: hiring_unreadable.
    """
    store = held.enter_context(contextlib.closing(Store.open(node.folder)))
    keep_ms = node.chosen.hiring_keep_days * DAY_MS
    hiring = Hiring(store, verifier, known, mark=mark, now_ms=now_ms, random_bytes=random_bytes, keep_ms=keep_ms)
    loop, raised = asyncio.get_running_loop(), asyncio.Event()

    def told() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: what was raised goes with the next run
            loop.call_soon_threadsafe(raised.set)

    hiring.raised = told
    hiring.lost = lambda code: log.warning("what a wallet showed for a hiring file was not kept: %s", code)
    return Opened(hiring=hiring, store=store, verifier=verifier, news=asyncio.Event(), raised=raised, now_ms=now_ms)
