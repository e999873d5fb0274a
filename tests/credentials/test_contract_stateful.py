"""Any order of accreditations, keys, thefts, commitments, lists and licences: the contract and a slow oracle never part.

The oracle keeps what was registered as plain rows and reads all of them for every answer.
"""

import dataclasses
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ledger.contracts import STANDARD
from ledger.credentials.model import Accreditation, Commitment, IssuerKeyEnd, Licence, Listing
from ledger.credentials.rules import records
from ledger.questions import CommitmentOf, HasLicence, IsAccredited
from protocol.errors import ProtocolError
from protocol.keys import SigningKey
from tests.support import registrants
from tests.support.accrediting import BOARD, CLINIC, MILL, book, issuer_key, said
from tests.support.registrants import NOW_MS, ORIGIN, ROOT, Book

HOUR_MS = 3_600_000
PARTIES = (BOARD, MILL)
DIDS = ("did:web:board.example", "did:web:mill.example")
TYPES = ("StateLicence", "Degree", "AuthorizedTradingPartner")
PLACES = ("US", "US-CA", "CA", "*")
KEYS = tuple(registrants.key(300 + n) for n in range(4))
COVERS = {  # by which what is said covers each place, written out
    "US": {"US", "*"},
    "US-CA": {"US-CA", "US", "*"},
    "CA": {"CA", "*"},
    "*": {"*"},
}

parties = st.integers(0, len(PARTIES) - 1)
keys = st.integers(0, len(KEYS) - 1)
places = st.sampled_from(PLACES)
hours = st.integers(-3, 6)


@dataclasses.dataclass(frozen=True)
class Row:
    """Something that was registered. at: its index; what: of the contract."""

    at: int
    at_ms: int
    what: str
    of: dict[str, Any]


class Oracle:
    """What should be true, from rows alone."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def named(self, what: str, **of: Any) -> list[Row]:
        """The rows of a kind with these fields."""
        return [row for row in self.rows if row.what == what and all(row.of[name] == of[name] for name in of)]

    def granted(self, what: str, party: bytes, kind: str, place: str, now_ms: int) -> bool:
        """Whether some newest word, for a place that covers this one, holds."""
        for wider in COVERS[place]:
            said_of = self.named(what, party=party, type=kind, jurisdiction=wider)
            newest = said_of[-1].of if said_of else {"withdrawn": True}
            if not newest["withdrawn"] and newest["from_ms"] <= now_ms < newest["until_ms"]:
                return True
        return False

    def ended(self, key: int, at: int) -> bool:
        """Whether what was logged at an index under a key counts for nothing."""
        for row in self.named("end", key=key):
            if row.of["stolen"] is not None and row.of["stolen"] <= at:
                return True
            if row.of["stolen"] is None and row.at <= at:
                return True
        return False


class Credentials(RuleBasedStateMachine):
    """The contract on one side, the oracle on the other."""

    def __init__(self) -> None:
        super().__init__()
        self.log: Book = book()
        self.oracle = Oracle()
        self.ids = 0

    @initialize()
    def begin(self) -> None:
        """Both may vouch for something, so that most orders get somewhere."""
        for who in range(len(PARTIES)):
            self.accredit(who, who, "StateLicence", "*", -1, 40, False)
            self.add_key(who, who, who)

    def tried(self, raw: bytes, expected: str | None, what: str, **of: Any) -> None:
        """Registered, or refused with the code that the oracle expects."""
        place = self.log.size
        if expected is not None:
            with pytest.raises(ProtocolError) as refused:
                self.log.add(raw)
            assert refused.value.code == expected, (what, of)
            return
        self.log.add(raw)
        self.oracle.rows.append(Row(at=place, at_ms=self.log.now_ms, what=what, of=of))

    @rule(
        who=parties,
        did=parties,
        kind=st.sampled_from(TYPES),
        place=places,
        begins=hours,
        lasts=hours,
        ends=st.booleans(),
    )
    def accredit(self, who: int, did: int, kind: str, place: str, begins: int, lasts: int, ends: bool) -> None:
        """By the root, under its own DID or the other's."""
        of = {
            "party": PARTIES[who].public.thumbprint,
            "type": kind,
            "jurisdiction": place,
            "from_ms": self.log.now_ms + begins * HOUR_MS,
            "until_ms": self.log.now_ms + (begins + abs(lasts) + 1) * HOUR_MS,
            "withdrawn": ends,
        }
        own = self.oracle.named("grant", party=of["party"])
        other = [row for row in self.oracle.named("grant", did=DIDS[did]) if row.of["party"] != of["party"]]
        code = "did_other" if own and own[0].of["did"] != DIDS[did] else "did_taken" if other else None
        self.tried(said(ROOT, Accreditation(log=ORIGIN, did=DIDS[did], **of)), code, "grant", did=DIDS[did], **of)

    @rule(who=parties, did=parties, key=keys)
    def add_key(self, who: int, did: int, key: int) -> None:
        """By whoever, under one of the DIDs."""
        own = self.oracle.named("grant", party=PARTIES[who].public.thumbprint)
        code = None
        if not own:
            code = "issuer_not_accredited"
        elif own[0].of["did"] != DIDS[did]:
            code = "did_other"
        elif self.oracle.named("key", key=key):
            code = "key_has_other_duty"
        raw = issuer_key(PARTIES[who], KEYS[key], DIDS[did], f"k{key}")
        self.tried(raw, code, "key", key=key, who=who)

    @rule(by=st.sampled_from((0, 1, 2)), who=parties, key=keys, back=st.none() | st.integers(-2, 4))
    def end_key(self, by: int, who: int, key: int, back: int | None) -> None:
        """Retired, or stolen about when the key was last used, or now. by: 2 for the root."""
        signer: SigningKey = ROOT if by == 2 else PARTIES[by]
        used = [row.at for row in self.oracle.named("commitment", key=key)]
        stolen = None if back is None else max(0, (used[-1] if used else self.log.size) - back)
        ends = self.oracle.named("end", key=key)
        thefts = [row.of["stolen"] for row in ends if row.of["stolen"] is not None]
        code = None
        if by not in (2, who):
            code = "issuer_not_allowed"
        elif not self.oracle.named("key", key=key, who=who):
            code = "issuer_key_unknown"
        elif stolen is None:
            code = "end_exists" if ends else None
        elif stolen > self.log.size:
            code = "end_early"
        elif thefts and min(thefts) <= stolen:
            code = "end_exists"
        document = IssuerKeyEnd(
            log=ORIGIN,
            party=PARTIES[who].public.thumbprint,
            key=KEYS[key].public.thumbprint,
            compromised=stolen is not None,
            epoch=0 if stolen is None else 1,
            index=0 if stolen is None else stolen,
        )
        self.tried(said(signer, document), code, "end", key=key, stolen=stolen)

    @rule(who=parties, key=keys, kind=st.sampled_from(TYPES[:2]), place=places, again=st.booleans())
    def commit(self, who: int, key: int, kind: str, place: str, again: bool) -> None:
        """To something new, or once more to what there is."""
        known = self.oracle.named("commitment")
        number = known[0].of["number"] if again and known else self.ids
        self.ids += 1
        party, code = PARTIES[who].public.thumbprint, None
        if not self.oracle.named("key", key=key, who=who):
            code = "issuer_key_unknown"
        elif self.oracle.ended(key, self.log.size):
            code = "issuer_key_ended"
        elif not self.oracle.granted("grant", party, kind, place, self.log.now_ms):
            code = "issuer_not_accredited"
        elif self.oracle.named("commitment", number=number):
            code = "credential_exists"
        document = Commitment(
            log=ORIGIN,
            id=number.to_bytes(16, "big"),
            commitment=self.ids.to_bytes(32, "big"),
            type=kind,
            jurisdiction=place,
            key=KEYS[key].public.thumbprint,
        )
        said_of = {"number": number, "key": key, "party": party, "commitment": document.commitment}
        self.tried(said(PARTIES[who], document), code, "commitment", **said_of)

    @rule(who=parties, name=st.integers(0, 1), n=st.integers(-1, 1), purpose=st.booleans(), lasts=st.integers(-1, 3))
    def publish(self, who: int, name: int, n: int, purpose: bool, lasts: int) -> None:
        """A version of a list: the next one when `n` is 0."""
        before = self.oracle.named("list", name=name)
        number = max(1, (before[-1].of["n"] if before else 0) + 1 + n)
        party, use = PARTIES[who].public.thumbprint, "revocation" if purpose else "suspension"
        code = None
        if not self.oracle.named("grant", party=party):
            code = "issuer_not_accredited"
        elif before and before[0].of["who"] != who:
            code = "list_other"
        elif before and before[0].of["use"] != use:
            code = "list_changed"
        elif number != (before[-1].of["n"] if before else 0) + 1:
            code = "list_version"
        elif lasts <= 0:
            code = "list_ended"
        document = Listing(
            log=ORIGIN,
            list=bytes([name]) * 16,
            purpose=use,
            n=number,
            digest=self.log.size.to_bytes(32, "big"),
            size=1 << 17,
            until_ms=self.log.now_ms + lasts * HOUR_MS,
        )
        of = {"name": name, "who": who, "use": use, "n": number, "digest": document.digest}
        self.tried(said(PARTIES[who], document), code, "list", **of)

    @rule(who=parties, place=places, begins=hours, lasts=hours, ends=st.booleans())
    def license(self, who: int, place: str, begins: int, lasts: int, ends: bool) -> None:
        """The clinic's licence, by who may."""
        of = {
            "party": CLINIC.public.thumbprint,
            "type": TYPES[2],
            "jurisdiction": place,
            "from_ms": self.log.now_ms + begins * HOUR_MS,
            "until_ms": self.log.now_ms + (begins + abs(lasts) + 1) * HOUR_MS,
            "withdrawn": ends,
        }
        may = self.oracle.granted("grant", PARTIES[who].public.thumbprint, TYPES[2], place, self.log.now_ms)
        code = None if may else "issuer_not_accredited"
        self.tried(said(PARTIES[who], Licence(log=ORIGIN, **of)), code, "licence", **of)

    @rule(key=st.integers(0, 1), back=st.integers(-1, 1))
    def use_and_lose(self, key: int, back: int) -> None:
        """What happens most, in the order in which it matters: a key signs, and is then found to have been stolen."""
        self.commit(key, key, TYPES[0], "US", False)
        self.end_key(2, key, key, back)

    @rule(passed=st.integers(1, 4))
    def wait(self, passed: int) -> None:
        """Hours go by."""
        self.log.now_ms += passed * HOUR_MS

    @invariant()
    def both_answer_alike(self) -> None:
        """Every question, for every party, type and place; and every commitment and list."""
        state, now_ms = self.log.state, self.log.now_ms
        for place in PLACES:
            for who in PARTIES:
                for kind in TYPES:
                    asked = IsAccredited(party=who.public.thumbprint, type=kind, jurisdiction=place)
                    expected = self.oracle.granted("grant", asked.party, kind, place, now_ms)
                    assert STANDARD.ask(state, asked, now_ms) is expected
            licensed = HasLicence(party=CLINIC.public.thumbprint, type=TYPES[2], jurisdiction=place)
            expected = self.oracle.granted("licence", licensed.party, TYPES[2], place, now_ms)
            assert STANDARD.ask(state, licensed, now_ms) is expected
        for row in self.oracle.named("commitment"):
            found = STANDARD.ask(state, CommitmentOf(id=row.of["number"].to_bytes(16, "big")), now_ms)
            assert found is not None
            assert (found.party, found.commitment, found.at_ms) == (row.of["party"], row.of["commitment"], row.at_ms)
            assert found.counts is not self.oracle.ended(row.of["key"], row.at)
        for name in (0, 1):
            rows, held = self.oracle.named("list", name=name), state.get(records.LIST + bytes([name]) * 16)
            assert (held is None) is (not rows)
            if held is not None:
                listed = records.Listed.decode(held)
                assert (listed.n, listed.digest) == (rows[-1].of["n"], rows[-1].of["digest"])

    def teardown(self) -> None:
        """The same statements lead to the same state again."""
        assert self.log.replayed() == self.log.state
        assert self.log.now_ms >= NOW_MS


TestCredentials = Credentials.TestCase
TestCredentials.settings = settings(max_examples=15, stateful_step_count=40, deadline=None)


@pytest.mark.slow
class TestManyOrders(Credentials.TestCase):
    """The same for longer."""

    settings = settings(max_examples=150, stateful_step_count=80, deadline=None)
