"""The demo's course: build the house, pair the homes, let them live, end in order, prove one alarm."""

import asyncio
import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.demo import records
from deploy.demo.picture import HomePicture, Picture
from deploy.demo.report import Alarm, Happening, Report, clock, from_iso
from deploy.demo.script import HomePlan
from deploy.demo.supervise import Crew, Line

ANCHOR_EVERY_S = 5  # wire.md: the demo anchors every 5 s, a gateway at work every 60 s
LOOKED_EVERY_S = 0.5
PAIRED_AT_ONCE = 3  # homes; each is three short processes
DRAIN_S = 20.0  # a device that has not sent its spool by then is ended, and its readings count as not stored
LEAVE_S = 10.0  # any other program has this long to end
ANCHORED_S = 6 * ANCHOR_EVERY_S  # the last reading is in the next anchor; more is a ledger in trouble
GATEWAY_NAME = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The two programs that serve. pair: host:port; ledger: its address; trust: what verifiers get."""

    pair: str
    ledger: str
    metrics: str
    trust: Path


async def perform(
    crew: Crew, plans: Sequence[HomePlan], *, picture: Picture, for_s: float, known: bool, enough: asyncio.Event,
    results: Path,
) -> Report:  # fmt: skip
    """Everything, and what came of it. enough: set from outside to end the homes early; results: folder for the
    evidence and the trust file. Raises VigilError when a program fails."""
    house = await build(crew, picture)
    picture.phase = "pairing the homes"
    gate = asyncio.Semaphore(PAIRED_AT_ONCE)
    await asyncio.gather(*(pair(crew, house, picture.homes[plan.name], gate) for plan in plans))
    looking = asyncio.create_task(_look(crew, picture), name="look")
    try:
        await _live(crew, plans, picture=picture, for_s=for_s, enough=enough)
        picture.phase = "waiting until the ledger has everything"
        await _anchored(crew.folder)
        picture.phase = "exporting and verifying evidence"
        evidence = await _export(crew, house, results)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    refused = await records.refused(house.metrics)
    await crew.stop("gateway", grace_s=LEAVE_S)
    await crew.stop("ledger", grace_s=LEAVE_S)
    trust = results / "trust.json"
    if trust != house.trust:
        shutil.copyfile(house.trust, trust)
    verified = evidence is not None and await _verify(crew, evidence, trust)
    picture.phase = "done"
    return _report(
        crew.folder, picture, known=known, refused=refused, evidence=evidence, trust=trust, verified=verified
    )


async def build(crew: Crew, picture: Picture, *, anchor_every_s: float = ANCHOR_EVERY_S) -> House:
    """Start ledger and gateway, each knowing the other's keys."""
    state = crew.folder
    picture.phase = "starting the ledger"
    ledger = await crew.start("ledger", *ledger_words())
    url = str((await ledger.ready())["url"])
    await crew.command("ledger", "trust", "--state", "ledger", "--out", "trust.json")
    key = str((await crew.command("gateway", "key", "--state", "gateway"))["key"])
    await crew.command(
        "ledger", "admit", "--state", "ledger", "--role", "gateway",
        "--key", key, "--name", GATEWAY_NAME, "--out", "admission.cose",
    )  # fmt: skip
    picture.phase = "starting the gateway"
    gateway = await crew.start("gateway", *gateway_words(url, anchor_every_s=anchor_every_s))
    ports = await gateway.ready()
    picture.page = f"http://127.0.0.1:{ports['page']}/"
    picture.tell(f"the caregivers' page is {picture.page}")
    return House(
        pair=f"127.0.0.1:{ports['pair']}",
        ledger=url,
        metrics=f"http://127.0.0.1:{ports['metrics']}/metrics",
        trust=state / "trust.json",
    )


def ledger_words(*, port: int = 0) -> tuple[str, ...]:
    """How the ledger is started. port: 0 for any free one."""
    return ("ledger", "run", "--state", "ledger", "--port", str(port), "--metrics-port", "0")


def gateway_words(ledger_url: str, *, anchor_every_s: float, mqtt_port: int = 0) -> tuple[str, ...]:
    """How the gateway is started. mqtt_port: where devices connect, 0 for any free one."""
    return (
        "gateway", "run", "--state", "gateway", "--demo", "--anchor-every-s", str(anchor_every_s),
        "--mqtt-port", str(mqtt_port), "--pair-port", "0", "--page-port", "0", "--metrics-port", "0",
        "--ledger-url", ledger_url, "--trust", "trust.json", "--admission", "admission.cose",
    )  # fmt: skip


async def pair(crew: Crew, house: House, home: HomePicture, gate: asyncio.Semaphore) -> None:
    """Enrol one home's device, as a person would with the text under the QR code."""
    async with gate:
        home.state = "pairing"
        await crew.command("device", "keygen", "--state", home.name)
        offer = await crew.command(
            "gateway", "pair", "--state", "gateway", "--address", house.pair, "--name", home.name
        )
        paired = await crew.command("device", "pair", str(offer["offer"]), "--state", home.name)
        home.device = str(paired["device"])
        home.state = "paired"


async def _live(
    crew: Crew, plans: Sequence[HomePlan], *, picture: Picture, for_s: float, enough: asyncio.Event
) -> None:
    """Run every home's device for a while, then stop them in order, so that their spools drain."""
    picture.phase = "living"
    ending = asyncio.Event()
    homes = [asyncio.create_task(_inhabit(crew, plan, picture, ending), name=plan.name) for plan in plans]
    loop = asyncio.get_running_loop()
    until_s = loop.time() + for_s
    try:
        while loop.time() < until_s and not enough.is_set() and not all(home.done() for home in homes):
            crew.check("ledger", "gateway")
            picture.left_s = until_s - loop.time()
            await asyncio.wait([*homes], timeout=min(LOOKED_EVERY_S, max(0.0, until_s - loop.time())))
    finally:
        ending.set()
        picture.left_s, picture.phase = 0.0, "stopping the devices, whose spools drain"
        await asyncio.gather(*(crew.stop(plan.name, grace_s=DRAIN_S) for plan in plans))
        await asyncio.gather(*homes)


async def _inhabit(crew: Crew, plan: HomePlan, picture: Picture, ending: asyncio.Event) -> None:
    """One home: its device plays one run after the other until the demo ends."""
    home = picture.homes[plan.name]

    def heard(line: Line) -> None:
        if line.get("event") == "connected":
            home.state = "online"
        elif line.get("event") == "disconnected":
            home.state = "offline"
        elif line.get("event") == "scripted":
            home.events.append({"kind": str(line["kind"]), "at": str(line["at"])})
            picture.tell(f"{clock(from_iso(str(line['at'])))}  {home.name}: {line['kind']} happens")

    for arguments in itertools.takewhile(lambda _: not ending.is_set(), plan.runs):
        program = await crew.start(plan.name, "device", "run", "--state", plan.name, *arguments, heard=heard)
        code = await program.ended()
        if code and not ending.is_set():
            home.state = "failed"
            picture.tell(f"{home.name}: the device ended with {code}: {program.told()}")
            return
    home.state = "done"


async def _look(crew: Crew, picture: Picture) -> None:
    """Keep the picture up to date from the gateway's own records."""
    seen: set[str] = set()
    homes = {home.device: home for home in picture.homes.values()}
    while True:
        found = await asyncio.to_thread(records.glance, crew.folder / "gateway")
        picture.stored, picture.anchored = sum(found.stored.values()), found.anchored
        for device, count in found.stored.items():
            if device in homes:
                homes[device].stored = count
        for alert in found.alerts:
            if alert.id not in seen and alert.device in homes:
                seen.add(alert.id)
                home = homes[alert.device]
                home.alarm = alert.kind
                late_s = (alert.raised_ms - alert.onset_ms) / 1000
                picture.tell(
                    f"{clock(alert.raised_ms)}  {home.name}: alarm {alert.kind}, {late_s:.1f} s after its onset"
                )
        await asyncio.sleep(LOOKED_EVERY_S)


async def _anchored(folder: Path) -> None:
    """Wait until every stored message is in an anchor that the ledger has receipted; not for ever."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + ANCHORED_S
    while loop.time() < until_s:
        found = await asyncio.to_thread(records.glance, folder / "gateway")
        if found.anchored >= sum(found.stored.values()):
            return
        await asyncio.sleep(LOOKED_EVERY_S)


async def _export(crew: Crew, house: House, results: Path) -> Path | None:
    """The evidence of one alarm's message, or of any reading when there was no alarm. None when there is neither."""
    found = await asyncio.to_thread(records.glance, crew.folder / "gateway")
    choice = records.provable(crew.folder / "gateway", found)
    if choice is None:
        return None
    evidence = results / ("alarm.evidence" if found.alerts else "reading.evidence")
    await crew.command(
        "gateway", "evidence", "--state", "gateway", *choice, "--out", str(evidence), "--disclose",
        "--ledger-url", house.ledger, "--trust", str(house.trust),
    )  # fmt: skip
    return evidence


async def _verify(crew: Crew, evidence: Path, trust: Path) -> bool:
    """Check the evidence in a process that has nothing but the two files, in a folder of their own."""
    alone = crew.folder / "verify"
    alone.mkdir()
    shutil.copyfile(evidence, alone / "bundle")
    shutil.copyfile(trust, alone / "trust.json")
    answer = await Crew(folder=alone, env=crew.env).command("verify", "bundle", "--trust", "trust.json")
    return answer.get("verified") is True


def _report(
    folder: Path, picture: Picture, *, known: bool, refused: dict[str, int], evidence: Path | None, trust: Path,
    verified: bool,
) -> Report:  # fmt: skip
    """Count in the programs' own records, now that they have ended."""
    names = {home.device: home.name for home in picture.homes.values()}
    found = records.glance(folder / "gateway")
    return Report(
        sent=sum(records.sealed(folder / home.name) for home in picture.homes.values()),
        stored=sum(found.stored.values()),
        refused=refused,
        events=[
            Happening(home=home.name, kind=event["kind"], at_ms=from_iso(event["at"]))
            for home in picture.homes.values()
            for event in home.events
        ],
        alarms=[
            Alarm(
                id=alert.id,
                home=names.get(alert.device, alert.device),
                kind=alert.kind,
                onset_ms=alert.onset_ms,
                raised_ms=alert.raised_ms,
            )
            for alert in found.alerts
        ],
        known=known,
        anchored=found.anchored,
        tree_size=found.tree_size,
        evidence=None if evidence is None else str(evidence),
        trust=str(trust),
        verified=verified,
    )
