"""The simulated body is plausible: rates, pauses, irregularity, gait, postures."""

import pytest

from tests.support.signals import intervals_s, peaks, read, simulated, sizes, spread, stream


@pytest.mark.parametrize("seed", range(6))
def test_sinus_rhythm_at_rest_is_calm_and_sways_with_the_breath(seed: int) -> None:
    beats = intervals_s(stream(read(simulated(f"simulated:seed={seed},activity=sit,pvc=0,pac=0"), 60), "ecg"))
    assert 50 <= 60 / (sum(beats) / len(beats)) <= 95
    assert 0.01 < spread(beats) < 0.12
    assert max(beats) < 1.6


def test_effort_makes_the_heart_faster() -> None:
    def rate(activity: str) -> float:
        beats = intervals_s(
            stream(read(simulated(f"simulated:seed=3,activity={activity},pvc=0,pac=0"), 90), "ecg")[30 * 250 :]
        )
        return 60 * len(beats) / sum(beats)

    assert rate("sleep") < rate("sit") < rate("walk") < rate("stairs")


def test_the_shown_heart_rate_is_that_of_the_beats() -> None:
    samples = read(simulated("simulated:seed=6,activity=sit,pvc=0,pac=0"), 60)
    beats = intervals_s(stream(samples, "ecg")[30 * 250 :])
    shown = [v.value for s in samples[40:] for v in s.vitals if v.name == "MDC_ECG_HEART_RATE"]
    pulse = [v.value for s in samples[40:] for v in s.vitals if v.name == "MDC_PULS_OXIM_PULS_RATE"]
    counted = 60 * len(beats) / sum(beats)
    assert abs(sum(shown) / len(shown) - counted) < 4
    assert abs(sum(pulse) / len(pulse) - counted) < 4


def test_atrial_fibrillation_is_irregular() -> None:
    for seed in range(3):
        beats = intervals_s(stream(read(simulated(f"simulated:seed={seed},rhythm=af,activity=sit"), 60), "ecg"))
        assert spread(beats) / (sum(beats) / len(beats)) > 0.12


def test_an_early_ventricular_beat_is_followed_by_a_pause_that_makes_up_for_it() -> None:
    beats = intervals_s(stream(read(simulated("simulated:seed=2,activity=sit,pvc=0.1,pac=0"), 120), "ecg"))
    usual = sorted(beats)[len(beats) // 2]
    early = [at for at in range(1, len(beats) - 1) if beats[at] < 0.72 * usual]
    assert len(early) > 5
    for at in early:
        assert beats[at] + beats[at + 1] == pytest.approx(2 * usual, rel=0.2)


def test_the_pulse_follows_each_beat() -> None:
    samples = read(simulated("simulated:seed=8,activity=sit,pvc=0,pac=0"), 60)
    ecg, pulse = stream(samples, "ecg"), stream(samples, "ppg")
    beats = [at / 250 for at in peaks(ecg, above=0.5 * max(ecg), apart=60)]
    waves = [at / 50 for at in peaks(pulse, above=0.5 * max(pulse), apart=20)]
    assert abs(len(beats) - len(waves)) <= 2
    for wave in waves[1:]:
        transit_s = wave - max(beat for beat in beats if beat < wave)
        assert 0.2 < transit_s < 0.55


def test_walking_is_periodic_at_a_walkers_cadence() -> None:
    size = sizes(read(simulated("simulated:seed=5,activity=walk"), 40))[10 * 50 :]
    mean = sum(size) / len(size)

    def likeness(lag: int) -> float:
        return sum((a - mean) * (b - mean) for a, b in zip(size, size[lag:], strict=False))

    best = max(range(18, 45), key=likeness)
    assert 1.4 < 50 / best < 2.4
    assert max(size) < 2.5


@pytest.mark.parametrize(
    ("activity", "up_low", "up_high"), [("stand", 0.9, 1.1), ("sit", 0.75, 1.05), ("sleep", -0.35, 0.45)]
)
def test_gravity_is_where_the_posture_puts_it(activity: str, up_low: float, up_high: float) -> None:
    for seed in range(4):
        samples = read(simulated(f"simulated:seed={seed},activity={activity}"), 20)
        axes = stream(samples, "motion")
        up = sum(axes[2::3]) / (len(axes) // 3)
        assert up_low < up < up_high
        assert 0.97 < sum(sizes(samples)) / (len(axes) // 3) < 1.05


def test_a_day_without_events_has_no_impact_like_a_fall() -> None:
    hardest = 0.0
    for seed in range(3):
        hardest = max(hardest, *sizes(read(simulated(f"simulated:seed={seed}"), 400, every_ms=10_000)))
    assert 1.3 < hardest < 2.7
