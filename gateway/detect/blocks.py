"""From messages to equal blocks: joins the waves of one stream, resamples them to one rate and cuts them by sample
count, so that nothing behind it can depend on how the stream was cut into messages."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocol.waves import Wave

Samples = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

JOIN_TOLERANCE_MS = 30
"""Two waves join when the second starts within this of where the first ends (clock rounding); beyond it is a gap."""
CHANNELS_MAX = 4
"""Channels used of one wave; further ones are left out (their leads add little and cost time)."""
RATE_MAX_MHZ = 4_000_000
"""Waves sampled faster than 4 kHz are left out: no sensor of ours does that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`samples`: [channel, sample] in the wave's physical unit; starts_ms: stream time of the first sample;
    fresh: first block after a start, a gap or a change of leads, so nothing before it joins it."""

    samples: Samples
    starts_ms: float
    fresh: bool


class Joiner:
    """Joins waves to blocks of `block_n` samples at `rate_hz`. Waves must come in the order of their times: one that
    begins before the end of what was joined is refused by `is_late`."""

    def __init__(self, *, rate_hz: int, block_n: int, rate_min_mhz: int) -> None:
        """rate_min_mhz: waves sampled slower are left out; it also bounds how many blocks one message can fill."""
        self._rate_hz = rate_hz
        self._rate_min_mhz = rate_min_mhz
        self._block_n = block_n
        self._shape: tuple[str, int, float, int] | None = None
        self._starts_ms = 0.0
        self._received_n = 0
        self._made_n = 0
        self._kept_from = 0
        self._kept: Counts = np.empty((0, 0), np.int64)
        self._place = ""

    @property
    def ends_ms(self) -> float | None:
        """Stream time just after the last sample joined; None before the first."""
        if self._shape is None:
            return None
        return self._starts_ms + self._received_n * 1e6 / self._shape[1]

    @property
    def place(self) -> str:
        """The leads or the body site of the last wave."""
        return self._place

    def is_late(self, wave: Wave) -> bool:
        """The wave begins before what was joined already ends."""
        ends_ms = self.ends_ms
        return ends_ms is not None and wave.t0_ms < ends_ms - JOIN_TOLERANCE_MS

    def add(self, wave: Wave, *, channels: int) -> list[Block]:
        """Blocks that `wave` completes. channels: of the wave, at least 1. A wave that does not join begins anew."""
        if not self._rate_min_mhz <= wave.rate_mhz <= RATE_MAX_MHZ or wave.n == 0:
            return []
        counts = np.frombuffer(wave.samples, dtype="<i2").reshape(-1, channels).T[:CHANNELS_MAX].astype(np.int64)
        shape = (wave.place, wave.rate_mhz, wave.scale, channels)
        ends_ms = self.ends_ms
        if shape != self._shape or ends_ms is None or abs(wave.t0_ms - ends_ms) > JOIN_TOLERANCE_MS:
            self._shape, self._place = shape, wave.place
            self._starts_ms, self._received_n, self._made_n, self._kept_from = float(wave.t0_ms), 0, 0, 0
            self._kept = counts
        else:
            self._kept = np.concatenate((self._kept, counts), axis=1)
        self._received_n += counts.shape[1]
        return self._blocks(wave.rate_mhz, wave.scale)

    def _blocks(self, rate_mhz: int, scale: float) -> list[Block]:
        made: list[Block] = []
        out_mhz, n = self._rate_hz * 1000, self._block_n
        while (self._made_n + n) * rate_mhz // out_mhz + 2 <= self._received_n or (
            rate_mhz == out_mhz and self._made_n + n <= self._received_n
        ):
            first = self._made_n * rate_mhz // out_mhz - self._kept_from
            samples = _resampled(self._kept[:, first:], self._made_n, n, rate_mhz, out_mhz)
            starts_ms = self._starts_ms + self._made_n * 1000.0 / self._rate_hz
            made.append(Block(samples=samples * scale, starts_ms=starts_ms, fresh=self._made_n == 0))
            self._made_n += n
        drop = self._made_n * rate_mhz // out_mhz - self._kept_from
        if drop > 0:
            self._kept = self._kept[:, drop:]
            self._kept_from += drop
        return made


def _resampled(kept: Counts, made_n: int, n: int, rate_mhz: int, out_mhz: int) -> Samples:
    """`n` samples from `made_n` on; `kept` begins at the input sample just at or before the first of them. A faster
    input is averaged over each output interval, a slower one interpolated; positions are exact fractions."""
    if rate_mhz == out_mhz:
        return kept[:, :n].astype(np.float64)
    position = np.arange(made_n, made_n + n + 1, dtype=np.int64) * rate_mhz
    whole, part = position // out_mhz, (position % out_mhz) / out_mhz
    whole -= whole[0]
    if rate_mhz < out_mhz:
        whole, part = whole[:-1], part[:-1]
        return kept[:, whole] * (1.0 - part) + kept[:, whole + 1] * part
    last = int(whole[-1]) + 1
    sums = np.zeros((kept.shape[0], last + 1), np.int64)
    np.cumsum(kept[:, :last], axis=1, out=sums[:, 1:])
    edges = sums[:, whole] + kept[:, whole] * part
    return np.asarray(np.diff(edges, axis=1) * (out_mhz / rate_mhz))
