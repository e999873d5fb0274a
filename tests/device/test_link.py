"""The connection's pauses and its TLS. What crosses it is tested with a real gateway in test_cli."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import cast

import aiomqtt
import pytest

from device_sim import link
from device_sim.agent import WINDOW
from device_sim.link import BACKOFF_MAX_S, BACKOFF_MIN_S, Connection, context, pause_s
from protocol.errors import ConfigError
from tests.support import devices

DRAWS = 2_000
FOREVER_S = 3_600.0


async def nobody(_: str, __: bytes) -> None:
    """Hears nothing."""


def connection() -> Connection:
    return Connection(
        device=devices.DEVICE,
        kind="alarm",
        address="127.0.0.1:1",
        tls=cast(ssl.SSLContext, None),
        rng=Random(1),
        heard=nobody,
        changed=lambda _, __: None,
        alarm_waits=lambda: False,
    )


@pytest.mark.parametrize("failures", [0, 1, 3, 7, 16, 1_000_000])
def test_a_pause_is_anything_between_nothing_and_its_doubling_bound(failures: int) -> None:
    rng = Random(5)
    bound_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(failures, 16))
    drawn = [pause_s(failures, alarm_waits=False, rng=rng) for _ in range(DRAWS)]
    assert all(0 <= pause <= bound_s for pause in drawn)
    assert min(drawn) < 0.02 * bound_s
    assert max(drawn) > 0.98 * bound_s
    assert 0.45 * bound_s < sum(drawn) / DRAWS < 0.55 * bound_s


def test_no_pause_is_long_while_an_alarm_waits() -> None:
    rng = Random(5)
    drawn = [pause_s(50, alarm_waits=True, rng=rng) for _ in range(DRAWS)]
    assert max(drawn) <= link.ALARM_BACKOFF_MAX_S <= 2.0
    assert len(set(drawn)) > DRAWS // 2, "homes must not all knock at once for their alarms either"


def test_an_alarm_ends_a_pause_that_has_begun() -> None:
    async def scene() -> None:
        waiting = connection()
        rest = asyncio.create_task(waiting.rest(FOREVER_S))
        await asyncio.sleep(0)
        waiting.hurry()
        async with asyncio.timeout(5):
            await rest

    asyncio.run(scene())


def test_a_pause_ends_by_itself_and_an_earlier_alarm_does_not_cut_it() -> None:
    async def scene() -> None:
        waiting = connection()
        waiting.hurry()
        await waiting.rest(0.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await waiting.rest(FOREVER_S)

    asyncio.run(scene())


@pytest.mark.parametrize(("steady_s", "expected"), [(3_600.0, [1, 2, 3, 4, 5]), (0.0, [1, 1, 1, 1, 1])])
def test_only_a_connection_that_lasted_makes_the_pauses_short_again(
    monkeypatch: pytest.MonkeyPatch, steady_s: float, expected: list[int]
) -> None:
    class Dropped:
        @property
        async def messages(self) -> AsyncIterator[object]:
            raise aiomqtt.MqttError("dropped at once")
            yield

    @contextlib.asynccontextmanager
    async def let_in() -> AsyncIterator[Dropped]:
        yield Dropped()

    failures: list[int] = []

    def counted(count: int, **_: object) -> float:
        failures.append(count)
        if len(failures) == len(expected):
            raise asyncio.CancelledError
        return 0.0

    monkeypatch.setattr(link, "STEADY_S", steady_s)
    monkeypatch.setattr(link, "pause_s", counted)
    made = connection()
    monkeypatch.setattr(made, "_connected", let_in)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(made.run())
    assert failures == expected


def test_publishing_without_a_connection_says_no() -> None:
    assert asyncio.run(connection().publish("topic", b"raw")) is None


def test_the_clients_hands_hold_at_least_a_window() -> None:
    assert link.OUTGOING_MAX >= WINDOW


def test_certificates_that_cannot_be_used_say_pair_again(tmp_path: Path) -> None:
    for name in ("ca.pem", "client.pem", "device.key"):
        (tmp_path / name).write_text("nothing")
    with pytest.raises(ConfigError, match="pair again"):
        context(tmp_path)
