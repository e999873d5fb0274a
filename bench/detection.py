"""What the detectors find in all the recorded signals of VIGIL_DATA, sent through the watch in messages of one second:
episodes told in time, false alarms by the hour, trials by subject. Some of their limits were learnt on parts of these sets
(gateway/detect/settings.py says which), so the figures are kinder than those of records that nobody has seen."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bench._recorded import Recording, ecg, findings, sisfall, umafall, weda
from bench._scores import (
    FIBRILLATION,
    STANDSTILL,
    TACHYCARDIA,
    UNSURE,
    Answer,
    Shown,
    answers,
    share,
    shown,
    unfounded,
)

Row = dict[str, object]
LETHAL = FIBRILLATION | STANDSTILL | TACHYCARDIA
EPISODES = (
    ("fibrillation, flutter", FIBRILLATION, frozenset({"ventricular_fibrillation"})),
    ("standstill", STANDSTILL, frozenset({"asystole"})),
    ("ventricular tachycardia", TACHYCARDIA, frozenset({"ventricular_tachycardia", "ventricular_fibrillation"})),
)
LETHAL_KINDS = frozenset({"ventricular_fibrillation", "ventricular_tachycardia", "asystole"})
ALARMS_2015 = {
    "Asystole": frozenset({"asystole"}),
    "Bradycardia": frozenset({"extreme_bradycardia", "asystole"}),
    "Tachycardia": frozenset({"extreme_tachycardia", "ventricular_tachycardia"}),
    "Ventricular_Tachycardia": frozenset({"ventricular_tachycardia", "ventricular_fibrillation"}),
    "Ventricular_Flutter_Fib": frozenset({"ventricular_fibrillation"}),
}
BEDSIDE_S = 60.0
"""The bedside monitor's alarm in every record of Challenge 2015; what comes later does not count..."""
LOOK_BACK_S = 14.0
"""...and an alarm that was over this long before belongs to something else."""


def run() -> list[Row]:
    """All sets, one after the other; some three minutes of processor time."""
    folder = Path(os.environ.get("VIGIL_DATA", ""))
    if not os.environ.get("VIGIL_DATA") or not folder.is_dir():
        return [{"what": "recorded signals are not here: set VIGIL_DATA", "value": "skipped"}]
    rows: list[Row] = []
    for name in ("vfdb", "cudb", "mitdb"):
        rows += records(name, (ecg(path) for path in sorted((folder / name).glob("*.npz"))))
    rows += bedside(folder / "challenge2015")
    rows += strips(folder / "challenge2017")
    subjects = sorted(path.stem for path in (folder / "sisfall").glob("*.npz"))
    young = (
        trial for subject in subjects if subject.startswith("SA") for trial in sisfall(folder / "sisfall", subject)
    )
    old = (trial for subject in subjects if subject.startswith("SE") for trial in sisfall(folder / "sisfall", subject))
    rows += trials("sisfall, young, waist", young, lambda name: name.startswith("F"))
    rows += trials("sisfall, old, waist", old, lambda name: name.startswith("F"))
    rows += trials("weda_fall, wrist", weda(folder / "weda_fall"), lambda name: "/F" in name)
    for place in ("waist", "wrist", "chest"):
        rows += trials(f"umafall, {place}", umafall(folder / "umafall", place), lambda name: "_Fall_" in name)
    return rows


def records(name: str, recordings: Iterable[Recording]) -> list[Row]:
    """One set of long ECGs with rhythm labels. Alarms near a label that explains them, or near noise, are not false."""
    given: dict[str, list[Answer]] = {kind: [] for kind, _, _ in EPISODES}
    false: list[Shown] = []
    known_s = 0.0
    for recording in recordings:
        alarms = _alarms(recording)
        for kind, labels, kinds in EPISODES:
            given[kind] += answers(recording, alarms, labels=labels, kinds=kinds)
        false += unfounded(recording, alarms, kinds=LETHAL_KINDS, labels=LETHAL)
        known_s += recording.seconds - sum(end - start for start, end in recording.episodes(set(UNSURE | LETHAL)))
    rows: list[Row] = []
    for kind, found in given.items():
        if found:
            rows.append(_share(f"{name}: {kind}, in time", (one.after_s is not None for one in found)))
    hours = known_s / 3600
    for kind in sorted(LETHAL_KINDS):
        count = sum(alarm.kind == kind for alarm in false)
        what = f"{name}: false {kind}, {count} in {hours:.1f} h"
        rows.append({"what": what, "value": count / hours if hours else 0.0, "unit": "/h"})
    return rows


def bedside(folder: Path) -> list[Row]:
    """Challenge 2015, real-time rules: is the condition told by the time of the monitor's alarm, and not if that was false?
    Its score weighs a missed alarm five times."""
    told: dict[tuple[str, bool], list[bool]] = {}
    with (folder / "ALARMS.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            path = folder / f"{row['record']}.npz"
            if not path.exists():
                continue
            on = any(
                alarm.kind in ALARMS_2015[row["alarm"]]
                and alarm.from_s <= BEDSIDE_S
                and alarm.to_s > BEDSIDE_S - LOOK_BACK_S
                for alarm in _alarms(ecg(path))
            )
            told.setdefault((row["alarm"], row["true_alarm"] == "1"), []).append(on)
    rows = [
        _share(f"challenge2015: {'true' if true else 'false'} {alarm.lower()}, told", parts)
        for (alarm, true), parts in sorted(told.items(), key=lambda item: (item[0][0], not item[0][1]))
    ]
    missed = sum(not on for (_, true), parts in told.items() if true for on in parts)
    right = sum(on == true for (_, true), parts in told.items() for on in parts)
    total = sum(len(parts) for parts in told.values())
    return [*rows, {"what": "challenge2015: score", "value": 100 * right / (total + 4 * missed), "unit": "%"}]


def strips(folder: Path) -> list[Row]:
    """Challenge 2017: half a minute of one lead in the hand. No high-priority alarm belongs there; N is normal, A atrial
    fibrillation, O another rhythm, ~ too noisy for people."""
    with (folder / "REFERENCE.csv").open(newline="") as file:
        labels = {row["record"]: row["label"] for row in csv.DictReader(file)}
    alarmed: dict[str, list[bool]] = {}
    for part in sorted(folder.glob("part*.npz")):
        with np.load(part, allow_pickle=False) as parts:
            for name in parts.files:
                if name not in labels:
                    continue
                samples = np.cumsum(parts[name], axis=1, dtype=np.int16)[:1]
                strip = Recording(name=name, rate_hz=300.0, scale=1 / 1000, place="I", samples=samples)
                alarmed.setdefault(labels[name], []).append(bool(_alarms(strip)))
    return [_share(f"challenge2017: {label} with a high-priority alarm", parts) for label, parts in alarmed.items()]


def trials(name: str, recordings: Iterator[Recording], is_fall: Callable[[str], bool]) -> list[Row]:
    """One set of short trials, each one fall or one activity."""
    told: dict[bool, list[bool]] = {True: [], False: []}
    for trial in recordings:
        found = any(one.kind == "fall" and one.phase == "raised" for one in findings(trial, stream="motion"))
        told[is_fall(trial.name)].append(found)
    labelled = ((f"{name}: falls told", told[True]), (f"{name}: activities with an alarm", told[False]))
    return [_share(what, parts) for what, parts in labelled if parts]


def _alarms(recording: Recording) -> list[Shown]:
    return shown(findings(recording, stream="ecg"), ends_s=recording.seconds)


def _share(what: str, parts: Iterable[bool] | Sequence[bool]) -> Row:
    count, total, percent = share(parts)
    return {"what": f"{what}: {count} of {total}", "value": percent, "unit": "%"}
