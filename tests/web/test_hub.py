"""The hub: what a slow page loses and what it never loses."""

import asyncio
import base64

from gateway.web.hub import ALERTS_MAX, WAVES_MAX, Event, Hub, Subscription
from protocol.content import Clock, Data
from protocol.senml import Vital
from protocol.waves import Wave
from tests.support.pages import alert, second

NOW = 1_800_000_000_000


def taken(subscription: Subscription) -> list[Event]:
    """Everything that waits."""
    found = []
    while (event := subscription.take()) is not None:
        found.append(event)
    return found


def rate(value: int, at_ms: int, *, synced: bool = True) -> Data:
    """One heart rate."""
    vital = Vital(name="MDC_ECG_HEART_RATE", value=value, at_ms=at_ms)
    return Data(clock=Clock(up_ms=1, wall_ms=at_ms, synced=synced), simulated=False, vitals=(vital,))


def test_a_new_page_starts_with_the_latest_values() -> None:
    hub = Hub()
    hub.publish_content("d", rate(70, NOW), NOW + 20)
    hub.publish_content("d", rate(71, NOW + 1000), NOW + 1020)
    assert hub.snapshot() == {
        "d": [
            {
                "name": "MDC_ECG_HEART_RATE",
                "value": 71,
                "unit": "/min",
                "at_ms": NOW + 1000,
                "received_ms": NOW + 1020,
                "since_ms": NOW + 1000,
            }
        ]
    }


def test_a_backlogs_old_value_does_not_replace_a_newer_one() -> None:
    hub = Hub()
    with hub.subscribe() as page:
        hub.publish_content("d", rate(71, NOW), NOW)
        taken(page)
        hub.publish_content("d", rate(60, NOW - 60_000), NOW + 10)
        assert taken(page) == []
    assert hub.snapshot()["d"][0]["value"] == 71


def test_one_value_from_the_future_does_not_hide_those_that_follow() -> None:
    hub = Hub()
    hub.publish_content("d", rate(70, 1 << 52), NOW)
    for second_ in range(1, 4):
        hub.publish_content("d", rate(70 + second_, NOW + 1000 * second_), NOW + 1000 * second_ + 20)
    (shown,) = hub.snapshot()["d"]
    assert (shown["value"], shown["at_ms"], shown["since_ms"]) == (73, NOW + 3000, NOW + 3000)
    hub.publish_content("d", rate(99, 1 << 52), NOW + 4000)
    assert hub.snapshot()["d"][0]["at_ms"] == NOW + 4000, "no page is told a time that it would wait for"


def test_an_age_counts_from_the_receipt_where_the_devices_clock_is_not_to_be_trusted() -> None:
    hub = Hub()
    hub.publish_content("d", rate(70, 1000, synced=False), NOW)
    assert hub.snapshot()["d"][0]["since_ms"] == NOW
    hub.publish_content("e", rate(70, NOW + 60_000), NOW)
    assert hub.snapshot()["e"][0]["since_ms"] == NOW, "a clock that is ahead makes no value younger than its receipt"


def test_a_slow_page_gets_the_newest_value_of_each_name_once() -> None:
    hub = Hub()
    with hub.subscribe() as page:
        for index in range(50):
            hub.publish_content("d", rate(60 + index, NOW + index), NOW + index)
        (event,) = taken(page)
    assert event.name == "vitals" and event.data["device"] == "d"
    assert [value["value"] for value in event.data["values"]] == [109]  # type: ignore[attr-defined]


def test_a_slow_page_loses_its_oldest_waves_and_they_are_counted() -> None:
    hub = Hub()
    with hub.subscribe() as page:
        for index in range(WAVES_MAX):
            hub.publish_content("d", second(end_ms=NOW + index * 1000), NOW + index * 1000)
        waves = [event for event in taken(page) if event.name == "wave"]
    assert len(waves) == WAVES_MAX and page.dropped == WAVES_MAX == hub.waves_dropped
    assert waves[-1].data["t0_ms"] == NOW + (WAVES_MAX - 2) * 1000


def test_no_alarm_is_lost_however_many_waves_wait_and_alarms_come_first() -> None:
    hub = Hub()
    with hub.subscribe() as page:
        for index in range(200):
            hub.publish_content("d", second(end_ms=NOW + index * 1000), NOW + index * 1000)
            hub.publish_alert(alert(f"a{index}"))
        names = [event.name for event in taken(page)]
    assert names[:200] == ["alert"] * 200 and "alert" not in names[200:]


def test_only_the_newest_state_of_an_alarm_waits() -> None:
    hub = Hub()
    with hub.subscribe() as page:
        hub.publish_alert(alert("a"))
        hub.publish_alert(alert("a", state="acknowledged"))
        (event,) = taken(page)
    assert event.data["state"] == "acknowledged"


def test_a_page_that_leaves_too_many_alarms_waiting_starts_again() -> None:
    hub = Hub()
    with hub.subscribe() as page:
        for index in range(ALERTS_MAX + 5):
            hub.publish_alert(alert(f"a{index}"))
        events = taken(page)
    assert [event.name for event in events] == ["restart"] + ["alert"] * 5


def test_what_changes_about_a_device_waits_as_one() -> None:
    hub = Hub()
    with hub.subscribe() as page:
        hub.publish_device("d", {"state": "offline"})
        hub.publish_device("d", {"name": "Ada"})
        assert [event.data for event in taken(page)] == [{"device": "d", "state": "offline", "name": "Ada"}]


def test_a_stretch_that_ended_long_before_its_receipt_is_not_drawn_as_live() -> None:
    hub = Hub()
    with hub.subscribe() as page:
        hub.publish_content("d", second(end_ms=NOW - 31_000), NOW)
        assert {event.name for event in taken(page)} == {"vitals"}


def test_the_first_of_several_leads_is_drawn() -> None:
    hub = Hub()
    samples = b"".join(count.to_bytes(2, "little", signed=True) for count in (1, -7, 2, -8, -3, 9))
    wave = Wave(stream="ecg", t0_ms=NOW, rate_mhz=360_000, scale=0.005, place="MLII,V1", n=3, samples=samples)
    content = Data(clock=Clock(up_ms=1, wall_ms=NOW, synced=True), simulated=True, waves=(wave,))
    with hub.subscribe() as page:
        hub.publish_content("d", content, NOW)
        (event,) = taken(page)
    assert event.data["place"] == "MLII" and event.data["rate_hz"] == 360 and event.data["simulated"] is True
    assert base64.b64decode(str(event.data["samples"])) == bytes((1, 0, 2, 0, 0xFD, 0xFF))


def test_a_page_that_waits_is_woken_and_one_that_closes_ends() -> None:
    async def read() -> list[str]:
        hub, names = Hub(), []
        with hub.subscribe() as page:
            loop = asyncio.get_running_loop()
            loop.call_later(0.01, hub.publish_alert, alert("a"))
            loop.call_later(0.02, hub.publish_device, "d", {"state": "offline"})
            loop.call_later(0.03, hub.close)
            async for event in page:
                names.append(event.name)
        assert hub.subscribers == 0
        return names

    assert asyncio.run(read()) == ["alert", "device"]
