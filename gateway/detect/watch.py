"""All detectors of one enrolment behind one door: contents of verified messages in, findings out; pure, and the same
findings however the signal was cut into messages."""

import dataclasses
from collections.abc import Mapping

from gateway.detect.device import Reported
from gateway.detect.ecg import Ecg
from gateway.detect.episodes import Standing
from gateway.detect.fall import Falls
from gateway.detect.finding import Finding
from gateway.detect.ration import Ration
from gateway.detect.saturation import SPO2_NAME, Saturation
from gateway.detect.settings import DetectSettings
from gateway.detect.silence import Silence, StreamLoss
from protocol.content import Alarm, Data, State
from protocol.senml import Vital
from protocol.waves import Wave

AHEAD_MS = 60_000
"""No clock is trusted to be right beyond this: what is known may lie further ahead only by a clock that was set since."""
WORK_PER_S, WORK_BURST_S = 120.0, 3600.0
"""Seconds of waves looked at in a second, and at once: a backlog is read much faster than it was recorded, and no device
takes the others' time. What comes beyond it is kept like all readings and not looked at, which is told when it lasts."""
SPO2_STREAM = "spo2"


class Watch:
    """The watch over one enrolment. Live detection follows stream time: what arrives late (a spool that was sent after
    newer data) is looked at by detectors of its own and its findings say `late: 1`; it cannot disturb the live ones."""

    def __init__(self, settings: DetectSettings | None = None) -> None:
        self._settings = settings or DetectSettings()
        self._silence = Silence(self._settings)
        streams = ("ecg", "motion", SPO2_STREAM)
        self._lost = {stream: StreamLoss(self._settings, stream=stream) for stream in streams}
        self._reported = Reported()
        self._saturation = Saturation(self._settings)
        self._ecg = Ecg(self._settings)
        self._falls = Falls(self._settings)
        self._late_saturation = Saturation(self._settings)
        self._late_ecg = Ecg(self._settings)
        self._late_falls = Falls(self._settings)
        self._ration = Ration()
        self._work_s = WORK_BURST_S
        self._worked_ms: int | None = None

    def resume(self, opened: Mapping[str, Standing]) -> None:
        """After a restart: alarms that stand open, by kind. The same episode is not raised again, and its end is told under
        the onset by which it is known."""
        for detector in (self._silence, self._reported, self._saturation, self._ecg, self._falls):
            detector.resume(opened)

    def feed(self, content: Data | Alarm | State, *, received_ms: int) -> list[Finding]:
        """Findings that one message brings. received_ms: gateway time."""
        silence = self._silence
        silence.heard_ms = received_ms
        found: list[Finding] = silence.heard(received_ms) if silence.open else []
        if isinstance(content, Data):
            for vital in content.vitals:
                if vital.name == SPO2_NAME:
                    found += self._oxygen(vital, received_ms)
            for wave in content.waves:
                found += self._wave(wave, received_ms)
        elif isinstance(content, Alarm):
            found += self._reported.add(content, received_ms=received_ms)
        return self._ration.let_through(found, now_ms=received_ms) if found else found

    def tick(self, *, now_ms: int) -> list[Finding]:
        """Findings that only the passing of gateway time brings. Call it about once a second."""
        found = self._silence.tick(now_ms)
        for lost in self._lost.values():
            found += lost.tick(now_ms, device_silent=self._silence.open)
        return self._ration.let_through(found, now_ms=now_ms)

    def _oxygen(self, vital: Vital, received_ms: int) -> list[Finding]:
        found = self._lost[SPO2_STREAM].came(received_ms, looked=True)
        live, at_ms = self._saturation, vital.at_ms
        if at_ms > live.last_ms or _clock_was_set(live.last_ms, at_ms, received_ms):
            return found + live.add(float(vital.value), at_ms)
        return found + _late(self._late_saturation.add(float(vital.value), at_ms))

    def _wave(self, wave: Wave, received_ms: int) -> list[Finding]:
        if wave.stream == "ecg":
            live: Ecg | Falls = self._ecg
            late: Ecg | Falls = self._late_ecg
        elif wave.stream == "motion":
            live, late = self._falls, self._late_falls
        else:
            return []
        looks, found = live.looks, []
        if self._has_time_for(wave, received_ms):
            known_ms = live.joiner.ends_ms
            set_back = known_ms is not None and _clock_was_set(known_ms, wave.t0_ms, received_ms)
            if live.joiner.is_late(wave) and not set_back:
                found = _late(late.add(wave, channels=wave.channels))
            else:
                found = live.add(wave, channels=wave.channels)
        return self._lost[wave.stream].came(received_ms, looked=live.looks > looks) + found

    def _has_time_for(self, wave: Wave, received_ms: int) -> bool:
        """Whether there is time left to look at a wave; it is then spent."""
        passed_ms = 0 if self._worked_ms is None else max(0, received_ms - self._worked_ms)
        self._worked_ms = received_ms
        self._work_s = min(WORK_BURST_S, self._work_s + passed_ms * WORK_PER_S / 1000)
        needs_s = wave.n * 1000 / wave.rate_mhz
        if needs_s > self._work_s:
            return False
        self._work_s -= needs_s
        return True


def _clock_was_set(known_ms: float, at_ms: int, received_ms: int) -> bool:
    """The newest that is known lies in the future and this does not: the device's clock was ahead and has been set."""
    return known_ms > received_ms + AHEAD_MS >= at_ms


def _late(found: list[Finding]) -> list[Finding]:
    return [dataclasses.replace(one, detail={**one.detail, "late": 1}) for one in found]
