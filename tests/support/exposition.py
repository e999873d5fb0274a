"""What /metrics of a gateway and of a ledger really say: both are made in this process, in a folder, and asked."""

import asyncio
import contextlib
import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Route

from gateway import keyring, metrics
from gateway.service import Gateway
from gateway.settings import Settings
from ledger import contracts
from ledger.http import app as http
from ledger.http.registration import COSE
from ledger.metrics import Metrics
from ledger.party import service as party_service
from ledger.party.metrics import Metrics as PartyMetrics
from ledger.witness import app as witness_http
from ledger.witness.metrics import Metrics as WitnessMetrics
from tests.support import parties, witnesses
from tests.support.ledgers import opened

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass(slots=True, kw_only=True)
class Series:
    """All that is exposed under one name, as Prometheus stores it. labels: the values of each label, seen in a sample."""

    kind: str
    labels: dict[str, set[str]] = field(default_factory=dict)


def read(text: str) -> dict[str, Series]:
    """Every series name of an exposition."""
    found: dict[str, Series] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series = found.setdefault(sample.name, Series(kind=family.type))
            for label, value in sample.labels.items():
                series.labels.setdefault(label, set()).add(value)
    return found


async def _asked(app: Starlette, path: str) -> str:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as client:
        return (await client.get(path)).raise_for_status().text


async def _asked_all(app: Starlette) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as client:
        for route in app.routes:
            assert isinstance(route, Route) and route.methods
            method = "POST" if "POST" in route.methods else "GET"
            await client.request(method, route.path, headers={"content-type": COSE})


async def _gateway(folder: Path, arrange: Callable[[Gateway], None]) -> str:
    ring = keyring.opened(folder, names=("127.0.0.1",), now=NOW)
    gateway = Gateway(Settings(state=folder), ring, trust=None, admission=None)
    arrange(gateway)
    try:
        return await _asked(metrics.app(gateway.metrics, gateway.duties.health, gateway.duties.gauges), "/metrics")
    finally:
        await gateway.close()


def of_gateway(folder: Path, arrange: Callable[[Gateway], None] = lambda _: None) -> str:
    """The exposition of a gateway that has just begun, in `folder`, once `arrange` has changed it."""
    return asyncio.run(_gateway(folder, arrange))


def of_ledger(folder: Path) -> str:
    """The same of a ledger, of which each route was asked once."""
    with contextlib.closing(opened(folder)) as engine:
        counted = Metrics(contracts.CODES)
        asyncio.run(_asked_all(http.app(engine, counted)))
        return asyncio.run(_asked(http.metrics_app(engine, counted), "/metrics"))


def of_witness(folder: Path) -> str:
    """The same of a witness."""
    with witnesses.opened_once(folder) as witness:
        return asyncio.run(_asked(witness_http.metrics_app(witness, WitnessMetrics()), "/metrics"))


def of_party(folder: Path) -> str:
    """The same of a party."""
    with parties.folder(folder) as (_, store):
        return asyncio.run(_asked(party_service.metrics_app(store, PartyMetrics()), "/metrics"))


def of_both(folder: Path) -> dict[str, Series]:
    """Every series of both programs, of a witness and of a party, each in a folder of its own under `folder`."""
    ours = {**read(of_gateway(folder / "gateway")), **read(of_ledger(folder / "ledger"))}
    return {**ours, **read(of_witness(folder / "witness")), **read(of_party(folder / "party"))}
