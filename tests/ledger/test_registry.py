"""Parties and the log change their keys and revoke them: who acts when, which signatures count, and every refusal."""

import itertools
from collections.abc import Callable

import pytest

from ledger import registry
from ledger.contracts import STANDARD
from ledger.questions import HasRole, IsAdmitted, IsTrusted, LogName, PartyOf
from ledger.registry.logs import LOG_KEYS_MAX
from ledger.registry.parties import OVERLAP_MAX_MS
from ledger.rules import Refused
from protocol import declarations, documents, statement
from protocol.errors import BadSignature, Malformed, ProtocolError
from protocol.keys import SigningKey
from protocol.p256 import P256SigningKey
from tests.support import registrants as who
from tests.support.registrants import CARRIER, DAY_MS, GATEWAY, LOG, MAKER, NOW_MS, ORIGIN, ROOT, STRANGER, Book

NEXT, THIRD = who.key(20), who.key(21)
EC = P256SigningKey(bytes([7]) * 32)


def book() -> Book:
    """A log with a maker, a carrier and a gateway."""
    found = Book()
    found.admit(MAKER)
    found.admit(CARRIER, "carrier", "Carrier")
    found.admit(GATEWAY, "gateway", "Clinic")
    return found


def refused(log: Book, raw: bytes) -> str:
    """The code with which a statement is refused; nothing changes."""
    before = dict(log.state)
    with pytest.raises(ProtocolError) as found:
        log.add(raw)
    assert log.state == before
    return found.value.code


def acts(log: Book, key: SigningKey) -> bool:
    """Whether a key is one that may sign now, to the judge and to who asks."""
    admitted = STANDARD.ask(log.state, IsAdmitted(key=key.public.thumbprint), log.now_ms)
    try:
        registry.issuer(log.state, key.public.thumbprint, log.now_ms)
    except Refused:
        assert not admitted
        return False
    assert admitted
    return True


def trusted(log: Book, key: SigningKey, index: int) -> bool:
    return STANDARD.ask(log.state, IsTrusted(key=key.public.thumbprint, index=index), log.now_ms)


def has_role(log: Book, party: SigningKey, role: str) -> bool:
    return STANDARD.ask(log.state, HasRole(party=party.public.thumbprint, role=role), log.now_ms)


def log_key(old: SigningKey, new: SigningKey | P256SigningKey, until_ms: int | None, log: str = ORIGIN) -> bytes:
    return declarations.log_key(old, new, log=log, until_ms=until_ms)


@pytest.mark.parametrize("role", sorted(documents.ROLES))
def test_every_role_can_be_given_and_is_told(role: str) -> None:
    log = Book()
    log.admit(MAKER, role, "Some institution")
    assert has_role(log, MAKER, role)
    found = STANDARD.ask(log.state, PartyOf(key=MAKER.public.thumbprint), NOW_MS)
    assert found is not None
    assert (found.thumbprint, found.name, found.role) == (MAKER.public.thumbprint, "Some institution", role)
    assert STANDARD.ask(log.state, LogName(), NOW_MS) == ORIGIN


def test_nobody_is_known_before_they_are_admitted() -> None:
    log = book()
    assert STANDARD.ask(log.state, PartyOf(key=STRANGER.public.thumbprint), NOW_MS) is None
    assert not has_role(log, STRANGER, "maker") and not acts(log, STRANGER) and not trusted(log, STRANGER, 9)
    assert trusted(log, ROOT, 1) and trusted(log, LOG, 0)


def test_both_keys_count_until_the_stated_end_and_then_the_new_one_alone() -> None:
    log = book()
    log.add(who.rotation(MAKER, NEXT, until_ms=NOW_MS + 1000))
    for key, n in ((MAKER, 1), (NEXT, 2)):
        log.add(who.text(key, n))
    log.now_ms = NOW_MS + 999
    assert acts(log, MAKER)
    log.now_ms += 1
    assert refused(log, who.text(MAKER, 3)) == "key_ended"
    assert not acts(log, MAKER) and acts(log, NEXT)
    log.add(who.text(NEXT, 4))
    assert trusted(log, MAKER, 99), "what it signed in its time still counts"


def test_an_end_that_is_past_ends_the_old_key_at_once() -> None:
    log = book()
    log.add(who.rotation(MAKER, NEXT, until_ms=0))
    assert not acts(log, MAKER) and acts(log, NEXT)


def test_a_party_keeps_its_name_and_role_with_every_key() -> None:
    log, keys = book(), [MAKER, NEXT, THIRD]
    for old, new in itertools.pairwise(keys):
        log.add(who.rotation(old, new, party=MAKER, until_ms=log.now_ms))
    found = {STANDARD.ask(log.state, PartyOf(key=key.public.thumbprint), NOW_MS) for key in keys}
    assert len(found) == 1
    (party,) = found
    assert party is not None and party.thumbprint == MAKER.public.thumbprint
    assert registry.issuer(log.state, THIRD.public.thumbprint, NOW_MS).party == MAKER.public.thumbprint
    log.admit(MAKER, "wholesaler", "Another name")
    assert registry.issuer(log.state, THIRD.public.thumbprint, NOW_MS).role == "wholesaler"
    assert not acts(log, MAKER), "a new word about a party revives none of its keys"


@pytest.mark.parametrize("by", [ROOT, MAKER], ids=["the root", "itself"])
def test_a_revoked_party_registers_nothing_and_its_statements_count_up_to_the_point(by: SigningKey) -> None:
    log = book()
    places = range(log.size, log.size + 3)
    for place in places:
        log.add(who.text(MAKER, place))
    log.add(who.revocation(by, MAKER, places[1]))
    assert refused(log, who.text(MAKER, 9)) == "issuer_revoked"
    assert [trusted(log, MAKER, place) for place in places] == [True, False, False]
    assert not has_role(log, MAKER, "maker") and not acts(log, MAKER)
    assert acts(log, CARRIER)


def test_a_revocation_from_itself_on_takes_nothing_back() -> None:
    log = book()
    log.add(who.text(MAKER))
    log.add(who.revocation(ROOT, MAKER, log.size))
    assert trusted(log, MAKER, log.size - 2) and not trusted(log, MAKER, log.size - 1)


def test_one_key_can_be_revoked_and_the_party_goes_on_with_the_other() -> None:
    log = book()
    log.add(who.rotation(MAKER, NEXT))
    log.add(who.revocation(NEXT, MAKER, 2, only=MAKER))
    assert not acts(log, MAKER) and acts(log, NEXT) and has_role(log, MAKER, "maker")
    assert not trusted(log, MAKER, 2) and trusted(log, NEXT, 99)


def test_a_party_whose_keys_are_all_revoked_acts_no_more() -> None:
    log = book()
    log.add(who.rotation(MAKER, NEXT))
    log.add(who.revocation(ROOT, MAKER, 3, only=NEXT))
    assert has_role(log, MAKER, "maker"), "the older key still counts"
    log.add(who.revocation(MAKER, MAKER, 3, only=MAKER))
    assert not has_role(log, MAKER, "maker")


def test_a_later_revocation_may_take_more_back() -> None:
    log = book()
    log.add(who.revocation(ROOT, MAKER, 5))
    assert trusted(log, MAKER, 4)
    log.add(who.revocation(ROOT, MAKER, 3))
    assert not trusted(log, MAKER, 4)


def test_a_revocation_of_an_earlier_epoch_holds_from_the_first_entry() -> None:
    log = book()
    log.add(who.revocation(ROOT, MAKER, 99, epoch=0))
    assert not trusted(log, MAKER, 0)


def after(*raws: bytes) -> Callable[[], Book]:
    """A log with three parties, and more."""

    def make() -> Book:
        log = book()
        for raw in raws:
            log.add(raw)
        return log

    return make


ROTATED = who.rotation(MAKER, NEXT)
ENDED = who.rotation(MAKER, NEXT, until_ms=0)
Case = tuple[Callable[[], Book], Callable[[], bytes], str]
REFUSALS: dict[str, Case] = {
    "a change by nobody known": (book, lambda: who.rotation(STRANGER, NEXT), "issuer_unknown"),
    "a change by the root": (book, lambda: who.rotation(ROOT, NEXT), "issuer_not_allowed"),
    "a change in another's name": (
        book,
        lambda: who.restated(
            who.rotation(CARRIER, NEXT), MAKER, sub=documents.registry_subject(MAKER.public.thumbprint)
        ),
        "party_other",
    ),
    "a change under another's subject": (book, lambda: who.rotation(MAKER, NEXT, party=CARRIER), "subject_wrong"),
    "a change for another log": (book, lambda: who.rotation(MAKER, NEXT, log="log.example/other"), "log_other"),
    "a change of a gateway's key": (book, lambda: who.rotation(GATEWAY, NEXT), "rotation_not_allowed"),
    "a change to the root's key": (book, lambda: who.rotation(MAKER, ROOT), "key_has_other_duty"),
    "a change to the log's key": (book, lambda: who.rotation(MAKER, LOG), "key_has_other_duty"),
    "a change to another party's key": (book, lambda: who.rotation(MAKER, CARRIER), "key_has_other_duty"),
    "a change to the same key": (book, lambda: who.rotation(MAKER, MAKER), "key_has_other_duty"),
    "a change back": (after(ENDED), lambda: who.rotation(NEXT, MAKER, party=MAKER), "key_has_other_duty"),
    "a change that the new key did not sign": (
        book,
        lambda: who.restated(
            ROTATED,
            MAKER,
            payload=statement.parse(who.rotation(MAKER, THIRD)).payload.replace(THIRD.public.x, NEXT.public.x),
        ),
        "signature_bad",
    ),
    "a second change by a key that handed over": (after(ROTATED), lambda: who.rotation(MAKER, THIRD), "key_rotated"),
    "a change while two keys count": (
        after(ROTATED),
        lambda: who.rotation(NEXT, THIRD, party=MAKER),
        "overlap_running",
    ),
    "a change by a key that ended": (after(ENDED), lambda: who.rotation(MAKER, THIRD), "key_ended"),
    "an old key that never ends": (
        book,
        lambda: who.rotation(MAKER, NEXT, until_ms=NOW_MS + OVERLAP_MAX_MS + 1),
        "overlap_too_long",
    ),
    "a change as a hash": (book, lambda: who.hashed(ROTATED, MAKER), "form_not_allowed"),
    "a change that is none": (book, lambda: who.restated(ROTATED, MAKER, payload=b"\x01"), "document_bad"),
    "an admission of a party's later key": (after(ROTATED), lambda: who.admission(NEXT), "key_has_other_duty"),
    "an admission of what was revoked": (
        after(who.revocation(ROOT, MAKER, 2)),
        lambda: who.admission(MAKER, name="Again"),
        "issuer_revoked",
    ),
    "an admission of a key that was revoked": (
        after(who.revocation(ROOT, MAKER, 2, only=MAKER)),
        lambda: who.admission(MAKER, name="Again"),
        "issuer_revoked",
    ),
    "an admission as gateway of who changed its key": (
        after(ROTATED),
        lambda: who.admission(MAKER, "gateway"),
        "rotation_not_allowed",
    ),
    "a revocation by nobody known": (book, lambda: who.revocation(STRANGER, MAKER, 2), "issuer_unknown"),
    "a revocation by the log": (book, lambda: who.revocation(LOG, MAKER, 2), "issuer_not_allowed"),
    "a revocation of another party": (book, lambda: who.revocation(CARRIER, MAKER, 2), "issuer_not_allowed"),
    "a revocation of another party's key": (
        book,
        lambda: who.revocation(CARRIER, MAKER, 2, only=MAKER),
        "issuer_not_allowed",
    ),
    "a revocation of nobody known": (book, lambda: who.revocation(ROOT, STRANGER, 2), "party_unknown"),
    "a revocation of a key of somebody else": (
        book,
        lambda: who.revocation(ROOT, MAKER, 2, only=CARRIER),
        "party_other",
    ),
    "a revocation of a key that nobody has": (
        book,
        lambda: who.revocation(ROOT, MAKER, 2, only=STRANGER),
        "party_other",
    ),
    "a revocation of the newer key by the older": (
        after(ROTATED),
        lambda: who.revocation(MAKER, MAKER, 2, only=NEXT),
        "key_rotated",
    ),
    "a revocation of the party by its older key": (
        after(ROTATED),
        lambda: who.revocation(MAKER, MAKER, 2),
        "key_rotated",
    ),
    "a revocation by a key that ended": (
        after(ENDED),
        lambda: who.revocation(MAKER, MAKER, 2, only=MAKER),
        "key_ended",
    ),
    "a revocation from the future": (book, lambda: who.revocation(ROOT, MAKER, 6), "revocation_early"),
    "a revocation from a future epoch": (book, lambda: who.revocation(ROOT, MAKER, 0, epoch=2), "revocation_early"),
    "a revocation that takes less back": (
        after(who.revocation(ROOT, MAKER, 3)),
        lambda: who.revocation(ROOT, MAKER, 4),
        "revocation_exists",
    ),
    "a revocation of a key that takes less back": (
        after(who.revocation(ROOT, MAKER, 3, only=MAKER)),
        lambda: who.revocation(ROOT, MAKER, 5, only=MAKER),
        "revocation_exists",
    ),
    "a revocation by who was revoked": (
        after(who.revocation(ROOT, MAKER, 3)),
        lambda: who.revocation(MAKER, MAKER, 2),
        "issuer_revoked",
    ),
    "a revocation for another log": (
        book,
        lambda: who.revocation(ROOT, MAKER, 2, log="log.example/other"),
        "log_other",
    ),
    "a revocation under another's subject": (
        book,
        lambda: who.restated(
            who.revocation(ROOT, MAKER, 2), ROOT, sub=documents.registry_subject(CARRIER.public.thumbprint)
        ),
        "subject_wrong",
    ),
    "a revocation as a hash": (book, lambda: who.hashed(who.revocation(ROOT, MAKER, 2), ROOT), "form_not_allowed"),
    "a log key by the root": (book, lambda: log_key(ROOT, NEXT, NOW_MS), "issuer_not_allowed"),
    "a log key by a party": (book, lambda: log_key(MAKER, NEXT, NOW_MS), "issuer_not_allowed"),
    "a log key for another log": (
        book,
        lambda: who.restated(log_key(LOG, NEXT, NOW_MS, "log.example/other"), LOG, sub=documents.log_subject(ORIGIN)),
        "log_other",
    ),
    "a log key under another subject": (
        book,
        lambda: log_key(LOG, NEXT, NOW_MS, "log.example/other"),
        "subject_wrong",
    ),
    "a log key that is a party's": (book, lambda: log_key(LOG, MAKER, NOW_MS), "key_has_other_duty"),
    "a log key that is the root's": (book, lambda: log_key(LOG, ROOT, NOW_MS), "key_has_other_duty"),
    "a log key that it has": (book, lambda: log_key(LOG, LOG, NOW_MS), "key_has_other_duty"),
    "a second ES256 key that is the first": (
        after(log_key(LOG, EC, None)),
        lambda: log_key(LOG, EC, NOW_MS),
        "key_has_other_duty",
    ),
    "a log key without an end of the old one": (book, lambda: log_key(LOG, NEXT, None), "overlap_missing"),
    "a first ES256 key with an end of none": (book, lambda: log_key(LOG, EC, NOW_MS), "overlap_missing"),
    "a log key beside one that never ends": (
        book,
        lambda: log_key(LOG, NEXT, NOW_MS + OVERLAP_MAX_MS + 1),
        "overlap_too_long",
    ),
    "a log key by one that handed over": (
        after(log_key(LOG, NEXT, NOW_MS + DAY_MS)),
        lambda: log_key(LOG, THIRD, NOW_MS + DAY_MS),
        "key_rotated",
    ),
    "a log key while two sign": (
        after(log_key(LOG, NEXT, NOW_MS + DAY_MS)),
        lambda: log_key(NEXT, THIRD, NOW_MS + DAY_MS),
        "overlap_running",
    ),
    "a log key by one that ended": (
        after(log_key(LOG, NEXT, NOW_MS)),
        lambda: log_key(LOG, THIRD, NOW_MS),
        "key_ended",
    ),
    "a log key that did not sign": (
        book,
        lambda: who.restated(
            log_key(LOG, EC, None),
            LOG,
            payload=documents.LogKey(log=ORIGIN, key=EC.public, until_ms=None, proof=bytes(64)).encode(),
        ),
        "signature_bad",
    ),
    "a log key that is no point": (
        book,
        lambda: who.restated(
            log_key(LOG, EC, None),
            LOG,
            payload=statement.parse(log_key(LOG, EC, None)).payload.replace(EC.public.y, bytes(32)),
        ),
        "key_point",
    ),
    "a log key as a hash": (book, lambda: who.hashed(log_key(LOG, EC, None), LOG), "form_not_allowed"),
}


@pytest.mark.parametrize(("begun", "make", "code"), REFUSALS.values(), ids=REFUSALS)
def test_what_the_registry_does_not_allow_is_refused_with_its_code(
    begun: Callable[[], Book], make: Callable[[], bytes], code: str
) -> None:
    assert refused(begun(), make()) == code
    assert code in STANDARD.codes


def test_the_log_has_a_bounded_number_of_keys() -> None:
    log, newest = book(), LOG
    for n in range(LOG_KEYS_MAX - 1):
        new = who.key(1000 + n)
        log.add(log_key(newest, new, log.now_ms))
        newest = new
    assert len(registry.log_keys(log.state)) == LOG_KEYS_MAX
    assert refused(log, log_key(newest, who.key(5000), log.now_ms)) == "log_keys_full"


def test_every_code_of_the_registry_has_a_case_here() -> None:
    shown = {code for *_, code in REFUSALS.values()} | {"log_keys_full", "genesis_exists"}
    assert registry.CONTRACT.codes <= shown


def test_the_logs_keys_are_kept_in_order_with_when_they_sign() -> None:
    log = book()
    log.add(log_key(LOG, EC, None))
    log.add(log_key(LOG, NEXT, NOW_MS + 1000))
    found = registry.log_keys(log.state)
    assert [(each.key, each.index, each.until_ms) for each in found] == [
        (LOG.public, 0, NOW_MS + 1000),
        (EC.public, 5, None),
        (NEXT.public, 6, None),
    ]
    assert [each.signs(NOW_MS + 1000) for each in found] == [False, True, True]
    assert registry.issuer(log.state, NEXT.public.thumbprint, NOW_MS).role == "log"
    log.now_ms += 1000
    log.add(log_key(NEXT, P256SigningKey(bytes([8]) * 32), log.now_ms))
    assert [each.signs(log.now_ms) for each in registry.log_keys(log.state)] == [False, False, True, True]
    assert trusted(log, LOG, 0) and trusted(log, NEXT, 9)


def test_a_receipt_key_registers_nothing() -> None:
    log = book()
    log.add(log_key(LOG, EC, None))
    with pytest.raises(Refused) as unknown:
        registry.issuer(log.state, EC.thumbprint, NOW_MS)
    assert unknown.value.code == "issuer_unknown"


def test_a_new_key_that_signs_for_another_party_is_not_taken_over() -> None:
    """A proof names the party: nobody makes another's key theirs by copying its proof."""
    log = book()
    copied = documents.PartyKey.decode(statement.parse(who.rotation(CARRIER, NEXT)).payload)
    own = documents.PartyKey(
        log=ORIGIN, party=MAKER.public.thumbprint, key=copied.key, until_ms=copied.until_ms, proof=copied.proof
    )
    with pytest.raises(BadSignature):
        log.add(who.restated(ROTATED, MAKER, payload=own.encode()))


def test_records_of_the_state_that_nobody_wrote_are_a_bug_of_ours() -> None:
    for kind in (registry.records.Party, registry.records.Key):
        for data in (b"\x80", b"\x84\x01\x01\x01\x01", b"\xf6"):
            with pytest.raises((AssertionError, Malformed)):
                kind.decode(data)
    for data in (b"\x81\x01", b"\xa0"):
        with pytest.raises(AssertionError):
            registry.records.decode_log_keys(data)
