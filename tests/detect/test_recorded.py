"""Scores on recorded signals, sent through the watch in messages of one second. An episode has its alarm when one is on at
some time between its onset and ten seconds after its fourth; `bench/detection.py` scores all other recordings."""

from pathlib import Path

import pytest

from bench._recorded import Recording, ecg, findings, sisfall
from bench._scores import FIBRILLATION, STANDSTILL, Shown, answers, share, shown

pytestmark = pytest.mark.data

FIBRILLATES = frozenset({"ventricular_fibrillation"})
STANDS_STILL = frozenset({"asystole"})
HEART = FIBRILLATES | STANDS_STILL | {"ventricular_tachycardia", "extreme_bradycardia"}


def watched(folder: Path, name: str) -> tuple[Recording, list[Shown]]:
    """An ECG record and the alarms that people see."""
    recording = ecg(folder / f"{name}.npz")
    return recording, shown(findings(recording, stream="ecg"), ends_s=recording.seconds)


@pytest.mark.parametrize(("record", "episodes"), [("vfdb/422", 2), ("vfdb/430", 7)])
def test_every_recorded_fibrillation_has_its_alarm_in_time(data_dir: Path, record: str, episodes: int) -> None:
    recording, alarms = watched(data_dir, record)
    given = answers(recording, alarms, labels=FIBRILLATION, kinds=FIBRILLATES)
    assert len(given) == episodes
    assert [one for one in given if one.after_s is None] == []


def test_a_recorded_standstill_has_its_alarm_in_time(data_dir: Path) -> None:
    recording, alarms = watched(data_dir, "vfdb/607")
    given = answers(recording, alarms, labels=STANDSTILL, kinds=STANDS_STILL)
    assert len(given) == 1
    assert given[0].after_s is not None


def test_a_standstill_with_agonal_complexes_has_an_alarm_of_the_heart_in_time(data_dir: Path) -> None:
    """One lead goes on with wide complexes, some 40 a minute: the alarm of the tachycardia before it is still on, a slow
    rhythm is told next, and standstill when the complexes end."""
    recording, alarms = watched(data_dir, "vfdb/427")
    (given,) = answers(recording, alarms, labels=STANDSTILL, kinds=HEART)
    assert given.after_s is not None
    assert any(alarm.kind == "asystole" and alarm.from_s > given.start_s for alarm in alarms)


@pytest.mark.xfail(strict=True, reason="wide complexes on one lead are taken for beats")
def test_a_standstill_with_agonal_complexes_is_told_as_one(data_dir: Path) -> None:
    recording, alarms = watched(data_dir, "vfdb/427")
    (given,) = answers(recording, alarms, labels=STANDSTILL, kinds=STANDS_STILL)
    assert given.after_s is not None


@pytest.mark.parametrize("record", ["mitdb/100", "mitdb/101"])
def test_an_ordinary_half_hour_has_no_alarm(data_dir: Path, record: str) -> None:
    assert findings(ecg(data_dir / f"{record}.npz"), stream="ecg") == []


def test_recorded_falls_have_their_alarm_and_activities_have_none(data_dir: Path) -> None:
    falls: list[bool] = []
    activities: list[bool] = []
    for subject in ("SA01", "SA02", "SE01"):
        for trial in sisfall(data_dir / "sisfall", subject):
            told = any(one.kind == "fall" and one.phase == "raised" for one in findings(trial, stream="motion"))
            (falls if trial.name.startswith("F") else activities).append(told)
    assert (len(falls), len(activities)) == (60, 94)
    assert share(falls)[2] >= 90
    assert share(activities)[2] <= 10
