"""A gateway that stops in the middle of a fall raises its alarm after the start, whatever it had not written yet beside the record."""

import asyncio
from pathlib import Path
from unittest import mock

import pytest

from gateway.committing import Committing
from tests.support.gatehouse import enrol, open_house, said_of
from tests.support.sealed import Sender
from tests.support.signals import START_MS, simulated

ADA = Sender("Ada")
FALLS_S, SECONDS = 9, 22


@pytest.mark.parametrize(("stops_after_s", "lost"), [(10, 1), (11, 3), (13, 1)])
def test_a_fall_is_seen_although_the_gateway_stops_in_it(tmp_path: Path, stops_after_s: int, lost: int) -> None:
    """lost: so many of the last messages are in the record, and receipted, but not among the readings kept for curves."""
    enrol(tmp_path, ADA)
    now_ms = START_MS
    source = simulated("simulated:seed=1", f"fall@{FALLS_S}")

    async def live(seconds: range) -> list[tuple[str, int]]:
        nonlocal now_ms
        async with open_house(tmp_path, now_ms=lambda: now_ms) as house:
            for second in seconds:
                at_ms = START_MS + second * 1000
                said = said_of(source.read(at_ms, at_ms + 1000), at_ms=at_ms)
                now_ms = at_ms + 1000
                copied = stops_after_s - lost > second or second >= stops_after_s
                with mock.patch.object(Committing, "_keep_values", Committing._keep_values if copied else _nothing):
                    assert await house.sent(ADA, ADA.seal(said, second)) == 0
            return house.record("SELECT kind, onset_ms FROM alert WHERE technical = 0")

    asyncio.run(live(range(stops_after_s)))
    (alert,) = asyncio.run(live(range(stops_after_s, SECONDS)))
    assert alert[0] == "fall"
    assert 0 <= alert[1] - (START_MS + FALLS_S * 1000) < 3000


def _nothing(*_: object) -> None:
    """The copy is lost."""
