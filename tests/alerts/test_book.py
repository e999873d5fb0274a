"""One alert for one episode, what people do to it, and what the passing of time does."""

import json

import pytest

from gateway.alerts.book import BY_MAX, NOTHING, Book, Changes, alert_id
from gateway.alerts.escalation import REPEATS_MAX, Policy
from gateway.alerts.lifecycle import Refused
from gateway.detect.finding import Finding, Phase, finding
from protocol.errors import NotFound

POLICY = Policy(first=("first",), second=("second",), second_after_s=60, ends_after_s=240)
DEVICE, ONSET = "0123456789abcdef", 1_000
SOURCE = (0, 3, 7)


def found(kind: str = "fall", phase: Phase = "raised", onset_ms: int = ONSET) -> Finding:
    """A detector's word."""
    return finding(kind, phase, onset_ms=onset_ms, at_ms=onset_ms + 10, detail={"value": 3.5})


def told(book: Book, found: Finding, now_ms: int = 2_000) -> Changes:
    """What the book makes of a finding."""
    return book.consider(DEVICE, found, now_ms=now_ms, simulated=True, source=SOURCE)


def state(book: Book, kind: str = "fall", onset_ms: int = ONSET) -> str:
    """The state of an open alert, or "closed"."""
    name = alert_id(DEVICE, kind, onset_ms)
    return next((alert.state for alert in book.open() if alert.id == name), "closed")


@pytest.fixture
def book() -> Book:
    """A book with one fall in it, raised at 2 s."""
    made = Book(POLICY)
    told(made, found())
    return made


def test_a_finding_raises_an_alert_with_a_line_of_history_and_a_notice() -> None:
    changes = told(Book(POLICY), found())
    (alert,), (line,), (notice,) = changes.alerts, changes.history, changes.notices
    assert (alert.state, alert.priority, alert.onset_ms, alert.raised_ms, alert.source, alert.simulated) == (
        "raised",
        "high",
        ONSET,
        2_000,
        SOURCE,
        True,
    )
    assert (line.alert, line.event, line.at_ms) == (alert.id, "raise", 2_000)
    assert (notice.channel, notice.alert) == ("first", alert.id)


def test_the_same_episode_again_changes_nothing(book: Book) -> None:
    assert told(book, found(), now_ms=9_000) is NOTHING


def test_the_same_episode_changes_nothing_after_it_was_resolved(book: Book) -> None:
    book.resolve(alert_id(DEVICE, "fall", ONSET), by="Eve", now_ms=3_000)
    assert not told(book, found())


def test_another_device_another_kind_and_another_onset_are_other_alerts() -> None:
    names = {alert_id(d, k, o) for d in ("a", "b") for k in ("fall", "button") for o in (1, 2)}
    assert len(names) == 8
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in names)


def test_a_notice_says_whom_to_look_after_and_carries_no_reading(book: Book) -> None:
    (notice,) = told(book, found(onset_ms=5_000)).notices
    body = json.loads(notice.body)
    assert body.keys() == {
        "id",
        "device",
        "kind",
        "priority",
        "technical",
        "text",
        "onset_ms",
        "raised_ms",
        "simulated",
        "step",
    }
    assert body["simulated"] is True
    assert b"3.5" not in notice.body


def test_a_condition_that_does_not_latch_ends_its_alert() -> None:
    book = Book(POLICY)
    told(book, found("extreme_bradycardia"))
    (ended,) = told(book, found("extreme_bradycardia", "cleared"), now_ms=5_000).alerts
    assert (ended.state, ended.cleared_ms, ended.next_ms) == ("resolved", 5_000, None)


def test_a_latching_alert_outlives_its_condition_and_still_escalates(book: Book) -> None:
    (noted,) = told(book, found(phase="cleared"), now_ms=5_000).alerts
    assert (noted.state, noted.cleared_ms) == ("raised", 5_000)
    assert book.due(62_000).alerts[0].state == "escalated"


def test_a_latching_alert_whose_condition_ended_is_over_when_somebody_acknowledges_it(book: Book) -> None:
    told(book, found(phase="cleared"))
    assert book.acknowledge(alert_id(DEVICE, "fall", ONSET), by="Eve", now_ms=6_000).alerts[0].state == "resolved"


def test_an_acknowledged_alert_is_over_when_its_condition_ends(book: Book) -> None:
    book.acknowledge(alert_id(DEVICE, "fall", ONSET), by="Eve", now_ms=6_000)
    told(book, found(phase="cleared"), now_ms=7_000)
    assert state(book) == "closed"


def test_a_condition_ends_once(book: Book) -> None:
    assert told(book, found(phase="cleared"))
    assert not told(book, found(phase="cleared"), now_ms=9_000)


def test_the_end_of_an_episode_that_nobody_knows_changes_nothing() -> None:
    assert not told(Book(POLICY), found(phase="cleared"))


def test_an_end_with_an_onset_dated_anew_ends_the_latest_of_its_kind() -> None:
    book = Book(POLICY)
    told(book, found("spo2_low", onset_ms=1_000))
    told(book, found("spo2_low", "cleared", onset_ms=1_250))
    assert state(book, "spo2_low", 1_000) == "closed"


def test_the_end_of_a_resolved_episode_leaves_a_newer_one_alone() -> None:
    book = Book(POLICY)
    told(book, found("spo2_low", onset_ms=1_000))
    book.resolve(alert_id(DEVICE, "spo2_low", 1_000), by="Eve", now_ms=2_000)
    told(book, found("spo2_low", onset_ms=3_000))
    assert not told(book, found("spo2_low", "cleared", onset_ms=1_000))
    assert state(book, "spo2_low", 3_000) == "raised"


def test_acknowledging_says_who_and_stops_the_escalation(book: Book) -> None:
    changes = book.acknowledge(alert_id(DEVICE, "fall", ONSET), by="Eve", now_ms=3_000)
    assert (changes.alerts[0].acknowledged_by, changes.alerts[0].acknowledged_ms) == ("Eve", 3_000)
    assert changes.history[0].by == "Eve"
    assert not book.due(10**9)


def test_the_first_who_acknowledges_stays_the_one_who_did(book: Book) -> None:
    book.acknowledge(alert_id(DEVICE, "fall", ONSET), by="Eve", now_ms=3_000)
    assert not book.acknowledge(alert_id(DEVICE, "fall", ONSET), by="Mallory", now_ms=4_000)
    assert book.open()[0].acknowledged_by == "Eve"


def test_a_long_name_is_cut(book: Book) -> None:
    (alert,) = book.acknowledge(alert_id(DEVICE, "fall", ONSET), by="x" * 1000, now_ms=3_000).alerts
    assert alert.acknowledged_by == "x" * BY_MAX


def test_an_unknown_alert_is_not_found_and_a_resolved_one_is_refused(book: Book) -> None:
    with pytest.raises(NotFound) as unknown:
        book.acknowledge("0" * 32, by="Eve", now_ms=3_000)
    assert unknown.value.code == "alert_unknown"
    book.resolve(alert_id(DEVICE, "fall", ONSET), by="Eve", now_ms=3_000)
    for act in (book.acknowledge, book.resolve):
        with pytest.raises(Refused) as refused:
            act(alert_id(DEVICE, "fall", ONSET), by="Eve", now_ms=4_000)
        assert refused.value.code == "alert_event_refused"


def test_an_alert_that_nobody_answers_escalates_is_exhausted_and_told_again_to_everybody(book: Book) -> None:
    assert not book.due(61_999)
    second = book.due(62_000)
    assert (second.alerts[0].state, [n.channel for n in second.notices]) == ("escalated", ["second"])
    assert not book.due(62_000 + 239_999)
    end = book.due(62_000 + 240_000)
    assert (end.alerts[0].state, [n.channel for n in end.notices]) == ("exhausted", ["first", "second"])
    now_ms, rounds = 302_000, []
    while again := book.due(now_ms := now_ms + 240_000):
        rounds.append(again)
    assert len(rounds) == REPEATS_MAX
    assert state(book) == "exhausted"
    names = [n.id for each in (second, end, *rounds) for n in each.notices]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("back_ms", [1, 3_600_000, 1 << 40])
def test_a_clock_that_is_set_back_delays_no_step_by_more_than_a_step(book: Book, back_ms: int) -> None:
    found = book.open()[0]
    assert found.next_ms is not None
    now_ms = found.raised_ms - back_ms
    for _ in range(2 * 240):
        book.due(now_ms)
        now_ms += 1000
    assert book.open()[0].state == "exhausted"


def test_a_gateway_that_was_away_takes_one_step_at_a_time(book: Book) -> None:
    assert len(book.due(10**9).notices) == 1
    assert not book.due(10**9 + 239_999)


@pytest.mark.parametrize("kind", ["spo2_low", "device_silent", "low_battery"])
def test_what_does_not_endanger_a_person_at_once_stays_at_the_first_step(kind: str) -> None:
    book = Book(POLICY)
    assert [n.channel for n in told(book, found(kind)).notices] == ["first"]
    assert not book.due(10**9)


def test_a_failing_channel_is_told_to_every_channel() -> None:
    assert [n.channel for n in told(Book(POLICY), found("channel_failed")).notices] == ["first", "second"]


def test_a_book_made_from_its_rows_knows_its_episodes_and_its_times(book: Book) -> None:
    told(book, found("spo2_low"))
    closed = told(book, found("spo2_low", "cleared")).alerts
    again = Book(POLICY, [*book.open(), *closed])
    assert again.open() == book.open()
    assert not told(again, found())
    assert not told(again, found("spo2_low"))
    assert again.due(62_000).alerts[0].state == "escalated"
