"""The demo's report claims no more than what the records say."""

from dataclasses import replace

import pytest

from deploy.demo.report import Alarm, Happening, Report, from_iso, iso

FALL = Happening(home="home-1", kind="fall", at_ms=1_700_000_000_000)
ARREST = Happening(home="home-2", kind="arrest", at_ms=1_700_000_005_000)


def alarm(home: str, kind: str, onset_ms: int) -> Alarm:
    return Alarm(id="1", home=home, kind=kind, onset_ms=onset_ms, raised_ms=onset_ms + 4_200)


GOOD = Report(
    sent=100, stored=100, refused={}, events=[FALL, ARREST],
    alarms=[alarm("home-1", "fall", FALL.at_ms + 900), alarm("home-2", "asystole", ARREST.at_ms + 20_000)],
    known=True, anchored=100, tree_size=9, evidence="e", trust="t", verified=True,
)  # fmt: skip


def test_a_good_demo_is_good_and_says_so() -> None:
    assert GOOD.good
    data = GOOD.data()
    assert list(data) == [
        "readings_sent", "readings_stored", "refused", "events", "alarms", "missed", "false_alarms", "anchored",
        "tree_size", "evidence", "trust", "verified",
    ]  # fmt: skip
    assert (data["missed"], data["false_alarms"]) == (0, 0)
    assert data["events"][0] == {"home": "home-1", "kind": "fall", "at": "2023-11-14T22:13:20.000Z"}  # type: ignore[index]
    assert data["alarms"][0] == {  # type: ignore[index]
        "home": "home-1", "kind": "fall", "onset": "2023-11-14T22:13:20.900Z",
        "raised_at": "2023-11-14T22:13:25.100Z", "latency_ms": 4200,
    }  # fmt: skip
    assert "missed: 0; false alarms: 0" in GOOD.text()


@pytest.mark.parametrize(
    "change", [{"stored": 99}, {"anchored": 99}, {"verified": False}, {"alarms": GOOD.alarms[:1]}, {"sent": 0, "stored": 0, "anchored": 0}]
)  # fmt: skip
def test_whatever_is_missing_makes_it_not_good(change: dict[str, object]) -> None:
    assert not replace(GOOD, **change).good  # type: ignore[arg-type]


def test_an_alarm_of_another_home_kind_or_time_answers_nothing_and_is_false() -> None:
    for wrong in (
        alarm("home-3", "fall", FALL.at_ms + 900),
        alarm("home-1", "asystole", FALL.at_ms + 900),
        alarm("home-1", "fall", FALL.at_ms - 5_000),
    ):
        report = replace(GOOD, alarms=[wrong, GOOD.alarms[1]])
        assert report.missed == [FALL]
        assert report.false_alarms == [wrong]


def test_what_comes_of_an_arrest_is_neither_an_answer_nor_false() -> None:
    oxygen = alarm("home-2", "spo2_low", ARREST.at_ms + 40_000)
    assert replace(GOOD, alarms=[*GOOD.alarms, oxygen]).false_alarms == []
    assert replace(GOOD, alarms=[GOOD.alarms[0], oxygen]).missed == [ARREST]


def test_nobody_knows_the_false_alarms_of_a_recording_unless_there_was_none() -> None:
    assert replace(GOOD, known=False, events=[]).false_alarms is None
    assert replace(GOOD, known=False, events=[], alarms=[]).false_alarms == []


def test_times_come_back() -> None:
    assert from_iso(iso(1_700_000_000_123)) == 1_700_000_000_123
    assert from_iso("2023-11-14T22:13:20Z") == 1_700_000_000_000
