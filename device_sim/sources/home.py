"""A simulated home: one body, its instruments and a script of events, as a source; the same seed gives the same
samples."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from device_sim.sources import DeviceAlarm, Event, Sample, Truth
from device_sim.sources.body import ecg, motion, moves, pulse
from device_sim.sources.body.breath import Breath
from device_sim.sources.body.heart import Episode, Habit, Heart, episode
from device_sim.sources.body.motion import Motion
from device_sim.sources.body.pulse import Pulse
from device_sim.sources.body.vitals import Vitals
from protocol.errors import ConfigError
from protocol.senml import Vital
from protocol.waves import Wave

COARSE_MS = (18_000.0, 28_000.0)  # an arrest fibrillates this long before it goes flat
HARDEST_RATE = 42.0  # beats a minute above rest that count as full effort
STREAMS = (
    ("ecg", "II", ecg.RATE_HZ, ecg.SCALE_MV, 1),
    ("ppg", "finger", pulse.RATE_HZ, pulse.SCALE, 1),
    ("motion", "waist", moves.RATE_HZ, motion.SCALE_G, 3),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeOptions:
    """Who lives here. seed, patient: any numbers; rhythm: of heart.RHYTHMS; activity: of motion.ACTIVITIES, for ever
    (None: a day of its own); pvc, pac: shares of early beats."""

    seed: int = 1
    patient: int = 0
    rhythm: str = "sinus"
    activity: str | None = None
    pvc: float = 0.004
    pac: float = 0.006

    @classmethod
    def parse(cls, text: str) -> "HomeOptions":
        """From `seed=7,patient=0,...`. Raises ConfigError."""
        chosen: dict[str, str] = {}
        for part in filter(None, text.split(",")):
            key, equals, value = part.partition("=")
            if not equals or key not in cls.__slots__:
                raise ConfigError("source_option", f"{part!r} is not an option; they are {', '.join(cls.__slots__)}")
            chosen[key] = value
        try:
            return cls(
                seed=int(chosen.get("seed", "1")),
                patient=int(chosen.get("patient", "0")),
                rhythm=chosen.get("rhythm", "sinus"),
                activity=chosen.get("activity"),
                pvc=float(chosen.get("pvc", "0.004")),
                pac=float(chosen.get("pac", "0.006")),
            )
        except ValueError as error:
            raise ConfigError("source_option", f"a number is wrong in {text!r}: {error}") from error

    def __post_init__(self) -> None:
        if not (0 <= self.pvc <= 1 and 0 <= self.pac <= 1):
            raise ConfigError("source_option", f"pvc and pac are shares from 0 to 1, not {self.pvc} and {self.pac}")


class _Track:
    """Samples made and not yet read. period_ms: between frames; first: the number of the first frame kept."""

    def __init__(self, *, period_ms: int, channels: int) -> None:
        self.period_ms, self.channels, self.first = period_ms, channels, 0
        self.counts: list[int] = []

    def take(self, from_ms: int, to_ms: int) -> tuple[int, list[int]]:
        """(first frame's number, counts) of the frames in [from_ms, to_ms); what came before is dropped."""
        first, last = -(-from_ms // self.period_ms), -(-to_ms // self.period_ms)
        begin, end = (first - self.first) * self.channels, (last - self.first) * self.channels
        taken = self.counts[begin:end]
        del self.counts[:end]
        self.first = last
        return first, taken


class Home:
    """A source (device_sim.sources.Source). Inside, it makes whole seconds in their order and hands out what is
    asked."""

    simulated = True

    def __init__(self, options: HomeOptions, *, start_ms: int, events: Sequence[Event] = ()) -> None:
        """Raises ConfigError when an option names what does not exist."""
        self._start_ms = start_ms
        self._read_to_ms = start_ms
        self._made_s = 0
        person = _random(options, "person")
        spans = {kind: [_span(event) for event in events if event.kind == kind] for kind in ("fall", "arrest")}
        self._desaturating = [_span(event) for event in events if event.kind == "desaturation"]
        self._loose = [_span(event) for event in events if event.kind == "lead_off"]
        habit = Habit(rest_rate=person.uniform(58.0, 78.0), rhythm=options.rhythm, pvc=options.pvc, pac=options.pac)
        self._heart = Heart(
            _random(options, "heart"), habit=habit, episodes=_episodes(_random(options, "script"), events)
        )
        self._breath = Breath(_random(options, "breath"), rest_rate=person.uniform(12.5, 17.0))
        self._motion = Motion(
            _random(options, "motion"), falls=spans["fall"], arrests=spans["arrest"], only=options.activity
        )
        self._lead = ecg.Electrocardiogram(_random(options, "lead"), loose=self._loose)
        self._pulse = Pulse(_random(options, "pulse"))
        self._vitals = Vitals(_random(options, "vitals"), desaturations=self._desaturating)
        self._tracks = [_Track(period_ms=1000 // rate, channels=channels) for _, _, rate, _, channels in STREAMS]
        self._shown: list[Vital] = []
        self._truths = sorted(
            (Truth(kind=event.kind, at_ms=start_ms + _begin(event)) for event in events), key=lambda truth: truth.at_ms
        )
        self._alarms = _alarms(events, start_ms)

    def read(self, from_ms: int, to_ms: int) -> Sample:
        """See device_sim.sources.Source.read. Costs about a millisecond for each second of the stream."""
        assert self._read_to_ms <= from_ms <= to_ms, "reads go forward"
        self._read_to_ms = to_ms
        begin, end = from_ms - self._start_ms, to_ms - self._start_ms
        while self._made_s * 1000 < end:
            self._make()
        waves = []
        for track, (stream, place, rate_hz, scale, channels) in zip(self._tracks, STREAMS, strict=True):
            first, counts = track.take(begin, end)
            if counts:
                wave = Wave(
                    stream=stream,
                    t0_ms=self._start_ms + first * track.period_ms,
                    rate_mhz=rate_hz * 1000,
                    scale=scale,
                    place=place,
                    n=len(counts) // channels,
                    samples=struct.pack(f"<{len(counts)}h", *counts),
                )
                waves.append(wave)
        sample = Sample(
            vitals=tuple(vital for vital in self._shown if from_ms <= vital.at_ms < to_ms),
            waves=tuple(waves),
            alarms=tuple(alarm for alarm in self._alarms if from_ms <= alarm.at_ms < to_ms),
            truths=tuple(truth for truth in self._truths if from_ms <= truth.at_ms < to_ms),
        )
        self._shown = [vital for vital in self._shown if vital.at_ms >= to_ms]
        return sample

    def ended(self, at_ms: int) -> bool:
        """Never: a home goes on."""
        return False

    def _make(self) -> None:
        """Make the next second of every stream."""
        number = self._made_s
        start_ms = number * 1000
        doing = self._motion.activity(number)
        effort = max(0.0, doing.rate) / HARDEST_RATE
        self._breath.advance(
            number,
            effort=effort,
            drive=8.0 if self._vitals.desaturating(start_ms) else 0.0,
            stopped=self._vitals.pulseless(start_ms),
        )
        beats = self._heart.beats(start_ms + 1000 + ecg.AHEAD_MS, effort_rate=doing.rate, breath=self._breath)
        tracks = self._tracks
        tracks[0].counts += self._lead.second(number, beats, heart=self._heart, breath=self._breath, shake=doing.shake)
        tracks[1].counts += self._pulse.second(number, beats, breath=self._breath, shake=doing.shake)
        tracks[2].counts += self._motion.second(number, breath=self._breath)
        loose = any(from_ms <= start_ms + 500 < to_ms for from_ms, to_ms in self._loose)
        shown = self._vitals.second(number, beats, breath=self._breath, effort=effort, loose=loose)
        self._shown += [Vital(name=name, value=value, at_ms=self._start_ms + at_ms) for name, value, at_ms in shown]
        self._made_s += 1


def _random(options: HomeOptions, organ: str) -> Random:
    """A generator of its own for every organ, so that an event in one shifts no other."""
    return Random(f"vigil home {options.seed} {options.patient} {organ}")


def _begin(event: Event) -> int:
    return round(event.after_s * 1000)


def _span(event: Event) -> tuple[float, float]:
    """(from_ms, to_ms) of an event; to_ms may be infinite."""
    return _begin(event), _begin(event) + event.lasts_s * 1000


def _episodes(rng: Random, events: Sequence[Event]) -> list[Episode]:
    """What the script does to the heart's rhythm."""
    found = []
    for event in events:
        from_ms, to_ms = _span(event)
        if event.kind == "arrest":
            flat_ms = min(to_ms, from_ms + rng.uniform(*COARSE_MS))
            found.append(episode(rng, "vf", from_ms, flat_ms))
            if flat_ms < to_ms:
                found.append(episode(rng, "asystole", flat_ms, to_ms))
        elif event.kind in {"vf", "vt", "asystole", "bradycardia", "tachycardia", "af"}:
            found.append(episode(rng, event.kind, from_ms, to_ms))
    return found


def _alarms(events: Sequence[Event], start_ms: int) -> list[DeviceAlarm]:
    """What the device itself reports: a pressed button, a loose electrode and that it holds again."""
    found = []
    for event in events:
        begin_ms, end_ms = _span(event)
        if event.kind == "button":
            found.append(DeviceAlarm(kind="button", at_ms=start_ms + round(begin_ms), detail={}))
        elif event.kind == "lead_off":
            found.append(DeviceAlarm(kind="lead_off", at_ms=start_ms + round(begin_ms), detail={"lead": "II"}))
            if math.isfinite(end_ms):
                ended = {"lead": "II", "state": "ended"}
                found.append(DeviceAlarm(kind="lead_off", at_ms=start_ms + round(end_ms), detail=ended))
    return found
