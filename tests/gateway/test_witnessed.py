"""A gateway whose trust file asks for two witnesses, a ledger that asks them, and the witnesses: processes, and evidence of a reading."""

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from protocol import evidence, notes, policy
from protocol.evidence import Bundle
from tests.support import rig
from tests.support.gatehouse import rows
from tests.support.rig import Rig, house, verified

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LIMIT_S = 200.0
NAMES = ("w0", "w1")


def trust(log: str, root: str, witnesses: Mapping[str, str], least: int) -> bytes:
    """A trust file. witnesses: name to key and address, as a policy has them."""
    text = log + "".join(f"witness {name} {rest}\n" for name, rest in witnesses.items())
    text += f"group enough {least} {' '.join(witnesses)}\nquorum enough\n"
    return json.dumps({"v": 1, "policy": text, "registry_root": root}).encode()


async def witness(here: Rig, name: str, port: str = "0") -> str:
    """Start one; its address."""
    words = ("ledger", "witness", "run", "--state", name, "--port", port, "--metrics-port", "0")
    return str((await (await here.crew.start(name, *words)).ready())["url"])


async def witnessed(here: Rig) -> tuple[str, str, dict[str, str]]:
    """The house again, its ledger and gateway with two witnesses. (the policy's line of the log, the registry root, witnesses)."""
    plain = json.loads((here.folder / "trust.json").read_bytes())
    log, root = str(plain["policy"]).split("quorum")[0], str(plain["registry_root"])
    ((key, *_),) = policy.parse(str(plain["policy"])).logs.values()
    found = {}
    for name in NAMES:
        await here.crew.command("ledger", "witness", "init", "--state", name, "--name", f"{name}.example/1")
        await here.crew.command("ledger", "witness", "add-log", "--state", name, key.vkey())
        vkey = (await here.crew.command("ledger", "witness", "key", "--state", name))["vkey"]
        found[name] = f"{vkey} {await witness(here, name)}"
    for program in ("gateway", "ledger"):
        assert await here.crew.stop(program, grace_s=rig.LEAVE_S) == 0
    two = trust(log, root, found, 2)
    (here.folder / "trust.json").write_bytes(two)
    (here.folder / "policy").write_text(json.loads(two)["policy"])
    here.crew.env = {**here.crew.env, "VIGIL_LEDGER_WITNESS_POLICY": str(here.folder / "policy")}
    await here.start_ledger()
    await here.start_gateway()
    return log, root, found


def count(here: Rig, sql: str) -> Any:
    return rows(here.gateway / "gateway.db", sql)[0][0]


def shown(here: Rig) -> int:
    """The size of the tree that the ledger shows: what enough witnesses have signed."""
    note = notes.parse(httpx.get(f"{here.house.ledger}/checkpoint").text)
    return notes.Checkpoint.from_text(note.text).size


async def settled(here: Rig, more: int) -> None:
    """Until so many more statements have a receipt under a checkpoint that counts."""
    sql = "SELECT COUNT(*) FROM submission WHERE idx IS NOT NULL"
    wanted = count(here, sql) + more
    while count(here, sql) < wanted:  # noqa: ASYNC110 - it happens in other processes
        await asyncio.sleep(rig.LOOK_S)


def below(bundle: bytes) -> bytes:
    """The same evidence without the signature of one witness."""
    found = Bundle.decode(bundle)
    note = notes.parse(found.checkpoint)
    fewer = notes.Note(text=note.text, lines=note.lines[:-1])
    return dataclasses.replace(found, checkpoint=fewer.whole()).encode()


def test_a_reading_is_proved_under_two_of_two_witnesses_and_under_no_fewer(tmp_path: Path) -> None:
    async def scene() -> None:
        async with asyncio.timeout(LIMIT_S), house(tmp_path, anchor_every_s=0.5) as here:
            await here.pair("home")
            log, root, witnesses = await witnessed(here)
            await here.start_device("home", "--source", "simulated:seed=5", "--speed", "4", "--for", "1")
            await here.ended("home")
            await here.anchored()
            one = rig.stored(here.gateway, here.devices["home"])[0]
            bundle = await here.evidence("home", one)
            two = (tmp_path / "trust.json").read_bytes()
            code, said = verified(bundle, trust=two, alone=tmp_path / "two")
            assert (code, said["verified"]) == (0, True)
            assert set(dict(said["cosigned"])) == set(NAMES)  # type: ignore[call-overload]
            code, said = verified(below(bundle), trust=two, alone=tmp_path / "fewer")
            assert (code, said["error"], said["check"]) == (4, "evidence_quorum_missed", 2)
            third = notes.NoteKey.from_vkey(witnesses["w0"].split()[0])
            other = dataclasses.replace(third, name="w0.example/2").vkey()
            code, said = verified(
                bundle, trust=trust(log, root, {**witnesses, "w0": other}, 2), alone=tmp_path / "other"
            )
            assert (code, said["check"]) == (4, 2), "a witness's name is not its key"

            port = witnesses["w1"].rsplit(":", 1)[1]
            assert await here.crew.stop("w1", grace_s=rig.LEAVE_S) == 0
            await asyncio.sleep(2)  # a checkpoint that was on its way
            size = shown(here)
            while count(here, "SELECT MAX(size) FROM head") < size:  # noqa: ASYNC110 - the gateway may be in a pause
                await asyncio.sleep(rig.LOOK_S)
            made = count(here, "SELECT COUNT(*) FROM anchor")
            while count(here, "SELECT COUNT(*) FROM anchor") < made + 4:  # noqa: ASYNC110 - it happens elsewhere
                await asyncio.sleep(rig.LOOK_S)
            assert count(here, "SELECT MAX(size) FROM head") == shown(here) == size, "nothing counts below the quorum"
            assert count(here, "SELECT COUNT(*) FROM submission WHERE done_ms IS NULL") >= 3
            await witness(here, "w1", port)
            await settled(here, 4)
            database = here.gateway / "gateway.db"
            note = rows(database, "SELECT note FROM head")[0][0]
            checked, cosigned = evidence.Trust.from_json(two).policy.check(note)
            assert checked.size > size and {name for name, _ in cosigned} == set(NAMES)
            assert [kind for (kind,) in rows(database, "SELECT kind FROM alert") if kind.startswith("ledger")] == []

    asyncio.run(scene())
