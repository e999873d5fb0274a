"""What a detector says: a finding, and the closed table of kinds a finding may have (IEC 60601-1-8 priorities)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Priority = Literal["high", "medium", "low"]
Phase = Literal["raised", "cleared"]
Detail = Mapping[str, str | int | float]


class Kind(NamedTuple):
    """What every finding of a kind has in common. latching: the alarm stays until a person acts on it;
    text: one line for people."""

    priority: Priority
    technical: bool
    latching: bool
    text: str


KINDS: Mapping[str, Kind] = {
    "fall": Kind("high", False, True, "Fall, and no getting up since"),
    "asystole": Kind("high", False, True, "No heartbeat in the ECG for four seconds"),
    "ventricular_fibrillation": Kind("high", False, True, "Ventricular fibrillation or flutter"),
    "ventricular_tachycardia": Kind("high", False, True, "Ventricular tachycardia"),
    "extreme_bradycardia": Kind("high", False, False, "Heart rate extremely low"),
    "extreme_tachycardia": Kind("high", False, False, "Heart rate extremely high"),
    "spo2_low": Kind("medium", False, False, "Oxygen saturation low"),
    "spo2_critical": Kind("high", False, True, "Oxygen saturation critically low"),
    "button": Kind("high", False, True, "The person calls for help"),
    "device_fall": Kind("high", False, True, "The device itself reports a fall"),
    "lead_off": Kind("medium", True, False, "A sensor is not attached"),
    "tamper": Kind("medium", True, True, "The device was opened or tampered with"),
    "low_battery": Kind("low", True, False, "The device's battery is low"),
    "device_silent": Kind("medium", True, False, "Nothing is heard from the device"),
    "poor_signal": Kind("medium", True, False, "The signal is too poor to watch"),
    "channel_failed": Kind("medium", True, True, "A notification could not be delivered"),
    "ledger_behind": Kind("low", True, False, "Batches wait for the ledger"),
    "ledger_forked": Kind("medium", True, True, "The ledger shows another past than before"),
    "ledger_rolled_back": Kind("medium", True, True, "The ledger has lost what it held"),
    "storage_failing": Kind("high", True, False, "Storage fails: nothing new can be kept"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One decision of a detector. onset_ms: when the condition began, also the name of its episode (a "cleared"
    repeats it); at_ms: when the detector could decide; both in stream time (Unix ms of the signal), except for
    `device_silent` and for streams that stopped, which only the gateway's clock can tell."""

    kind: str
    priority: Priority
    technical: bool
    phase: Phase
    onset_ms: int
    at_ms: int
    detail: Detail


def finding(kind: str, phase: Phase, *, onset_ms: int, at_ms: int, detail: Detail) -> Finding:
    """The finding of a known kind; `KeyError` for another."""
    known = KINDS[kind]
    return Finding(
        kind=kind,
        priority=known.priority,
        technical=known.technical,
        phase=phase,
        onset_ms=onset_ms,
        at_ms=at_ms,
        detail=detail,
    )
