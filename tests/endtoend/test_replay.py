"""Recorded signals go through device, MQTT, gateway and ledger, each a process of its own: nothing is lost, doubled or changed on
the way, the alarms are those that the detectors raise on the recordings themselves, and the proof of a reading holds offline."""

import asyncio
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench._recorded import Recording, findings, sisfall
from bench._recorded import ecg as recorded_ecg
from bench._scores import FIBRILLATION, STANDSTILL, Shown, answers
from bench._scores import shown as shown_of
from deploy.demo import records
from ledger.log import fsck
from protocol import content, evidence, topics
from protocol.errors import ProtocolError, VerificationFailed
from tests.support import recordings, rig
from tests.support.recordings import Recorded
from tests.support.rig import Rig, Stored

pytestmark = [pytest.mark.slow, pytest.mark.data, pytest.mark.timeout(400)]

SPEED = 100  # seconds of every recording in one second
LIMIT_S = 300.0  # for all of them to be played, stored and anchored
FALL, ACTIVITY, TABLE = "F05_SA01_R01", "D05_SA01_R01", "F10_SA01_R01"
WFDB_S = 300
URGENT = "high"
PROCESSES = 6  # damaged bundles that are given to `vigil verify`, of all that are given to its verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What is left when all has ended. stored, status, alerts: by device's name."""

    folder: Path
    recorded: Mapping[str, Recorded]
    stored: Mapping[str, list[Stored]]
    status: Mapping[str, Mapping[str, Any]]
    alerts: Mapping[str, list[Mapping[str, Any]]]
    bundle: bytes
    trust: bytes
    proved: Stored


@pytest.fixture(scope="module")
def played(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The recordings, each played by a device of its own, all at the same time."""
    made = tmp_path_factory.mktemp("made")
    sisfall_file = data_dir / "sisfall" / "SA01.npz"
    all_of_them = [
        recordings.ecg("fibrillation", data_dir / "vfdb" / "422.npz"),
        recordings.ecg("standstill", data_dir / "vfdb" / "607.npz"),
        recordings.ecg("normal", data_dir / "mitdb" / "100.npz"),
        recordings.wfdb("wfdb", data_dir / "mitdb" / "101.npz", made, seconds=WFDB_S),
        recordings.trial("fall", sisfall_file, FALL),
        recordings.trial("activity", sisfall_file, ACTIVITY),
        recordings.table("table", sisfall_file, TABLE, made),
    ]

    async def scene() -> Played:
        async with asyncio.timeout(LIMIT_S), rig.house(folder, data_rate_per_s=5000, data_burst=5000) as house:
            return await _play(house, {one.name: one for one in all_of_them})

    folder = tmp_path_factory.mktemp("house")
    return asyncio.run(scene())


async def _play(house: Rig, recorded: Mapping[str, Recorded]) -> Played:
    await house.pair(*recorded)
    for name, one in recorded.items():
        await house.start_device(name, *one.words, "--speed", str(SPEED))
    await house.ended(*recorded)
    await house.anchored()
    listed: Any = (await house.crew.command("gateway", "alerts", "list", "--state", "gateway"))["alerts"]
    stored = {name: rig.stored(house.gateway, house.devices[name]) for name in recorded}
    alerts = {name: [alert for alert in listed if alert["device"] == house.devices[name]] for name in recorded}
    proved = stored["fibrillation"][len(stored["fibrillation"]) // 2]
    return Played(
        folder=house.folder,
        recorded=recorded,
        stored=stored,
        status={name: await house.crew.command("device", "status", "--state", name) for name in recorded},
        alerts=alerts,
        bundle=await house.evidence("fibrillation", proved),
        trust=(house.folder / "trust.json").read_bytes(),
        proved=proved,
    )


def waves_of(stored: list[Stored]) -> list[content.Wave]:
    """The one wave in each message."""
    found = []
    for one in stored:
        assert isinstance(one.content, content.Data)
        (wave,) = one.content.waves
        assert one.content.simulated and not one.content.vitals and not one.content.gaps
        found.append(wave)
    return found


def test_every_reading_is_stored_once_and_is_what_was_recorded(played: Played) -> None:
    for name, one in played.recorded.items():
        waves = waves_of(played.stored[name])
        assert {(wave.stream, wave.rate_mhz) for wave in waves} == {(one.stream, one.rate_hz * 1000)}
        assert b"".join(wave.samples for wave in waves) == one.counts.astype("<i2").tobytes(), name
        firsts = itertools.accumulate((wave.n for wave in waves), initial=0)
        for wave, first in zip(waves, firsts, strict=False):
            assert wave.t0_ms - waves[0].t0_ms == first * 1000 // one.rate_hz


def test_positions_are_contiguous_and_each_is_held_once(played: Played) -> None:
    for stored in played.stored.values():
        places = [(one.lane, one.boot, one.seq) for one in stored]
        assert places == [(topics.DATA, 1, seq) for seq in range(len(stored))]
    with rig.opened(played.folder / "gateway" / "gateway.db") as record:
        covered = record.execute("SELECT lane, boot, first, last FROM covered").fetchall()
        assert sorted(covered) == sorted((topics.DATA, 1, 0, len(stored) - 1) for stored in played.stored.values())
        assert record.execute("SELECT COUNT(*) FROM conflict").fetchone() == (0,)
        assert record.execute("SELECT COUNT(*) FROM gap").fetchone() == (0,)


def test_spools_are_empty_and_everything_was_receipted(played: Played) -> None:
    for name, status in played.status.items():
        count = len(played.stored[name])
        told = {key: status[key] for key in ("boot", "waiting", "sealed", "receipted", "refused", "evicted")}
        assert told == {"boot": 1, "waiting": 0, "sealed": count, "receipted": count, "refused": 0, "evicted": 0}


def test_every_message_is_in_one_anchor_and_the_ledger_holds_it(played: Played) -> None:
    rows = sorted(one.row for stored in played.stored.values() for one in stored)
    with rig.opened(played.folder / "gateway" / "gateway.db") as record:
        spans = record.execute(
            "SELECT first, last FROM anchor a JOIN submission s ON s.digest = a.digest"
            " WHERE a.size > 0 AND s.idx IS NOT NULL ORDER BY n"
        ).fetchall()
    anchored = [row for first, last in spans for row in range(first, last + 1)]
    assert anchored == rows
    assert records.glance(played.folder / "gateway").anchored == len(rows)
    fsck.check(played.folder / "ledger")


# -- alarms --------------------------------------------------------------------------------------------------------------


def alarms_of(played: Played, name: str, *, ends_s: float) -> list[Shown]:
    """The urgent alarms of a device as the gateway lists them, in seconds of its recording. One is raised when the message
    behind it has come, and cleared by the first message that had come by then."""
    stored, waves = played.stored[name], waves_of(played.stored[name])
    begins_ms = waves[0].t0_ms

    def end_s(seq: int) -> float:
        wave = waves[seq]
        return (wave.t0_ms - begins_ms) / 1000 + wave.n * 1000 / wave.rate_mhz

    found = []
    for alert in played.alerts[name]:
        if alert["priority"] == URGENT:
            assert alert["simulated"] and alert["message"].startswith(f"{alert['device']}/data/1/")
            cleared_ms = alert["cleared_ms"]
            cleared = next((m.seq for m in stored if cleared_ms is not None and m.received_ms >= cleared_ms), None)
            found.append(
                Shown(
                    kind=alert["kind"],
                    onset_s=(alert["onset_ms"] - begins_ms) / 1000,
                    from_s=end_s(int(alert["message"].rpartition("/")[2])),
                    to_s=ends_s if cleared is None else end_s(cleared),
                )
            )
    return sorted(found, key=lambda alarm: (alarm.from_s, alarm.kind))


def scored(played: Played, data_dir: Path, name: str, record: str) -> tuple[Recording, list[Shown]]:
    """A record's labels and the alarms that came of it through all the programs; they are those of the detectors alone."""
    recording = recorded_ecg(data_dir / f"{record}.npz")
    alarms = alarms_of(played, name, ends_s=recording.seconds)
    alone = shown_of(findings(recording, stream="ecg"), ends_s=recording.seconds)
    assert [(a.kind, a.onset_s) for a in alarms] == [
        (a.kind, pytest.approx(a.onset_s, abs=0.01)) for a in sorted(alone, key=lambda a: (np.ceil(a.from_s), a.kind))
    ]
    return recording, alarms


def test_a_fibrillation_has_its_alarm_in_time(played: Played, data_dir: Path) -> None:
    recording, alarms = scored(played, data_dir, "fibrillation", "vfdb/422")
    given = answers(recording, alarms, labels=FIBRILLATION, kinds=frozenset({"ventricular_fibrillation"}))
    assert len(given) == 2 and all(one.after_s is not None for one in given)


def test_a_standstill_has_its_alarm_in_time(played: Played, data_dir: Path) -> None:
    recording, alarms = scored(played, data_dir, "standstill", "vfdb/607")
    (given,) = answers(recording, alarms, labels=STANDSTILL, kinds=frozenset({"asystole"}))
    assert given.after_s is not None and given.after_s > 0


def test_a_fall_has_its_alarm_and_it_names_the_message_that_told(played: Played, data_dir: Path) -> None:
    for name, record in (("fall", FALL), ("table", TABLE)):
        trial = next(one for one in sisfall(data_dir / "sisfall", "SA01") if one.name == record)
        (told,) = findings(trial, stream="motion")
        (alarm,) = alarms_of(played, name, ends_s=trial.seconds)
        assert alarm.kind == told.kind == "fall"
        assert alarm.from_s - alarm.onset_s <= 10


def test_an_ordinary_half_hour_and_an_activity_have_no_alarm_at_all(played: Played) -> None:
    for name in ("normal", "wfdb", "activity"):
        assert [alert["kind"] for alert in played.alerts[name] if alert["kind"] != "device_silent"] == []


# -- the proof -----------------------------------------------------------------------------------------------------------


def test_the_evidence_of_a_reading_verifies_with_nothing_but_the_two_files(played: Played, tmp_path: Path) -> None:
    code, answer = rig.verified(played.bundle, trust=played.trust, alone=tmp_path / "alone")
    assert (code, answer["verified"]) == (0, True)
    bundle = evidence.Bundle.decode(played.bundle)
    assert bundle.message == played.proved.raw


def test_the_evidence_fails_after_any_one_byte_is_changed(played: Played, tmp_path: Path) -> None:
    trust = evidence.Trust.from_json(played.trust)
    evidence.verify(played.bundle, trust)
    rng = random.Random(7)
    for place in range(len(played.bundle)):
        for change in (1, 0x80, rng.randrange(1, 256)):
            with pytest.raises((ProtocolError, VerificationFailed)):
                evidence.verify(_changed(played.bundle, place, change), trust)
    for number in range(PROCESSES):
        damaged = _changed(played.bundle, rng.randrange(len(played.bundle)), rng.randrange(1, 256))
        code, answer = rig.verified(damaged, trust=played.trust, alone=tmp_path / str(number))
        assert (code, answer["verified"]) == (4, False), answer


def _changed(data: bytes, place: int, change: int) -> bytes:
    return data[:place] + bytes((data[place] ^ change,)) + data[place + 1 :]
