"""Each scripted event leaves its mark in the signals, at its time, and the truth says so."""

import itertools
import math

import pytest

from device_sim.sources import EVENT_KINDS
from tests.support.signals import START_MS, intervals_s, peaks, read, simulated, sizes, spread, stream

SEEDS = (1, 2, 3)


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_the_truth_of_an_event_is_given_once_and_in_time(kind: str) -> None:
    truths = [truth for sample in read(simulated("simulated:seed=4", f"{kind}@5.5"), 9) for truth in sample.truths]
    assert [(truth.kind, truth.at_ms) for truth in truths] == [(kind, START_MS + 5500)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fall_is_a_dip_an_impact_another_posture_and_stillness(seed: int) -> None:
    samples = read(simulated(f"simulated:seed={seed}", "fall@20"), 40)
    size, axes = sizes(samples), stream(samples, "motion")
    impact = max(range(len(size)), key=size.__getitem__)
    assert 20 <= impact / 50 <= 22
    assert 2.5 <= size[impact] <= 6.5
    assert min(size[impact - 50 : impact]) < 0.55
    before, after = (
        [sum(axes[3 * at + axis] for at in span) for axis in range(3)] for span in (range(900, 990), range(1250, 1400))
    )
    cosine = sum(a * b for a, b in zip(before, after, strict=True)) / math.hypot(*before) / math.hypot(*after)
    assert math.degrees(math.acos(cosine)) > 50
    assert spread(size[impact + 120 : impact + 900]) < 0.03


@pytest.mark.parametrize("seed", SEEDS)
def test_an_arrest_fibrillates_then_goes_flat_without_pulse(seed: int) -> None:
    samples = read(simulated(f"simulated:seed={seed}", "arrest@20"), 80)
    ecg, pulse = stream(samples, "ecg"), stream(samples, "ppg")
    coarse, flat = ecg[24 * 250 : 36 * 250], ecg[52 * 250 : 78 * 250]
    crossings = sum(a < 0 <= b for a, b in itertools.pairwise(coarse)) / 12
    assert 2.5 <= crossings <= 8
    assert spread(coarse) > 0.15
    assert max(spread(flat[at : at + 250]) for at in range(0, len(flat), 250)) < 0.06
    assert max(pulse[10 * 50 : 19 * 50]) > 0.4
    assert max(pulse[25 * 50 :]) < 0.25
    rates = [v for s in samples[26:] for v in s.vitals if v.name in {"MDC_ECG_HEART_RATE", "MDC_PULS_OXIM_PULS_RATE"}]
    assert not rates
    oxygen = [v.value for s in samples for v in s.vitals if v.name == "MDC_PULS_OXIM_SAT_O2"]
    assert min(oxygen[:30]) >= 94
    assert oxygen[40:] == sorted(oxygen[40:], reverse=True)
    assert oxygen[-1] < 85
    assert spread(sizes(samples[25:])) < 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_ventricular_tachycardia_is_wide_fast_and_regular(seed: int) -> None:
    ecg = stream(read(simulated(f"simulated:seed={seed},activity=sit", "vt@10+10"), 20), "ecg")[12 * 250 :]
    beats = intervals_s(ecg)
    assert 150 <= 60 / (sum(beats) / len(beats)) <= 220
    assert spread(beats) < 0.02
    top = peaks(ecg, above=0.5 * max(ecg), apart=60)[3]
    width = sum(value > 0.5 * ecg[top] for value in ecg[top - 30 : top + 30]) / 250
    assert width > 0.045  # at half height; the narrow beats of sinus rhythm have 0.025


@pytest.mark.parametrize(("kind", "low", "high"), [("bradycardia", 25, 40), ("tachycardia", 150, 190)])
def test_a_slow_and_a_fast_rhythm_have_their_rates(kind: str, low: float, high: float) -> None:
    for seed in SEEDS:
        ecg = stream(read(simulated(f"simulated:seed={seed},activity=sit", f"{kind}@5"), 30), "ecg")[8 * 250 :]
        beats = intervals_s(ecg)
        assert low <= 60 / (sum(beats) / len(beats)) <= high


@pytest.mark.parametrize("seed", SEEDS)
def test_asystole_has_no_beat_and_ends(seed: int) -> None:
    ecg = stream(read(simulated(f"simulated:seed={seed},activity=sit", "asystole@10+12"), 40), "ecg")
    assert max(ecg[11 * 250 : 22 * 250]) - min(ecg[11 * 250 : 22 * 250]) < 0.4
    assert max(ecg[23 * 250 :]) > 0.7


def test_fibrillation_of_the_ventricles_alone_ends_too() -> None:
    ecg = stream(read(simulated("simulated:seed=2,activity=sit", "vf@10+10"), 40), "ecg")
    beats = intervals_s(ecg[24 * 250 :])
    assert 0.5 < sum(beats) / len(beats) < 1.2


def test_a_desaturation_goes_below_eighty_and_recovers() -> None:
    samples = read(simulated("simulated:seed=2", "desaturation@10"), 120)
    oxygen = [v.value for s in samples for v in s.vitals if v.name == "MDC_PULS_OXIM_SAT_O2"]
    assert min(oxygen[:10]) >= 94
    assert min(oxygen[50:70]) < 80
    assert min(oxygen[100:]) >= 93


def test_a_pressed_button_is_an_alarm_of_the_device() -> None:
    alarms = [alarm for sample in read(simulated("simulated:seed=2", "button@3.25"), 6) for alarm in sample.alarms]
    assert [(alarm.kind, alarm.at_ms) for alarm in alarms] == [("button", START_MS + 3250)]


def test_a_loose_electrode_is_told_and_reads_the_rail() -> None:
    samples = read(simulated("simulated:seed=2", "lead_off@4+3"), 10)
    ecg = stream(samples, "ecg")
    assert len(set(ecg[4 * 250 : 7 * 250])) == 1
    assert max(ecg[: 4 * 250]) < 3 and max(ecg[7 * 250 :]) < 3
    alarms = [alarm for sample in samples for alarm in sample.alarms]
    assert [(alarm.kind, alarm.at_ms - START_MS) for alarm in alarms] == [("lead_off", 4000), ("lead_off", 7000)]
    assert [alarm.detail.get("state") for alarm in alarms] == [None, "ended"]
    assert not [v for s in samples[4:7] for v in s.vitals if v.name == "MDC_ECG_HEART_RATE"]


def test_an_arrest_while_lying_after_a_fall_stops_the_heart_too() -> None:
    samples = read(simulated("simulated:seed=2", "fall@10", "arrest@30"), 60)
    assert max(sizes(samples[9:13])) > 2.5
    assert spread(sizes(samples[35:])) < 0.02
    assert max(stream(samples[35:], "ppg")) < 0.25
