"""Cuts what the sensors gave into contents that fit a message. Pure."""

import dataclasses
from collections.abc import Iterator, Sequence

from device_sim.sources import DeviceAlarm, Sample
from protocol import content, message, topics
from protocol.content import Alarm, Clock, Data
from protocol.senml import VITALS_MAX, Vital
from protocol.waves import FRAMES_MAX, Wave

AROUND = 260  # bytes of a message around its content: headers, commitment, tag, signature
CONTENT_MAX = message.SIZE_MAX[topics.DATA] - AROUND
ALARM_MAX = message.SIZE_MAX[topics.ALARM] - AROUND


def pieces(sample: Sample, *, clock: Clock, simulated: bool) -> Iterator[Data]:
    """The readings as few contents, in order; none when there is nothing."""
    vitals = [sample.vitals[at : at + VITALS_MAX] for at in range(0, len(sample.vitals), VITALS_MAX)] or [()]
    for more in vitals[:-1]:
        yield _data(more, (), clock=clock, simulated=simulated)
    yield from _fitting(vitals[-1], sample.waves, clock=clock, simulated=simulated)


def _fitting(vitals: Sequence[Vital], waves: Sequence[Wave], *, clock: Clock, simulated: bool) -> Iterator[Data]:
    """One content when it fits, else the halves of it; of waves of one stream, only one fits a content."""
    if not vitals and not waves:
        return
    data = _data(vitals, waves, clock=clock, simulated=simulated)
    streams = [wave.stream for wave in waves]
    if len(set(streams)) == len(streams) and _fits(data):
        yield data
        return
    if len(waves) > 1:
        middle = len(waves) // 2
        first, second = waves[:middle], waves[middle:]
    else:
        first, second = _halves(waves[0])
    yield from _fitting(vitals, first, clock=clock, simulated=simulated)
    yield from _fitting((), second, clock=clock, simulated=simulated)


def _fits(data: Data) -> bool:
    short = all(wave.n <= FRAMES_MAX for wave in data.waves)
    return short and len(content.encode(data)) <= CONTENT_MAX


def _halves(wave: Wave) -> tuple[tuple[Wave, ...], tuple[Wave, ...]]:
    middle = wave.n // 2
    frame = len(wave.samples) // wave.n
    later_ms = wave.t0_ms + round(middle * 1_000_000 / wave.rate_mhz)
    first = dataclasses.replace(wave, n=middle, samples=wave.samples[: middle * frame])
    second = dataclasses.replace(wave, n=wave.n - middle, t0_ms=later_ms, samples=wave.samples[middle * frame :])
    return (first,), (second,)


def _data(vitals: Sequence[Vital], waves: Sequence[Wave], *, clock: Clock, simulated: bool) -> Data:
    return Data(clock=clock, simulated=simulated, vitals=tuple(vitals), waves=tuple(waves), gaps=())


def alarm_of(alarm: DeviceAlarm, alarm_id: bytes, *, clock: Clock, simulated: bool) -> Alarm:
    """The content of an alarm that the device itself raises; without its detail where that would pass the lane's limit."""
    made = Alarm(
        id=alarm_id, kind=alarm.kind, at_ms=alarm.at_ms, clock=clock, simulated=simulated, detail=dict(alarm.detail)
    )
    return made if len(content.encode(made)) <= ALARM_MAX else dataclasses.replace(made, detail={})
