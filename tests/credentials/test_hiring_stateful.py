"""Hiring files through anything that may happen: the table holds, and who may act is what a slow look at the facts says."""

import contextlib
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.credentials.hiring import life
from ledger.credentials.hiring.life import Refused
from ledger.credentials.hiring.posts import DAY_MS
from ledger.credentials.hiring.review import after_months
from ledger.questions import MayAct
from tests.credentials.test_hiring import ADA, leie
from tests.support.hirings import HOLDER, NOW_MS, Desk, Registry, credential, small_post

BESIDE = ("request", "remove", "hold", "release", "decide", "withdraw", "grant", "erase")
"""What is noted in a file's history and does not change its state."""


class Files(RuleBasedStateMachine):
    """One file of one person; their licences; and the world around."""

    @initialize(days=st.sampled_from([0, 300, 800, 3000]))
    def begin(self, days: int) -> None:
        """days: of the licence of somebody who works already; 0: nobody does."""
        self.folder = Path(tempfile.mkdtemp())
        self.registry = Registry()
        self.desk = Desk(self.folder, self.registry, keep_ms=400 * DAY_MS)
        self.file = self.desk.hiring.open(small_post(), ADA, by="hr")
        self.sent: list[bytes] = []
        self.held = self.listed = self.withdrawn = False
        self.since_ms: int | None = None
        if days:
            self.send(days, "US-CA")
            self.check("verify")
            self.check("hire")
            assert self.state == "hired"

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            self.desk.store.close()
            shutil.rmtree(self.folder)

    @property
    def state(self) -> str:
        return self.desk.state(self.file)

    @rule(days=st.sampled_from([-1, 5, 40, 100, 800]), where=st.sampled_from(["US-CA", "US", "US-NV"]))
    def send_one(self, days: int, where: str) -> None:
        self.send(days, where)

    def send(self, days: int, where: str) -> None:
        until_ms = self.registry.now_ms + days * DAY_MS
        raw = credential("StateLicence", n=len(self.sent), where=where, until_ms=until_ms)
        with contextlib.suppress(Refused):
            self.desk.hiring.receive(self.file, self.registry.show(raw), by="hr")
            self.sent.append(raw)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), finding=st.sampled_from(["revoked", "suspended", "unknown", ""]))
    def find(self, data: st.DataObject, finding: str) -> None:
        raw = data.draw(st.sampled_from(self.sent))
        self.registry.clear(raw)
        if finding:
            outcome, step = ("unknown" if finding == "unknown" else "fail"), "revocation"
            self.registry.find(raw, step, outcome, finding)

    @rule(days=st.sampled_from([0.5, 8, 33, 400, 1000]))
    def wait(self, days: float) -> None:
        self.registry.now_ms += round(days * DAY_MS)

    @rule()
    def restart(self) -> None:
        self.desk.restart()

    @rule(step=st.sampled_from(["verify", "hire", "renew"]))
    def check_one(self, step: str) -> None:
        self.check(step)

    def check(self, step: str) -> None:
        before = self.state
        with contextlib.suppress(Refused):
            found = getattr(self.desk.hiring, step)(self.file, by="hr")
            if step in ("hire", "renew") and not found.causes:
                assert self.counts() and not self.listed and not self.held
                self.since_ms = self.registry.now_ms
            if found.causes and before != "hired":
                assert self.state != "hired"

    @rule(held=st.booleans())
    def hold(self, held: bool) -> None:
        with contextlib.suppress(Refused):
            (self.desk.hiring.suspend if held else self.desk.hiring.reinstate)(self.file, by="hr")
            self.held = held

    @rule(listed=st.booleans())
    def list_(self, listed: bool) -> None:
        self.desk.hiring.take_list("leie", leie(npi=ADA.npi) if listed else leie())
        self.listed = listed

    @rule(withdrawn=st.booleans())
    def withdraw(self, withdrawn: bool) -> None:
        with contextlib.suppress(Refused):
            self.desk.hiring.permit(self.file, "sign", "withdraw" if withdrawn else "grant", by="hr")
            self.withdrawn = withdrawn

    @precondition(lambda self: len(self.desk.store.history(self.file)) > 12)
    @rule(step=st.sampled_from(["end", "refuse"]))
    def finish(self, step: str) -> None:
        with contextlib.suppress(Refused):
            getattr(self.desk.hiring, step)(self.file, by="hr")

    @rule()
    def round(self) -> None:
        assert self.desk.hiring.round().failed == 0
        if self.state in life.AT_WORK:
            clear = self.counts() and not self.listed and not self.held and not self.due()
            known = self.counts() or not any("unknown" in str(each) for each in self.registry.findings.values())
            if clear or known:
                assert (self.state == "hired") is clear

    def counts(self) -> bool:
        """Whether a licence counts for the post."""
        for raw in self.sent:
            place, until_ms = raw.decode(), int(raw.decode().split(", ")[4])
            if self.registry.now_ms < until_ms and raw not in self.registry.findings and '"US-NV"' not in place:
                return True
        return False

    def due(self) -> bool:
        return self.since_ms is not None and self.registry.now_ms >= after_months(self.since_ms, 36)

    @invariant()
    def who_may_act_is_what_the_facts_say(self) -> None:
        if not hasattr(self, "desk"):
            return
        free = self.state in life.AT_WORK and self.counts() and not self.listed and not self.held and not self.due()
        for capability in ("break-glass", "sign"):
            answer = self.desk.hiring.may(MayAct(holder=HOLDER, capability=capability))
            withdrawn = capability == "sign" and self.withdrawn
            if answer.allowed:
                assert free and not withdrawn, (capability, answer)
                assert answer.until_ms is not None and answer.until_ms > self.registry.now_ms
            elif self.state == "hired":  # one who is suspended begins again with a round, or with the next news
                assert not free or withdrawn, (capability, answer)

    @invariant()
    def every_step_is_one_of_the_table(self) -> None:
        if not hasattr(self, "desk"):
            return
        state: life.State = "requested"
        for each in self.desk.store.history(self.file):
            if each.event in BESIDE or " " in each.event:
                assert each.state == state
            else:
                state = life.after(state, each.event)  # type: ignore[arg-type]
                assert each.state == state
        assert self.state == state

    @invariant()
    def nothing_is_told_twice(self) -> None:
        if not hasattr(self, "desk"):
            return
        alerts = self.desk.hiring.alerts(self.file)
        marks = Counter((each.code, each.subject, each.end_ms, each.days) for each in alerts if each.days)
        standing = Counter((each.code, each.subject) for each in alerts if not each.days and each.resolved_ms is None)
        assert not marks or max(marks.values()) == 1
        assert not standing or max(standing.values()) == 1
        for each in alerts:
            if each.days:
                assert each.raised_ms < each.end_ms <= each.raised_ms + each.days * DAY_MS and each.raised_ms >= NOW_MS


TestFiles = Files.TestCase
TestFiles.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
