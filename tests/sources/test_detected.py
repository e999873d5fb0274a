"""What a simulated home's script does is what the gateway's detectors find in its signals, and they find nothing else."""

import pytest

from gateway.detect.watch import Watch
from protocol.content import Clock, Data
from tests.support.signals import START_MS, simulated

CLOCK = Clock(up_ms=0, wall_ms=START_MS, synced=True)
AT_S = 25

FOUND = [
    ("fall", {"fall"}, set()),
    ("arrest", {"ventricular_fibrillation"}, {"asystole", "ventricular_tachycardia", "spo2_low", "spo2_critical"}),
    ("vt", {"ventricular_tachycardia"}, {"ventricular_fibrillation", "extreme_tachycardia"}),
    ("asystole", {"asystole"}, set()),
    ("tachycardia", {"extreme_tachycardia"}, set()),
    ("desaturation", {"spo2_low", "spo2_critical"}, set()),
    ("af", set(), set()),
]


def raised(spec: str, *events: str, seconds: int) -> list[tuple[str, float]]:
    """(kind, seconds after AT_S when it was decided) of every finding."""
    source, watch, found = simulated(spec, *events), Watch(), []
    for second in range(seconds):
        now_ms = START_MS + second * 1000
        sample = source.read(now_ms, now_ms + 1000)
        data = Data(clock=CLOCK, simulated=True, vitals=sample.vitals, waves=sample.waves)
        found += watch.feed(data, received_ms=now_ms + 1000)
    return [(one.kind, (one.at_ms - START_MS) / 1000 - AT_S) for one in found if one.phase == "raised"]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("event", "wanted", "also"), FOUND, ids=[event for event, _, _ in FOUND])
def test_a_scripted_event_is_found(event: str, wanted: set[str], also: set[str], seed: int) -> None:
    found = raised(f"simulated:seed={seed}", f"{event}@{AT_S}", seconds=75)
    kinds = {kind for kind, _ in found}
    assert wanted <= kinds <= wanted | also
    if wanted:
        assert 0 < min(after_s for kind, after_s in found if kind in wanted) <= (20 if event == "desaturation" else 10)


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_an_ordinary_quarter_of_an_hour_raises_nothing(seed: int) -> None:
    assert raised(f"simulated:seed={seed}", seconds=900) == []
