"""A running party: its interface, its outbox, its counters, and beside them a ledger where it is asked for one."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

import httpx
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ledger.client import AsyncClient
from ledger.party import api, rotation, settings
from ledger.party.metrics import Metrics
from ledger.party.mount import Slice, mounted
from ledger.party.node import Log, Node
from ledger.party.outbox import Outbox
from ledger.party.settings import Settings
from ledger.party.slices import SLICES
from ledger.party.store import Store
from ledger.serving import serving, told_to_end
from protocol import statement
from protocol.documents import Admission
from protocol.errors import ConfigError, Malformed, NotFound, Unavailable
from protocol.evidence import Trust
from protocol.keys import PublicKey, SigningKey

REQUESTS_MAX = 64  # connections and requests at once; beyond it the answer is 503, and the caller comes back

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a running party is found. ledger: of the log that it sends to, empty when there is none."""

    url: str
    metrics: str
    ledger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A ledger in the same process. url: its address; trust: its own word about itself, for who has no trust file;
    admitted: the key with a thumbprint when the log lets it act now. It blocks."""

    url: str
    trust: Trust
    admitted: Callable[[bytes], PublicKey | None]


async def run(
    chosen: Settings,
    *,
    key: SigningKey,
    store: Store,
    trust: Trust | None,
    admission: bytes | None,
    ready: Callable[[Addresses], None],
    now_ms: Callable[[], int],
    ledger: Callable[[], contextlib.AbstractAsyncContextManager[Beside]] | None = None,
    slices: Sequence[Slice] = SLICES,
) -> None:
    """Serve until SIGTERM or SIGINT. trust, admission: of the files that the settings name.

    ledger: runs a log in this process while its block does.
    Raises ConfigError: admission_bad, ledger_url; Unavailable: address_in_use, store_failing.
    """
    async with contextlib.AsyncExitStack() as held:
        ending = held.enter_context(told_to_end())
        beside = None if ledger is None else await held.enter_async_context(ledger())
        found = await held.enter_async_context(
            running(
                chosen,
                key=key,
                store=store,
                trust=trust,
                admission=admission,
                now_ms=now_ms,
                beside=beside,
                slices=slices,
            )
        )
        ready(found)
        await ending.wait()


@contextlib.asynccontextmanager
async def running(
    chosen: Settings,
    *,
    key: SigningKey,
    store: Store,
    trust: Trust | None,
    admission: bytes | None,
    now_ms: Callable[[], int],
    beside: Beside | None = None,
    slices: Sequence[Slice] = SLICES,
) -> AsyncIterator[Addresses]:
    """The party while the block runs; signals are the caller's. Raises as `run`."""
    node = Node(
        key=key,
        chosen=chosen,
        store=store,
        writers=settings.keys(chosen.writers),
        peers=settings.keys(chosen.peers),
        now_ms=now_ms,
        admitted=(lambda _: None) if beside is None else beside.admitted,
    )
    metrics = Metrics()
    ledger_url = chosen.ledger_url if beside is None else beside.url
    believed = trust if trust is not None or beside is None else beside.trust
    if admission is not None:
        _queue_admission(admission, rotation.name_of(chosen.state, key.public), store, now_ms=now_ms())
    async with contextlib.AsyncExitStack() as held:
        if ledger_url and believed is not None:
            asking = await held.enter_async_context(AsyncClient(ledger_url, auth=node.auth()))
            node.log = Log(client=asking, trust=believed)
        world = api.app(node, metrics, await held.enter_async_context(mounted(slices, node)))
        url = await held.enter_async_context(
            serving(world, host=chosen.host, port=chosen.port, requests_max=REQUESTS_MAX)
        )
        operator = metrics_app(store, metrics)
        watched = await held.enter_async_context(
            serving(operator, host=chosen.metrics_host, port=chosen.metrics_port, requests_max=REQUESTS_MAX)
        )
        node.authorities = _authorities(chosen, url)
        if ledger_url and believed is not None:
            client = await held.enter_async_context(AsyncClient(ledger_url))
            outbox = Outbox(
                store=store,
                client=client,
                policy=believed.policy,
                now_ms=now_ms,
                rng=random.Random(),
            )
            _joined(node, outbox, metrics)
            outbox.settled = _handing_over(chosen, key, node, store)
            await held.enter_async_context(_tasks(outbox))
        yield Addresses(url=url, metrics=watched, ledger=ledger_url)


def metrics_app(store: Store, metrics: Metrics) -> Starlette:
    """/metrics and /healthz, on a port of their own."""

    async def exposition(_: Request) -> Response:
        metrics.count(await asyncio.to_thread(store.counts))
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        try:
            found = await asyncio.to_thread(store.counts)
        except Unavailable as error:
            return JSONResponse({"ok": False, "code": error.code}, status_code=503)
        return JSONResponse({"ok": True, "waiting": found.waiting, "conflicts": found.conflicts})

    return Starlette(routes=[Route("/metrics", exposition), Route("/healthz", healthz)])


@contextlib.asynccontextmanager
async def _tasks(outbox: Outbox) -> AsyncIterator[None]:
    """The outbox at work while the block runs. When it fails, which is a mistake of ours, the block is cancelled."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(outbox.run(), name="outbox")
        try:
            yield
        finally:
            task.cancel()


def _joined(node: Node, outbox: Outbox, metrics: Metrics) -> None:
    """Wake the outbox when something is queued, in this loop or in a thread beside it."""
    loop = asyncio.get_running_loop()
    node.queued, outbox.failed = outbox.wake, metrics.ledger_failures.inc
    node.queued_elsewhere = lambda: _told(loop, outbox)


def _told(loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended: what was queued goes with the next run
        loop.call_soon_threadsafe(outbox.wake)


def _authorities(chosen: Settings, url: str) -> frozenset[str]:
    """Under which addresses requests are for us: those of the settings, else the bound one, which loopback has twice."""
    if chosen.addresses:
        return frozenset(chosen.addresses)
    bound = httpx.URL(url)
    names = {bound.netloc.decode("ascii")}
    if bound.host in ("127.0.0.1", "::1"):
        names.add(f"localhost:{bound.port}")
    return frozenset(names)


def _handing_over(
    chosen: Settings, key: SigningKey, node: Node, store: Store
) -> Callable[[Collection[bytes]], Awaitable[None]]:
    """What takes up the party's next key once its declaration is receipted."""
    declared = rotation.pending(chosen.state, key.public)

    async def settled(digests: Collection[bytes]) -> None:
        if declared is not None and declared.digest in digests:
            try:
                node.take_up(await asyncio.to_thread(rotation.settle, chosen.state, key, store))
            except NotFound as error:  # the receipt is on disk, and the next start says the same
                raise Unavailable(error.code, error.detail) from error

    return settled


def _queue_admission(raw: bytes, name: bytes, store: Store, *, now_ms: int) -> None:
    """Send the registry's word about this party before all else. name: the thumbprint of its first key.

    Raises ConfigError: admission_bad; Unavailable.
    """
    try:
        admitted = PublicKey(Admission.decode(statement.parse(raw).payload).key).thumbprint
    except Malformed as error:
        raise ConfigError("admission_bad", "the file of the setting admission is no admission") from error
    if admitted != name:
        raise ConfigError("admission_bad", "the file of the setting admission does not admit this party's key")
    store.queue(statement.entry(raw), raw, now_ms=now_ms, first=True)
