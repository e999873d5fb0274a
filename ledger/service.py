"""The running ledger: one engine behind two HTTP servers, the world's and the operator's, until a signal ends it."""

import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from ledger.http import app as http
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from ledger.serving import serving, told_to_end
from ledger.settings import Settings
from ledger.witness import asking


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a running ledger is found."""

    url: str
    metrics: str


async def serve(engine: Engine, settings: Settings, *, ready: Callable[[Addresses], None]) -> None:
    """Serve until SIGTERM or SIGINT. ready: called once, when both servers accept.

    Raises Unavailable: address_in_use.
    """
    with told_to_end() as ending:
        async with running(engine, settings) as found:
            ready(found)
            await ending.wait()


@contextlib.asynccontextmanager
async def running(engine: Engine, settings: Settings) -> AsyncIterator[Addresses]:
    """The ledger while the block runs; signals are the caller's.

    Raises Unavailable: address_in_use; ConfigError: witness_policy, witness_url, log_rolled_back.
    """
    metrics = Metrics(engine.contracts.codes)
    world = http.app(engine, metrics, addresses=settings.addresses, answer_within_s=settings.answer_within_s)
    operator = http.metrics_app(engine, metrics)
    async with (
        _witnessed(engine, settings, metrics),
        serving(world, host=settings.host, port=settings.port) as url,
        serving(operator, host=settings.metrics_host, port=settings.metrics_port) as watched,
    ):
        yield Addresses(url=url, metrics=watched)


@contextlib.asynccontextmanager
async def _witnessed(engine: Engine, settings: Settings, metrics: Metrics) -> AsyncIterator[None]:
    """Witnesses are asked while the block runs, when a policy names some: before it, for what they hold of this log."""
    if not settings.witness_policy:
        yield
        return
    policy = asking.read_policy(settings.witness_policy, engine)
    async with asking.asked(
        engine, policy, metrics.witnesses, monotonic_s=time.monotonic, rng=random.Random(os.urandom(16))
    ):
        yield
