"""A monitor that runs for ever: what it says of trouble, and what ends it."""

import asyncio
from collections.abc import Sequence

import pytest

from ledger.monitor.following import Contradiction, Monitor, follow
from ledger.monitor.judging import KINDS, Event
from protocol.errors import Unavailable, VerificationFailed, VigilError


class Scripted(Monitor):
    """A monitor whose rounds end as a script says."""

    def __init__(self, ends: Sequence[VigilError | None]) -> None:
        self._ends = iter(ends)

    async def round(self) -> None:
        end = next(self._ends)
        if end is not None:
            raise end


def told(ends: Sequence[VigilError | None], last: type[VigilError]) -> tuple[list[Event], list[float]]:
    """What is told and waited for until a round ends in `last`."""
    events: list[Event] = []
    waited: list[float] = []

    async def pause(pause_s: float) -> None:
        waited.append(pause_s)

    with pytest.raises(last):
        asyncio.run(follow(Scripted(ends), every_s=5, tell=events.append, pause=pause))
    return events, waited


def test_trouble_is_told_when_it_begins_when_it_changes_and_when_it_is_over() -> None:
    gone, missed = Unavailable("ledger_unreachable", "gone"), Unavailable("quorum_missed", "too few")
    forged = VerificationFailed("log_unsigned", "not signed")
    script = [None, None, gone, gone, missed, forged, forged, None, None, gone, Contradiction("log_shrank", "")]
    events, waited = told(script, Contradiction)
    assert [(event.kind, event.facts.get("code")) for event in events] == [
        ("unchecked", "ledger_unreachable"),
        ("unchecked", "quorum_missed"),
        ("unchecked", "log_unsigned"),
        ("checked", None),
        ("unchecked", "ledger_unreachable"),
    ]
    assert {event.kind for event in events} <= KINDS.keys()
    assert waited == [5] * (len(script) - 1)


def test_a_contradiction_ends_it() -> None:
    assert told([Contradiction("log_two_roots", "")], Contradiction) == ([], [])
