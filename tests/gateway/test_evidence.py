"""Evidence as people get it: exported by one process, verified by another that has nothing but two files, refused when touched."""

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import vigil
from deploy.demo.supervise import environment
from protocol import content, evidence, message, notes, topics
from protocol.evidence import Bundle, EvidenceError, Trust
from protocol.keys import SigningKey
from tests.support import rig
from tests.support.tools import REPOSITORY

pytestmark = pytest.mark.timeout(180)

SCENE_S = 90.0  # for the whole of it, on a machine that is busy with other tests
EVERY = 23  # of so many bytes one is changed, unless all are
ENV = environment(os.environ | {"PYTHONPATH": str(REPOSITORY)})
VITAL = "MDC_ECG_HEART_RATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is left when every process has ended. bundles: by name, `reading` and `alarm`, each open and closed."""

    folder: Path
    device: str
    alert: str
    reading: str
    bundles: Mapping[str, bytes]
    answers: Mapping[str, Mapping[str, Any]]

    @property
    def trust(self) -> bytes:
        """The trust file."""
        return (self.folder / "trust.json").read_bytes()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A home in which somebody pressed the button."""
    folder = tmp_path_factory.mktemp("house")

    async def scene() -> Kept:
        async with asyncio.timeout(SCENE_S), rig.house(folder, anchor_every_s=0.5) as house:
            await house.pair("home")
            await house.start_device(
                "home", "--source", "simulated:seed=3", "--event", "button@1", "--speed", "4", "--for", "2"
            )
            await house.ended("home")
            await house.anchored()
            return await _exported(house)

    return asyncio.run(scene())


async def _exported(house: rig.Rig) -> Kept:
    device = house.devices["home"]
    listed: Any = await house.crew.command("gateway", "alerts", "list", "--state", "gateway")
    (alert,) = [found for found in listed["alerts"] if found["kind"] == "button"]
    reading = next(
        one for one in rig.stored(house.gateway, device)
        if isinstance(one.content, content.Data) and any(vital.name == VITAL for vital in one.content.vitals)
    )  # fmt: skip
    place = f"{device}/data/{reading.boot}/{reading.seq}"
    bundles, answers = {}, {}
    for name, of in (("reading", ("--message", place)), ("alarm", ("--alert", alert["id"]))):
        for closed, disclose in (("", ("--disclose",)), (" closed", ())):
            answers[name + closed] = await house.crew.command(
                "gateway", "evidence", "--state", "gateway", *of, *disclose, "--out", "one.evidence",
                "--ledger-url", house.house.ledger, "--trust", "trust.json",
            )  # fmt: skip
            bundles[name + closed] = (house.folder / "one.evidence").read_bytes()
    return Kept(folder=house.folder, device=device, alert=alert["id"], reading=place, bundles=bundles, answers=answers)


def run(*words: str, cwd: Path) -> tuple[int, dict[str, Any]]:
    """(exit code, the one JSON object) of a `vigil` process."""
    ran = subprocess.run(
        [sys.executable, "-m", "vigil", *words, "--json"], cwd=cwd, env=ENV, capture_output=True, timeout=60
    )
    return ran.returncode, json.loads(ran.stdout)


def verified(folder: Path, bundle: bytes, trust: bytes) -> tuple[int, dict[str, Any]]:
    """What `vigil verify` says in a folder with nothing else in it."""
    (folder / "bundle").write_bytes(bundle)
    (folder / "trust.json").write_bytes(trust)
    assert len(list(folder.iterdir())) == 2
    return run("verify", "bundle", "--trust", "trust.json", cwd=folder)


# -- what holds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reading", "reading closed", "alarm", "alarm closed"])
def test_a_process_with_the_two_files_alone_verifies_it(kept: Kept, name: str, tmp_path: Path) -> None:
    code, said = verified(tmp_path, kept.bundles[name], kept.trust)
    assert (code, said["verified"], said["device"]) == (0, True, kept.device)
    assert (
        said.items() >= {key: kept.answers[name][key] for key in ("tree_size", "root", "lane", "boot", "seq")}.items()
    )
    assert said["lane"] == ("alarm" if name.startswith("alarm") else "data")
    opened = {"alarm", "readings"} & said.keys()
    assert opened == (set() if "closed" in name else {"alarm"} if name.startswith("alarm") else {"readings"})
    if name == "alarm":
        assert (said["alarm"], said["simulated"]) == ("button", True)
    if name == "reading":
        assert 30 < said["readings"][VITAL] < 200


def test_closed_evidence_has_no_key_to_its_content_and_open_evidence_only_to_this_one(kept: Kept) -> None:
    for name in ("reading", "alarm"):
        opened, closed = Bundle.decode(kept.bundles[name]), Bundle.decode(kept.bundles[f"{name} closed"])
        assert closed.cek is None and opened.cek is not None
        assert opened.message == closed.message and opened.cek not in kept.bundles[f"{name} closed"]
    keys = [Bundle.decode(kept.bundles[name]).cek for name in ("reading", "alarm")]
    assert keys[0] != keys[1]
    alarm = dataclasses.replace(Bundle.decode(kept.bundles["alarm"]), cek=keys[0])
    with pytest.raises(EvidenceError, match="check 9"):
        evidence.verify(alarm.encode(), Trust.from_json(kept.trust))


def test_what_is_proved_is_what_the_gateway_has_stored(kept: Kept) -> None:
    raws = {one.raw: one for one in rig.stored(kept.folder / "gateway", kept.device)}
    for name, opened in (("reading", content.Data), ("alarm", content.Alarm)):
        verdict = evidence.verify(kept.bundles[name], Trust.from_json(kept.trust))
        one = raws[Bundle.decode(kept.bundles[name]).message]
        assert isinstance(verdict.opened, opened) and verdict.opened == one.content
        assert verdict.received_ms == one.received_ms
        assert verdict.position == message.Position(one.lane, one.boot, one.seq)


def test_a_bundle_names_no_key_of_a_link_and_no_home(kept: Kept) -> None:
    with rig.opened(kept.folder / "gateway" / "keys.db") as secrets:
        ((lk, store_key),) = secrets.execute("SELECT lk, store_key FROM enrolment").fetchall()
    private = [lk, store_key, SigningKey.from_pem((kept.folder / "gateway/keys/gateway.key").read_text()).seed, b"home"]
    assert not [secret for secret in private for bundle in kept.bundles.values() if secret in bundle]


# -- what does not ---------------------------------------------------------------------------------------------------


def flipped(data: bytes, place: int = 40) -> bytes:
    changed = bytearray(data)
    changed[place % len(data)] ^= 1
    return bytes(changed)


def proof(found: Bundle, name: str) -> Bundle:
    kept = getattr(found, name)
    return dataclasses.replace(found, **{name: dataclasses.replace(kept, statement=flipped(kept.statement, -1))})


CHANGES: Mapping[int, Callable[[Bundle], Bundle | bytes]] = {
    1: lambda found: found.encode()[:-1],
    2: lambda found: dataclasses.replace(found, checkpoint=found.checkpoint.replace("\n", "x\n", 1)),
    3: lambda found: proof(found, "registry"),
    4: lambda found: proof(found, "anchor"),
    5: lambda found: dataclasses.replace(found, anchor_document=flipped(found.anchor_document)),
    6: lambda found: dataclasses.replace(found, entry=flipped(found.entry, -1)),
    7: lambda found: proof(found, "enrolment"),
    8: lambda found: dataclasses.replace(found, message=flipped(found.message, -1)),
    9: lambda found: dataclasses.replace(found, cek=flipped(found.cek or b"")),
}


@pytest.mark.parametrize("check", CHANGES)
def test_each_part_that_is_touched_fails_its_own_numbered_check_with_exit_code_4(
    kept: Kept, check: int, tmp_path: Path
) -> None:
    changed = CHANGES[check](Bundle.decode(kept.bundles["alarm"]))
    code, said = verified(tmp_path, changed if isinstance(changed, bytes) else changed.encode(), kept.trust)
    assert (code, said["verified"], said["check"]) == (4, False, check)
    assert said["error"].startswith("evidence_") and f"check {check} failed" in said["detail"]


def refused(kept: Kept, name: str, step: int) -> set[int]:
    """The checks that fail when single bytes are changed, one in `step` of them; all of the changes are refused."""
    trust, bundle, checks = Trust.from_json(kept.trust), kept.bundles[name], set()
    evidence.verify(bundle, trust)
    for place in range(0, len(bundle), step):
        with pytest.raises(EvidenceError) as caught:
            evidence.verify(bundle[:place] + bytes([bundle[place] ^ 0x40]) + bundle[place + 1 :], trust)
        checks.add(caught.value.check)
    return checks


@pytest.mark.parametrize("name", ["reading", "reading closed", "alarm", "alarm closed"])
def test_one_changed_byte_anywhere_is_refused(kept: Kept, name: str) -> None:
    assert len(refused(kept, name, EVERY)) > 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reading", "alarm closed"])
def test_any_one_changed_byte_is_refused(kept: Kept, name: str) -> None:
    assert refused(kept, name, 1) == set(range(1, 9 if "closed" in name else 10))


@pytest.mark.parametrize(("what", "check"), [("registry_root", 3), ("policy", 2)])
def test_whoever_trusts_another_log_or_registry_verifies_nothing(
    kept: Kept, what: str, check: int, tmp_path: Path
) -> None:
    stranger, (origin,) = SigningKey.from_seed(bytes(32)).public, Trust.from_json(kept.trust).policy.logs
    vkey = notes.NoteKey(name=origin, kind=notes.SIGNATURE, key=stranger).vkey()
    other = {"registry_root": stranger.x.hex(), "policy": f"log {vkey}\nquorum none\n"}[what]
    code, said = verified(tmp_path, kept.bundles["alarm"], json.dumps(json.loads(kept.trust) | {what: other}).encode())
    assert (code, said["check"]) == (4, check)


@pytest.mark.parametrize("bad", ["no bundle", "no trust", "a folder", "too long", "trust that is none"])
def test_what_cannot_be_read_could_not_be_checked_and_says_so_with_exit_code_5(
    kept: Kept, bad: str, tmp_path: Path
) -> None:
    bundle, trust = tmp_path / "bundle", tmp_path / "trust.json"
    bundle.write_bytes(kept.bundles["alarm"])
    trust.write_bytes(kept.trust)
    if bad == "no bundle":
        bundle.unlink()
    elif bad == "no trust":
        trust.unlink()
    elif bad == "a folder":
        bundle.unlink()
        bundle.mkdir()
    elif bad == "too long":
        with bundle.open("r+b") as file:
            file.truncate(17 << 20)
    else:
        trust.write_bytes(kept.trust[:-20])
    code, said = run("verify", str(bundle), "--trust", str(trust), cwd=tmp_path)
    assert code == 5 and "check" not in said
    assert said["error"] in ("file_unreadable", "file_too_large", "trust_bad")


# -- what cannot be exported -----------------------------------------------------------------------------------------


def export(kept: Kept, *words: str, ledger: str = "http://127.0.0.1:9") -> tuple[int, str]:
    """(exit code, error) of an export after the ledger has ended."""
    options = {"--state": "gateway", "--trust": "trust.json", "--out": "out"}
    named = [word for option, name in options.items() for word in (option, str(kept.folder / name))]
    ran = CliRunner().invoke(vigil.cli, ["gateway", "evidence", *named, "--ledger-url", ledger, *words, "--json"])
    assert not (kept.folder / "out").exists()
    return ran.exit_code, str(json.loads(ran.stdout)["error"])


def test_an_export_that_is_not_possible_says_why_and_writes_nothing(kept: Kept) -> None:
    device = kept.device
    assert export(kept, "--message", kept.reading) == (5, "ledger_unreachable")
    assert export(kept, "--message", f"{device}/data/1/999999") == (3, "message_unknown")
    assert export(kept, "--message", f"{device}/data/1/{'9' * 40}") == (3, "message_unknown")
    assert export(kept, "--message", "0" * 16 + "/data/1/1") == (3, "message_unknown")
    assert export(kept, "--alert", "0" * 32) == (3, "alert_unknown")
    assert export(kept) == (2, "evidence_of_what")
    assert export(kept, "--message", kept.reading, "--alert", kept.alert) == (2, "evidence_of_what")
    assert export(kept, "--message", kept.reading, ledger="nowhere") == (2, "ledger_url")


def test_evidence_of_one_lane_is_of_no_other(kept: Kept) -> None:
    found = Bundle.decode(kept.bundles["alarm"])
    assert found.topic == topics.up(kept.device, topics.ALARM)
    moved = dataclasses.replace(found, topic=topics.up(kept.device, topics.DATA))
    with pytest.raises(EvidenceError, match="check 6"):
        evidence.verify(moved.encode(), Trust.from_json(kept.trust))
