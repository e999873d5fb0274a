"""The same findings however a signal is cut into messages: nothing in them may depend on what a device packs together."""

import itertools
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect import Finding, Watch
from protocol.waves import FRAMES_MAX
from tests.support.signals import START_MS
from tests.support.watching import data, home, joined, part

SECONDS = 70
HOME = home("simulated:seed=5", "fall@12", "vt@30+12", "arrest@50", seconds=SECONDS)
STREAMS = {stream: joined(HOME, stream) for stream in ("ecg", "motion")}
CUTS = st.lists(st.floats(0, SECONDS), max_size=60)
Span = tuple[float, float]


def findings(stream: str, cuts: Sequence[float], missing: Span | None = None) -> list[Finding]:
    """What a watch says about one stream, cut at these seconds, without what lies in `missing`."""
    whole, watch, found = STREAMS[stream], Watch(), []
    step = whole.rate_mhz / 1_000_000
    edges = {0, whole.n, *range(0, whole.n, FRAMES_MAX), *(min(whole.n, round(cut * 1000 * step)) for cut in cuts)}
    hole = tuple(round(second * 1000 * step) for second in missing or ())
    for first, last in itertools.pairwise(sorted(edges | set(hole))):
        if not hole or not hole[0] <= first < hole[1]:
            content = data(waves=[part(whole, first, last)])
            found += watch.feed(content, received_ms=START_MS + SECONDS * 1000)
    return found


WHOLE = {stream: findings(stream, ()) for stream in STREAMS}


def test_there_is_something_to_find() -> None:
    kinds = {(one.kind, one.phase) for one in WHOLE["ecg"] + WHOLE["motion"]}
    assert {("fall", "raised"), ("ventricular_tachycardia", "raised"), ("ventricular_fibrillation", "raised")} <= kinds
    assert ("ventricular_tachycardia", "cleared") in kinds


@settings(max_examples=12, deadline=None)
@given(cuts=CUTS)
def test_no_cut_of_an_electrocardiogram_changes_a_finding(cuts: list[float]) -> None:
    assert findings("ecg", cuts) == WHOLE["ecg"]


@settings(max_examples=25, deadline=None)
@given(cuts=CUTS)
def test_no_cut_of_a_movement_changes_a_finding(cuts: list[float]) -> None:
    assert findings("motion", cuts) == WHOLE["motion"]


@settings(max_examples=10, deadline=None)
@given(cuts=CUTS, starts_s=st.integers(5, 50), lasts_s=st.integers(1, 15), stream=st.sampled_from(sorted(STREAMS)))
def test_no_cut_around_a_gap_changes_a_finding(cuts: list[float], starts_s: int, lasts_s: int, stream: str) -> None:
    missing = (float(starts_s), float(starts_s + lasts_s))
    assert findings(stream, cuts, missing) == findings(stream, (), missing)
