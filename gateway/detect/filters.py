"""Finite filters and their kernels: windowed-sinc band filters and sliding means, each with a known whole delay."""

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]


def band_kernel(low_hz: float, high_hz: float, *, rate_hz: int, half_n: int) -> Samples:
    """Band-pass FIR of `2 * half_n + 1` taps (difference of two Hamming-windowed sincs), delay `half_n` samples; the
    gain in the middle of the band is 1 and at zero hertz exactly 0, whatever offset the converter leaves in."""
    n = np.arange(-half_n, half_n + 1, dtype=np.float64)
    window = 0.54 + 0.46 * np.cos(np.pi * n / (half_n + 1))

    def low_pass(cut_hz: float) -> Samples:
        taps = np.sinc(2.0 * cut_hz / rate_hz * n) * window
        return np.asarray(taps / taps.sum())

    taps = low_pass(high_hz) - low_pass(low_hz)
    centre_hz = (low_hz * high_hz) ** 0.5 if low_hz > 0 else 0.0
    gain = abs(float(np.sum(taps * np.cos(2.0 * np.pi * centre_hz / rate_hz * n))))
    return np.asarray(taps / gain)


def moving_mean(samples: Samples, n: int) -> Samples:
    """Mean over each `n` samples of [channel, sample]; the result is `n - 1` shorter. Exact per call: it starts its
    sum anew, so that no rounding error grows with the stream."""
    sums = np.zeros((samples.shape[0], samples.shape[1] + 1))
    np.cumsum(samples, axis=1, out=sums[:, 1:])
    return np.asarray((sums[:, n:] - sums[:, :-n]) / n)


def convolved(samples: Samples, kernel: Samples) -> Samples:
    """Each channel of [channel, sample] through `kernel`; the result is `len(kernel) - 1` shorter."""
    return np.stack([np.convolve(channel, kernel, "valid") for channel in samples])
