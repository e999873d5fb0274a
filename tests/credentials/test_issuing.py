"""An issuer over a log that may be away, refuse or know more than it does; and one that stops at any of its steps."""

import contextlib
import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from ledger.credentials import model, types
from ledger.credentials.issuing import Issuer
from ledger.credentials.issuing.issuer import LIFE, Conflict
from ledger.credentials.issuing.lists import LIST_LIFE_MS, WAIT_MAX_MS
from ledger.credentials.issuing.store import FILE
from ledger.credentials.pages.access import Access
from ledger.credentials.vc import did, secured, status
from protocol.errors import ConfigError, Malformed, NotFound, Unavailable
from protocol.p256 import P256SigningKey
from tests.support import registrants
from tests.support.vouching import DAY_MS, HOLDER, LICENCE, World, board, published

PARTY = registrants.key(200)  # of the only institution in these worlds


def lists_of(issuer: Issuer) -> tuple[bytes, bytes]:
    """The names of the issuer's only pair of lists."""
    (pair,) = issuer._store.pairs()
    return pair.revocation, pair.suspension


def set_in(issuer: Issuer, name: bytes, **asked: Any) -> int:
    """How many bits a list has set."""
    return status.read_list(secured.read(issuer.status_list(name, **asked)).claims).bits.count()


def test_the_life_of_a_credential_is_its_table(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        for path in (("suspend", "reinstate", "suspend", "revoke"), ("revoke",)):
            made, state = world.licence(issuer), "valid"
            for event in path:
                for other in ("suspend", "reinstate", "revoke"):
                    if (state, other) not in LIFE:
                        with pytest.raises(Conflict, match="status_conflict"):
                            issuer.change(made.id, other, reason="x")
                issuer.change(made.id, event, reason="x")
                state = LIFE[state, event]
                assert issuer.find(made.id).state == state
            assert [each.event for each in issuer.changes(made.id)] == list(path)
        with pytest.raises(NotFound, match="credential_unknown"):
            issuer.change(bytes(16), "revoke", reason="x")
        for reason in ("", "x" * 513):
            with pytest.raises(Malformed, match="reason_bad"):
                issuer.change(made.id, "revoke", reason=reason)


def test_why_a_status_changed_leaves_the_issuer_in_nothing(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made, reason = published(world, issuer), "diverted fentanyl on ward seven"
        issuer.change(made.id, "suspend", reason=reason)
        issuer.publish()
        assert [each.reason for each in issuer.changes(made.id)] == [reason]
        outside = [raw for raw, _, _ in world.log.judged] + [issuer.status_list(name) for name in lists_of(issuer)]
        assert len(outside) > 5 and not any(b"fentanyl" in each for each in outside)


def test_no_statement_says_whom_a_credential_is_about(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)
        row = issuer.find(made.id)
        secrets = [LICENCE["familyName"], LICENCE["licenceNumber"], LICENCE["npi"], row.holder, str(row.place)]
        for raw, _, contract in world.log.judged:
            assert contract != "credentials" or not any(each.encode() in raw for each in secrets)


def test_lists_come_out_when_something_changed_and_once_a_day(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = world.licence(issuer)
        assert [issuer.publish() for _ in range(2)] == [2, 0]
        issuer.change(made.id, "suspend", reason="x")
        assert [issuer.publish() for _ in range(2)] == [2, 0]
        world.pass_days(1)
        assert issuer.publish() == 2
        revocation, suspension = lists_of(issuer)
        yesterday = world.now_ms - DAY_MS
        assert issuer.status_list(revocation, at_ms=yesterday) != issuer.status_list(revocation)
        with pytest.raises(NotFound, match="list_unknown"):
            issuer.status_list(revocation, at_ms=0)
        for name, n in ((revocation, 0), (suspension, 1)):
            assert set_in(issuer, name) == n


def test_every_version_of_a_list_is_there_by_its_digest(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)
        _, name = lists_of(issuer)
        for event in ("suspend", "reinstate", "suspend"):
            world.pass_days(0.1)
            issuer.change(made.id, event, reason="x")
            issuer.publish()
        found = list(world.follow()._versions[name])
        assert [each.n for each in found] == [1, 2, 3, 4]
        assert [set_in(issuer, name, digest=each.digest) for each in found] == [0, 1, 0, 1]
        for each in found:
            assert hashlib.sha256(issuer.status_list(name, digest=each.digest)).digest() == each.digest
            assert issuer.status_list(name, at_ms=each.at_ms) == issuer.status_list(name, digest=each.digest)
        with pytest.raises(NotFound, match="list_unknown"):
            issuer.status_list(bytes(16), digest=found[0].digest)


def test_no_place_is_handed_out_twice_and_places_say_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with board(tmp_path) as (world, issuer):
        for _ in range(30):
            world.licence(issuer)
        places = [row.place for row in reversed(issuer.issued())]
        assert len(set(places)) == 30 and places != sorted(places)
        assert issuer._store.pairs()[0].taken == 30
        monkeypatch.setattr("ledger.credentials.issuing.lists.FULL", model.LIST_SIZE_MIN // 10)
        made = world.licence(issuer)
        assert len(issuer._store.pairs()) == 2, "a list that is full is followed by another"
        issuer.publish()
        world.follow(issuer)
        assert world.bad(made.raw) == {} and len(world.facts.newest()) == 4


def test_the_newest_come_first_and_page_by_page(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = [world.licence(issuer).id for _ in range(5)]
        first = issuer.issued(most=3)
        rest = issuer.issued(most=3, before=first[-1].n)
        assert [row.id for row in (*first, *rest)] == made[::-1]


def test_what_no_verifier_would_take_is_not_issued(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        draft = types.draft("StateLicence", {**LICENCE, "npi": "1245319590"})
        for form in secured.FORMATS:
            with pytest.raises(Malformed, match="npi_bad"):
                issuer.issue(draft, holder=HOLDER.public, format=form)
        for changed, code in (({"days": 0}, "period_bad"), ({"format": "mdoc"}, "format_unknown")):
            with pytest.raises(Malformed, match=code):
                world.licence(issuer, **changed)
        assert issuer.issued() == [] and issuer._store.pairs()[0].taken == 0


def test_a_renewed_licence_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        old = published(world, issuer, days=10)
        new = issuer.refresh(old.id, days=100)
        issuer.publish()
        world.follow(issuer)
        assert world.bad(old.raw) == {"revocation": "revoked"} and world.bad(new.raw) == {}
        assert issuer.find(old.id).renewed == new.id and issuer.find(new.id).renewed is None
        assert [each.reason for each in issuer.changes(old.id)] == ["renewed"]
        with pytest.raises(Conflict, match="status_conflict"):
            issuer.refresh(old.id)


# -- the log


def test_a_commitment_that_came_before_the_accreditation_can_be_said_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.issuer("board") as issuer:
        made = world.licence(issuer)
        issuer.publish()
        row = issuer.find(made.id)
        assert issuer.standing(row) == "issuer_key_unknown"
        world.accredit(PARTY, issuer.did)
        issuer.begin()  # says the key again, and `publish` the lists
        assert issuer.standing(row) == "issuer_key_unknown"
        issuer.say_again(row)
        issuer.publish()
        assert issuer.standing(row) == "receipted"
        world.follow(issuer)
        assert world.bad(made.raw) == {}


def test_a_full_outbox_refuses_before_anything_is_made(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)

        def full(document: bytes, content_type: str, sub: str) -> bytes:
            raise Unavailable("outbox_full")

        issuer._say, kept = full, issuer._say
        with pytest.raises(Unavailable, match="outbox_full"):
            world.licence(issuer)
        before = len(issuer.issued())
        for _ in range(3):
            with pytest.raises(Unavailable, match="outbox_full"):
                world.licence(issuer)
        assert len(issuer.issued()) == before == 2, "the one that was made first, and is said when there is room"
        issuer._say = kept
        issuer.publish()
        world.follow(issuer)
        assert [world.bad(row.raw) for row in issuer.issued()] == [{}, {}] and issuer.find(made.id)


def test_a_log_that_is_away_gets_the_versions_in_their_order(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)
        world.away = True
        for event in ("suspend", "reinstate", "suspend"):
            world.pass_days(0.5)
            issuer.change(made.id, event, reason="x")
            assert issuer.publish() == 2
        world.pass_days(WAIT_MAX_MS / DAY_MS)
        issuer.change(made.id, "reinstate", reason="x")
        assert issuer.publish() == 0, "what waits so long is waited for"
        world.away = False
        world.send()
        assert issuer.publish() == 2
        world.follow(issuer)
        assert world.bad(made.raw) == {} and {each.n for each in world.facts.newest().values()} == {5}


def test_versions_that_came_too_late_are_made_anew_under_the_same_number(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)
        world.away = True
        world.pass_days(1)
        assert issuer.publish() == 2
        world.pass_days(1)
        issuer.change(made.id, "suspend", reason="x")
        assert issuer.publish() == 2
        world.pass_days(LIST_LIFE_MS / DAY_MS)
        assert issuer.publish() == 0
        world.away = False
        world.send()
        assert {"list_ended", "list_version"} <= set(world.answers.values())
        assert issuer.publish() == 2, "under number 2, which the log never had"
        world.follow(issuer)
        assert world.bad(made.raw) == {"suspension": "suspended"}
        assert {each.n for each in world.facts.newest().values()} == {2}


def test_a_database_from_an_old_copy_takes_no_revocation_back(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)
        issuer.close()
        shutil.copy(tmp_path / "board" / FILE, tmp_path / "old.db")
        again = world.opened("board", PARTY)
        again.change(made.id, "revoke", reason="fraud")
        again.publish()
        again.close()
        shutil.copy(tmp_path / "old.db", tmp_path / "board" / FILE)
        world.pass_days(1)
        old = world.opened("board", PARTY)
        with contextlib.closing(old):
            assert old.find(made.id).state == "valid", "it has forgotten"
            assert old.publish() == 2 and old.lost() == 0
            assert old.publish() == 0 and old.lost() == 1, "the log has versions that are not from here"
            world.pass_days(3)
            assert old.publish(again=True) == 0
            world.follow()
            found = world.bad(made.raw)
            assert found["revocation"] in ("status_stale", "status_unknown"), "unknown, and so never valid"
            new = world.licence(old)
            old.publish()
            assert len(old._store.pairs()) == 2, "others go into other lists"
            world.facts.as_of_ms = world.now_ms
            for name in (old._store.pairs()[1].revocation, old._store.pairs()[1].suspension):
                raw = old.status_list(name)
                world.facts.hold(raw, status.read_list(secured.read(raw).claims), method=old.method)
            world.follow()
            assert world.bad(new.raw) == {}


# -- keys


def test_after_a_theft_the_lists_come_out_under_the_new_key(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        before = published(world, issuer)
        old, since = issuer._keys.newest, (1, world.log.size)
        after = published(world, issuer)
        issuer.stolen(since=since)
        assert issuer.publish() == 2, "though nothing changed in them"
        world.follow(issuer)
        assert world.bad(before.raw) == {} and world.bad(after.raw) == {"issuer": "key_compromised"}
        assert [row.id for row in issuer.signed_with(old.thumbprint)] == [before.id, after.id]
        issuer.refresh(after.id)
        assert [row.id for row in issuer.signed_with(old.thumbprint)] == [before.id]
        document = issuer.document()
        assert old.method in document.methods and document.assertion == {issuer.method}
        with pytest.raises(NotFound, match="issuer_key_unknown"):
            issuer.stolen(since=since, key=bytes(32))


def test_a_theft_that_the_log_could_not_take_yet_is_said_again(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)
        issuer.stolen(since=(1, world.log.size + 3))
        issuer.begin()
        assert "end_early" in world.answers.values()
        for _ in range(3):
            published(world, issuer)
        issuer.begin()
        assert "end_early" not in world.answers.values()
        life = world.follow(issuer)._keys[secured.read(made.raw).method].life
        assert life.compromised is not None and world.bad(made.raw) == {}


def test_an_issuer_with_a_did_key_keeps_its_key_and_ends_with_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    issuer = alone(world, tmp_path)
    with contextlib.closing(issuer):
        with pytest.raises(ConfigError, match="did_key"):
            issuer.rotate()
        assert issuer.did.startswith("did:key:z6Mk")
        issuer.issue(types.draft("StateLicence", LICENCE), holder=HOLDER.public)
        issuer.stolen(since=(1, 0))
        for deed in (lambda: world.licence(issuer), issuer.publish):
            with pytest.raises(ConfigError, match="key_ended"):
                deed()
    with contextlib.closing(alone(world, tmp_path)) as again, pytest.raises(ConfigError, match="key_ended"):
        again.publish()


def test_only_the_owner_reads_keys_and_what_was_issued(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        world.licence(issuer)
        issuer.rotate()
        issuer.close()
        files = list((tmp_path / "board").iterdir())
        assert len([each for each in files if each.suffix == ".key"]) == 2
        for file in files:
            assert file.stat().st_mode & 0o077 == 0, file


def test_a_first_key_that_has_no_row_yet_is_taken_up(tmp_path: Path) -> None:
    world = World(tmp_path)
    with contextlib.closing(alone(world, tmp_path)) as issuer:
        name = issuer.did
    (tmp_path / FILE).unlink()
    with contextlib.closing(alone(world, tmp_path)) as again:
        assert again.did == name


def test_a_key_file_that_is_lost_stops_signing_and_nothing_else(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        made = published(world, issuer)
        issuer.close()
        for file in (tmp_path / "board").glob("issuer-*.key"):
            file.unlink()
        with contextlib.closing(world.opened("board", PARTY)) as again:
            again.begin()
            assert set_in(again, lists_of(again)[0]) == 0 and len(again.document().assertion) == 1
            with pytest.raises(NotFound, match="key_missing"):
                world.licence(again)
            again.rotate()
            new = published(world, again)
            assert world.bad(made.raw) == world.bad(new.raw) == {}


def test_a_database_that_is_gone_from_its_keys_is_missed(tmp_path: Path) -> None:
    with board(tmp_path) as (world, issuer):
        issuer.rotate()
        issuer.close()
        for file in (tmp_path / "board").glob(f"{FILE}*"):
            file.unlink()
        with pytest.raises(ConfigError, match="credentials_lost"):
            world.opened("board", PARTY)


def test_a_file_that_is_no_issuers_is_left_alone(tmp_path: Path) -> None:
    Access.open(tmp_path, random_bytes=bytes).close()
    (tmp_path / "credentials-access.db").rename(tmp_path / FILE)
    with pytest.raises(Unavailable, match="credentials_unreadable"):
        alone(World(tmp_path), tmp_path)


def alone(world: World, folder: Path) -> Issuer:
    """An issuer under a did:key whose log never answers."""
    return Issuer.open(
        folder,
        say=lambda document, content_type, sub: hashlib.sha256(document).digest(),
        base=lambda: "https://x.example",
        log=registrants.ORIGIN,
        party=PARTY.public.thumbprint,
        now_ms=lambda: world.now_ms,
        random_bytes=world.random.randbytes,
    )


# -- stops

STEPS = ["add", "said", "change", "add_version", "settle", "turn_key", "key_said"]


class Stopped(BaseException):
    """The process ends here."""


def a_day(world: World, issuer: Issuer, other: bytes) -> None:
    """A new key, a licence, a suspension and new lists."""
    issuer.rotate()
    world.licence(issuer)
    issuer.change(other, "suspend", reason="x")
    issuer.publish()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stop_at_any_step_loses_nothing_that_was_handed_out(
    tmp_path: Path, step: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with board(tmp_path) as (world, issuer):
        first = published(world, issuer)
        kept = getattr(issuer._store, step)

        def stopping(*values: Any, **named: Any) -> Any:
            if when == "after":
                kept(*values, **named)
            raise Stopped

        monkeypatch.setattr(issuer._store, step, stopping)
        with pytest.raises(Stopped):
            a_day(world, issuer, first.id)
        monkeypatch.undo()
        issuer.close()
        with contextlib.closing(world.opened("board", PARTY)) as again:
            again.begin()
            made = world.licence(again)
            again.publish()
            world.follow(again)
            assert world.bad(made.raw) == {}
            for row in again.issued():
                assert world.bad(row.raw) == ({} if row.state == "valid" else {"suspension": "suspended"})
            assert {again.standing(row) for row in again.issued()} == {"receipted"}
            keys = again._store.issuer_keys()
            assert [each.ended for each in keys] in ([0], [1, 0]), "a new key and the end of the old one, or neither"
            lives = [world.facts._keys[each.method].life for each in keys]
            assert [life.retired is not None for life in lives] == [bool(each.ended) for each in keys]


def test_a_theft_that_was_cut_off_is_said_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with board(tmp_path) as (world, issuer):
        published(world, issuer)
        after = issuer._keys.newest
        since = (1, world.log.size)
        made = published(world, issuer)

        def stopping() -> None:
            raise Stopped

        monkeypatch.setattr(issuer, "_drain", stopping)
        with pytest.raises(Stopped):
            issuer.stolen(since=since)
        issuer.close()
        with contextlib.closing(world.opened("board", PARTY)) as again:
            again.begin()
            again.publish()
            world.follow(again)
            assert world.bad(made.raw) == {"issuer": "key_compromised"}
            assert again.method != after.method and world.bad(published(world, again).raw) == {}


def test_a_holder_may_be_a_browser(tmp_path: Path) -> None:
    holder = P256SigningKey(bytes([4]) * 32).public
    with board(tmp_path) as (_, issuer):
        for form in secured.FORMATS:
            made = issuer.issue(types.draft("StateLicence", LICENCE), holder=holder, format=form)
            assert secured.read(made.raw).subject == did.did_key(holder)
