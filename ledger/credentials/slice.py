"""The use case at a party: what it opens, what runs beside it, and what it shows. Every part is put together here alone."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Any

from starlette.routing import BaseRoute

from ledger.credentials import documents, judging, types
from ledger.credentials.api.issuing import Issuing
from ledger.credentials.api.public import Public
from ledger.credentials.api.vcapi import VcApi
from ledger.credentials.api.verifying import Verifying
from ledger.credentials.exchange.asking import Asking
from ledger.credentials.exchange.offering import Offering
from ledger.credentials.exchange.oid4vci import Configuration
from ledger.credentials.exchange.routes import Exchange, sweeping
from ledger.credentials.exchange.store import Store
from ledger.credentials.hiring import opening as hiring
from ledger.credentials.hiring.opening import Opened
from ledger.credentials.office import Office
from ledger.credentials.pages.access import Access
from ledger.credentials.pages.front import Front
from ledger.credentials.pages.hiring import Hirers
from ledger.credentials.pages.holder import Holder
from ledger.credentials.pages.issuer import Issuers
from ledger.credentials.pages.verifier import Verifiers
from ledger.credentials.pages.wallet import WalletPage
from ledger.credentials.registry import Follower, Lists, Registry
from ledger.credentials.vc import jcs, secured
from ledger.credentials.vc.multikey import VerifyingKey
from ledger.credentials.verifying import NORMAL, Verifier
from ledger.party.mount import Face, Slice
from ledger.party.node import Log, Node
from protocol import base64text
from protocol.errors import VigilError
from protocol.keys import SigningKey

NAME = "credentials"
PUBLISH_EVERY_S = (
    10  # so late at most a list comes out that is due by its age alone, or the log hears again what it refused early
)

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def opened(node: Node) -> AsyncIterator[Face]:
    """The stores of a party's credentials, and their duties, while the block runs."""
    async with contextlib.AsyncExitStack() as held:
        doors = held.enter_context(contextlib.closing(Access.open(node.folder, random_bytes=os.urandom)))
        office = Office.open(node, base=lambda: base(node), now_ms=_now_ms, random_bytes=os.urandom)
        held.callback(office.close)
        kept = held.enter_context(contextlib.closing(Store.open(node.folder, random_bytes=os.urandom)))
        duties = [_publishing(node, office), sweeping(kept, now_ms=_now_ms)]
        hired = None if node.log is None else _hiring(node, node.log, held, duties)
        verifier = None if hired is None else hired.verifier
        offering = _offering(node, office, kept) if office.opened else None
        asking = None if hired is None else _asking(node, hired, kept)
        exchange, public = Exchange(offering, asking), Public(office)
        routes = [*public.routes(), *Issuing(node, office).routes(), *Verifying(node, verifier).routes()]
        routes += [*exchange.routes(), *(hired.routes(node, asking) if hired else ())]
        if node.chosen.vc_api:
            apart = SigningKey.from_seed(os.urandom(32))
            routes += VcApi(apart, now_ms=_now_ms, authorities=lambda: node.authorities).routes()
        await held.enter_async_context(_running(*duties))
        yield Face(
            routes=routes,
            pages=_pages(node, doors, office, offering, hired, asking),
            well_known=[*public.well_known(), *exchange.well_known(f"/{NAME}")],
            answers=hired.answers() if hired else {},
        )


def base(node: Node) -> str:
    """The address of this use case for others: that of the settings, else the bound one, which holds on this machine alone."""
    return (node.chosen.url or f"http://{min(node.authorities, default='')}") + f"/{NAME}"


def _pages(
    node: Node,
    doors: Access,
    office: Office,
    offering: Offering | None,
    hired: Opened | None,
    asking: Asking | None,
) -> list[BaseRoute]:
    front = Front(node, doors, now_ms=_now_ms)
    return [
        *front.routes(),
        *Holder(front).routes(),
        *WalletPage(front).routes(),
        *Issuers(front, office, offering, party=node.name).routes(),
        *Verifiers(front, None if hired is None else hired.verifier, asking).routes(),
        *Hirers(front, hired, asking).routes(),
    ]


def _hiring(
    node: Node, ledger: Log, held: contextlib.AsyncExitStack, duties: list[Coroutine[None, None, None]]
) -> Opened:
    """What judges and hires, by what is read of the ledger from now on. Raises ConfigError: documents_*; Unavailable."""
    registry = Registry.open(node.folder)
    held.callback(registry.close)
    own = (f"{node.chosen.url}/{NAME}/",) if node.chosen.url else ()
    lists = Lists(registry, sources=(*node.chosen.credential_sources, *own), now_ms=_now_ms)
    held.callback(lists.close)
    follower = Follower(
        registry,
        client=ledger.client,
        trust=ledger.trust,
        me=lambda: node.public.thumbprint,
        now_ms=_now_ms,
    )

    verifier = Verifier(
        registry,
        audience=node.chosen.url or node.public.urn,
        now_ms=_now_ms,
        random_bytes=os.urandom,
        pinned=documents.pinned(Path(node.chosen.did_documents).expanduser() if node.chosen.did_documents else None),
        prepare=lists.prepare,
    )
    run = os.urandom(8).hex()

    def mark() -> str:
        return f"{run}.{registry.changes}.{_now_ms() - registry.as_of_ms > NORMAL.facts_ms}"

    hired = hiring.opened(node, verifier, registry, held, mark=mark, now_ms=_now_ms, random_bytes=os.urandom)

    async def caught_up() -> None:
        await asyncio.to_thread(lists.refresh)
        hired.look(registry.changes)

    duties += [follower.run(caught_up=caught_up), *hired.duties(node)]
    return hired


def _asking(node: Node, hired: Opened, kept: Store) -> Asking:
    """What is asked of wallets."""
    return Asking(
        kept,
        judging.judge(hired.verifier, hired.take_up),
        judging.acknowledge(node.attest),
        base=lambda: base(node),
        name=node.name,
        random_bytes=os.urandom,
        now_ms=_now_ms,
    )


def _offering(node: Node, office: Office, kept: Store) -> Offering:
    """What wallets get from this issuer."""

    def issue(said: Mapping[str, Any], form: str, holder: VerifyingKey) -> str | dict[str, Any]:
        raw = office.issue_draft(said["draft"], form, holder, days=said["days"]).raw
        if form == secured.DATA_INTEGRITY:
            return jcs.parse(raw)
        return base64text.encode_url(raw) if form == secured.COSE else raw.decode("ascii")

    offered = [
        Configuration(type=kind.name, format=form, name=kind.label)
        for kind in types.CATALOGUE.values()
        for form in secured.FORMATS
    ]
    return Offering(
        kept,
        issue,
        offered,
        base=lambda: base(node),
        name=node.name,
        random_bytes=os.urandom,
        now_ms=_now_ms,
    )


@contextlib.asynccontextmanager
async def _running(*duties: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Duties that run while the block does. One that fails, which is a mistake of ours, cancels the block."""
    async with asyncio.TaskGroup() as tasks:
        found = [tasks.create_task(each) for each in duties]
        try:
            yield
        finally:
            for task in found:
                task.cancel()


async def _publishing(node: Node, office: Office) -> None:
    """Bring lists out when they are due."""
    while office.opened:
        known = bool(node.authorities)  # the address under which they are found, when this party serves
        try:
            if known:
                await asyncio.to_thread(office.begin)
        except VigilError as error:  # such as a disk that is full, or a key that has ended: people see to it
            log.warning("status lists wait to be brought out: %s", error.code)
        await asyncio.sleep(PUBLISH_EVERY_S if known else 0.05)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


SLICE = Slice(name=NAME, opened=opened)
