"""A real Prometheus, with this project's own configuration, watches a real gateway and a real ledger."""

import asyncio
import contextlib
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.demo import stage
from deploy.demo.picture import Picture
from deploy.demo.supervise import Crew, environment
from tests.ops.test_grafana import ASKED
from tests.support import alerting
from tests.support.tools import tool

pytestmark = pytest.mark.broker

WITHIN_S = 45.0  # a scrape and an evaluation come every 10 s
LEAVE_S = 10.0
PORTS = {"gateway": "9101", "ledger": "9103"}  # as the configuration has them


class Asked:
    """The HTTP API of a Prometheus."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def __call__(self, path: str, **parameters: str) -> Any:
        """The data of an answer, which must be a success."""
        answer = await self._client.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def ready(self) -> None:
        """Return once it answers questions."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await self._client.get("/-/ready")).status_code == 200:
                        return
                await asyncio.sleep(0.1)

    async def number(self, expression: str) -> float | None:
        """The one value of an instant query; None when there is no series."""
        found = (await self("query", query=expression))["result"]
        return float(found[0]["value"][1]) if found else None

    async def until(self, path: str, reached: Callable[[Any], bool], **parameters: str) -> Any:
        """What it answers as soon as that is what the test waits for."""
        found = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                while True:
                    found = await self(path, **parameters)
                    if reached(found):
                        return found
                    await asyncio.sleep(0.2)
        raise AssertionError(f"not in time: {found}")


def configured(folder: Path, ports: dict[str, int]) -> Path:
    """The project's configuration with other ports, and its rules where it looks for them."""
    text = (alerting.FOLDER / "prometheus.yml").read_text()
    for name, port in PORTS.items():
        assert text.count(f'"127.0.0.1:{port}"') == 1
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{ports[name]}")
    shutil.copytree(alerting.FOLDER / "rules", folder / "rules")
    (folder / "prometheus.yml").write_text(text)
    return folder / "prometheus.yml"


@contextlib.asynccontextmanager
async def prometheus(folder: Path, ports: dict[str, int]) -> AsyncIterator[Asked]:
    """A Prometheus that watches these ports, on one of its own; ended by its process."""
    config = configured(folder, ports)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            tool("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=10) as client:
            asked = Asked(client)
            await asked.ready()
            yield asked
    finally:
        process.terminate()
        async with asyncio.timeout(LEAVE_S):
            await process.wait()
    assert "err=" not in (folder / "log").read_text()


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Crew, dict[str, int]]]:
    """A ledger and a gateway as processes, and their ports of metrics."""
    crew = Crew(folder=folder, env=environment(os.environ))
    try:
        house = await stage.build(crew, Picture(homes={}, page=""))
        ledger = await crew.running["ledger"].ready()
        found = {"gateway": house.metrics, "ledger": str(ledger["metrics"])}
        yield crew, {name: httpx.URL(url).port or 0 for name, url in found.items()}
    finally:
        await crew.stop_all(grace_s=LEAVE_S)


def chosen(expression: str) -> str:
    """An expression of the dashboard as Grafana would send it, with everything chosen."""
    text = re.sub(r"\$(gateway|ledger)", ".*", expression)
    return text.replace("$__rate_interval", "1m").replace("$__interval", "1m")


async def watched(folder: Path) -> None:
    async with running(folder / "programs") as (crew, ports), prometheus(folder / "prometheus", ports) as ask:
        await ask.until("targets", lambda found: [one["health"] for one in found["activeTargets"]] == ["up", "up"])
        assert await ask.number('min(up{job=~"vigil-.*"})') == 1
        assert await ask.number("vigil_store_healthy") == 1
        entries = await ask.number("vigil_ledger_tree_size")
        assert entries is not None and entries >= 1
        samples = await ask.number("max(scrape_samples_scraped)")
        assert samples is not None and 100 < samples < 1000, "the configuration refuses twice as many"

        rules = rules_in(await ask.until("rules", evaluated))
        assert {rule["name"] for rule in rules} == {rule.name for rule in alerting.rules()}
        assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []

        for where, expression in ASKED:
            assert await ask("query", query=chosen(expression)), where

        await crew.stop("gateway", grace_s=LEAVE_S)
        down = 'ALERTS{alertname="VigilGatewayDown", severity="critical"}'
        await ask.until("query", lambda data: len(data["result"]) == 1, query=down)


def evaluated(data: Any) -> bool:
    """Whether every rule was evaluated since the programs were seen, and none has anything to say."""
    return all(rule["health"] != "unknown" and rule["state"] == "inactive" for rule in rules_in(data))


def rules_in(data: Any) -> list[Any]:
    """Every rule of an answer."""
    return [rule for group in data["groups"] for rule in group["rules"]]


def test_a_real_prometheus_sees_both_programs_takes_the_rules_and_misses_a_gateway_that_stops(tmp_path: Path) -> None:
    tool("prometheus")  # before anything is started
    (tmp_path / "programs").mkdir()
    asyncio.run(watched(tmp_path))
