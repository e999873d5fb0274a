"""The steps of a verdict, in their order; each passes, fails or stays unknown, and unknown is never valid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger.credentials import model
from ledger.credentials.rules.records import Committed
from ledger.credentials.vc import did
from ledger.credentials.vc.did import DidTable
from ledger.credentials.vc.multikey import VerifyingKey
from ledger.credentials.vc.secured import Secured
from ledger.credentials.verdict.known import Held, Key, Known, Version
from protocol.errors import NotFound, ProtocolError

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
NAMES = "format signature issuer accredited logged period revocation suspension holder content".split()
DAY_MS = 86_400_000
EVER_MS = 1 << 62  # later than anything that is logged


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What came of one step. code: stable, the same for the same finding; age_ms: of what it rests on, where that has an age."""

    name: str
    outcome: str
    code: str
    age_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All steps over one credential, at a time. at_ms: the time that was asked about."""

    steps: tuple[Step, ...]
    at_ms: int

    @property
    def outcome(self) -> str:
        """fail when a step failed, else unknown when one is not known, else pass."""
        found = {step.outcome for step in self.steps}
        if FAIL in found:
            return FAIL
        return PASS if found == {PASS} else UNKNOWN

    @property
    def valid(self) -> bool:
        """Whether every step passed."""
        return self.outcome == PASS

    def step(self, name: str) -> Step:
        """The step with this name."""
        return next(each for each in self.steps if each.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """How old may be what a verdict rests on. facts_ms: since the ledger was last read; checked_ms: since a source was asked,
    of a primary source verification (NCQA asks for 120 days)."""

    facts_ms: int = DAY_MS
    checked_ms: int = 120 * DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Possession:
    """Who showed a credential. holder: the DID whose key signed for this very question; code: why nobody did, else empty."""

    holder: str | None
    code: str = ""


NO_DOCUMENTS = DidTable()  # did:key alone
Content = Callable[[Secured], Sequence[str]]  # the codes of what cannot be as it stands


def check(
    found: Secured,
    known: Known,
    *,
    now_ms: int,
    content: Content,
    at_ms: int | None = None,
    possession: Possession | None = None,
    ages: Ages = Ages(),
    pinned: DidTable = NO_DOCUMENTS,
) -> Verdict:
    """The verdict over a credential, now or as it was at `at_ms`. possession: None: nobody was asked to prove it theirs;
    pinned: DIDs of issuers that the ledger does not know, so that it can be said whether they signed at all."""
    at = now_ms if at_ms is None else at_ms
    known_ms = EVER_MS if at_ms is None else at_ms  # now, all counts that the log says: its clock may be before ours
    view = _View(found, known, at_ms=at, known_ms=known_ms, now_ms=now_ms, ages=ages)
    steps = (
        Step(name="format", outcome=PASS, code=found.format),
        view.signature(pinned),
        view.issuer(),
        view.accredited(),
        view.logged(),
        view.period(),
        view.status(model.REVOCATION),
        view.status(model.SUSPENSION),
        _holder(found, possession),
        _content(found, content),
    )
    return Verdict(steps=steps, at_ms=at)


def unreadable(code: str, *, at_ms: int) -> Verdict:
    """The verdict over what is no credential."""
    rest = [Step(name=name, outcome=UNKNOWN, code="not_reached") for name in NAMES[1:]]
    return Verdict(steps=(Step(name="format", outcome=FAIL, code=code), *rest), at_ms=at_ms)


class _View:
    """One credential before what is known."""

    def __init__(self, found: Secured, known: Known, *, at_ms: int, known_ms: int, now_ms: int, ages: Ages) -> None:
        self._found, self._known, self._ages = found, known, ages
        self._at_ms, self._known_ms, self._now_ms = at_ms, known_ms, now_ms
        self._key: Key | None = known.key(found.method)
        self._committed: Committed | None = None
        if found.anchor is not None and known.names(found.anchor.log):
            self._committed = known.committed(found.anchor.id)
        self._age_ms = max(0, now_ms - known.as_of_ms)

    def signature(self, pinned: DidTable) -> Step:
        key: VerifyingKey | None = self._key.key if self._key else None
        try:
            if key is None:
                key = pinned.resolve(self._found.issuer).key(self._found.method, did.ASSERTION)
            self._found.check(key, now_ms=self._now_ms)
        except (NotFound, ProtocolError) as error:
            if error.code in _NOBODYS:
                return _step("signature", UNKNOWN, "key_unknown")
            return _step("signature", FAIL, error.code)
        return _step("signature", PASS, "signed")

    def issuer(self) -> Step:
        """Whether an institution stands behind the key, and had it still when the credential was logged."""
        if self._key is None:
            return self._ledger("issuer", FAIL, "issuer_unknown")
        if self._key.did != self._found.issuer:
            return self._ledger("issuer", FAIL, "issuer_mismatch")
        life = self._key.life
        if self._committed is not None and not life.counts(self._committed.place):
            return self._ledger("issuer", FAIL, "key_compromised")
        if self._committed is None and (life.compromised is not None or life.retired is not None):
            return self._ledger("issuer", FAIL, "key_ended")
        return self._ledger("issuer", PASS, "issuer_key")

    def accredited(self) -> Step:
        """At issuance, and at the time that is asked about."""
        if self._key is None:
            return self._ledger("accredited", FAIL, "issuer_unknown")
        party, kind, where = self._key.life.party, self._found.type, self._found.jurisdiction
        if not self._known.acts(party, known_ms=self._known_ms):
            return self._ledger("accredited", FAIL, "issuer_revoked")
        if self._committed is None:
            return self._ledger("accredited", UNKNOWN, "issuance_unknown")
        place, began_ms = self._committed.place, self._committed.at_ms
        if not self._known.accredited(party, kind, where, at_ms=began_ms, known=place):
            return self._ledger("accredited", FAIL, "not_accredited_at_issuance")
        if not self._known.accredited(party, kind, where, at_ms=self._at_ms, known=self._known_ms):
            return self._ledger("accredited", FAIL, "not_accredited")
        return self._ledger("accredited", PASS, "accredited")

    def logged(self) -> Step:
        """Whether the ledger has a commitment to exactly this, by this issuer, with this key."""
        found, said = self._found, self._committed
        if found.anchor is None:
            return _step("logged", FAIL, "anchor_missing")
        if not self._known.names(found.anchor.log):
            return _step("logged", UNKNOWN, "log_other")
        if said is None:
            return self._ledger("logged", FAIL, "not_logged")
        same = said.commitment == found.anchor.commitment(found.signed)
        if not same or (said.type, said.jurisdiction) != (found.type, found.jurisdiction):
            return self._ledger("logged", FAIL, "commitment_mismatch")
        if self._key is None or said.key != self._key.key.thumbprint or said.party != self._key.life.party:
            return self._ledger("logged", FAIL, "commitment_of_other")
        if not self._known.stands(found.anchor.id, said):
            return self._ledger("logged", FAIL, "signer_revoked")
        if said.at_ms > self._known_ms:
            return self._ledger("logged", FAIL, "logged_later")
        return self._ledger("logged", PASS, "logged")

    def period(self) -> Step:
        found, said = self._found, self._committed
        if found.from_ms is not None and self._at_ms < found.from_ms:
            return _step("period", FAIL, "not_yet_valid")
        if found.until_ms is not None and self._at_ms >= found.until_ms:
            return _step("period", FAIL, "expired")
        if found.type == model.CHECKED_TYPE:
            if said is None or said.checked_ms is None:
                return _step("period", UNKNOWN, "check_unknown")
            if self._at_ms - said.checked_ms > self._ages.checked_ms:
                return _step("period", FAIL, "check_too_old")
        return _step("period", PASS, "in_period")

    def status(self, purpose: str) -> Step:
        """Whether the bit is set in the version of the list that was the newest."""
        entry = self._found.status.get(purpose)
        if entry is None:
            return _step(purpose, UNKNOWN, "status_missing")
        if self._key is None:
            return _step(purpose, UNKNOWN, "issuer_unknown")
        version, held = self._known.version(entry.url, party=self._key.life.party, at_ms=self._known_ms)
        if version is None:
            return _step(purpose, UNKNOWN, "status_unknown")
        if held is None:
            return _step(purpose, UNKNOWN, "status_stale")
        found = held.list
        if version.purpose != purpose or found.purpose != purpose:
            return _step(purpose, FAIL, "status_purpose")
        if found.issuer != self._found.issuer:
            return _step(purpose, FAIL, "status_issuer")
        if not self._signed(version, held):
            return _step(purpose, UNKNOWN, "status_key")
        ends = [end for end in (version.until_ms, found.valid_until_ms) if end is not None]
        if any(self._at_ms >= end for end in ends):
            return _step(purpose, UNKNOWN, "status_ended")
        if entry.index >= found.bits.size:
            return _step(purpose, FAIL, "status_index")
        if found.bits[entry.index]:
            return self._ledger(purpose, FAIL, "revoked" if purpose == model.REVOCATION else "suspended")
        return self._ledger(purpose, PASS, "not_revoked" if purpose == model.REVOCATION else "not_suspended")

    def _signed(self, version: Version, held: Held) -> bool:
        """Whether the list was made with a key of the issuer that counted when it was logged."""
        key = self._known.key(held.method)
        return key is not None and key.did == held.list.issuer and key.life.counts(version.place)

    def _ledger(self, name: str, outcome: str, code: str) -> Step:
        """A finding that rests on the ledger: when that was read too long ago, nothing is certain but what is wrong for good."""
        if self._age_ms > self._ages.facts_ms and (outcome == PASS or code in _MAY_HAVE_CHANGED):
            return Step(name=name, outcome=UNKNOWN, code="facts_old", age_ms=self._age_ms)
        return Step(name=name, outcome=outcome, code=code, age_ms=self._age_ms)


_NOBODYS = frozenset({"did_unknown", "did_bad"})  # an issuer whose keys are in no document that is known here
_MAY_HAVE_CHANGED = frozenset({"issuer_unknown", "not_logged", "not_accredited", "suspended"})


def _step(name: str, outcome: str, code: str) -> Step:
    return Step(name=name, outcome=outcome, code=code)


def _holder(found: Secured, possession: Possession | None) -> Step:
    if possession is None:
        return _step("holder", UNKNOWN, "holder_not_asked")
    if possession.code:
        return _step("holder", FAIL, possession.code)
    if found.subject is None:
        return _step("holder", FAIL, "holder_unbound")
    if possession.holder != found.subject:
        return _step("holder", FAIL, "holder_other")
    return _step("holder", PASS, "holder")


def _content(found: Secured, content: Content) -> Step:
    problems = content(found)
    return _step("content", FAIL, problems[0]) if problems else _step("content", PASS, "content")
