"""Where a device's readings come from: the `Source` protocol, what a source yields, and the one door that opens one.

A source is pulled: it owns no clock, and the caller asks for a stretch of stream time. The same source gives the same
samples whatever the stretches are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.errors import ConfigError
from protocol.senml import Vital
from protocol.waves import Wave

# kind of a scripted event: (what happens, seconds it lasts when the script does not say; 0 = a moment)
EVENT_KINDS: Mapping[str, tuple[str, float]] = {
    "fall": ("the person falls and lies on the floor", 120.0),
    "arrest": ("cardiac arrest: ventricular fibrillation, then asystole; it does not end by itself", float("inf")),
    "vf": ("ventricular fibrillation", 30.0),
    "vt": ("monomorphic ventricular tachycardia", 20.0),
    "asystole": ("no beat at all", 20.0),
    "bradycardia": ("fewer than 40 beats a minute", 30.0),
    "tachycardia": ("a narrow tachycardia above 150 a minute", 30.0),
    "af": ("atrial fibrillation", 60.0),
    "desaturation": ("oxygen saturation falls below 80 %, then recovers", 60.0),
    "button": ("the person presses the call button", 0.0),
    "lead_off": ("an electrode comes loose: the amplifier sits at its rail", 20.0),
}
EVENTS_MAX = 64  # more events in one script are refused: nobody reads such a script


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a script. kind: of EVENT_KINDS; after_s: since the stream began; for_s: None = as long as usual."""

    kind: str
    after_s: float
    for_s: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in EVENT_KINDS:
            raise ConfigError(
                "event_unknown", f"{self.kind!r} is not an event; the events are {', '.join(EVENT_KINDS)}"
            )
        if not 0 <= self.after_s < float("inf") or (self.for_s is not None and not self.for_s > 0):
            raise ConfigError(
                "event_time", f"an event's times are positive seconds, not {self.after_s} for {self.for_s}"
            )

    @property
    def lasts_s(self) -> float:
        """How long the event lasts, in seconds; infinity for one that does not end by itself."""
        return EVENT_KINDS[self.kind][1] if self.for_s is None else self.for_s


def parse_event(text: str) -> Event:
    """`fall@25` or `vt@30+15` (kind, seconds after the start, seconds it lasts). Raises ConfigError."""
    kind, at, times = text.partition("@")
    after, plus, lasts = times.partition("+")
    try:
        return Event(kind=kind, after_s=float(after), for_s=float(lasts) if plus else None)
    except ValueError as error:
        where = text if at else f"{text!r} (no @)"
        raise ConfigError("event_time", f"write an event as fall@25 or vt@30+15, not {where}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAlarm:
    """What the device itself raises, not a detector. kind: as in protocol.content.Alarm; at_ms: stream time."""

    kind: str
    at_ms: int
    detail: Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What really happened, for those who score: a scripted event's kind and when it began (stream time). Never
    sent."""

    kind: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """All that the sensors gave in one stretch of stream time. Waves of one stream follow each other without gap or
    overlap from read to read; sample k of a wave belongs to the stretch that holds its time in whole milliseconds."""

    vitals: tuple[Vital, ...] = ()
    waves: tuple[Wave, ...] = ()
    alarms: tuple[DeviceAlarm, ...] = ()
    truths: tuple[Truth, ...] = ()


class Source(Protocol):
    """Sensors, simulated, recorded or real.

    simulated: what the source gives did not come from a person now (simulations and recordings). Every content built
    from it must say so.
    """

    simulated: bool

    def read(self, from_ms: int, to_ms: int) -> Sample:
        """Everything in [from_ms, to_ms) of stream time (Unix milliseconds). Reads go forward: from_ms is not below
        the last to_ms; what is skipped is lost, as with a sensor nobody asked."""
        ...

    def ended(self, at_ms: int) -> bool:
        """Whether nothing comes at or after at_ms any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """Which part of a recording to play. record: its name, needed where a file or folder holds several; from_s,
    until_s: seconds of the recording (until_s None: to its end)."""

    record: str | None = None
    from_s: float = 0.0
    until_s: float | None = None


def open_source(
    spec: str,
    *,
    start_ms: int,
    events: Sequence[Event] = (),
    record: str | None = None,
    from_s: float = 0.0,
    until_s: float | None = None,
) -> Source:
    """The source that `spec` names, its stream beginning at start_ms (Unix milliseconds).

    `simulated:seed=7,patient=0[,rhythm=af][,activity=walk]` is a simulated home; `replay:PATH` plays a recording back.
    events: for simulated homes only; record, from_s, until_s: for recordings only. Raises ConfigError.
    """
    scheme, _, rest = spec.partition(":")
    if len(events) > EVENTS_MAX:
        raise ConfigError("event_too_many", f"a script has at most {EVENTS_MAX} events, not {len(events)}")
    if scheme == "simulated":
        from device_sim.sources.home import Home, HomeOptions

        return Home(HomeOptions.parse(rest), start_ms=start_ms, events=events)
    if scheme == "replay":
        if events:
            raise ConfigError("event_in_replay", "a recording is played as it is: leave the events out")
        try:
            from device_sim.sources.replay import open_replay
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] != "numpy":
                raise
            raise ConfigError("replay_needs_numpy", "to play recordings: pip install 'vigil[replay]'") from error
        return open_replay(rest, start_ms=start_ms, extract=Extract(record=record, from_s=from_s, until_s=until_s))
    raise ConfigError("source_unknown", f"{scheme!r} is not a source; write simulated:seed=7,patient=0 or replay:PATH")
