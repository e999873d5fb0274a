"""Accelerometer tables: CSV with a time and x, y, z, in g or m/s^2, as wrist and belt recorders export them.

Each row is one frame and none is invented. Recorders deliver rows in bursts, so that time stamps crowd; the rows are
taken as evenly spaced over the recording, which is what the sensor did.
"""

import csv
import re
from pathlib import Path

import numpy as np

from device_sim.sources.replay.strip import Strip, rate_mhz
from protocol.errors import ConfigError

SCALE_G = 1 / 1024  # rows are rounded to this, well below what such sensors resolve; +-32 g, beyond it they saturate
STANDARD_GRAVITY = 9.80665  # m/s^2 in a g
UNITS = ("g", "m/s2")
ROWS_MAX = 10_000_000  # about a day at 100 Hz: a longer table is refused
NUMBER_MAX = 1e15  # milliseconds of Unix time and all that a sensor gives lie far below; NaN does not
_METRES = re.compile(r"m\s*/\s*s\s*(\^|\*\*)?\s*(2|²)|ms-2", re.IGNORECASE)


def readable(file: Path) -> bool:
    """Whether the first lines look like a table of accelerations."""
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            head = [row for row, _ in zip(csv.reader(lines), range(2), strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return len(head) == 2 and len(head[1]) == 4 and _numbers(head[1]) is not None


def load(file: Path, *, unit: str | None, site: str | None) -> tuple[Strip, ...]:
    """The accelerations in `file`. unit: g or m/s2, where the header names none (None: told by the size of gravity);
    site: on the body. Raises ConfigError."""
    header, rows = _read(file)
    table = np.array(rows, dtype=np.float64)
    span = float(table[-1, 0] - table[0, 0]) if len(table) > 1 else 0.0
    if span <= 0:
        raise ConfigError("replay_format", f"{file}: the first column is no time that goes forward")
    if span / (len(table) - 1) >= 1:  # no accelerometer samples once a second: these are milliseconds
        span /= 1000
    gravity = 1.0 if _unit(file, unit, header, table[:, 1:]) == "g" else STANDARD_GRAVITY
    counts = np.clip(np.rint(table[:, 1:] / (gravity * SCALE_G)), -32768, 32767).astype("<i2")
    wrist = any("accel_x_list" in name for name in header)  # the layout of WEDA-FALL, worn on the wrist
    strip = Strip(
        stream="motion",
        place=site or ("wrist" if wrist else "body"),
        rate_mhz=rate_mhz((len(table) - 1) / span),
        scale=SCALE_G,
        counts=counts,
    )
    return (strip,)


def _read(file: Path) -> tuple[list[str], list[list[float]]]:
    header: list[str] = []
    rows: list[list[float]] = []
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            for number, row in enumerate(csv.reader(lines), start=1):
                values = _numbers(row)
                if len(rows) >= ROWS_MAX:
                    raise ConfigError("replay_large", f"{file} has more than {ROWS_MAX} rows: cut it")
                if values is not None and len(values) == 4:
                    rows.append(values)
                elif number == 1:
                    header = [name.strip().lower() for name in row]
                elif row:
                    raise ConfigError("replay_format", f"{file}, line {number}: write a time and x, y, z in each row")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError("replay_missing", f"cannot read {file}: {error}") from error
    if not rows:
        raise ConfigError("replay_empty", f"{file} has no rows")
    return header, rows


def _numbers(row: list[str]) -> list[float] | None:
    """The row as numbers within bounds; None when one is not."""
    try:
        values = [float(field) for field in row]
    except ValueError:
        return None
    return values if all(abs(value) < NUMBER_MAX for value in values) else None


def _unit(
    file: Path, unit: str | None, header: list[str], axes: np.ndarray[tuple[int, int], np.dtype[np.float64]]
) -> str:
    if unit is not None:
        if unit not in UNITS:
            raise ConfigError("source_option", f"unit={unit} is not known; use {' or '.join(UNITS)}")
        return unit
    if any(_METRES.search(name) for name in header):
        return "m/s2"
    if any(re.search(r"[\[(_ ]g[\])]?$", name) for name in header):
        return "g"
    usual = float(np.median(np.linalg.norm(axes, axis=1)))
    if 0.5 < usual < 2:
        return "g"
    if 5 < usual < 20:
        return "m/s2"
    raise ConfigError("replay_unit", f"{file}: say what the numbers are in, as replay:PATH?unit=g or ?unit=m/s2")
