"""The running witness: behind two HTTP servers, the logs' and the operator's, until a signal ends it."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from ledger.serving import serving, told_to_end
from ledger.witness import app as http
from ledger.witness.metrics import Metrics
from ledger.witness.settings import Settings
from ledger.witness.witness import Witness

CONNECTIONS_MAX = 512  # and requests at once; who comes beyond gets 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a running witness is found."""

    url: str
    metrics: str


async def serve(witness: Witness, settings: Settings, *, ready: Callable[[Addresses], None]) -> None:
    """Serve until SIGTERM or SIGINT. ready: called once, when both servers accept. Raises Unavailable: address_in_use."""
    with told_to_end() as ending:
        async with running(witness, settings) as found:
            ready(found)
            await ending.wait()


@contextlib.asynccontextmanager
async def running(witness: Witness, settings: Settings) -> AsyncIterator[Addresses]:
    """The witness while the block runs; signals are the caller's. Raises Unavailable: address_in_use."""
    metrics = Metrics()
    world = http.app(witness, metrics, rate_per_s=settings.rate_per_s, monotonic_s=time.monotonic)
    operator = http.metrics_app(witness, metrics)
    async with (
        serving(world, host=settings.host, port=settings.port, requests_max=CONNECTIONS_MAX) as url,
        serving(operator, host=settings.metrics_host, port=settings.metrics_port) as watched,
    ):
        yield Addresses(url=url, metrics=watched)
