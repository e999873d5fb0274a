"""The simulation: the same seed gives the same answer, and a mistake in the product shows in it. What cannot fail proves nothing."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

import vigil
from ledger.credentials.hiring import service
from ledger.credentials.hiring.service import Hiring
from ledger.credentials.simulate import crimes, world
from ledger.credentials.simulate.careers import Diary
from ledger.credentials.simulate.course import simulated
from ledger.credentials.simulate.report import Tally, answer
from ledger.credentials.simulate.truth import Paper, Truth
from ledger.credentials.types import numbers
from ledger.credentials.verdict import steps
from ledger.credentials.verdict.steps import PASS, Step
from ledger.questions import Standing

KEYS = frozenset("staff credentials hires forged caught missed wrongly_refused worked_while_suspended".split())
SEED = 1


def small(seed: int = SEED) -> dict[str, Any]:
    """A world of four institutions and thirty people, for one year."""
    return simulated(seed=seed, institutions=4, staff=30, years=1)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """One small world."""
    return small()


def test_a_small_world_has_no_forgery_missed_and_nobody_wrongly_refused(found: dict[str, Any]) -> None:
    assert found["missed"] == found["wrongly_refused"] == found["worked_while_suspended"] == 0, f"seed {SEED}: {found}"
    assert found["forged"] == found["caught"] > 10 and found["hires"] > 10, f"seed {SEED}: {found}"
    assert found["worked_while"] == {} and found["log"]["refused"] == {}, f"seed {SEED}: {found}"


def test_suspended_staff_come_to_work_and_are_turned_away(found: dict[str, Any]) -> None:
    assert found["shifts_blocked"]["suspended"] > 0, f"seed {SEED}: without them the zero says nothing"


def test_the_report_has_every_key_that_is_asked_for(found: dict[str, Any]) -> None:
    assert found.keys() >= KEYS
    assert answer(Tally(), staff=0, institutions=0, years=0, seed=0, log={}).keys() == found.keys()


def test_the_same_seed_gives_the_same_answer(found: dict[str, Any]) -> None:
    assert small() == found


def as_if(name: str) -> Callable[..., Step]:
    """A step that everything passes."""
    return lambda *_args, **_more: Step(name=name, outcome=PASS, code="nobody looked")


def test_a_status_that_nobody_looks_at_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps._View, "status", as_if("suspension"))
    found = small()
    assert found["worked_while_suspended"] > 0
    assert {"suspended", "revoked", "old_list"} <= {kind for kind, each in found["by_kind"].items() if each["missed"]}


OFF: dict[str, tuple[tuple[tuple[object, str, object], ...], set[str]]] = {
    "the holder, and the file's own look at it": (
        ((steps, "_holder", as_if("holder")), (service, "_unwelcome", lambda *_args, **_more: "")),
        {"swapped_holder", "replayed"},
    ),
    "the accreditation, and the commitment that has another type": (
        ((steps._View, "accredited", as_if("accredited")), (steps._View, "logged", as_if("logged"))),
        {"mill_other_type"},
    ),
    "the signature, and the commitment to other bytes": (
        ((steps._View, "signature", as_if("signature")), (steps._View, "logged", as_if("logged"))),
        {"altered"},
    ),
    "the issuer's key, and its lists": (
        ((steps._View, "issuer", as_if("issuer")), (steps._View, "status", as_if("suspension"))),
        {"stolen_key_logged"},
    ),
}
"""What is switched off together, for two steps that find the same hide each other's loss; and the kinds that show it."""


@pytest.mark.slow
@pytest.mark.parametrize(("off", "kinds"), OFF.values(), ids=OFF)
def test_steps_that_are_switched_off_are_noticed(
    off: tuple[tuple[object, str, object], ...], kinds: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for where, name, instead in off:
        monkeypatch.setattr(where, name, instead)
    missed = {kind for kind, each in small()["by_kind"].items() if each["missed"]}
    assert missed & kinds, f"seed {SEED}: {missed}"


@pytest.mark.slow
def test_capabilities_that_are_not_blocked_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = Standing(allowed=True, code="allowed", until_ms=None)
    monkeypatch.setattr(Hiring, "may", lambda *_: allowed)
    assert small()["worked_while_suspended"] > 0


def test_made_up_numbers_pass_their_check_digits() -> None:
    for person in world.made(Random(3), institutions=9, staff=200, years=1).people:
        assert numbers.is_npi(person.npi) and numbers.is_dea(person.dea)


def test_a_whole_world_tries_every_kind_of_attack() -> None:
    rng = Random(5)
    whole = world.made(rng, institutions=30, staff=3000, years=5)
    cheats = range(3000 - crimes.count(3000), 3000)
    events = crimes.plans(whole, rng, Diary(), cheats=cheats, stolen=crimes.thefts(whole, rng))
    assert {each.kind for each in events if each.what == "attack"} == set(crimes.KINDS)


def test_truth_knows_what_is_good_and_since_when_not() -> None:
    house = world.made(Random(1), institutions=4, staff=20, years=1).houses[0]
    paper = Paper(
        n=0,
        person=1,
        house=house,
        type="Degree",
        jurisdiction="US",
        from_ms=10,
        until_ms=20,
        raw=b"",
        id=b"",
        method="",
    )
    truth = Truth()
    truth.add(paper)
    assert [truth.good(paper, at_ms) for at_ms in (9, 10, 19, 20)] == [False, True, True, False]
    for mark in ("suspended", "revoked", "void"):
        setattr(paper, mark, True)
        assert not truth.good(paper, 15)
        setattr(paper, mark, False)
    truth.withdrawn.add((house.n, "Degree"))
    assert not truth.good(paper, 15)


@pytest.mark.slow
def test_the_command_writes_its_answer_alone_to_standard_output() -> None:
    command = "credentials simulate --seed 2 --institutions 9 --staff 60 --years 1 --json".split()
    result = CliRunner().invoke(vigil.cli, command)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said.keys() >= KEYS | {"seconds"} and said["staff"] == 60
