"""Contents for a watch: seconds of a simulated home, recut at will, and what the watch then says."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from device_sim.sources import Sample
from gateway.detect import Finding, Watch
from protocol.content import Alarm, Clock, Data, State
from protocol.senml import Vital
from protocol.waves import Wave
from tests.support.signals import START_MS, read, simulated

CLOCK = Clock(up_ms=0, wall_ms=START_MS, synced=True)
HEARTBEAT = State(kind="heartbeat", clock=CLOCK, simulated=True)


def data(*, waves: Sequence[Wave] = (), vitals: Sequence[Vital] = ()) -> Data:
    """A content."""
    return Data(clock=CLOCK, simulated=True, vitals=tuple(vitals), waves=tuple(waves))


def home(spec: str, *events: str, seconds: int) -> list[Data]:
    """A simulated home, a content for each second."""
    return [_content(sample) for sample in read(simulated(spec, *events), seconds)]


def _content(sample: Sample) -> Data:
    return data(waves=sample.waves, vitals=sample.vitals)


def joined(contents: Iterable[Data], stream: str) -> Wave:
    """The whole of one stream as one wave."""
    parts = [wave for content in contents for wave in content.waves if wave.stream == stream]
    return dataclasses.replace(
        parts[0], n=sum(part.n for part in parts), samples=b"".join(part.samples for part in parts)
    )


def part(wave: Wave, first: int, last: int, *, moved_ms: int = 0) -> Wave:
    """Frames [first, last) of a wave, its time moved."""
    frame = len(wave.samples) // wave.n
    return dataclasses.replace(
        wave,
        t0_ms=wave.t0_ms + round(first * 1_000_000 / wave.rate_mhz) + moved_ms,
        n=last - first,
        samples=wave.samples[first * frame : last * frame],
    )


def moved(content: Data, by_ms: int) -> Data:
    """A content of another time."""
    return data(
        waves=[dataclasses.replace(wave, t0_ms=wave.t0_ms + by_ms) for wave in content.waves],
        vitals=[vital._replace(at_ms=vital.at_ms + by_ms) for vital in content.vitals],
    )


def said(
    contents: Iterable[Data | Alarm | State], *, watch: Watch | None = None, from_ms: int = START_MS
) -> Iterator[tuple[int, Finding]]:
    """(second, finding) of what a watch says that gets a content a second, with the ticks between them."""
    found = watch or Watch()
    for second, content in enumerate(contents):
        now_ms = from_ms + (second + 1) * 1000
        for one in (*found.feed(content, received_ms=now_ms), *found.tick(now_ms=now_ms)):
            yield second, one


def raised(contents: Iterable[Data | Alarm | State], *, watch: Watch | None = None) -> list[tuple[str, int]]:
    """(kind, second) of what goes up."""
    return [(one.kind, second) for second, one in said(contents, watch=watch) if one.phase == "raised"]
