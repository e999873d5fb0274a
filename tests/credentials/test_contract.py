"""The `credentials` contract: who may vouch for what, with which key, and every refusal."""

import hashlib
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.contracts import STANDARD
from ledger.credentials import model, rules
from ledger.credentials.model import Accreditation, Commitment, IssuerKey, IssuerKeyEnd, Licence, Listing
from ledger.credentials.rules import records
from ledger.questions import CommitmentOf, HasLicence, IsAccredited
from protocol import documents
from protocol.errors import Malformed, ProtocolError
from tests.support import registrants
from tests.support.accrediting import (
    BOARD,
    CLINIC,
    DID,
    GATE,
    ID,
    KEY,
    MILL,
    NEXT,
    YEAR_MS,
    accreditation,
    book,
    commitment,
    end,
    issuer_key,
    licence,
    listing,
    said,
)
from tests.support.registrants import NOW_MS, ORIGIN, ROOT

READY = (accreditation(), issuer_key())
CHECKED = {"type": "PrimarySourceVerification", "checked_ms": NOW_MS}
PSV = accreditation(type="PrimarySourceVerification")
ATP = accreditation(type="AuthorizedTradingPartner")


def test_an_accredited_institution_commits_to_credentials_and_others_can_ask() -> None:
    log = book(*READY, commitment())
    found = STANDARD.ask(log.state, CommitmentOf(id=ID), log.now_ms)
    assert found is not None and found.counts and found.party == BOARD.public.thumbprint
    assert STANDARD.ask(log.state, CommitmentOf(id=bytes(16)), log.now_ms) is None
    for jurisdiction, may in (("US-CA", True), ("US", True), ("CA", False), ("*", False)):
        asked = IsAccredited(party=BOARD.public.thumbprint, type="StateLicence", jurisdiction=jurisdiction)
        assert STANDARD.ask(log.state, asked, log.now_ms) is may
    assert log.replayed() == log.state


REFUSALS: dict[str, tuple[tuple[bytes, ...], bytes, str]] = {
    "an accreditation of nobody": ((), accreditation(registrants.STRANGER), "party_unknown"),
    "an accreditation of a gateway": ((), accreditation(GATE), "party_unknown"),
    "an accreditation by an institution": (
        (),
        said(BOARD, Accreditation.decode(registrants.parsed(READY[0]).payload)),
        "issuer_not_allowed",
    ),
    "another DID": (READY, accreditation(did="did:web:else.example"), "did_other"),
    "a DID that is another's": (READY, accreditation(MILL), "did_taken"),
    "an accreditation in another log": ((), accreditation(log="log.example/2"), "log_other"),
    "a changed accreditation too many": (
        tuple(accreditation(until_ms=NOW_MS + n + 1) for n in range(rules.GRANTS_MAX)),
        accreditation(),
        "accreditations_full",
    ),
    "a key of who may vouch for nothing": ((), issuer_key(), "issuer_not_accredited"),
    "a key under another DID": (READY[:1], issuer_key(did="did:web:else.example"), "did_other"),
    "a key twice": (READY, issuer_key(method="k2"), "key_has_other_duty"),
    "a key that is a party's": (READY[:1], issuer_key(key=CLINIC), "key_has_other_duty"),
    "a method twice": (READY, issuer_key(key=NEXT), "method_taken"),
    "a key that is somebody else's": (
        READY[:1],
        said(BOARD, IssuerKey(log=ORIGIN, did=DID, method=f"{DID}#k", key=KEY.public.x, proof=NEXT.sign(b"x"))),
        "signature_bad",
    ),
    "the end of a key nobody has": (READY, end(key=NEXT), "issuer_key_unknown"),
    "the end of a key by another": (READY, end(by=MILL), "issuer_not_allowed"),
    "the end of a key twice": ((*READY, end()), end(by=ROOT), "end_exists"),
    "a theft in the future": (READY, end(index=99), "end_early"),
    "a theft later than was said": ((*READY, end(index=3)), end(by=ROOT, index=4), "end_exists"),
    "a commitment with a key of another": (
        (*READY, accreditation(MILL, did="did:web:mill.example")),
        commitment(MILL),
        "issuer_key_unknown",
    ),
    "a commitment with a retired key": ((*READY, end()), commitment(), "issuer_key_ended"),
    "a commitment with a stolen key": ((*READY, end(index=0)), commitment(), "issuer_key_ended"),
    "a commitment outside the jurisdiction": (READY, commitment(jurisdiction="CA"), "issuer_not_accredited"),
    "a commitment outside the type": (READY, commitment(type="Degree"), "issuer_not_accredited"),
    "a commitment after the accreditation was withdrawn": (
        (*READY, accreditation(withdrawn=True)),
        commitment(),
        "issuer_not_accredited",
    ),
    "a commitment after the accreditation's end": (
        (*READY, accreditation(until_ms=NOW_MS)),
        commitment(),
        "issuer_not_accredited",
    ),
    "a commitment twice": ((*READY, commitment()), commitment(commitment=bytes([1]) * 32), "credential_exists"),
    "a check in the future": ((*READY, PSV), commitment(**{**CHECKED, "checked_ms": NOW_MS + 300_001}), "check_time"),
    "a check long ago": (
        (*READY, PSV),
        commitment(**{**CHECKED, "checked_ms": NOW_MS - 31 * registrants.DAY_MS}),
        "check_time",
    ),
    "a list of who may vouch for nothing": ((), listing(), "issuer_not_accredited"),
    "a list of another": (
        (*READY, accreditation(MILL, did="did:web:mill.example"), listing()),
        listing(MILL, n=2),
        "list_other",
    ),
    "a list for another purpose": ((*READY, listing()), listing(n=2, purpose="suspension"), "list_changed"),
    "a list that skips a version": ((*READY, listing()), listing(n=3), "list_version"),
    "a list that begins late": (READY, listing(n=2), "list_version"),
    "a list that has ended": (READY, listing(until_ms=NOW_MS), "list_ended"),
    "a licence by who may not": (READY, licence(), "issuer_not_accredited"),
    "a licence for nobody": ((*READY, ATP), licence(party=registrants.STRANGER.public.thumbprint), "party_unknown"),
    "a commitment by a gateway": (READY, commitment(GATE), "issuer_not_allowed"),
    "a commitment under another subject": (
        READY,
        said(BOARD, Commitment.decode(registrants.parsed(commitment()).payload), sub="x"),
        "subject_wrong",
    ),
    "a commitment as a hash": (READY, registrants.hashed(commitment(), BOARD), "form_not_allowed"),
    "a commitment that is none": (
        READY,
        said(BOARD, Commitment.decode(registrants.parsed(commitment()).payload), payload=b"\x01"),
        "document_bad",
    ),
}


@pytest.mark.parametrize(("before", "raw", "code"), REFUSALS.values(), ids=REFUSALS)
def test_every_refusal_has_its_code(before: tuple[bytes, ...], raw: bytes, code: str) -> None:
    log = book(*before)
    with pytest.raises(ProtocolError) as refused:
        log.add(raw)
    assert refused.value.code == code and code in STANDARD.codes


def test_every_code_of_the_contract_has_a_case() -> None:
    assert rules.CONTRACT.codes - {code for *_, code in REFUSALS.values()} == {"issuer_keys_full"}


def test_an_accreditation_that_was_changed_too_often_can_still_be_withdrawn() -> None:
    log = book(*(accreditation(until_ms=NOW_MS + n + 1) for n in range(rules.GRANTS_MAX)))
    log.add(accreditation(withdrawn=True))
    asked = IsAccredited(party=BOARD.public.thumbprint, type="StateLicence", jurisdiction="US")
    assert not STANDARD.ask(log.state, asked, log.now_ms)
    for again in (accreditation(), accreditation(withdrawn=True, until_ms=NOW_MS + 1)):
        with pytest.raises(ProtocolError, match="accreditations_full"):
            log.add(again)


def test_an_institution_has_a_bounded_number_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "KEYS_MAX", 1)
    with pytest.raises(ProtocolError, match="issuer_keys_full"):
        book(*READY).add(issuer_key(key=NEXT, method="k2"))


def test_what_was_logged_before_the_theft_stays_and_what_came_after_does_not_count() -> None:
    log = book(*READY, commitment())
    place = log.size
    log.add(commitment(id=bytes(16)))
    log.add(end(index=place))
    before, after = (STANDARD.ask(log.state, CommitmentOf(id=each), 0) for each in (ID, bytes(16)))
    assert before is not None and before.counts and after is not None and not after.counts
    log.add(issuer_key(key=NEXT, method="k2"))
    log.add(commitment(id=bytes([7]) * 16, key=NEXT.public.thumbprint))


def test_a_retired_key_keeps_what_it_signed_and_the_theft_can_still_be_said() -> None:
    log = book(*READY, commitment(), end())
    found = STANDARD.ask(log.state, CommitmentOf(id=ID), 0)
    assert found is not None and found.counts
    log.add(end(index=0))
    found = STANDARD.ask(log.state, CommitmentOf(id=ID), 0)
    assert found is not None and not found.counts


def test_an_institution_goes_on_with_a_new_key_of_the_log() -> None:
    log, new = book(*READY), registrants.key(60)
    log.add(registrants.rotation(BOARD, new, until_ms=0))
    document = Commitment.decode(registrants.parsed(commitment()).payload)
    log.add(said(new, document, sub=model.credential_subject(BOARD.public.thumbprint)))


def test_institutions_are_licensed_and_the_newest_word_holds() -> None:
    log = book(*READY, ATP, licence())
    asked = HasLicence(party=CLINIC.public.thumbprint, type="AuthorizedTradingPartner", jurisdiction="US-CA")
    assert STANDARD.ask(log.state, asked, log.now_ms)
    assert not STANDARD.ask(log.state, asked, NOW_MS + YEAR_MS)
    log.add(licence(withdrawn=True))
    assert not STANDARD.ask(log.state, asked, log.now_ms)
    for n in range(rules.GRANTS_MAX + 5):
        log.add(licence(until_ms=NOW_MS + 1 + n))
    assert STANDARD.ask(log.state, asked, log.now_ms)


def test_a_verification_says_when_the_source_was_asked_and_nothing_else_does() -> None:
    book(*READY, PSV, commitment(**CHECKED))
    for changed in ({"checked_ms": NOW_MS}, {"type": "PrimarySourceVerification"}):
        with pytest.raises(ProtocolError, match="document_bad"):
            book(*READY, PSV, commitment(**changed))


def test_places_of_an_earlier_epoch_come_before_all_of_a_later_one() -> None:
    life = records.KeyLife(party=bytes(32), method="did:a:b#c", since=(1, 900), compromised=(2, 5))
    assert life.counts((1, 901)) and life.counts((2, 4))
    assert not life.counts((1, 899)) and not life.counts((2, 5)) and not life.counts((3, 0))


def test_nothing_that_is_registered_confirms_a_guess() -> None:
    """Who has the log and guesses the whole credential right, but has not its nonce, matches nothing."""
    credential = b'{"birthDate":"1815-12-10","familyName":"Lovelace","npi":"1245319599"}'
    nonce = Random(3).randbytes(32)
    log = book(*READY, PSV, ATP, commitment(commitment=model.commitment(nonce, credential)))
    for raw in (commitment(**CHECKED, id=bytes(16)), listing(), licence(), end(index=9)):
        log.add(raw)
    kept = b"".join([*(raw for raw, *_ in log.judged), *(key + value for key, value in log.state.items())])
    assert model.commitment(nonce, credential) in kept
    for said_in_it in (b"Lovelace", b"1245319599", b"1815-12-10", credential, nonce):
        assert said_in_it not in kept
    guesses = {hashlib.sha256(credential).digest(), model.commitment(bytes(32), credential)}
    for size in (16, 32):  # everything in the log as if it were the nonce
        guesses |= {model.commitment(kept[at : at + size], credential) for at in range(len(kept) - size)}
    assert not any(guess in kept for guess in guesses)


DOCUMENTS = [
    registrants.parsed(raw).payload
    for raw in (*READY, end(), end(index=3), commitment(), commitment(**CHECKED), listing(), licence())
]
KINDS = [Accreditation, IssuerKey, IssuerKeyEnd, IssuerKeyEnd, Commitment, Commitment, Listing, Licence]


@pytest.mark.parametrize(
    ("data", "kind"), list(zip(DOCUMENTS, KINDS, strict=True)), ids=[each.__name__ for each in KINDS]
)
def test_a_document_comes_back_and_no_part_or_change_of_one_is_another(data: bytes, kind: Any) -> None:
    assert kind.decode(data).encode() == data
    for size in range(len(data)):
        with pytest.raises(Malformed):
            kind.decode(data[:size])
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found = kind.decode(bytes(flipped))
        except Malformed:
            continue
        assert found.encode() == bytes(flipped) != data


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_no_noise_is_a_document(data: bytes) -> None:
    for kind in set(KINDS):
        with pytest.raises(Malformed):
            kind.decode(data)


@pytest.mark.parametrize("jurisdiction", ["us", "USA", "US-", "US-CALI", "", "**", "US CA"])
def test_a_jurisdiction_is_one_of_iso_3166(jurisdiction: str) -> None:
    with pytest.raises(ProtocolError, match="document_bad"):
        book(accreditation(jurisdiction=jurisdiction))


def test_a_record_comes_back() -> None:
    log = book(*READY, commitment(), listing(), end(index=2))
    for key, value in log.state.items():
        for prefix, kind in (
            (records.KEY, records.KeyLife),
            (records.COMMITTED, records.Committed),
            (records.LIST, records.Listed),
            (records.ISSUER, records.Issuer),
        ):
            if key.startswith(prefix):
                assert kind.decode(value).encode() == value  # type: ignore[attr-defined]
        if key.startswith(records.TRUST):
            assert records.encode_grants(records.decode_grants(value)) == value
    assert documents.ROLES > rules.ISSUERS
