"""Hiring files: what counts and what does not, what happens by itself, what is told once, and what is left when it is over."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.credentials.hiring import store
from ledger.credentials.hiring.exclusions import Person
from ledger.credentials.hiring.life import Refused
from ledger.credentials.hiring.posts import DAY_MS, Post, usual
from ledger.credentials.hiring.review import after_months
from ledger.questions import MayAct
from protocol.errors import Malformed, NotFound
from tests.support import hirings
from tests.support.hirings import HOLDER, NOW_MS, Desk, Registry, credential, small_post, sourced

ADA = Person(given="Ada", family="Lovelace", birth="1990-12-10", npi="1245319599")
YEAR_MS = 365 * DAY_MS
HEAD = "LASTNAME,FIRSTNAME,MIDNAME,BUSNAME,GENERAL,SPECIALTY,UPIN,NPI,DOB,ADDRESS,CITY,STATE,ZIP,EXCLTYPE,EXCLDATE,REINDATE,WAIVERDATE,WVRSTATE"


def leie(*, npi: str = "0000000000", name: str = "LOVELACE,ADA", born: str = "", again: str = "00000000") -> bytes:
    last, first = name.split(",")
    row = f'"{last}","{first}","","","NURSE","","","{npi}","{born}","","","CA","","1128a1","20260101","{again}","00000000",""'
    return f"{HEAD}\n{row}\n".encode()


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def desk(tmp_path: Path, registry: Registry) -> Iterator[Desk]:
    found = Desk(tmp_path, registry)
    yield found
    found.store.close()


def licence(registry: Registry, *, n: int = 1, days: float = 730, **changed: object) -> bytes:
    until_ms = registry.now_ms + round(days * DAY_MS)
    return credential("StateLicence", n=n, until_ms=until_ms, licenceType="Registered nurse", **changed)  # type: ignore[arg-type]


def hired(desk: Desk, raw: bytes, post: Post | None = None, *more: bytes) -> bytes:
    """A file of somebody who works."""
    file = desk.hiring.open(post or small_post(), ADA, by="hr")
    desk.hiring.receive(file, desk.registry.show(raw, *more), by="hr")
    desk.hiring.verify(file, by="hr")
    desk.hiring.hire(file, by="hr")
    assert desk.state(file) == "hired", desk.hiring.review(file)
    return file


def may(desk: Desk, capability: str = "break-glass") -> tuple[bool, str]:
    found = desk.hiring.may(MayAct(holder=HOLDER, capability=capability))
    return found.allowed, found.code


def test_a_file_goes_from_a_request_to_somebody_who_works(desk: Desk) -> None:
    file = desk.hiring.open(small_post(), ADA, by="hr")
    assert [gap.code for gap in desk.hiring.review(file).gaps] == ["nothing_sent"]
    (taken,) = desk.hiring.receive(file, desk.registry.show(licence(desk.registry)), by="hr")
    assert taken.code == "taken" and desk.state(file) == "complete"
    assert desk.hiring.verify(file, by="hr").causes == () and desk.state(file) == "verified"
    assert may(desk) == (False, "nobody")
    desk.hiring.hire(file, by="hr")
    assert may(desk) == (True, "allowed") and may(desk, "prescriber") == (False, "not_granted")
    steps = [each.event for each in desk.store.history(file)]
    assert steps[:5] == ["request", "receive", "fill", "verify", "hire"]


def test_what_was_sent_and_does_not_count_is_named_with_its_reason(desk: Desk, registry: Registry) -> None:
    post = small_post(
        needs=[
            {"name": "licence", "type": "StateLicence", "places": ["US-CA"], "issuers": [hirings.BOARD],
             "says": {"licenceType": ["Registered nurse"]}, "checked_days": 120},
        ],
        grants={},
    )  # fmt: skip
    good = licence(registry)
    cases = {
        "other_place": licence(registry, where="US-NV"),
        "other_issuer": licence(registry, issuer="did:web:mill.example"),
        "claim_other": credential("StateLicence", licenceType="Barber"),
        "claim_kept_back": credential("StateLicence"),
        "expired": licence(registry, days=-1),
        "not_yet_valid": licence(registry, from_ms=NOW_MS + 1),
        "source_not_asked": good,
    }
    for code, raw in cases.items():
        file = desk.hiring.open(post, ADA, by="hr")
        desk.hiring.receive(file, registry.show(raw), by="hr")
        (gap,) = desk.hiring.review(file).gaps
        assert (gap.code, gap.reasons[0].code, desk.state(file)) == (code, code, "collecting")


def test_the_word_of_a_source_counts_for_120_days_and_for_what_it_is_about(desk: Desk, registry: Registry) -> None:
    post = small_post(needs=[{"name": "licence", "type": "StateLicence", "checked_days": 120}], grants={})
    good, other = licence(registry), licence(registry, n=2)
    cases = {
        "lately": (sourced(registry, days_ago=119.9), ""),
        "by its number": (sourced(registry, hirings.name_of(good)), ""),
        "too long ago": (sourced(registry, n=2, days_ago=120), "source_too_old"),
        "of another credential": (sourced(registry, hirings.name_of(other)), "source_not_asked"),
        "of another type": (sourced(registry, "Degree"), "source_not_asked"),
        "of another place": (sourced(registry, where="US-NV"), "source_not_asked"),
        "that said no": (sourced(registry, result="denied"), "source_denied"),
        "that could not say": (sourced(registry, result="unknown"), "source_not_asked"),
    }
    for case, (source, code) in cases.items():
        file = desk.hiring.open(post, ADA, by="hr")
        desk.hiring.receive(file, registry.show(good, source), by="hr")
        assert [gap.code for gap in desk.hiring.review(file).gaps] == ([code] if code else []), case


def test_a_source_counts_once_the_ledger_was_read_so_far(desk: Desk, registry: Registry) -> None:
    post = small_post(needs=[{"name": "licence", "type": "StateLicence", "checked_days": 120}], grants={})
    source = sourced(registry)
    asked_ms = registry.checked.pop(hirings.anchor_of(source))
    registry.find(source, "logged", "unknown", "facts_old")
    file = desk.hiring.open(post, ADA, by="hr")
    desk.hiring.receive(file, registry.show(licence(registry), source), by="hr")
    assert desk.state(file) == "collecting"
    registry.checked[hirings.anchor_of(source)] = asked_ms
    registry.clear(source)
    desk.hiring.round()
    assert desk.state(file) == "complete"


def test_a_source_whose_word_was_taken_back_is_no_source(desk: Desk, registry: Registry) -> None:
    post = small_post(needs=[{"name": "licence", "type": "StateLicence", "checked_days": 120}], grants={})
    source = sourced(registry)
    file = desk.hiring.open(post, ADA, by="hr")
    registry.find(source, "revocation", "fail", "revoked")
    desk.hiring.receive(file, registry.show(licence(registry), source), by="hr")
    assert [gap.code for gap in desk.hiring.review(file).gaps] == ["source_revoked"]


def test_somebody_elses_credentials_are_not_kept(desk: Desk, registry: Registry, tmp_path: Path) -> None:
    file = desk.hiring.open(small_post(), ADA, by="hr")
    mine, theirs = licence(registry), licence(registry, subject="did:key:zOther")
    codes = [each.code for each in desk.hiring.receive(file, registry.show(mine, theirs), by="hr")]
    assert codes == ["taken", "holder_not_proved"]
    answer = registry.show(theirs, holder="did:key:zOther")
    assert [each.code for each in desk.hiring.receive(file, answer, by="hr")] == ["holder_other"]
    assert [each.code for each in desk.hiring.receive(file, registry.check(mine), by="hr")] == ["holder_not_proved"]
    assert len(desk.hiring.row(file).file.helds) == 1
    assert [each.code for each in desk.hiring.receive(file, registry.show(mine), by="hr")] == ["again"]


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("revocation", "revoked"),
        ("suspension", "suspended"),
        ("accredited", "not_accredited"),
        ("issuer", "key_compromised"),
    ],
)
def test_a_revocation_bites_at_the_next_question_before_any_round(
    desk: Desk, registry: Registry, step: str, code: str
) -> None:
    raw = licence(registry)
    file = hired(desk, raw)
    assert may(desk) == (True, "allowed")
    registry.find(raw, step, "fail", code)
    assert may(desk) == (False, code) and may(desk, "sign") == (False, code)
    assert desk.state(file) == "suspended" and (code, 0) in desk.told(file)
    registry.clear(raw)
    assert may(desk) == (True, "allowed") and desk.state(file) == "hired"
    assert [each.code for each in desk.hiring.alerts(file, standing=True)] == []


def test_an_end_bites_in_its_millisecond_without_any_news(desk: Desk, registry: Registry) -> None:
    file = hired(desk, licence(registry, days=100))
    answer = desk.hiring.may(MayAct(holder=HOLDER, capability="sign"))
    registry.now_ms += 100 * DAY_MS - 1
    assert may(desk) == (True, "allowed")
    registry.now_ms += 1
    assert may(desk) == (False, "expired")
    assert answer.until_ms is not None and answer.until_ms <= registry.now_ms
    desk.hiring.round()
    assert desk.state(file) == "suspended"
    assert desk.store.permits(file)["break-glass"][:2] == ("blocked", "expired")


def test_what_is_not_known_allows_nothing_and_suspends_nobody(desk: Desk, registry: Registry) -> None:
    raw = licence(registry)
    file = hired(desk, raw)
    registry.find(raw, "revocation", "unknown", "status_stale")
    assert may(desk) == (False, "status_stale") and desk.state(file) == "hired"
    assert desk.told(file) == [("status_stale", 0)]


def test_one_who_is_suspended_is_not_reinstated_by_what_is_not_known(desk: Desk, registry: Registry) -> None:
    raw = licence(registry)
    file = hired(desk, raw)
    registry.find(raw, "suspension", "fail", "suspended")
    desk.hiring.round()
    registry.find(raw, "suspension", "unknown", "status_stale")
    desk.hiring.round()
    assert desk.state(file) == "suspended" and may(desk) == (False, "status_stale")


def test_another_credential_takes_the_place_of_a_revoked_one_which_is_told_of_all_the_same(
    desk: Desk, registry: Registry
) -> None:
    first, second = licence(registry), licence(registry, n=2)
    file = hired(desk, first, None, second)
    registry.find(first, "revocation", "fail", "revoked")
    desk.hiring.round()
    assert may(desk) == (True, "allowed") and desk.told(file) == [("revoked", 0)]


def test_every_mark_before_an_end_is_told_once_over_restarts_and_days_without_a_round(
    desk: Desk, registry: Registry
) -> None:
    file = hired(desk, licence(registry, days=200))
    for day in range(100, 202):
        registry.now_ms = NOW_MS + day * DAY_MS
        if 109 < day < 113 or 139 < day < 144:  # nothing runs when the marks of 90 and of 60 days come
            continue
        desk.hiring.round()
        if day % 9 == 0:
            desk.restart()
            desk.hiring.round()
    marks = [each for each in desk.told(file) if each[1]]
    assert marks == [("expiring", days) for days in (90, 60, 30, 14, 7)]
    assert [each for each in desk.told(file) if not each[1]] == [("expired", 0)]


def test_of_marks_that_passed_before_somebody_was_hired_the_last_is_told(desk: Desk, registry: Registry) -> None:
    file = hired(desk, licence(registry, days=20))
    assert desk.told(file) == [("expiring", 30)]
    registry.now_ms += 7 * DAY_MS
    desk.hiring.round()
    assert desk.told(file) == [("expiring", 30), ("expiring", 14)]


def test_a_renewed_licence_ends_the_marks_of_the_old_one(desk: Desk, registry: Registry) -> None:
    file = hired(desk, licence(registry, days=20))
    desk.hiring.receive(file, registry.show(licence(registry, n=2, days=700)), by="hr")
    for _ in range(10):
        registry.now_ms += 3 * DAY_MS
        desk.hiring.round()
    assert desk.told(file) == [("expiring", 30)] and may(desk) == (True, "allowed")


def test_after_36_months_all_is_asked_for_again(desk: Desk, registry: Registry) -> None:
    file = hired(desk, licence(registry, days=3000))
    due_ms = after_months(NOW_MS, 36)
    registry.now_ms = due_ms - 1
    assert may(desk) == (True, "allowed")
    desk.hiring.round()
    registry.now_ms = due_ms
    assert may(desk) == (False, "recredential_due"), "also before the round that says so"
    desk.hiring.round()
    assert desk.state(file) == "suspended"
    assert ("recredential", 7) in desk.told(file) and ("recredential_due", 0) in desk.told(file)
    assert desk.hiring.renew(file, by="hr").causes == ()
    assert may(desk) == (True, "allowed") and desk.state(file) == "hired"


def test_a_source_is_asked_again_before_a_file_is_renewed(desk: Desk, registry: Registry) -> None:
    post = small_post(needs=[{"name": "licence", "type": "StateLicence", "checked_days": 120}])
    file = hired(desk, licence(registry, days=3000), post, sourced(registry))
    registry.now_ms += 130 * DAY_MS
    assert may(desk) == (True, "allowed")
    assert [gap.code for gap in desk.hiring.renew(file, by="hr").gaps] == ["source_too_old"]
    registry.now_ms = NOW_MS + 1096 * DAY_MS
    assert may(desk)[1] in ("source_too_old", "recredential_due")


def test_who_is_on_a_list_by_number_is_stopped_and_by_name_and_birth_date_until_a_person_decides(
    desk: Desk, registry: Registry
) -> None:
    file = hired(desk, licence(registry))
    assert desk.hiring.take_list("leie", leie(npi=ADA.npi, name="BYRON,A")) == 1
    assert may(desk) == (False, "excluded") and desk.state(file) == "suspended"
    desk.hiring.take_list("leie", leie(born="19901210"))
    assert may(desk) == (False, "exclusion_possible")
    (match,) = desk.hiring.row(file).file.matches
    desk.hiring.decide(file, match.entry, same=False, by="hr")
    assert may(desk) == (True, "allowed") and desk.state(file) == "hired"
    desk.hiring.take_list("leie", leie(born="19901210"))
    assert may(desk) == (True, "allowed"), "what was decided stays decided"
    desk.hiring.decide(file, match.entry, same=True, by="hr")
    assert may(desk) == (False, "exclusion_possible")
    desk.hiring.take_list("leie", leie(npi="1234567893", name="OTHER,A"))
    assert may(desk) == (True, "allowed"), "off the list again"


def test_a_false_number_on_our_side_hides_nobody_whose_credential_has_the_true_one(
    desk: Desk, registry: Registry
) -> None:
    desk.hiring.take_list("leie", leie(npi="1234567893", name="OTHER,A"))
    file = desk.hiring.open(small_post(), Person(given="Ada", family="Lovelace"), by="hr")
    desk.hiring.receive(file, registry.show(licence(registry), licence(registry, n=2, npi="1234567893")), by="hr")
    assert [each.code for each in desk.hiring.verify(file, by="hr").causes] == ["excluded"]
    named = desk.hiring.open(small_post(), Person(given="A.", family="L.", birth="1990-12-10"), by="hr")
    desk.hiring.take_list("leie", leie(born="19901210"))
    desk.hiring.receive(named, registry.show(licence(registry)), by="hr")
    assert [each.code for each in desk.hiring.review(named).causes] == ["exclusion_possible"]


@pytest.mark.parametrize("said", [{"birthDate": "1990-12-11"}, {"npi": "1234567893"}])
def test_credentials_of_a_helper_are_not_those_of_the_person(
    desk: Desk, registry: Registry, said: dict[str, str]
) -> None:
    file = desk.hiring.open(small_post(), ADA, by="hr")
    (taken,) = desk.hiring.receive(file, registry.show(licence(registry, **said)), by="hr")
    assert taken.code == "person_other" and desk.state(file) == "requested"


@pytest.mark.parametrize(
    "entry",
    [
        leie(name="LOVELACE,ADA"),
        leie(born="19901211"),
        leie(npi=ADA.npi, again="20260601"),
        leie(name=",", npi=ADA.npi),
    ],
    ids=["a name alone", "another birth date", "reinstated", "a business"],
)
def test_who_is_not_on_a_list_works_on(desk: Desk, registry: Registry, entry: bytes) -> None:
    hired(desk, licence(registry))
    desk.hiring.take_list("leie", entry)
    assert may(desk) == (True, "allowed")


def test_nobody_on_a_list_is_hired_and_their_credentials_say_who_they_are(desk: Desk, registry: Registry) -> None:
    desk.hiring.take_list("leie", leie(npi=ADA.npi))
    file = desk.hiring.open(small_post(), Person(given="A.", family="L."), by="hr")
    desk.hiring.receive(file, registry.show(licence(registry, npi=ADA.npi)), by="hr")
    for step in (desk.hiring.verify, desk.hiring.hire):
        assert [each.code for each in step(file, by="hr").causes] == ["excluded"]
        assert desk.state(file) == "complete"


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"A,B\n1,2\n", "exclusions_head"), (HEAD.encode() + b"\n1,2\n", "exclusions_bad"), (b"\xff", "exclusions_bad")],
)
def test_a_list_that_cannot_be_read_leaves_the_one_before(desk: Desk, data: bytes, code: str) -> None:
    desk.hiring.take_list("leie", leie())
    with pytest.raises(Malformed) as refused:
        desk.hiring.take_list("leie", data)
    assert refused.value.code == code
    assert [each[:2] for each in desk.store.excluded.lists()] == [("leie", 1)]


def test_a_person_can_stop_somebody_and_no_cause_that_goes_lets_them_begin(desk: Desk, registry: Registry) -> None:
    raw = licence(registry)
    file = hired(desk, raw)
    desk.hiring.suspend(file, by="hr")
    assert may(desk) == (False, "held") and desk.state(file) == "suspended"
    registry.find(raw, "suspension", "fail", "suspended")
    desk.hiring.round()
    registry.clear(raw)
    desk.hiring.round()
    assert desk.state(file) == "suspended"
    desk.hiring.reinstate(file, by="hr")
    assert may(desk) == (True, "allowed")


def test_a_capability_is_withdrawn_and_granted_apart_from_the_others(desk: Desk, registry: Registry) -> None:
    file = hired(desk, licence(registry))
    desk.hiring.permit(file, "sign", "withdraw", by="hr")
    desk.hiring.round()
    assert may(desk, "sign") == (False, "withdrawn") and may(desk) == (True, "allowed")
    desk.hiring.permit(file, "sign", "grant", by="hr")
    assert may(desk, "sign") == (True, "allowed")
    with pytest.raises(Refused):
        desk.hiring.permit(file, "prescriber", "grant", by="hr")


def test_whoever_left_may_nothing_and_is_forgotten_after_a_time(tmp_path: Path, registry: Registry) -> None:
    desk = Desk(tmp_path, registry, keep_ms=30 * DAY_MS)
    file = hired(desk, licence(registry, licenceNumber="RN-SECRET-1"))
    with pytest.raises(Refused, match="file_not_over"):
        desk.hiring.erase(file, by="hr")
    desk.hiring.end(file, by="hr")
    assert may(desk) == (False, "nobody")
    assert {state for state, *_ in desk.store.permits(file).values()} == {"withdrawn"}
    registry.now_ms += 30 * DAY_MS
    assert desk.hiring.round().erased == 0
    registry.now_ms += 1
    assert desk.hiring.round().erased == 1
    row = desk.hiring.row(file)
    assert row.person is None and row.file.helds == () and row.file.holder == "" and row.file.state == "ended"
    assert desk.hiring.round().erased == 0 and [each.event for each in desk.store.history(file)][-1] == "end"
    desk.store.close()
    for path in tmp_path.iterdir():
        for text in (b"RN-SECRET-1", b"Lovelace", HOLDER.encode(), ADA.npi.encode()):
            assert text not in path.read_bytes(), f"{path.name} has {text!r} still"


def test_a_file_of_another_state_takes_no_step_that_the_table_does_not_have(desk: Desk, registry: Registry) -> None:
    file = desk.hiring.open(small_post(), ADA, by="hr")
    for step in (desk.hiring.suspend, desk.hiring.reinstate, desk.hiring.end):
        with pytest.raises(Refused):
            step(file, by="hr")
    assert desk.hiring.hire(file, by="hr").gaps
    desk.hiring.refuse(file, by="hr")
    for step in (desk.hiring.verify, desk.hiring.hire, desk.hiring.refuse):
        with pytest.raises(Refused):
            step(file, by="hr")
    with pytest.raises(Refused):
        desk.hiring.receive(file, registry.show(licence(registry)), by="hr")
    with pytest.raises(NotFound):
        desk.hiring.verify(b"x" * 16, by="hr")


def test_a_round_looks_again_only_at_what_may_have_changed(desk: Desk, registry: Registry) -> None:
    hired(desk, licence(registry))
    looks = registry.looks
    desk.hiring.round()
    for _ in range(5):
        may(desk)
    assert registry.looks == looks
    registry.changes += 1
    may(desk)
    desk.hiring.round()
    assert registry.looks == looks + 1


def test_a_stop_within_a_step_leaves_the_file_as_it_was(
    desk: Desk, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = desk.hiring.open(small_post(), ADA, by="hr")

    def stop(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(store.Store, "tell", stop)
    with pytest.raises(KeyboardInterrupt):
        desk.hiring.receive(file, registry.show(licence(registry)), by="hr")
    monkeypatch.undo()
    desk.restart()
    assert desk.state(file) == "requested" and desk.hiring.row(file).file.helds == ()
    desk.hiring.receive(file, registry.show(licence(registry)), by="hr")
    assert desk.state(file) == "complete"


def test_the_database_is_readable_by_its_owner_alone(desk: Desk, tmp_path: Path) -> None:
    assert (tmp_path / store.FILE).stat().st_mode & 0o077 == 0
    with sqlite3.connect(tmp_path / store.FILE) as db:
        assert db.execute("PRAGMA application_id").fetchone()[0] == store.APPLICATION_ID


@pytest.mark.parametrize("name", sorted(usual("US-CA")))
def test_a_usual_post_comes_back_as_it_was_written(name: str) -> None:
    post = usual("US-CA")[name]
    assert Post.read(post.to_json()) == Post.read(Post.read(post.to_json()).to_json())
    assert Post.read(post.to_json()).needs == post.needs


@pytest.mark.parametrize(
    "changed",
    [
        {"needs": []},
        {"needs": [{"name": "a", "type": "Diploma"}]},
        {"needs": [{"name": "a", "type": "Degree"}] * 2},
        {"grants": {"fly": ["licence"]}},
        {"grants": {"sign": ["nothing"]}},
        {"grants": {"sign": []}},
        {"needs": [{"name": "a", "type": "Degree", "checked_days": 0}], "grants": {}},
        {"surprise": 1},
    ],
)
def test_a_post_that_makes_no_sense_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(Malformed, match="post_bad"):
        small_post(**changed)
