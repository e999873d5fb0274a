"""The vital signs a home's instruments show: rates from the beats, oxygen saturation, breathing, temperature,
pressure."""

from collections import deque
from collections.abc import Sequence
from random import Random

from device_sim.sources.body.breath import Breath
from device_sim.sources.body.heart import Beat
from device_sim.sources.body.pulse import FELT_MIN

BEATS_KEPT = 8  # a rate is the mean over this many intervals, as on a bedside monitor
BREATHING_EVERY_S = 10
TEMPERATURE_EVERY_S = 60
PRESSURE_EVERY_S = 300
OXYGEN_STORE_MS = 15_000  # saturation begins to fall this long after the last pulse
PULSELESS_MS = 4_000  # no pulse for so long: blood has stopped
OXYGEN_LOWEST = 45.0


class Vitals:
    """One person's vital signs, second by second."""

    def __init__(self, rng: Random, *, desaturations: Sequence[tuple[float, float]] = ()) -> None:
        """desaturations: stretches (from_ms, to_ms) in which the lungs give too little oxygen."""
        self._rng = rng
        self._desaturations = tuple(desaturations)
        self._beats: deque[float] = deque(maxlen=BEATS_KEPT + 1)
        self._pulses: deque[float] = deque(maxlen=BEATS_KEPT + 1)
        self._oxygen_rest = rng.uniform(96.0, 98.4)
        self._oxygen = self._oxygen_rest
        self._temperature = rng.uniform(36.3, 37.0)
        self._systolic = rng.uniform(112.0, 138.0)
        self._diastolic = rng.uniform(68.0, 84.0)
        self._ahead: list[Beat] = []

    def desaturating(self, at_ms: float) -> bool:
        """Whether a scripted desaturation rules."""
        return any(from_ms <= at_ms < to_ms for from_ms, to_ms in self._desaturations)

    def pulseless(self, at_ms: float) -> bool:
        """Whether blood has stopped."""
        return at_ms - (self._pulses[-1] if self._pulses else 0.0) > PULSELESS_MS

    def second(
        self, number: int, beats: Sequence[Beat], *, breath: Breath, effort: float, loose: bool
    ) -> list[tuple[str, float, int]]:
        """What the instruments show during the second `number`: (MDC name, value, milliseconds since the stream began).
        beats: as they become known; loose: the electrode is off. What cannot be measured is not shown."""
        start_ms = number * 1000
        now_ms = start_ms + 1000
        self._ahead += beats
        while self._ahead and self._ahead[0].at_ms < now_ms:
            beat = self._ahead.pop(0)
            self._beats.append(beat.at_ms)
            if beat.output >= FELT_MIN:
                self._pulses.append(beat.at_ms)
        self._breathe(now_ms)
        shown: list[tuple[str, float, int]] = []
        heart_rate = None if loose else _rate(self._beats, now_ms)
        pulse_rate = _rate(self._pulses, now_ms)
        if heart_rate is not None:
            shown.append(("MDC_ECG_HEART_RATE", heart_rate, start_ms + 900))
        if pulse_rate is not None:
            shown.append(("MDC_PULS_OXIM_PULS_RATE", pulse_rate, start_ms + 900))
        shown.append(("MDC_PULS_OXIM_SAT_O2", round(self._oxygen), start_ms + 900))
        if number % BREATHING_EVERY_S == 0 and breath.depth > 0.3:
            shown.append(("MDC_RESP_RATE", round(breath.rate), start_ms + 950))
        if number % TEMPERATURE_EVERY_S == 0:
            self._temperature += self._rng.gauss(0.0, 0.02)
            shown.append(("MDC_TEMP_BODY", round(self._temperature, 1), start_ms + 950))
        if number % PRESSURE_EVERY_S == 1 and not self.pulseless(now_ms):
            systolic = self._systolic + 25 * effort + self._rng.gauss(0.0, 3.0)
            diastolic = self._diastolic + 8 * effort + self._rng.gauss(0.0, 2.0)
            shown.append(("MDC_PRESS_BLD_NONINV_SYS", round(systolic), start_ms + 950))
            shown.append(("MDC_PRESS_BLD_NONINV_DIA", round(diastolic), start_ms + 950))
        return shown

    def _breathe(self, now_ms: float) -> None:
        """Move the saturation on by one second."""
        stopped_ms = now_ms - (self._pulses[-1] if self._pulses else 0.0)
        if stopped_ms > OXYGEN_STORE_MS:
            self._oxygen = max(OXYGEN_LOWEST, self._oxygen - 0.45)
        elif self.desaturating(now_ms):
            self._oxygen += max(-0.9, 0.2 * (77.0 - self._oxygen))
        else:
            self._oxygen += max(-0.5, min(0.9, 0.2 * (self._oxygen_rest - self._oxygen))) + self._rng.gauss(0.0, 0.1)
        self._oxygen = min(100.0, self._oxygen)


def _rate(times: Sequence[float], now_ms: float) -> int | None:
    """Beats a minute over the last few; None when there are too few or the last is long ago."""
    recent = [time for time in times if time > now_ms - 15_000]
    if len(recent) < 3:
        return None
    mean_ms = (recent[-1] - recent[0]) / (len(recent) - 1)
    if now_ms - recent[-1] > max(3_000.0, 2.2 * mean_ms):
        return None
    return round(60_000 / mean_ms)
