"""Asking and judging: a question is good once, for five minutes, for one verifier, and for the holder whose credential it is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.credentials import types, verifying
from ledger.credentials.issuing import Issued, Issuer
from ledger.credentials.vc import did, jcs, presentation, sdjwt, secured
from ledger.credentials.verdict import steps
from ledger.credentials.verifying import Answer, Challenge, Verifier
from protocol import base64text
from protocol.errors import Malformed, Unavailable
from protocol.keys import SigningKey
from protocol.p256 import P256SigningKey
from tests.support import registrants
from tests.support.vouching import DAY_MS, HOLDER, LICENCE, World

AUDIENCE = "https://clinic.example"
EVE = registrants.STRANGER
BROWSER = P256SigningKey(bytes([7]) * 32)
Key = SigningKey | P256SigningKey


class Desk:
    """A clinic's desk: a verifier, and people who show what they have."""

    def __init__(self, world: World, issuer: Issuer) -> None:
        self.world, self.issuer = world, issuer
        self.verifier = Verifier(
            world.facts, audience=AUDIENCE, now_ms=lambda: world.now_ms, random_bytes=world.random.randbytes
        )

    def licence(self, form: str, holder: Key = HOLDER) -> Issued:
        """A nurse's licence, its lists read."""
        made = self.issuer.issue(types.draft("StateLicence", LICENCE), holder=holder.public, format=form)
        self.issuer.publish()
        self.world.follow(self.issuer)
        return made


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    world = World(tmp_path)
    with world.issuer("board", "StateLicence") as issuer:
        yield Desk(world, issuer)


def item(made: Issued) -> dict[str, Any]:
    """A credential as it stands in a presentation."""
    if made.format == secured.DATA_INTEGRITY:
        return jcs.parse(made.raw)
    name = (
        presentation.DATA_COSE + base64text.encode(made.raw)
        if made.format == secured.COSE
        else presentation.DATA_SD_JWT + made.raw.decode()
    )
    return {"@context": "https://www.w3.org/ns/credentials/v2", "type": "EnvelopedVerifiableCredential", "id": name}


def in_json(desk: Desk, made: Issued, asked: Challenge, by: Key = HOLDER, **changed: Any) -> bytes:
    values = {"nonce": asked.nonce, "audience": asked.audience, "now_s": desk.world.now_ms // 1000, **changed}
    return jcs.canonical(presentation.signed([item(made)], by, **values))


def in_cose(desk: Desk, made: Issued, asked: Challenge, by: Key = HOLDER, **changed: Any) -> bytes:
    values = {"nonce": asked.nonce, "audience": asked.audience, "now_s": desk.world.now_ms // 1000, **changed}
    return presentation.signed_in_cose([item(made)], by, **values)


def bound(desk: Desk, made: Issued, asked: Challenge, by: Key = HOLDER, **changed: Any) -> bytes:
    values = {"nonce": asked.nonce, "audience": asked.audience, "now_s": desk.world.now_ms // 1000, **changed}
    found = sdjwt.present(
        made.raw.decode(),
        {"licenceNumber"},
        key=by,
        nonce=values["nonce"],
        aud=values["audience"],
        iat_s=values["now_s"],
    )
    return found.encode()


Show = Callable[..., bytes]
WAYS: dict[str, tuple[str, Show]] = {
    "Data Integrity": (secured.DATA_INTEGRITY, in_json),
    "COSE": (secured.COSE, in_cose),
    "COSE in JSON": (secured.COSE, in_json),
    "Data Integrity in COSE": (secured.DATA_INTEGRITY, in_cose),
    "SD-JWT": (secured.SD_JWT, bound),
    "SD-JWT in JSON": (secured.SD_JWT, in_json),
}
ways = pytest.mark.parametrize(("form", "show"), WAYS.values(), ids=WAYS)


def bad(answer: Answer) -> dict[str, str]:
    """The steps that did not pass, of the one credential."""
    (one,) = answer.judged
    return {each.name: each.code for each in one.verdict.steps if each.outcome != steps.PASS}


@ways
@pytest.mark.parametrize("holder", [HOLDER, BROWSER], ids=["Ed25519", "P-256"])
def test_who_shows_their_own_credential_for_this_question_is_believed(
    desk: Desk, form: str, show: Show, holder: Key
) -> None:
    made, asked = desk.licence(form, holder), desk.verifier.request()
    answer = desk.verifier.answered(show(desk, made, asked, holder), nonce=asked.nonce)
    assert answer.valid and answer.holder == did.did_key(holder.public), bad(answer)


@ways
def test_a_presentation_is_good_once(desk: Desk, form: str, show: Show) -> None:
    made, asked = desk.licence(form), desk.verifier.request()
    raw = show(desk, made, asked)
    assert desk.verifier.answered(raw, nonce=asked.nonce).valid
    again = desk.verifier.answered(raw, nonce=asked.nonce)
    assert not again.valid and bad(again) == {"holder": "challenge_unknown"} and again.holder is None
    other = desk.verifier.request()
    assert set(bad(desk.verifier.answered(raw, nonce=other.nonce)).values()) <= {"proof_challenge", "binding_nonce"}
    assert not desk.verifier.answered(raw, nonce=other.nonce).valid, "a wrong answer spends the question too"


@ways
def test_a_presentation_for_another_verifier_is_refused(desk: Desk, form: str, show: Show) -> None:
    made, asked = desk.licence(form), desk.verifier.request()
    raw = show(desk, made, asked, audience="https://evil.example")
    found = bad(desk.verifier.answered(raw, nonce=asked.nonce))
    assert found.keys() == {"holder"} and found["holder"] in ("proof_domain", "binding_aud")


@ways
def test_a_credential_of_somebody_else_is_refused(desk: Desk, form: str, show: Show) -> None:
    made, asked = desk.licence(form), desk.verifier.request()
    answer = desk.verifier.answered(show(desk, made, asked, EVE), nonce=asked.nonce)
    assert bad(answer).keys() == {"holder"} and bad(answer)["holder"] in ("holder_other", "signature_bad")


@ways
def test_a_proof_of_long_ago_or_of_later_is_refused(desk: Desk, form: str, show: Show) -> None:
    made = desk.licence(form)
    for ahead_s in (-301, 301):
        asked = desk.verifier.request()
        raw = show(desk, made, asked, now_s=desk.world.now_ms // 1000 + ahead_s)
        found = bad(desk.verifier.answered(raw, nonce=asked.nonce))
        assert found.keys() == {"holder"} and found["holder"] in ("proof_old", "binding_old", "proof_created")


@ways
def test_no_flipped_bit_of_a_presentation_is_believed(desk: Desk, form: str, show: Show) -> None:
    made, asked = desk.licence(form), desk.verifier.request()
    whole = show(desk, made, asked)
    before = jcs.parse(whole) if whole[:1] == b"{" else None
    for _ in range(60):
        flipped = bytearray(whole)
        bit = desk.world.random.randrange(len(whole) * 8)
        flipped[bit // 8] ^= 1 << bit % 8
        answer = desk.verifier.shown(bytes(flipped), nonce=asked.nonce, audience=asked.audience)
        if answer.valid:  # JSON has more than one text for a value
            assert before is not None and jcs.parse(bytes(flipped)) == before


def test_a_question_is_good_for_five_minutes(desk: Desk) -> None:
    made, asked = desk.licence(secured.DATA_INTEGRITY), desk.verifier.request()
    assert asked.until_ms == desk.world.now_ms + verifying.CHALLENGE_MS
    desk.world.pass_days(verifying.CHALLENGE_MS / DAY_MS)
    raw = in_json(desk, made, asked)
    assert bad(desk.verifier.answered(raw, nonce=asked.nonce)) == {"holder": "challenge_unknown"}


def test_questions_without_an_answer_are_bounded_and_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "CHALLENGES_MAX", 3)
    asked = [desk.verifier.request() for _ in range(3)]
    assert len({each.nonce for each in asked}) == 3
    with pytest.raises(Unavailable, match="challenges_full"):
        desk.verifier.request()
    desk.verifier.answered(b"", nonce=asked[1].nonce)
    desk.verifier.request()
    desk.world.pass_days(1)
    for _ in range(3):
        desk.verifier.request()
    assert len(desk.verifier._open) == 3


def test_a_credential_alone_does_not_answer_who_brings_it(desk: Desk) -> None:
    for form in secured.FORMATS:
        made, asked = desk.licence(form), desk.verifier.request()
        found = bad(desk.verifier.answered(made.raw, nonce=asked.nonce))
        assert found.keys() == {"holder"} and found["holder"] in ("presentation_missing", "binding_missing")
        assert bad(desk.verifier.check(made.raw)) == {"holder": "holder_not_asked"}
        assert desk.verifier.check(made.raw).judged[0].verdict.outcome == steps.UNKNOWN


def test_every_credential_of_a_presentation_has_its_own_verdict(desk: Desk) -> None:
    made, other = desk.licence(secured.DATA_INTEGRITY), desk.licence(secured.COSE)
    desk.issuer.change(other.id, "suspend", reason="x")
    desk.issuer.publish()
    desk.world.follow(desk.issuer)
    asked = desk.verifier.request()
    raw = jcs.canonical(
        presentation.signed(
            [item(made), item(other)],
            HOLDER,
            nonce=asked.nonce,
            audience=asked.audience,
            now_s=desk.world.now_ms // 1000,
        )
    )
    answer = desk.verifier.answered(raw, nonce=asked.nonce)
    assert [each.verdict.valid for each in answer.judged] == [True, False] and not answer.valid
    assert answer.judged[1].verdict.step("suspension").code == "suspended"


def test_what_cannot_be_read_fails_the_first_step_and_nothing_else_is_said(desk: Desk) -> None:
    asked = desk.verifier.request()
    for raw in (b"", b"{", b"{}", b"\xd2\x84", b"\xff" * 10, b" ", b"a.b.c~", b'{"type":"VerifiablePresentation"}'):
        for answer in (
            desk.verifier.check(raw),
            desk.verifier.shown(raw, nonce=asked.nonce, audience=asked.audience),
        ):
            assert not answer.valid and answer.judged[0].found is None and answer.holder is None
            assert answer.judged[0].verdict.steps[0].outcome == steps.FAIL
    assert not Answer(judged=(), holder=None).valid


def test_the_past_can_be_asked_about_and_the_future_cannot(desk: Desk) -> None:
    made, day = desk.licence(secured.COSE), desk.world.now_ms
    desk.world.pass_days(1)
    desk.issuer.change(made.id, "revoke", reason="x")
    desk.issuer.publish()
    desk.world.follow(desk.issuer)
    assert bad(desk.verifier.check(made.raw, at_ms=day)) == {"holder": "holder_not_asked"}
    assert bad(desk.verifier.check(made.raw))["revocation"] == "revoked"
    with pytest.raises(Malformed, match="time_future"):
        desk.verifier.check(made.raw, at_ms=desk.world.now_ms + 1)


def test_an_issuer_outside_its_type_or_its_jurisdiction_is_not_believed(desk: Desk) -> None:
    """The log refuses what it logs; whoever shows it all the same has a commitment that is not there."""
    with desk.world.issuer("texas", "StateLicence", where="US-TX") as texas:
        made = texas.issue(types.draft("StateLicence", LICENCE), holder=HOLDER.public)
        texas.publish()
        desk.world.follow(texas)
        found = bad(desk.verifier.check(made.raw))
        assert found["logged"] == "not_logged" and found["accredited"] == "issuance_unknown"
        inside = texas.issue(types.draft("StateLicence", {**LICENCE, "jurisdiction": "US-TX"}), holder=HOLDER.public)
        assert bad(desk.verifier.check(inside.raw))["logged"] == "not_logged"
        desk.world.follow(texas)
        assert bad(desk.verifier.check(inside.raw)) == {"holder": "holder_not_asked"}
