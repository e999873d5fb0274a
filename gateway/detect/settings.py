"""Every limit that a detector decides by, each with where it comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectSettings:
    """Limits of one enrolment. Rates are beats per minute, saturation is %, times are seconds unless named."""

    asystole_s: float = 4.0
    """No QRS for this long (Challenge 2015, Table 1)."""
    bradycardia_rate: float = 40.0
    bradycardia_beats: int = 5
    """Below the rate for this many beats (Challenge 2015, Table 1)."""
    tachycardia_rate: float = 140.0
    tachycardia_beats: int = 17
    """Above the rate for this many beats (Challenge 2015, Table 1)."""
    ventricular_rate: float = 100.0
    ventricular_beats: int = 5
    """This many ventricular beats above the rate (Challenge 2015, Table 1)."""
    ventricular_alike: float = 0.6
    """Mean correlation of each beat of the run with the one before (learnt on mitdb and vfdb 420, 421, 425, 602)."""
    rate_hysteresis: float = 5.0
    """Beats per minute by which a rate must pass its limit again before the alarm clears."""
    fibrillation_score: float = 0.8
    fibrillation_holds: float = 0.0
    fibrillation_after_asystole: float = 2.0
    """Mean score that raises the alarm, that keeps it, and that raises it out of an asystole, where fine oscillation
    is more often artefact (learnt on cu01, mitdb and Challenge 2015)."""
    spo2_low: float = 90.0
    spo2_low_clears: float = 92.0
    """Below the first for `spo2_after_s`; cleared from the second on (usual two points of hysteresis)."""
    spo2_critical: float = 85.0
    spo2_critical_clears: float = 87.0
    spo2_after_s: float = 10.0
    """Vendors alarm after 10 to 15 s; a delay of this size takes most false alarms away (Drew 2014)."""
    silent_after_s: float = 35.0
    """A heartbeat comes every 10 s: three were lost."""
    stream_lost_after_s: float = 30.0
    """A stream that was continuous and stops while the device is still heard."""
    poor_signal_after_s: float = 15.0
    """No usable lead for this long is told as a technical alarm; shorter touches of noise are not."""
    place: str = "waist"
    """Where the accelerometer is worn when the wave does not say: "waist" or "wrist"."""
