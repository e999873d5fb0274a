"""What happens in the demo: which homes there are, what each one's device plays, and when something happens to whom."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from protocol.errors import ConfigError

HOMES_MAX = 64  # each home is a process of about 40 MB: more would only slow this machine down
QUIET_S = 8.0  # a person has done something ordinary for so long before a fall can be told from the rest
AFTERMATH_S = 13.0  # a detector may take ten seconds, and the last messages their way
SCRIPTED_MIN_S = QUIET_S + AFTERMATH_S


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePlan:
    """One home. name: also its folder's; shown: what it plays, for people; runs: arguments of `vigil device run`, one
    set after the other until the demo ends; the last one does not end by itself unless it is a recording."""

    name: str
    shown: str
    runs: tuple[tuple[str, ...], ...]


def simulated(*, seed: int, homes: int, for_s: float, events: bool) -> tuple[HomePlan, ...]:
    """Simulated homes; with events, a fall in one and a cardiac arrest in another (with one home: the fall only).

    Raises ConfigError when the time is too short for them.
    """
    scripted = _events(seed=seed, homes=homes, for_s=for_s) if events else {}
    plans = []
    for number in range(homes):
        source = ("--source", f"simulated:seed={seed},patient={number}")
        happens = scripted.get(number)
        extra = ("--event", happens) if happens else ()
        plans.append(HomePlan(name=f"home-{number + 1}", shown="simulated", runs=((*source, *extra),)))
    return tuple(plans)


def _events(*, seed: int, homes: int, for_s: float) -> dict[int, str]:
    """home number -> its scripted event."""
    if for_s < SCRIPTED_MIN_S:
        raise ConfigError(
            "demo_too_short", f"the scripted events need --for {SCRIPTED_MIN_S:g} or more; or give --no-events"
        )
    rng = Random(f"vigil demo {seed}")
    struck = rng.sample(range(homes), min(2, homes))
    span_s = for_s - SCRIPTED_MIN_S
    times = (QUIET_S + rng.uniform(0.0, 0.5) * span_s, QUIET_S + rng.uniform(0.2, 0.8) * span_s)
    return {home: f"{kind}@{at:.1f}" for home, kind, at in zip(struck, ("fall", "arrest"), times, strict=False)}


def replayed(recordings: Sequence[tuple[Path, str]], *, homes: int) -> tuple[HomePlan, ...]:
    """Homes that play recordings, each one's own in turn: home 1 the first, home 2 the second, and so on around."""
    plans = []
    for number in range(homes):
        own = recordings[number::homes] or [recordings[number % len(recordings)]]
        runs = tuple(("--source", f"replay:{path}", "--record", record) for path, record in own)
        plans.append(HomePlan(name=f"home-{number + 1}", shown=own[0][1], runs=runs))
    return tuple(plans)


def recordings_in(folder: Path) -> list[tuple[Path, str]]:
    """The recordings of a folder as (file, record), by name. Raises ConfigError when there is none.

    Only names are read: whether a file can be played, the device says.
    """
    if not folder.is_dir():
        raise ConfigError("demo_replay", f"--replay wants a folder of recordings; {folder} is none")
    found: list[tuple[Path, str]] = []
    arrays = {file.stem for file in folder.glob("*.npz")}
    for file in sorted(folder.iterdir()):
        if file.suffix == ".npz":
            found += [(file, record) for record in _archived(file)]
        elif file.suffix == ".csv" or (
            file.suffix == ".hea" and file.stem not in arrays and file.with_suffix(".dat").is_file()
        ):
            found.append((file, file.stem))
    if not found:
        raise ConfigError("demo_replay", f"there is no recording (.npz, .hea with .dat, .csv) in {folder}")
    return found


def _archived(file: Path) -> list[str]:
    """The recordings in a numpy archive: itself when it holds one ECG record, else each of its arrays."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = sorted(name.removesuffix(".npy") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError("demo_replay", f"{file} is not a numpy archive: {error}") from error
    return [file.stem] if "d" in names else [name for name in names if not name.startswith("_")]
