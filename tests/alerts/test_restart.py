"""A gateway that starts again: alarms that stand open are the episodes that its detectors know. None is raised twice, and none
stays open when what it told is over."""

import dataclasses

import pytest

from gateway.admission import Bucket, Member
from gateway.alerts.book import Alert, Book
from gateway.alerts.escalation import Policy
from gateway.batch import Batch
from gateway.detect import DetectSettings
from gateway.ward import Ward
from protocol import keys
from protocol.content import Alarm, Content
from protocol.senml import Vital
from tests.support.signals import START_MS
from tests.support.watching import CLOCK, HEARTBEAT, data, home

KEY = keys.SigningKey.from_seed(b"a device that is watched".ljust(32, b"."))
MEMBER = Member(
    device=keys.device_id(KEY.public),
    row=1,
    key=KEY.public,
    kid=bytes(8),
    state="active",
    link_id=b"link",
    lk=bytes(32),
    data=Bucket(rate_per_s=1, burst=1),
    alarms=Bucket(rate_per_s=1, burst=1),
)
OFF_MS = 300_000  # how long the gateway is down: longer than what it looks at again


class House:
    """One device's ward, which is started again with what was durable."""

    def __init__(self) -> None:
        self.kept: dict[str, Alert] = {}
        self.now_ms = START_MS
        self.start()

    def start(self) -> None:
        self.ward = Ward(book=Book(Policy(), self.kept.values()), settings=DetectSettings(), demo=True)
        self.ward.expect(MEMBER.device)

    def live(self, *contents: Content | None) -> None:
        """A second each."""
        for one in contents:
            self.now_ms += 1000
            batch = Batch()
            if one is not None:
                self.ward.look(MEMBER, one, received_ms=self.now_ms, source=(1, 1, 0), batch=batch)
            self.ward.tick([MEMBER.device], now_ms=self.now_ms, batch=batch)
            self.kept |= {alert.id: alert for changes in batch.changes for alert in changes.alerts}

    def restart(self) -> None:
        self.now_ms += OFF_MS
        self.start()

    def told(self, kind: str) -> list[str]:
        """The states of the alerts of a kind."""
        return [alert.state for alert in self.kept.values() if alert.kind == kind]


@pytest.fixture
def house() -> House:
    return House()


def reading(house: House, value: int) -> Content:
    return data(vitals=[Vital("MDC_PULS_OXIM_SAT_O2", value, house.now_ms)])


def test_a_device_that_is_silent_before_and_after_is_one_alarm_that_ends_when_it_is_heard(house: House) -> None:
    house.live(HEARTBEAT, *[None] * 40)
    assert house.told("device_silent") == ["raised"]
    house.restart()
    house.live(*[None] * 60)
    assert house.told("device_silent") == ["raised"]
    house.live(HEARTBEAT)
    assert house.told("device_silent") == ["resolved"]


def test_a_device_that_is_heard_at_once_after_a_restart_ends_its_silence(house: House) -> None:
    house.live(HEARTBEAT, *[None] * 40)
    house.restart()
    house.live(HEARTBEAT)
    assert house.told("device_silent") == ["resolved"]


def test_a_low_saturation_that_goes_on_is_one_alarm_and_ends_once(house: House) -> None:
    for _ in range(20):
        house.live(reading(house, 88))
    house.restart()
    for _ in range(20):
        house.live(reading(house, 88))
    assert house.told("spo2_low") == ["raised"]
    for _ in range(20):
        house.live(reading(house, 97))
    assert house.told("spo2_low") == ["resolved"]


def test_a_loose_lead_that_is_reported_over_after_a_restart_is_over(house: House) -> None:
    def report(**detail: str) -> Alarm:
        return Alarm(
            id=bytes(16), kind="lead_off", at_ms=house.now_ms, clock=CLOCK, simulated=True, detail=dict(detail)
        )

    house.live(report())
    house.restart()
    house.live(report())
    assert house.told("lead_off") == ["raised"]
    house.live(report(state="ended"))
    assert house.told("lead_off") == ["resolved"]


def test_a_tachycardia_that_goes_on_is_one_alarm_and_ends_with_it(house: House) -> None:
    seconds = home("simulated:seed=4,activity=sit", "tachycardia@20+80", seconds=140)
    house.live(*seconds[:50])
    assert house.told("extreme_tachycardia") == ["raised"]
    house.restart()
    house.live(*seconds[50:])
    assert house.told("extreme_tachycardia") == ["resolved"]


def test_presses_around_a_restart_call_as_often_as_without_one(house: House) -> None:
    def press() -> Alarm:
        return Alarm(id=bytes(16), kind="button", at_ms=house.now_ms, clock=CLOCK, simulated=True)

    house.live(press(), *[None] * 39, press(), *[None] * 9)
    last = dataclasses.replace(press(), at_ms=house.now_ms - 10_000)
    house.start()
    house.ward.warm(MEMBER.device, [(house.now_ms - 9_000, last)])  # the first press is no longer read again
    house.ward.expect(MEMBER.device)
    house.live(*[None] * 20, press())
    assert len(house.told("button")) == 2, "the third came a minute after the first"


def test_a_call_after_a_restart_is_a_new_call(house: House) -> None:
    button = Alarm(id=bytes(16), kind="button", at_ms=house.now_ms, clock=CLOCK, simulated=True)
    house.live(button)
    house.restart()
    house.live(dataclasses.replace(button, at_ms=house.now_ms))
    assert len(house.told("button")) == 2
