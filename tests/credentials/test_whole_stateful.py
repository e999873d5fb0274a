"""Any order of issuing, changes of status, of keys and of accreditations: verdicts of today and of any day before are those of a
small oracle, which keeps lists of what happened and looks through all of them at every question. None of our code is in it."""

import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ledger.credentials.issuing import Issuer
from ledger.credentials.issuing.issuer import Conflict
from ledger.credentials.vc import secured
from tests.support import registrants
from tests.support.vouching import DAY_MS, World

LIST_LIFE_MS = 7 * DAY_MS  # after it a list says nothing
NEXT = {
    ("valid", "suspend"): "suspended",
    ("suspended", "reinstate"): "valid",
    ("valid", "revoke"): "revoked",
    ("suspended", "revoke"): "revoked",
}
TYPE, PLACE, DID = "StateLicence", "US", "did:web:board.example"
SOMEBODY = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"  # who has nothing


@dataclass
class Paper:
    """A credential as the oracle has it. place: of its commitment, None when the log refused it; key: which of the issuer's."""

    id: bytes
    raw: bytes
    place: int | None
    key: int
    from_ms: int
    at_ms: int
    until_ms: int
    state: str = "valid"


@dataclass
class Version:
    """The lists as they came out together. places: of both; states: of the credentials that were not valid, by their ids."""

    at_ms: int
    key: int
    places: tuple[int, int]
    states: dict[bytes, str]


@dataclass
class Oracle:
    """What happened. stolen: since when, by key; accredited: (time, whether from then on)."""

    papers: list[Paper] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    stolen: dict[int, int] = field(default_factory=dict)
    accredited: list[tuple[int, bool]] = field(default_factory=list)
    key: int = 0

    def counts(self, key: int, place: int) -> bool:
        """Whether what was logged under a key counts, by what is known now of thefts."""
        return place < self.stolen.get(key, place + 1)

    def good(self, paper: Paper, at_ms: int) -> bool:
        """Whether a credential was valid at a time, for whoever knows the log as it was then, and the thefts as they are now."""
        if paper.place is None or not self.counts(paper.key, paper.place):
            return False
        if not (paper.from_ms <= at_ms < paper.until_ms and paper.at_ms <= at_ms):
            return False
        if not [may for since_ms, may in self.accredited if since_ms <= at_ms][-1]:
            return False
        before = [each for each in self.versions if each.at_ms <= at_ms]
        if not before or at_ms >= before[-1].at_ms + LIST_LIFE_MS:
            return False
        newest = before[-1]
        return all(self.counts(newest.key, place) for place in newest.places) and paper.id not in newest.states


class Whole(RuleBasedStateMachine):
    """A state board on a log, and a verifier that reads the log and fetches its lists."""

    @initialize()
    def begin(self) -> None:
        self.held = contextlib.ExitStack()
        folder = Path(self.held.enter_context(tempfile.TemporaryDirectory()))
        self.world = World(folder)
        self.board: Issuer = self.held.enter_context(self.world.issuer("board", TYPE))
        self.party = registrants.key(200)
        self.oracle = Oracle(accredited=[(self.world.now_ms, True)])
        self.times = [self.world.now_ms]
        self.go_on()
        self.issue(form=secured.DATA_INTEGRITY, days=2)
        self.issue(form=secured.COSE, days=730)
        self.publish()

    def teardown(self) -> None:
        """Every credential is looked at once more at the end, whatever happened."""
        if not hasattr(self, "held"):
            return
        with self.held:
            for paper in self.oracle.papers:
                self.compare(paper)

    def go_on(self, days: float = 0.01) -> None:
        """Nothing happens at the same time as something else: a day's verdict would depend on their order."""
        self.world.pass_days(days)
        self.times.append(self.world.now_ms)

    @rule(form=st.sampled_from(secured.FORMATS), days=st.sampled_from([2, 30, 730]))
    def issue(self, form: str, days: int) -> None:
        size, now_ms = self.world.log.size, self.world.now_ms
        made = self.world.licence(self.board, format=form, days=days)
        taken = self.world.log.size > size
        assert taken is self.oracle.accredited[-1][1], "the log takes commitments of who is accredited alone"
        paper = Paper(
            id=made.id,
            raw=made.raw,
            place=size if taken else None,
            key=self.oracle.key,
            from_ms=now_ms // 1000 * 1000,
            at_ms=now_ms,
            until_ms=made.until_ms,
        )
        self.oracle.papers.append(paper)
        self.go_on()

    @rule(event=st.sampled_from(["suspend", "suspend", "reinstate", "revoke"]), publish=st.booleans(), data=st.data())
    def change(self, event: str, publish: bool, data: st.DataObject) -> None:
        paper = data.draw(st.sampled_from(self.oracle.papers))
        after = NEXT.get((paper.state, event))
        with contextlib.nullcontext() if after else pytest.raises(Conflict):
            self.board.change(paper.id, event, reason="as it happens")
        paper.state = after or paper.state
        self.go_on()
        if publish:
            self.publish()

    @rule()
    def publish(self) -> None:
        size, now_ms = self.world.log.size, self.world.now_ms
        made = self.board.publish(again=True)
        assert (made, self.world.log.size) == (2, size + 2)
        states = {each.id: each.state for each in self.oracle.papers if each.state != "valid"}
        version = Version(at_ms=now_ms, key=self.oracle.key, places=(size, size + 1), states=states)
        self.oracle.versions.append(version)
        self.world.follow(self.board)
        self.go_on()

    @rule(publish=st.booleans())
    def rotate(self, publish: bool) -> None:
        self.board.rotate()
        self.oracle.key += 1
        self.go_on()
        if publish:
            self.publish()

    @rule(back=st.integers(0, 8), publish=st.booleans())
    def steal(self, back: int, publish: bool) -> None:
        """It is said that the newest key was stolen, some entries ago."""
        since = max(0, self.world.log.size - back)
        self.board.stolen(since=(1, since))
        self.oracle.stolen[self.oracle.key] = since
        self.oracle.key += 1
        self.go_on()
        if publish:
            self.publish()

    @rule()
    def withdraw_or_accredit_again(self) -> None:
        may = not self.oracle.accredited[-1][1]
        self.world.accredit(self.party, DID, TYPE, PLACE, withdrawn=not may)
        self.oracle.accredited.append((self.world.now_ms, may))
        self.go_on()

    @rule(days=st.sampled_from([0.5, 1.5, 6, 8]), publish=st.booleans())
    def wait(self, days: float, publish: bool) -> None:
        self.go_on(days)
        if publish:
            self.publish()

    @rule(data=st.data())
    def present(self, data: st.DataObject) -> None:
        self.compare(data.draw(st.sampled_from(self.oracle.papers)))

    def compare(self, paper: Paper) -> None:
        """Now, and at every time at which something happened, and just before."""
        self.world.follow()
        now_ms = self.world.now_ms
        assert self.world.verdict(paper.raw).valid is self.oracle.good(paper, now_ms), self.world.bad(paper.raw)
        for time_ms in self.times:
            for at_ms in (time_ms - 1, time_ms):
                if self.times[0] <= at_ms <= now_ms:
                    found = self.world.verdict(paper.raw, at_ms=at_ms)
                    assert found.valid is self.oracle.good(paper, at_ms), (
                        at_ms,
                        self.world.bad(paper.raw, at_ms=at_ms),
                    )
        assert not self.world.verdict(paper.raw, holder=SOMEBODY).valid


QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much]

TestWhole = Whole.TestCase
TestWhole.settings = settings(max_examples=6, stateful_step_count=15, deadline=None, suppress_health_check=QUIET)


class WholeForLong(Whole):
    """The same, longer."""


TestWholeForLong = pytest.mark.slow(WholeForLong.TestCase)
TestWholeForLong.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=QUIET
)


def test_the_oracle_refuses_what_is_past_its_list(tmp_path: Path) -> None:
    paper = Paper(id=b"1", raw=b"", place=3, key=0, from_ms=0, at_ms=0, until_ms=30 * DAY_MS)
    version = Version(at_ms=0, key=0, places=(4, 5), states={})
    oracle = Oracle(papers=[paper], versions=[version], accredited=[(0, True)])
    assert oracle.good(paper, LIST_LIFE_MS - 1) and not oracle.good(paper, LIST_LIFE_MS)
    oracle.stolen[0] = 5
    assert not oracle.good(paper, 1), "one of the lists was logged after the theft"
    oracle.stolen[0] = 3
    assert not oracle.good(paper, 1)
