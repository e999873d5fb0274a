"""All detectors of one enrolment behind one door: contents of verified messages in, findings out; pure, and the same
findings however the signal was cut into messages."""

from gateway.detect.device import Reported
from gateway.detect.ecg import Ecg
from gateway.detect.fall import Falls
from gateway.detect.finding import Finding
from gateway.detect.saturation import SPO2_NAME, Saturation
from gateway.detect.settings import DetectSettings
from gateway.detect.silence import Silence, StreamLoss
from protocol.content import Alarm, Data, State
from protocol.waves import Wave

MOTION_CHANNELS = 3


class Watch:
    """The watch over one enrolment. Live detection follows stream time: what arrives late (a spool that was sent after
    newer data) is looked at by detectors of its own and its findings say `late: 1`; it cannot disturb the live ones."""

    def __init__(self, settings: DetectSettings | None = None) -> None:
        self._settings = settings or DetectSettings()
        self._silence = Silence(self._settings)
        self._lost = {stream: StreamLoss(self._settings, stream=stream) for stream in ("ecg", "motion")}
        self._reported = Reported()
        self._saturation = Saturation(self._settings)
        self._ecg = Ecg(self._settings)
        self._falls = Falls(self._settings)
        self._late_saturation = Saturation(self._settings)
        self._late_ecg = Ecg(self._settings)
        self._late_falls = Falls(self._settings)

    def feed(self, content: Data | Alarm | State, *, received_ms: int) -> list[Finding]:
        """Findings that one message brings. received_ms: gateway time, used for silence only."""
        silence = self._silence
        silence.heard_ms = received_ms
        found: list[Finding] = silence.heard(received_ms) if silence.open else []
        if isinstance(content, Data):
            live = self._saturation
            for vital in content.vitals:
                if vital.name == SPO2_NAME:
                    if vital.at_ms > live.last_ms:
                        found += live.add(float(vital.value), vital.at_ms)
                    else:
                        found += _late(self._late_saturation.add(float(vital.value), vital.at_ms))
            for wave in content.waves:
                found += self._wave(wave, received_ms)
        elif isinstance(content, Alarm):
            found += self._reported.add(content)
        return found

    def tick(self, *, now_ms: int) -> list[Finding]:
        """Findings that only the passing of gateway time brings. Call it about once a second."""
        found = self._silence.tick(now_ms)
        for lost in self._lost.values():
            found += lost.tick(now_ms, device_silent=self._silence.open)
        return found

    def _wave(self, wave: Wave, received_ms: int) -> list[Finding]:
        if wave.stream == "ecg":
            detector: Ecg | Falls = self._ecg
            late: Ecg | Falls = self._late_ecg
            channels = wave.place.count(",") + 1
        elif wave.stream == "motion":
            detector, late, channels = self._falls, self._late_falls, MOTION_CHANNELS
        else:
            return []
        found = self._lost[wave.stream].came(received_ms)
        if detector.joiner.is_late(wave):
            return found + _late(late.add(wave, channels=channels))
        return found + detector.add(wave, channels=channels)


def _late(found: list[Finding]) -> list[Finding]:
    return [
        Finding(
            kind=f.kind,
            priority=f.priority,
            technical=f.technical,
            phase=f.phase,
            onset_ms=f.onset_ms,
            at_ms=f.at_ms,
            detail={**f.detail, "late": 1},
        )
        for f in found
    ]
