"""What operators can see: series that are there from the start, and states that show."""

import re
import time
from pathlib import Path

import pytest

from gateway.admission import BAD_SIGNATURES_MAX, CLOCK_FLAGS, Bucket, Member
from gateway.detect.finding import KINDS
from gateway.metrics import CHANNELS, LOG_FAILURES
from gateway.service import Gateway
from gateway.store.devices import STATES
from ledger import contracts, signing
from ledger.party import metrics as party_metrics
from ledger.witness import judging
from ledger.witness.peer import OUTCOMES
from protocol.keys import SigningKey, device_id
from protocol.topics import LANE_NAMES
from tests.support import exposition
from tests.support.exposition import Series

CLOSED_SETS = {
    ("vigil_messages_total", "lane"): set(LANE_NAMES),
    ("vigil_clock_flags_total", "flag"): set(CLOCK_FLAGS),
    ("vigil_alerts_total", "kind"): {*KINDS, "other"},
    ("vigil_alerts_open", "priority"): {"high", "medium", "low"},
    ("vigil_outbox_failed_total", "channel"): set(CHANNELS),
    ("vigil_devices", "state"): set(STATES),
    ("vigil_log_failures_total", "code"): {*LOG_FAILURES, "other"},
    ("vigil_ledger_witness_cosignatures_total", "outcome"): set(OUTCOMES),
    ("vigil_witness_requests_total", "verdict"): set(judging.STATUS),
    ("vigil_witness_evidence", "kind"): set(judging.KINDS),
    ("vigil_party_statements", "state"): set(party_metrics.STATES),
    ("vigil_party_requests_refused_total", "code"): {*signing.CODES, "other"},
    ("vigil_ledger_refusals_total", "code"): {*contracts.CODES, "other"},
}


@pytest.mark.parametrize(("name", "label"), CLOSED_SETS, ids=[name for name, _ in CLOSED_SETS])
def test_every_value_of_a_label_is_there_from_the_start(exposed: dict[str, Series], name: str, label: str) -> None:
    """A series that begins at 1 has not increased, so that its first event would raise no alert."""
    assert exposed[name].labels == {label: CLOSED_SETS[name, label]}


def test_no_label_of_any_series_could_name_a_person_a_device_or_a_reading(exposed: dict[str, Series]) -> None:
    labels = {label for series in exposed.values() for label in series.labels}
    assert labels == {
        "lane",
        "code",
        "flag",
        "le",
        "kind",
        "priority",
        "channel",
        "version",
        "python",
        "state",
        "route",
        "verdict",
        "outcome",
    }
    for name, series in exposed.items():
        for label, values in series.labels.items():
            if label not in ("le", "version", "python"):
                assert all(re.fullmatch(r"[a-z][a-z0-9_]*", value) for value in values), (name, label)


def test_counters_end_in_total_and_gauges_do_not(exposed: dict[str, Series]) -> None:
    assert len(exposed) > 30
    for name, series in exposed.items():
        assert name.startswith("vigil_")
        assert name.endswith("_total") == (series.kind == "counter"), name


def member(seed: int, *, state: str = "active") -> Member:
    key = SigningKey.from_seed(bytes([seed]) * 32).public
    bucket = Bucket(rate_per_s=1.0, burst=1.0)
    name = device_id(key)
    return Member(
        row=seed,
        device=name,
        key=key,
        kid=key.kid,
        state=state,
        link_id=b"home",
        lk=bytes(32),
        data=bucket,
        alarms=bucket,
    )


def test_a_device_in_quarantine_is_counted_as_such_until_it_ends(tmp_path: Path) -> None:
    def arrange(gateway: Gateway) -> None:
        now_ms = time.time_ns() // 1_000_000
        members = [member(1), member(2), member(3, state="suspended")]
        for _ in range(BAD_SIGNATURES_MAX + 1):
            members[0].bad_signature(now_ms)
            members[1].bad_signature(now_ms - 3_600_000)
        gateway.directory.members.update({one.device: one for one in members})

    lines = exposition.of_gateway(tmp_path, arrange).splitlines()
    found = dict(re.findall(r'vigil_devices\{state="(\w+)"\} (\d)', "\n".join(lines)))
    assert found == dict.fromkeys(STATES, "0") | {"quarantined": "1", "active": "1", "suspended": "1"}


def test_curves_that_slow_pages_lost_are_counted_once(tmp_path: Path) -> None:
    def arrange(gateway: Gateway) -> None:
        gateway.hub.waves_dropped = 7
        gateway.duties.gauges()

    assert "vigil_page_dropped_waves_total 7.0" in exposition.of_gateway(tmp_path, arrange).splitlines()


@pytest.mark.parametrize(("connected", "away"), [(True, 0), (False, 1), (None, 0)])
def test_a_broker_that_is_not_reached_shows(tmp_path: Path, connected: bool | None, away: int) -> None:
    class Stub:
        """As much of a broker as the gauge looks at."""

        def __init__(self, connected: bool) -> None:
            self.connected = connected

    def arrange(gateway: Gateway) -> None:
        gateway.broker = None if connected is None else Stub(connected)  # type: ignore[assignment]

    assert f"vigil_broker_away {away}.0" in exposition.of_gateway(tmp_path, arrange).splitlines()
