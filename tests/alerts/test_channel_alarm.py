"""A channel that fails is one alarm about the gateway, for as long as any channel fails, over restarts too."""

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.alerts.book import Alert, Book, Changes
from gateway.alerts.escalation import Policy
from gateway.duties import Duties


class House:
    """The part of a gateway that technical alarms use."""

    def __init__(self, *alerts: Alert) -> None:
        self.now_ms = 1_000
        self.changes: list[Changes] = []
        self.book = Book(Policy(first=("first",), second=("second",)), alerts)
        intake = SimpleNamespace(batch=SimpleNamespace(changes=self.changes), soon=lambda: None)
        meanwhile = SimpleNamespace(tell=lambda _: None)
        gateway: Any = SimpleNamespace(ward=SimpleNamespace(book=self.book), intake=intake, meanwhile=meanwhile)
        self.duties = Duties(gateway, admission=None, now_ms=lambda: self.now_ms)

    def trouble(self, channel: str, failing: bool) -> None:
        """What the sender says, a second after it said something else."""
        self.now_ms += 1_000
        self.duties._channel_trouble(channel, failing)


@pytest.fixture
def house() -> House:
    """A gateway whose first channel has begun to fail."""
    made = House()
    made.trouble("first", True)
    return made


def test_a_failing_channel_is_one_alarm_to_every_channel(house: House) -> None:
    house.trouble("first", True)
    (alert,) = house.book.open()
    assert (alert.kind, alert.technical, alert.device) == ("channel_failed", True, "gateway")
    assert [notice.channel for changes in house.changes for notice in changes.notices] == ["first", "second"]


def test_the_alarm_has_not_ended_while_another_channel_fails(house: House) -> None:
    house.trouble("second", True)
    house.trouble("first", False)
    assert house.book.open()[0].cleared_ms is None
    house.trouble("second", False)
    assert house.book.open()[0].cleared_ms == house.now_ms


def test_the_alarm_stays_until_a_person_acts(house: House) -> None:
    house.trouble("first", False)
    (alert,) = house.book.open()
    assert alert.state == "raised"
    house.book.acknowledge(alert.id, by="Eve", now_ms=9_000)
    assert not house.book.open()


def test_a_channel_that_fails_again_after_a_restart_is_the_same_alarm(house: House) -> None:
    again = House(*house.book.open())
    again.trouble("first", True)
    assert len(again.book.open()) == 1
    assert not again.changes


def test_a_channel_that_works_after_a_restart_ends_the_alarm_that_was_raised_before(house: House) -> None:
    again = House(*house.book.open())
    again.trouble("first", False)
    assert again.book.open()[0].cleared_ms is not None


def test_a_channel_that_works_from_the_start_is_no_alarm() -> None:
    house = House()
    house.trouble("first", False)
    assert not house.changes
