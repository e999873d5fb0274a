"""Ventricular fibrillation and flutter: how far the last four seconds of a lead look like an oscillation rather than
like beats with rest between them (definition: fibrillatory, flutter or oscillatory waveform for at least 4 s)."""

import math

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

WINDOW_N = 1000
"""Four seconds at 250 Hz, the least that the definition asks for."""
_HANN = np.hanning(WINDOW_N)
_BIN_HZ = 0.25
_LOW, _HIGH = round(1.0 / _BIN_HZ), round(30.0 / _BIN_HZ)
FEATURES = ("range_mv", "leak", "tcsc", "kurt", "dkurt", "f0_hz", "share", "fast", "slow")


def features(raw: Samples) -> Samples:
    """[lead, feature] of `raw` [lead, WINDOW_N] in mV. range_mv: peak to peak between 1 and 30 Hz; leak: what a notch
    at the mean period lets through (Kuo and Dillman 1978; 0 for a sine); tcsc: share of time above a fifth of the
    maximum (Arafat 2011); kurt, dkurt: kurtosis of signal and slope (1.5 for a sine, large for narrow beats); f0_hz:
    the strongest frequency between 1.5 and 10 Hz; share: of the power near it; fast, slow: share of the power
    above 10 Hz and below 2 Hz."""
    centred = raw - raw.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, axis=1)
    spectrum[:, :_LOW] = 0
    spectrum[:, _HIGH:] = 0
    wave = np.fft.irfft(spectrum, WINDOW_N, axis=1)
    power = np.abs(np.fft.rfft(centred * _HANN, axis=1)[:, :_HIGH]) ** 2
    power[:, :3] = 0
    total = power.sum(axis=1) + 1e-12
    f0 = power[:, 6:40].argmax(axis=1) + 6
    size = np.abs(wave)
    slope = np.diff(wave, axis=1)
    var, dvar = (wave**2).mean(axis=1) + 1e-12, (slope**2).mean(axis=1) + 1e-12
    out = np.empty((raw.shape[0], len(FEATURES)))
    out[:, 0] = wave.max(axis=1) - wave.min(axis=1)
    half = np.clip(np.pi * size.sum(axis=1) / (np.abs(slope).sum(axis=1) + 1e-12), 1, WINDOW_N // 4).round()
    for lead, (n, row) in enumerate(zip(half.astype(int).tolist(), wave, strict=True)):
        out[lead, 1] = np.abs(row[n:] + row[:-n]).sum() / (size[lead, n:].sum() + size[lead, :-n].sum() + 1e-12)
        near = power[lead, max(0, f0[lead] - 3) : f0[lead] + 4]
        out[lead, 6] = near.sum() / total[lead]
    thirds = size.reshape(raw.shape[0], 4, -1)
    out[:, 2] = (thirds > 0.2 * thirds.max(axis=2, keepdims=True)).mean(axis=(1, 2))
    out[:, 3] = (wave**4).mean(axis=1) / var**2
    out[:, 4] = (slope**4).mean(axis=1) / dvar**2
    out[:, 5] = f0 * _BIN_HZ
    out[:, 7] = power[:, 40:].sum(axis=1) / total
    out[:, 8] = power[:, :8].sum(axis=1) / total
    return out


_WEIGHTS = {"leak": -14.9, "tcsc": 8.66, "kurt": 0.985, "dkurt": -0.486, "fast": -1.27, "slow": -1.29, "share": -2.87}
_BIAS = -1.31
SCORE_MAX = 4.0
"""Scores are clipped here, so that one very clear lead cannot outvote another that clearly beats."""
RANGE_MIN_MV = 0.1
"""Below this peak to peak a lead neither fibrillates nor beats: it says nothing."""


def scores(raw: Samples) -> list[float | None]:
    """Per lead: above 0 it fibrillates, below it does not, None when it is too small to say. A logistic score."""
    table = features(raw)
    found: list[float | None] = []
    for range_mv, leak, tcsc, kurt, dkurt, _, share, fast, slow in table.tolist():
        if range_mv < RANGE_MIN_MV:
            found.append(None)
            continue
        score = _BIAS + _WEIGHTS["leak"] * leak + _WEIGHTS["tcsc"] * tcsc + _WEIGHTS["share"] * share
        score += _WEIGHTS["kurt"] * math.log(kurt + 1e-9) + _WEIGHTS["dkurt"] * math.log(dkurt + 1e-9)
        score += _WEIGHTS["fast"] * math.log(fast + 0.01) + _WEIGHTS["slow"] * math.log(slow + 0.02)
        found.append(max(-SCORE_MAX, min(SCORE_MAX, score)))
    return found
