"""Whether a lead can be trusted now: flat line, saturation and noise are named, never taken for a normal signal."""

from typing import Literal

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]
Fault = Literal["", "flat", "saturated", "noise"]

FLAT_MV = 0.02
"""A lead that stays within this for the whole window is not connected: even a standing heart leaves more (baseline,
breathing, mains); the noise of a good amplifier alone leaves less."""
RAIL_SHARE = 0.3
"""Share of samples at exactly the window's largest or smallest value from which a lead is at its rail."""
RAIL_RANGE_MV = 1.0
"""Only a lead that moved this far in the window can have hit a rail; a quiet one repeats values by rounding."""
NOISE_SHARE = 0.85
"""Share of the signal's power above 30 Hz (mean square of second differences against the signal's) seen as noise."""


def faults(raw: Samples) -> list[Fault]:
    """The fault of each lead over `raw` ([lead, sample] in mV, two seconds or more), "" when it can be used."""
    highest, lowest = raw.max(axis=1), raw.min(axis=1)
    spread = highest - lowest
    found: list[Fault] = []
    for lead, span in enumerate(spread.tolist()):
        row = raw[lead]
        if span < FLAT_MV:
            found.append("flat")
            continue
        at_rail = max(int((row == highest[lead]).sum()), int((row == lowest[lead]).sum())) / len(row)
        if span > RAIL_RANGE_MV and at_rail > RAIL_SHARE:
            found.append("saturated")
            continue
        rough = np.diff(row, 2)
        found.append("noise" if float((rough**2).mean()) / 6.0 > NOISE_SHARE * float(row.var()) else "")
    return found
