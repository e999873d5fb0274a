"""The registration policy: in force from the next entry, by the root alone, never a trap; and who reads what."""

import dataclasses
from collections.abc import Callable

import pytest

from ledger import contracts, founding, policy, registry
from ledger.contracts import GENERIC, STANDARD
from ledger.rules import Refused
from protocol import declarations, documents, retention
from protocol.documents import Policy, Rule
from protocol.errors import ProtocolError
from protocol.keys import SigningKey
from tests.support import registrants as who
from tests.support.registrants import CARRIER, DAY_MS, GATEWAY, LOG, MAKER, NOW_MS, ORIGIN, ROOT, STRANGER, TEXT, Book

NEXT = who.key(20)


def book() -> Book:
    """A log with a maker and a carrier, whose policy lets makers register texts."""
    found = Book()
    found.admit(MAKER)
    found.admit(CARRIER, "carrier", "Carrier")
    return found


def changed(log: Book, n: int = 2, **rules: Rule | None) -> Policy:
    """The log's policy with other rules for texts (`text`) and whatever `TYPES` names."""
    found = dict(log.policy.rules)
    for name, rule in rules.items():
        found.pop(TYPES[name], None)
        if rule is not None:
            found[TYPES[name]] = rule
    return Policy(log=ORIGIN, n=n, rules=found)


TYPES = {
    "text": TEXT,
    "genesis": documents.GENESIS,
    "policy": documents.POLICY,
    "admission": documents.REGISTRY,
    "revocation": documents.REVOCATION,
    "log_key": documents.LOG_KEY,
    "party_key": documents.PARTY_KEY,
    "anchor": documents.ANCHOR,
}


def rule(*roles: str, readers: str = "public") -> Rule:
    return Rule(roles=frozenset(roles), readers=readers)


def put(log: Book, found: Policy, by: SigningKey = ROOT) -> None:
    log.add(declarations.policy(by, found))


def refused(log: Book, raw: bytes) -> str:
    """The code with which a statement is refused; nothing changes."""
    before = dict(log.state)
    with pytest.raises(ProtocolError) as found:
        log.add(raw)
    assert log.state == before
    return found.value.code


def reads(log: Book, raw: bytes, key: SigningKey | None) -> bool:
    """Whether the holder of a key, or anybody, may read a statement."""
    thumbprint = None if key is None else key.public.thumbprint
    try:
        policy.check_read(log.state, who.parsed(raw), thumbprint, now_ms=log.now_ms)
    except Refused as error:
        return error.code != "statement_not_for_you"
    return True


def test_a_log_begins_with_what_its_contracts_say_of_their_types() -> None:
    found = founding.default_policy(ORIGIN, STANDARD)
    assert found.rules[documents.ANCHOR] == found.rules[documents.ENROLMENT] == rule("gateway")
    assert found.rules[documents.PARTY_KEY] == rule("member")
    for content_type, roles in policy.GIVEN.items():
        assert found.rules[content_type] == Rule(roles=roles)
    assert set(found.rules) == {each for contract in STANDARD.all for each in contract.kinds}


def test_a_policy_counts_from_the_next_entry_on() -> None:
    log = book()
    assert refused(log, who.text(CARRIER)) == "issuer_not_allowed"
    put(log, changed(log, text=rule("carrier")))
    assert policy.in_force(log.state) == changed(log, text=rule("carrier"))
    assert refused(log, who.text(MAKER)) == "issuer_not_allowed"
    log.add(who.text(CARRIER))


def test_a_statement_that_no_contract_claims_is_kept_and_changes_nothing() -> None:
    log = book()
    assert log.add(who.text(MAKER)) == {}
    assert log.judged[-1][2] == GENERIC
    assert refused(log, who.text(MAKER, content_type="text/other")) == "content_type_not_allowed"
    assert refused(log, who.text(STRANGER)) == "issuer_unknown"
    wrong = bytearray(who.text(MAKER))
    wrong[-1] ^= 1
    assert refused(log, bytes(wrong)) == "signature_bad"


def test_members_are_all_parties_and_neither_the_root_nor_the_log() -> None:
    log = book()
    put(log, changed(log, text=rule("member")))
    log.add(who.text(MAKER))
    log.add(who.text(CARRIER))
    for key in (ROOT, LOG):
        assert refused(log, who.text(key)) == "issuer_not_allowed"
    put(log, changed(log, 3, text=rule("root", "log")))
    for key in (ROOT, LOG):
        log.add(who.text(key))
    assert refused(log, who.text(MAKER)) == "issuer_not_allowed"


def test_a_type_without_roles_is_registered_by_nobody_and_read_as_before() -> None:
    log = book()
    raw = who.text(MAKER)
    log.add(raw)
    put(log, changed(log, text=rule()))
    assert refused(log, who.text(MAKER, 2)) == "issuer_not_allowed"
    assert reads(log, raw, None)


Make = Callable[[Book], bytes]
GIVEN = ("genesis", "policy", "admission", "revocation", "log_key")
REFUSALS: dict[str, tuple[Make, str]] = {
    "a policy by a party": (lambda log: declarations.policy(MAKER, changed(log)), "issuer_not_allowed"),
    "a policy by the log": (lambda log: declarations.policy(LOG, changed(log)), "issuer_not_allowed"),
    "a policy by nobody known": (lambda log: declarations.policy(STRANGER, changed(log)), "issuer_unknown"),
    "a policy of the same number": (lambda log: declarations.policy(ROOT, changed(log, 1, text=None)), "policy_old"),
    "a policy of a lower number": (lambda log: declarations.policy(ROOT, changed(log, 0, text=None)), "policy_old"),
    "a policy for another log": (
        lambda log: declarations.policy(ROOT, dataclasses.replace(changed(log), log="log.example/other")),
        "log_other",
    ),
    "a policy under another subject": (
        lambda log: who.restated(declarations.policy(ROOT, changed(log)), ROOT, sub="vigil:policy:else"),
        "subject_wrong",
    ),
    "a policy as a hash": (lambda log: who.hashed(declarations.policy(ROOT, changed(log)), ROOT), "form_not_allowed"),
    "a policy that is none": (
        lambda log: who.restated(declarations.policy(ROOT, changed(log)), ROOT, payload=b"\x01"),
        "document_bad",
    ),
    **{
        f"a policy without {name}": (
            lambda log, name=name: declarations.policy(ROOT, changed(log, **{name: None})),  # type: ignore[misc]
            "policy_locks_out",
        )
        for name in GIVEN
    },
    **{
        f"a policy that gives {name} away": (
            lambda log, name=name: declarations.policy(ROOT, changed(log, **{name: rule("maker")})),  # type: ignore[misc]
            "policy_locks_out",
        )
        for name in GIVEN
    },
    **{
        f"a policy that hides {name}": (
            lambda log, name=name: declarations.policy(  # type: ignore[misc]
                ROOT, changed(log, **{name: Rule(roles=policy.GIVEN[TYPES[name]], readers="members")})
            ),
            "policy_locks_out",
        )
        for name in GIVEN
    },
}


@pytest.mark.parametrize(("make", "code"), REFUSALS.values(), ids=REFUSALS)
def test_a_policy_that_may_not_be_is_refused_with_its_code(make: Make, code: str) -> None:
    log = book()
    assert refused(log, make(log)) == code
    assert code in STANDARD.codes


def test_every_code_of_policies_has_a_case_here() -> None:
    assert policy.CONTRACT.codes <= {code for _, code in REFUSALS.values()}


def test_the_next_policy_is_registered_under_every_policy_that_could_be_registered() -> None:
    log = book()
    put(log, Policy(log=ORIGIN, n=2, rules={name: Rule(roles=roles) for name, roles in policy.GIVEN.items()}))
    for raw in (who.text(MAKER), who.rotation(MAKER, NEXT)):
        assert refused(log, raw) == "content_type_not_allowed"
    log.add(who.revocation(MAKER, MAKER, 1))
    log.admit(NEXT)
    put(log, changed(log, 3))
    log.add(who.text(NEXT))


def test_before_its_policy_a_log_takes_nothing_else() -> None:
    genesis = founding.statements(origin=ORIGIN, epoch=1, log_key=LOG, root=ROOT, contracts=STANDARD)[0]
    state: dict[bytes, bytes] = {}
    for index, (raw, code) in enumerate(
        [
            (who.admission(MAKER), "genesis_missing"),
            (declarations.policy(ROOT, founding.default_policy(ORIGIN, STANDARD)), "genesis_missing"),
            (genesis, ""),
            (who.admission(MAKER), "policy_missing"),
            (who.text(MAKER), "policy_missing"),
            (genesis, "genesis_exists"),
        ]
    ):
        found = who.parsed(contracts.bare(raw))
        if code:
            with pytest.raises(Refused) as no:
                STANDARD.judge(state, found, NOW_MS, index=index)
            assert no.value.code == code
        else:
            state.update(STANDARD.judge(state, found, NOW_MS, index=index)[1].puts)


def test_the_same_policy_does_not_count_twice() -> None:
    log = book()
    put(log, changed(log, 2, text=None))
    put(log, changed(log, 3))
    assert refused(log, declarations.policy(ROOT, changed(log, 2, text=None))) == "policy_old"


READERS: dict[str, dict[str, bool]] = {
    "public": {"anybody": True, "stranger": True, "issuer": True, "member": True, "root": True},
    "members": {"anybody": False, "stranger": False, "issuer": True, "member": True, "root": False},
    "issuer": {"anybody": False, "stranger": False, "issuer": True, "member": False, "root": False},
}
PEOPLE = {"anybody": None, "stranger": STRANGER, "issuer": MAKER, "member": CARRIER, "root": ROOT}


@pytest.mark.parametrize("readers", READERS)
def test_a_statement_is_read_by_those_whom_the_policy_names(readers: str) -> None:
    log, raw = book(), who.text(MAKER)
    log.add(raw)
    put(log, changed(log, text=rule("maker", readers=readers)))
    assert {name: reads(log, raw, key) for name, key in PEOPLE.items()} == READERS[readers]


def test_a_type_that_the_policy_names_no_more_is_its_issuers_to_read() -> None:
    log, raw = book(), who.text(MAKER)
    log.add(raw)
    put(log, changed(log, text=None))
    assert {name: reads(log, raw, key) for name, key in PEOPLE.items()} == READERS["issuer"]


def test_an_issuer_reads_with_its_new_key_what_it_said_with_the_old_one() -> None:
    log, raw = book(), who.text(MAKER)
    log.add(raw)
    put(log, changed(log, text=rule("maker", readers="issuer")))
    log.add(who.rotation(MAKER, NEXT, until_ms=NOW_MS + DAY_MS))
    assert reads(log, raw, MAKER) and reads(log, raw, NEXT)
    log.now_ms += DAY_MS
    assert not reads(log, raw, MAKER) and reads(log, raw, NEXT)


def test_who_was_revoked_reads_what_everybody_reads() -> None:
    log, raw = book(), who.text(CARRIER)
    put(log, changed(log, text=rule("member", readers="members")))
    log.add(raw)
    assert reads(log, raw, MAKER)
    log.add(who.revocation(ROOT, MAKER, 0))
    assert not reads(log, raw, MAKER)
    assert reads(log, who.admission(MAKER), MAKER)


def test_what_a_court_may_take_away_is_read_by_no_rule() -> None:
    for content_type in policy.GIVEN:
        assert not STANDARD.redactable(content_type)
    assert not STANDARD.redactable(documents.PARTY_KEY)
    assert STANDARD.redactable(documents.ANCHOR) and STANDARD.redactable(TEXT)


def test_no_policy_lets_a_party_take_bodies_away() -> None:
    log = book()
    given = {retention.REDACTION: rule("maker", "root"), retention.RETENTION: rule("maker", "root")}
    put(log, dataclasses.replace(changed(log), rules={**log.policy.rules, **given}))
    for content_type in given:
        assert refused(log, who.text(MAKER, content_type=content_type)) == "issuer_not_allowed"
        assert refused(log, who.text(ROOT, content_type=content_type)) == "subject_wrong"


def test_a_gateways_next_key_is_another_gateway() -> None:
    log = book()
    log.admit(GATEWAY, "gateway", "Clinic")
    log.admit(NEXT, "gateway", "Clinic")
    for key in (GATEWAY, NEXT):
        assert registry.issuer(log.state, key.public.thumbprint, NOW_MS).party == key.public.thumbprint
