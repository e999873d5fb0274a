"""Verdicts over credentials of real issuers on a real contract: now, later, and as it was on a day."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from ledger.credentials import types
from ledger.credentials.vc import did, integrity, jcs, secured
from ledger.credentials.verdict import Ages, Possession, steps, unreadable
from tests.support import registrants
from tests.support.vouching import DAY_MS, HOLDER, LICENCE, World, board, published

FORMATS = secured.FORMATS


def bad(world: World, raw: bytes, **more: Any) -> dict[str, str]:
    """The steps that did not pass, with their codes."""
    return world.bad(raw, **more)


@pytest.mark.parametrize("form", FORMATS)
def test_a_licence_passes_every_step_in_their_order(tmp_path: Path, form: str) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer, format=form)
        verdict = world.verdict(made.raw)
        assert verdict.valid, bad(world, made.raw)
        assert [each.name for each in verdict.steps] == steps.NAMES


def test_a_revocation_bites_with_the_next_list_and_an_old_list_is_no_answer(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made, other = published(world, issuer), world.licence(issuer)
        world.pass_days(0.1)
        issuer.change(made.id, "revoke", reason="fraud")
        issuer.publish()
        world.follow()
        assert bad(world, made.raw) == {"revocation": "status_stale", "suspension": "status_stale"}, (
            "the log says so at once"
        )
        world.follow(issuer)
        assert bad(world, made.raw) == {"revocation": "revoked"}
        assert world.verdict(other.raw).valid


def test_a_suspension_ends_and_the_past_stays_what_it_was(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)
        days = []
        for event in ("suspend", "reinstate", "revoke"):
            world.pass_days(2)
            days.append(world.now_ms - DAY_MS)
            issuer.change(made.id, event, reason="as it happens")
            issuer.publish()
            world.follow(issuer)
        world.pass_days(1)
        days.append(world.now_ms)
        found = [bad(world, made.raw, at_ms=day) for day in days]
        assert found == [{}, {"suspension": "suspended"}, {}, {"revocation": "revoked"}]
        assert bad(world, made.raw, at_ms=registrants.NOW_MS - DAY_MS)["logged"] == "logged_later"


def test_a_clock_that_is_behind_the_logs_hides_nothing_that_the_log_says(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)
        world.pass_days(1)
        issuer.change(made.id, "revoke", reason="fraud")
        issuer.publish()
        world.accredit(registrants.key(200), issuer.did, withdrawn=True)
        world.follow(issuer)
        world.log.now_ms -= DAY_MS // 2
        assert bad(world, made.raw) == {"revocation": "revoked", "accredited": "not_accredited"}


def test_another_issuer_that_claims_the_address_of_a_list_changes_nothing(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer), world.issuer("mill", "Training") as mill:
        made = world.licence(issuer)
        url = secured.read(made.raw).status["revocation"].url
        mill._lists._url = lambda name: url  # type: ignore[method-assign]
        fields = {name: LICENCE[name] for name in ("givenName", "familyName", "jurisdiction")}
        fields |= {"programme": "x", "conferredAt": "2020-01-01"}
        other = mill.issue(types.draft("Training", fields), holder=HOLDER.public)
        mill.change(other.id, "revoke", reason="x")
        mill.publish()
        world.follow(mill)
        issuer.publish()
        world.follow(issuer)
        assert bad(world, made.raw) == {}


def test_a_licence_ends(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer, days=3)
        world.pass_days(3)
        world.follow()
        assert bad(world, made.raw) == {"period": "expired"}
        assert bad(world, made.raw, at_ms=world.now_ms - DAY_MS) == {}


def test_who_shows_it_must_be_whom_it_is_about(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)
        other = did.did_key(registrants.STRANGER.public)
        assert bad(world, made.raw, holder=other) == {"holder": "holder_other"}
        assert bad(world, made.raw, possession=None) == {"holder": "holder_not_asked"}
        assert world.verdict(made.raw, possession=None).outcome == steps.UNKNOWN
        said = Possession(holder=None, code="proof_challenge")
        assert bad(world, made.raw, possession=said) == {"holder": "proof_challenge"}


def test_a_diploma_mill_vouches_for_nothing_it_is_not_accredited_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.issuer("mill", "Training") as mill:
        fields = {**LICENCE, "programme": "Medicine", "conferredAt": "2020-01-01"}
        draft = types.draft(
            "Degree",
            {name: fields[name] for name in ("givenName", "familyName", "jurisdiction", "programme", "conferredAt")},
        )
        refused = mill.issue(draft, holder=HOLDER.public)
        assert mill.standing(mill.find(refused.id)) == "issuer_not_accredited"
        mill.publish()
        world.follow(mill)
        (row,) = mill.issued()
        found = bad(world, row.raw)
        assert found["logged"] == "not_logged" and found["accredited"] == "issuance_unknown"


def test_an_institution_that_lost_its_accreditation_vouches_no_more(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)
        day = world.now_ms
        world.pass_days(1)
        party = registrants.key(200)
        world.accredit(party, issuer.did, withdrawn=True)
        world.follow()
        assert bad(world, made.raw) == {"accredited": "not_accredited"}
        assert bad(world, made.raw, at_ms=day) == {}
        refused = world.licence(issuer)
        assert issuer.standing(issuer.find(refused.id)) == "issuer_not_accredited"


def test_a_stolen_key_counts_for_what_was_logged_before_and_for_nothing_else(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        before = published(world, issuer)
        since = (1, world.log.size)
        after = published(world, issuer)
        stolen, method = issuer._keys.signer.key, issuer.method
        forged = json.loads(before.raw)
        del forged["proof"]
        forged["credentialSubject"]["givenName"] = "Eve"
        backdated = jcs.canonical(integrity.sign(forged, stolen, method=method, created_s=1_600_000_000))
        assert bad(world, backdated) == {"logged": "commitment_mismatch"}, "even before anybody knows"
        issuer.stolen(since=since)
        issuer.publish(again=True)
        world.follow(issuer)
        assert bad(world, before.raw) == {}
        assert bad(world, after.raw) == {"issuer": "key_compromised"}
        assert bad(world, published(world, issuer).raw) == {}, "with the new key"


def test_a_rotated_key_keeps_what_it_signed(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        before = published(world, issuer)
        issuer.rotate()
        after = published(world, issuer)
        assert before.raw != after.raw and secured.read(before.raw).method != secured.read(after.raw).method
        assert bad(world, before.raw) == bad(world, after.raw) == {}
        assert len(issuer.document().assertion) == 2


def test_what_rests_on_an_old_reading_of_the_ledger_is_not_known(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)
        world.pass_days(2)
        found = world.verdict(made.raw)
        assert found.outcome == steps.UNKNOWN and found.step("logged").code == "facts_old"
        assert found.step("logged").age_ms == 2 * DAY_MS
        assert world.verdict(made.raw, ages=Ages(facts_ms=3 * DAY_MS)).valid
        world.pass_days(6)
        world.follow()
        assert bad(world, made.raw) == {"revocation": "status_ended", "suspension": "status_ended"}


def test_a_verification_of_long_ago_does_not_count(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.issuer("agency", "PrimarySourceVerification") as agency:
        day = "2023-11-10"  # the log's time is 2023-11-14
        fields = {name: LICENCE[name] for name in ("givenName", "familyName", "jurisdiction")}
        fields |= {
            "source": "Board",
            "claim": "licence",
            "result": "confirmed",
            "checkedAt": day,
            "checkedBy": "agency",
        }
        made = agency.issue(types.draft("PrimarySourceVerification", fields), holder=HOLDER.public)
        for days, found in ((100, {}), (20, {"period": "check_too_old"})):
            world.pass_days(days)
            agency.publish()
            world.follow(agency)
            assert bad(world, made.raw) == found
        fields["checkedAt"] = "2024-01-01"
        early = agency.issue(types.draft("PrimarySourceVerification", fields), holder=HOLDER.public)
        assert agency.standing(agency.find(early.id)) == "check_time"


def test_what_is_no_credential_fails_the_first_step() -> None:
    found = unreadable("vc_format", at_ms=0)
    assert found.outcome == steps.FAIL and [each.name for each in found.steps] == steps.NAMES


def test_a_pinned_document_says_who_signed_and_no_more(tmp_path: Path) -> None:
    """Who is pinned and not on the ledger has signed, and vouches for nothing all the same."""
    strange, key = "did:web:strange.example", registrants.key(199)
    method = f"{strange}#k1"
    document = did.DidDocument(
        id=strange, methods={method: key.public}, assertion=frozenset({method}), authentication=frozenset()
    )
    with board(tmp_path) as (world, issuer):
        claims = dict(secured.read(published(world, issuer).raw).claims)
        del claims["proof"]
        made = jcs.canonical(
            integrity.sign({**claims, "issuer": strange}, key, method=method, created_s=world.now_ms // 1000)
        )
        assert bad(world, made)["signature"] == "key_unknown"
        pinned = did.DidTable({strange: document})
        found = bad(world, made, pinned=pinned)
        assert "signature" not in found and found["issuer"] == "issuer_unknown"
        shut = did.DidTable({strange: dataclasses.replace(document, assertion=frozenset())})
        assert bad(world, made, pinned=shut)["signature"] == "method_purpose"
        none = did.DidTable({strange: dataclasses.replace(document, methods={})})
        assert bad(world, made, pinned=none)["signature"] == "method_unknown"
