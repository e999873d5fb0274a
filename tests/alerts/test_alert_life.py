"""A home's alarms over weeks, by a machine that does anything in any order, kills the gateway, and lets storage fail.

One alert for one episode, nothing lost, and every alert ends acknowledged, resolved, or told to everybody.
"""

import sqlite3

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from gateway.alerts.book import REMEMBERED_MAX, Alert, Book, Changes, alert_id
from gateway.alerts.escalation import END, REPEATS_MAX, Policy
from gateway.alerts.lifecycle import Refused
from gateway.detect.finding import KINDS, finding
from gateway.store import alerts
from protocol.errors import NotFound

POLICY = Policy(first=("first",), second=("second",), second_after_s=60, ends_after_s=240)
DEVICES = ("a" * 16, "b" * 16)
SORTS = (
    "fall",
    "extreme_bradycardia",
    "spo2_low",
    "channel_failed",
)  # latching or not, escalating or not; few, to collide
STEPS_MAX = len(DEVICES) * len(SORTS) * 3 * (END + REPEATS_MAX)  # of every alert that the machine can raise
Episode = tuple[str, str, int]


class Life(RuleBasedStateMachine):
    """The book over a real database, beside the plainest model of what must be true."""

    episodes = Bundle("episodes")

    def __init__(self) -> None:
        super().__init__()
        self.conn = sqlite3.connect(":memory:", isolation_level=None)
        for statement in alerts.SCHEMA:
            self.conn.execute(statement)
        self.now_ms = 1_000_000
        self.book = Book(POLICY)
        self.unwritten: list[Changes] = []
        self.raised: set[Episode] = set()
        self.answered: set[Episode] = set()

    def teardown(self) -> None:
        self.write()
        for _ in range(STEPS_MAX):
            waits = [alert.next_ms for alert in self.book.open() if alert.next_ms is not None]
            if not waits:
                break
            self.now_ms = max(self.now_ms, *waits)
            self.took(self.book.due(self.now_ms))
            self.write()
        assert not any(alert.next_ms for alert in self.book.open())
        for alert in alerts.listed(self.conn, open_only=False):
            known = KINDS[alert.kind]
            escalates = known.priority == "high" and not known.technical
            if alert.state in ("raised", "escalated"):
                assert not escalates, "an alarm that nobody answered did not come to the end of its policy"
            if alert.state == "exhausted":
                assert alert.step == END + REPEATS_MAX
        self.conn.close()

    def write(self) -> None:
        """A commit."""
        self.conn.execute("BEGIN")
        for changes in self.unwritten:
            alerts.write(self.conn, changes)
        self.conn.execute("COMMIT")
        self.unwritten.clear()

    def took(self, changes: Changes) -> None:
        """Changes on their way to a commit."""
        if changes:
            self.unwritten.append(changes)

    @rule(
        target=episodes,
        device=st.sampled_from(DEVICES),
        kind=st.sampled_from(SORTS),
        onset_ms=st.integers(0, 2),
    )
    def found(self, device: str, kind: str, onset_ms: int) -> Episode:
        found = finding(kind, "raised", onset_ms=onset_ms, at_ms=onset_ms, detail={"late": 1})
        changes = self.book.consider(device, found, now_ms=self.now_ms, simulated=False, source=(1, 1, onset_ms))
        episode = (device, kind, onset_ms)
        assert bool(changes) == (episode not in self.raised)
        if changes:
            assert [notice.channel for notice in changes.notices][:1] == ["first"]
        self.raised.add(episode)
        self.took(changes)
        return episode

    @rule(episode=episodes)
    def ended(self, episode: Episode) -> None:
        device, kind, onset_ms = episode
        found = finding(kind, "cleared", onset_ms=onset_ms, at_ms=onset_ms, detail={})
        changes = self.book.consider(device, found, now_ms=self.now_ms, simulated=False)
        if episode in self.raised:
            assert {alert.id for alert in changes.alerts} <= {alert_id(*episode)}
        self.took(changes)

    @rule(episode=episodes, resolve=st.booleans())
    def a_person_acts(self, episode: Episode, resolve: bool) -> None:
        act = self.book.resolve if resolve else self.book.acknowledge
        try:
            self.took(act(alert_id(*episode), by="Eve", now_ms=self.now_ms))
        except NotFound:
            assert episode not in self.raised
        except Refused:
            assert episode in self.raised
            assert alert_id(*episode) not in {alert.id for alert in self.book.open()}
        self.answered.add(episode)

    @rule(after_ms=st.sampled_from([0, 1, 30_000, 60_000, 240_000, 10**9, -3_600_000]))
    def time_passes(self, after_ms: int) -> None:
        """Or the clock is set back."""
        self.now_ms = max(0, self.now_ms + after_ms)
        self.took(self.book.due(self.now_ms))

    @rule()
    def commit(self) -> None:
        self.write()

    @rule()
    def commit_is_tried_again(self) -> None:
        before = list(self.unwritten)
        self.write()
        self.unwritten = before
        self.write()

    @rule()
    def kill(self) -> None:
        """The process dies: what was not committed was told to nobody, and is found or asked again."""
        self.unwritten.clear()
        self.book = Book(POLICY, alerts.load(self.conn, most=REMEMBERED_MAX))
        kept = {(a.device, a.kind, a.onset_ms) for a in alerts.listed(self.conn, open_only=False)}
        self.raised &= kept

    @invariant()
    def every_episode_has_one_alert(self) -> None:
        pending = {a.id: a for changes in self.unwritten for a in changes.alerts}
        stored: dict[str, Alert] = {a.id: a for a in alerts.listed(self.conn, open_only=False)}
        known = stored | pending
        assert set(known) == {alert_id(*episode) for episode in self.raised}
        still_open = {name for name, alert in known.items() if alert.state != "resolved"}
        assert still_open == {alert.id for alert in self.book.open()}
        assert {a.id: a for a in self.book.open()} == {name: known[name] for name in still_open}

    @invariant()
    def an_answered_alert_has_no_next_step(self) -> None:
        for alert in self.book.open():
            assert alert.state != "acknowledged" or (alert.next_ms is None and alert.acknowledged_by == "Eve")

    @invariant()
    def an_alert_that_endangers_a_person_waits_for_its_next_step_until_somebody_answers(self) -> None:
        for alert in self.book.open():
            if alert.state in ("raised", "escalated") and alert.priority == "high":
                assert alert.next_ms is not None

    @invariant()
    def nobody_but_a_person_ends_what_latches(self) -> None:
        for alert in alerts.listed(self.conn, open_only=False):
            if alert.state == "resolved" and KINDS[alert.kind].latching:
                assert (alert.device, alert.kind, alert.onset_ms) in self.answered

    @invariant()
    def history_begins_with_raise_and_happens_once(self) -> None:
        for alert in alerts.listed(self.conn, open_only=False):
            lines = alerts.history(self.conn, alert.id)
            assert lines[0].event == "raise"
            assert [line.event for line in lines].count("raise") == 1
            assert len(lines) == len(set(lines))


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
