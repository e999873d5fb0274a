"""A ledger, as a process, that is put back to an older copy of itself and goes on: seen on the page, proved by a file, nothing lost."""

import asyncio
import contextlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.log.engine import Engine
from protocol import notes
from protocol.notes import Checkpoint
from tests.support import ledgers, rig
from tests.support.gatehouse import rows
from tests.support.rig import Rig, house, verified

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

LIMIT_S = 150.0
ANCHOR_EVERY_S = 0.3
AHEAD = 150  # entries that the older copy lacks: more than batches wait while the ledger stands still


def kept(here: Rig) -> Checkpoint:
    """The checkpoint that the gateway keeps; of an empty log before the first."""
    found = rows(here.gateway / "gateway.db", "SELECT note FROM head")
    if not found:
        return Checkpoint(origin="", size=0, root=bytes(32))
    return Checkpoint.from_text(notes.parse(found[0][0]).text)


def waiting(here: Rig) -> int:
    return int(rows(here.gateway / "gateway.db", "SELECT COUNT(*) FROM submission WHERE done_ms IS NULL")[0][0])


async def grown(here: Rig, size: int) -> None:
    """Until the gateway keeps a tree of at least this size."""
    while kept(here).size < size:  # noqa: ASYNC110 - it happens in other processes
        await asyncio.sleep(rig.LOOK_S)


async def stopped(here: Rig) -> None:
    assert await here.crew.stop("ledger", grace_s=rig.LEAVE_S) == 0


async def on_the_page(here: Rig, page: int) -> list[dict[str, Any]]:
    """The alerts of the page's snapshot, as a browser gets it."""
    async with (
        httpx.AsyncClient() as client,
        client.stream("GET", f"http://127.0.0.1:{page}/events", timeout=10) as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                return list(json.loads(line.removeprefix("data: "))["alerts"])
    raise AssertionError("the page says nothing")


async def alarm(here: Rig, page: int, kind: str) -> dict[str, Any]:
    """The alert of a kind, once the page shows it."""
    while True:
        for each in await on_the_page(here, page):
            if each["kind"] == kind:
                return each
        await asyncio.sleep(rig.LOOK_S)


def overgrow(folder: Path, size: int) -> None:
    """Let somebody else's entries into the log until it is larger than `size`."""
    with contextlib.closing(Engine.open(folder, now_ms=lambda: time.time_ns() // 1_000_000)) as engine:
        engine.register(ledgers.admission(folder, ledgers.STRANGER, name="somebody else"))
        for n in range(size + 3):
            if engine.size > size + 1:
                break
            engine.register(ledgers.anchor(n, ledgers.STRANGER))


@pytest.mark.parametrize(
    ("others", "kind", "shows", "proof"),
    [(False, "ledger_rolled_back", "place_taken", False), (True, "ledger_forked", "other_beginning", True)],
    ids=["put back", "put back, and grown larger than it was"],
)
def test_a_ledger_that_is_put_back_is_seen_proved_and_got_over(
    tmp_path: Path, others: bool, kind: str, shows: str, proof: bool
) -> None:
    folder, older, real = tmp_path / "ledger", tmp_path / "older", tmp_path / "real"

    async def scene() -> None:
        async with asyncio.timeout(LIMIT_S), house(tmp_path, anchor_every_s=ANCHOR_EVERY_S) as here:
            page = int(str((await here.crew.running["gateway"].ready())["page"]))
            await grown(here, 6)
            await stopped(here)
            shutil.copytree(folder, older)
            overgrow(folder, kept(here).size + AHEAD)
            await here.start_ledger()
            await grown(here, kept(here).size + AHEAD + 3)
            await stopped(here)
            folder.rename(real)
            older.rename(folder)
            before = kept(here)
            if others:
                overgrow(folder, before.size)
            await here.start_ledger()

            alert = await alarm(here, page, kind)
            assert alert["open"] and alert["technical"] and "Tell who runs the gateway today" in alert["todo"]
            assert kept(here) == before and waiting(here) > 0
            said = await here.crew.command("gateway", "ledger-evidence", "--state", "gateway", "--out", "against.json")
            assert said["kind"] == shows
            trust = (tmp_path / "trust.json").read_bytes()
            code, verdict = verified((tmp_path / "against.json").read_bytes(), trust=trust, alone=tmp_path / "alone")
            assert (code, verdict["conflict"], verdict["proof"]) == (0, shows, proof)
            assert verdict["earlier"] == {"size": before.size, "root": before.root.hex(), "cosigned": {}}

            await stopped(here)
            shutil.rmtree(folder)
            real.rename(folder)
            await here.start_ledger()
            await grown(here, before.size + 3)
            while waiting(here) > 1:  # noqa: ASYNC110 - it happens in other processes
                await asyncio.sleep(rig.LOOK_S)
            assert (await alarm(here, page, kind))["open"], "it ends with a person"
            words = ("gateway", "alerts", "resolve", alert["id"], "--state", "gateway")
            assert (await here.crew.command(*words))["resolved"] is True
            assert [each["kind"] for each in await on_the_page(here, page)] == []
            (made,) = rows(here.gateway / "gateway.db", "SELECT COUNT(*), MAX(n) + 1 FROM anchor")
            assert made[0] == made[1], "no batch is missing"
            places = rows(here.gateway / "gateway.db", "SELECT idx FROM submission WHERE idx IS NOT NULL ORDER BY idx")
            assert len({place for (place,) in places}) == len(places)

    asyncio.run(scene())
