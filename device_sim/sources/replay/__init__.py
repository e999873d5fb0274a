"""Recorded signals played back as a source: WFDB records, the arrays of a data folder, accelerometer CSV files.

What the recorder's converter gave is what is sent: the 16-bit counts go into the waves unchanged, with their offset;
the scale says what a count is worth. Needs numpy (extra `replay`); nothing else of a device does.
"""

from pathlib import Path
from urllib.parse import parse_qsl

from device_sim.sources import Extract, Sample
from device_sim.sources.replay import arrays, table, wfdb
from device_sim.sources.replay.strip import Strip
from protocol.errors import ConfigError
from protocol.waves import Wave

OPTIONS = ("unit", "site")
SECONDS_MAX = 1e9  # of a recording; about thirty years
NAMES_SHOWN = 5  # an error names so many of the recordings it found


class Replay:
    """A source (device_sim.sources.Source) that plays strips back once, all beginning at start_ms."""

    simulated = True

    def __init__(self, strips: tuple[Strip, ...], *, start_ms: int) -> None:
        self._strips = strips
        self._start_ms = start_ms
        self._end_ms = start_ms + max((strip.time_of(strip.frames) for strip in strips), default=0)

    def read(self, from_ms: int, to_ms: int) -> Sample:
        """See device_sim.sources.Source.read."""
        waves = []
        for strip in self._strips:
            first = strip.index_at(from_ms - self._start_ms)
            last = strip.index_at(to_ms - self._start_ms)
            if first < last:
                wave = Wave(
                    stream=strip.stream,
                    t0_ms=self._start_ms + strip.time_of(first),
                    rate_mhz=strip.rate_mhz,
                    scale=strip.scale,
                    place=strip.place,
                    n=last - first,
                    samples=strip.counts[first:last].tobytes(),
                )
                waves.append(wave)
        return Sample(waves=tuple(waves))

    def ended(self, at_ms: int) -> bool:
        """Whether the last sample lies before at_ms."""
        return at_ms >= self._end_ms


def replay_inventory(path: Path) -> tuple[tuple[Path, str], ...]:
    """What can be played from a file or a folder (not its sub-folders), as (file, record), in the order of names.

    Raises ConfigError when `path` does not exist or is of no known format.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in {".npz", ".hea", ".csv"})
        arrayed = {file.stem for file in files if file.suffix == ".npz"}
        found: list[tuple[Path, str]] = []
        for file in files:
            if file.suffix == ".hea" and (file.stem in arrayed or not wfdb.complete(file)):
                continue  # a header without its signals, or the record that an array file holds too
            if file.suffix == ".csv" and not table.readable(file):
                continue  # a table of something else
            found += _records(file)
        return tuple(found)
    return tuple(_records(_file(path)))


def open_replay(text: str, *, start_ms: int, extract: Extract) -> Replay:
    """The recording that `PATH[?unit=g][&site=wrist]` names. Raises ConfigError."""
    for name, seconds in (("--from-s", extract.from_s), ("--until-s", extract.until_s)):
        if seconds is not None and not 0 <= seconds < SECONDS_MAX:
            raise ConfigError("source_option", f"{name} is a number of seconds of the recording, not {seconds}")
    place, _, query = text.partition("?")
    options = dict(parse_qsl(query))
    for key in options:
        if key not in OPTIONS:
            raise ConfigError(
                "source_option", f"{key!r} is not an option of a recording; they are {', '.join(OPTIONS)}"
            )
    file, record = _choose(Path(place).expanduser(), extract.record)
    if file.suffix == ".npz":
        strips = arrays.load(file, record)
    elif file.suffix == ".csv":
        strips = table.load(file, unit=options.get("unit"), site=options.get("site"))
    else:
        strips = wfdb.load(file)
    if not strips:
        raise ConfigError(
            "replay_empty", f"{file} holds no electrocardiogram, pulse or acceleration that can be played"
        )
    cut = tuple(strip.cut(from_s=extract.from_s, until_s=extract.until_s) for strip in strips)
    if not any(strip.frames for strip in cut):
        raise ConfigError("replay_empty", f"nothing of {record} lies between {extract.from_s} and {extract.until_s} s")
    return Replay(cut, start_ms=start_ms)


def _choose(path: Path, record: str | None) -> tuple[Path, str]:
    """The one recording meant."""
    if record is not None and path.is_dir():
        for suffix in (".npz", ".hea", ".csv"):
            file = path / f"{record}{suffix}"
            if file.is_file() and (suffix != ".hea" or wfdb.complete(file)):
                return file, file.stem
    found = replay_inventory(path)
    meant = [pair for pair in found if record in (None, pair[1])]
    if len(meant) == 1:
        return meant[0]
    names = ", ".join(name for _, name in found[:NAMES_SHOWN]) + (", ..." if len(found) > NAMES_SHOWN else "")
    if record is None:
        raise ConfigError("replay_record", f"{path} holds {len(found)} recordings; name one with --record: {names}")
    raise ConfigError("replay_record", f"{path} holds no recording {record!r}; it has {names or 'none'}")


def _file(path: Path) -> Path:
    """The file that a path names: itself, or for a WFDB record without suffix its header."""
    if path.suffix == ".dat" or not path.exists():
        path = path.with_name(path.name.removesuffix(".dat") + ".hea")
    if not path.is_file():
        raise ConfigError("replay_missing", f"there is no recording at {path}")
    return path


def _records(file: Path) -> list[tuple[Path, str]]:
    if file.suffix == ".npz":
        return [(file, record) for record in arrays.records(file)]
    if file.suffix in {".hea", ".csv"}:
        return [(file, file.stem)]
    raise ConfigError("replay_format", f"{file} is not a recording: give a .npz, .hea or .csv file, or their folder")
