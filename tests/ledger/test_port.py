"""The contract port: a use case plugs in without touching the log, and no contract sees or changes what is another's."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import vigil
from ledger.contracts import STANDARD, Contracts
from ledger.log import fsck, keyring
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from ledger.party import mount
from ledger.party.node import Node
from ledger.questions import AnchorsOf, HasRole, PartyOf, Question
from ledger.rules import Changes, Contract, Kind, Refused, View
from protocol.errors import Malformed, NotFound, ProtocolError, VerificationFailed
from protocol.keys import SigningKey
from protocol.statement import Statement
from tests.support import ledgers, parties, registrants
from tests.support.parcels import plugged, rules, simulate
from tests.support.parcels.model import LIFE, STEP, Parcel, Step
from tests.support.parcels.rules import HolderOf
from tests.support.parcels.store import Parcels

MAKER, CARRIER, PHARMACY, GATEWAY = (registrants.key(n) for n in (30, 31, 32, 33))
PEOPLE = [(MAKER, "maker"), (CARRIER, "carrier"), (PHARMACY, "pharmacy"), (GATEWAY, "gateway")]
CONTRACTS = STANDARD.with_added(rules.CONTRACT)
NUMBER = bytes(16)


def verdict(log: Engine, raw: bytes) -> str:
    """The code with which a log refuses a statement; empty when it takes it."""
    try:
        log.register(raw)
    except ProtocolError as error:
        return error.code
    return ""


def step(key: SigningKey, event: str, to: SigningKey | None = None, **changed: object) -> bytes:
    name = None if to is None else to.public.thumbprint
    return simulate.signed(key, Step(parcel=NUMBER, event=event, to=name), **changed)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Engine]:
    """A log with parcels and four parties, checked in the end."""
    with contextlib.closing(
        Engine.open(folder, now_ms=ledgers.Clock(), origin=ledgers.ORIGIN, contracts=CONTRACTS)
    ) as log:
        root = keyring.load(folder, keyring.REGISTRY_KEY)
        for key, role in PEOPLE:
            log.register(registrants.admission(key, role, role.title(), by=root))
        yield log
    fsck.check(folder, contracts=CONTRACTS)


@contextlib.contextmanager
def model(path: Path) -> Iterator[Parcels]:
    with contextlib.closing(Parcels(path)) as found:
        yield found


def follow(found: Parcels, log: Engine) -> None:
    found.follow(log.statement, log.size, who=lambda kid: kid)


def book() -> registrants.Book:
    """The same log in memory."""
    found = registrants.Book(CONTRACTS)
    for key, role in PEOPLE:
        found.admit(key, role, role.title())
    return found


def holder(log: registrants.Book) -> bytes | None:
    return CONTRACTS.ask(log.state, HolderOf(parcel=NUMBER), log.now_ms)


def test_a_parcel_goes_from_hand_to_hand_and_others_can_ask_who_holds_it() -> None:
    log = book()
    assert holder(log) is None
    log.add(step(MAKER, "post"))
    log.add(step(MAKER, "offer", CARRIER))
    assert holder(log) == MAKER.public.thumbprint
    log.add(step(CARRIER, "accept"))
    assert holder(log) == CARRIER.public.thumbprint
    log.add(step(CARRIER, "deliver"))
    assert log.judged[-1][2] == "parcels"


def test_a_party_goes_on_with_its_parcels_after_a_change_of_keys() -> None:
    log, new = book(), registrants.key(40)
    log.add(step(MAKER, "post"))
    log.add(registrants.rotation(MAKER, new, until_ms=0))
    log.add(step(new, "offer", CARRIER))
    assert holder(log) == MAKER.public.thumbprint


def test_no_parcel_goes_to_who_was_revoked() -> None:
    log = book()
    log.add(step(MAKER, "post"))
    log.add(registrants.revocation(registrants.ROOT, CARRIER, 0))
    with pytest.raises(Refused, match="parcel_receiver"):
        log.add(step(MAKER, "offer", CARRIER))


REFUSALS: dict[str, tuple[list[bytes], bytes, str]] = {
    "a parcel that nobody posted": ([], step(MAKER, "deliver"), "parcel_step"),
    "a second posting": ([step(MAKER, "post")], step(MAKER, "post", iat_s=1), "parcel_step"),
    "a posting by a carrier": ([], step(CARRIER, "post"), "parcel_role"),
    "an offer by who does not hold it": ([step(MAKER, "post")], step(CARRIER, "offer", PHARMACY), "parcel_holder"),
    "an offer to a gateway": ([step(MAKER, "post")], step(MAKER, "offer", GATEWAY), "parcel_receiver"),
    "an offer to nobody known": ([step(MAKER, "post")], step(MAKER, "offer", ledgers.STRANGER), "parcel_receiver"),
    "a taking by another": (
        [step(MAKER, "post"), step(MAKER, "offer", CARRIER)],
        step(PHARMACY, "accept"),
        "parcel_holder",
    ),
    "a step by a gateway": ([], step(GATEWAY, "post"), "issuer_not_allowed"),
    "a step by nobody known": ([], step(ledgers.STRANGER, "post"), "issuer_unknown"),
    "a step under another subject": ([], step(MAKER, "post", sub="else"), "subject_wrong"),
    "a step that is none": ([], step(MAKER, "post", payload=b"\x01"), "document_bad"),
    "a step as a hash": ([], registrants.hashed(step(MAKER, "post"), MAKER), "form_not_allowed"),
}


@pytest.mark.parametrize(("before", "raw", "code"), REFUSALS.values(), ids=REFUSALS)
def test_a_use_cases_refusals_have_codes_of_their_own(before: list[bytes], raw: bytes, code: str) -> None:
    log = book()
    for each in before:
        log.add(each)
    with pytest.raises(ProtocolError) as refused:
        log.add(raw)
    assert refused.value.code == code
    assert code in CONTRACTS.codes


def test_every_code_of_the_use_case_has_a_case_here_and_a_counter() -> None:
    assert rules.CONTRACT.codes <= {code for *_, code in REFUSALS.values()}
    metrics = Metrics(CONTRACTS.codes)
    metrics.refused("parcel_holder")
    for code in rules.CONTRACT.codes:
        counted = metrics.registry.get_sample_value("vigil_ledger_refusals_total", {"code": code})
        assert counted == (1 if code == "parcel_holder" else 0)


@pytest.mark.parametrize("seed", range(3))
def test_a_world_of_parcels_is_judged_as_an_oracle_says(tmp_path: Path, seed: int) -> None:
    told: set[str] = set()
    with opened(tmp_path / "log") as log:
        for raw, code in simulate.world(seed, PEOPLE[:3], 120):
            assert verdict(log, raw) == code, f"seed {seed}"
            told.add(code)
        with model(tmp_path / "model.db") as parcels:
            follow(parcels, log)
            for number, parcel in parcels.every().items():
                assert rules.found(log._store.state, number) == parcel
    assert told >= {"", "parcel_step", "parcel_holder"}


def test_the_read_model_that_was_thrown_away_comes_back_from_the_log(tmp_path: Path) -> None:
    with opened(tmp_path / "log") as log:
        with model(tmp_path / "first.db") as parcels:
            for raw, code in simulate.world(7, PEOPLE[:3], 80):
                if not code:
                    log.register(raw)
                    follow(parcels, log)
            found, place = parcels.every(), parcels.next
        with model(tmp_path / "second.db") as again:
            follow(again, log)
            assert (again.every(), again.next) == (found, place) == (found, log.size)
    assert len(found) > 1


def test_a_log_is_not_whole_to_who_does_not_know_its_contract(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.register(step(MAKER, "post"))
    with pytest.raises(VerificationFailed) as failed:
        fsck.check(tmp_path)
    assert failed.value.code == "entry_contract"


def test_a_party_serves_its_use_case_and_registers_through_its_outbox(tmp_path: Path) -> None:
    with opened(tmp_path / "log") as log, model(tmp_path / "model.db") as parcels:

        async def told() -> None:
            async with parties.spoken_to(tmp_path / "party", slices=(plugged(parcels),)) as party:
                root = keyring.load(tmp_path / "log", keyring.REGISTRY_KEY)
                log.register(registrants.admission(party.key, "maker", "Here", by=root))
                body = json.dumps({"parcel": NUMBER.hex(), "event": "post"}).encode()
                assert (await party.client.post("/parcels/steps", content=body)).status_code == 401
                async with party.called_by(party.key) as writer:
                    await writer.send("POST", "/parcels/steps", body, content_type="application/json")
                for waiting in party.store.waiting(most=10):
                    log.register(waiting.statement)
                assert (await party.client.get(f"/parcels/{NUMBER.hex()}")).status_code == 404
                follow(parcels, log)
                shown = (await party.client.get(f"/parcels/{NUMBER.hex()}")).json()
                assert shown == {"state": "held", "holder": party.key.public.thumbprint.hex()}
                page = await party.client.get("/parcels/pages/")
                assert f"<td>{NUMBER.hex()}</td><td>held</td>" in page.text

        asyncio.run(told())


def test_use_cases_share_the_place_where_standards_look(tmp_path: Path) -> None:
    def slice_of(name: str) -> mount.Slice:
        @contextlib.asynccontextmanager
        async def opened(_: Node) -> AsyncIterator[mount.Face]:
            async def said(_: Request) -> PlainTextResponse:
                return PlainTextResponse(name)

            yield mount.Face(well_known=[Route(f"/{name}.txt", said)])

        return mount.Slice(name=name, opened=opened)

    async def told() -> None:
        async with parties.spoken_to(tmp_path, slices=(slice_of("a"), slice_of("b"))) as party:
            for name in ("a", "b"):
                assert (await party.client.get(f"/.well-known/{name}.txt")).text == name
            assert (await party.client.get("/.well-known/vigil-party")).json()["v"] == 1
            assert (await party.client.get("/.well-known/c.txt")).status_code == 404

    asyncio.run(told())


def test_a_use_case_brings_its_commands(tmp_path: Path) -> None:
    with opened(tmp_path / "log") as log, model(tmp_path / "model.db") as parcels:
        log.register(step(MAKER, "post"))
        follow(parcels, log)
        (command,) = mount.commands((plugged(parcels),)).values()
    vigil._json_option(command)
    words = ["show", NUMBER.hex(), "--model", str(tmp_path / "model.db")]
    shown = json.loads(CliRunner().invoke(command, [*words, "--json"]).stdout)
    assert shown == {"state": "held", "holder": MAKER.public.thumbprint.hex()}
    words[1] = bytes([9] * 16).hex()
    assert CliRunner().invoke(command, words).exit_code == NotFound.exit_code


def contract(name: str, **changed: object) -> Contract:
    """A contract that keeps nothing."""
    values: dict[str, object] = {
        "name": name,
        "kinds": {f"text/{name}": Kind(apply=lambda *_: Changes(puts={}), roles=frozenset({"maker"}))},
        "keys": (name.encode() + b"/",),
    }
    return Contract(**{**values, **changed})  # type: ignore[arg-type]


CLASHES = {
    "a name": contract("a", keys=(b"x/",), kinds={}),
    "a content type": contract("b", kinds=contract("a").kinds),
    "a part of the state": contract("b", keys=(b"a/",)),
    "a part within a part": contract("b", keys=(b"a/b/",)),
    "a key within a part": contract("b", keys=(b"a/key",)),
    "an answer": contract("b", answers={HolderOf: lambda *_: None}),
}


@pytest.mark.parametrize("other", CLASHES.values(), ids=CLASHES)
def test_two_contracts_share_nothing(other: Contract) -> None:
    first = contract("a", answers={HolderOf: lambda *_: None})
    Contracts((first, contract("b")))
    for both in ((first, other), (other, first)):
        with pytest.raises(AssertionError):
            Contracts(both)


def judged_by(apply: Callable[[View, Statement, int], Changes], **changed: object) -> None:
    """One statement judged by a contract of ours."""
    kinds = {"text/mine": Kind(apply=apply, roles=frozenset({"maker"}))}
    log = registrants.Book(STANDARD.with_added(contract("mine", kinds=kinds, **changed)))
    log.admit(MAKER)
    log.add(registrants.text(MAKER, content_type="text/mine"))


def test_a_contract_sees_who_signed_where_and_when_and_its_own_part() -> None:
    seen: list[object] = []

    def apply(view: View, found: Statement, now_ms: int) -> Changes:
        seen.extend([view.index, view.issuer.party, view.issuer.role, view.get(b"mine/x"), now_ms])
        return Changes(puts={b"mine/x": b"1"})

    judged_by(apply)
    assert seen == [3, MAKER.public.thumbprint, "maker", None, registrants.NOW_MS]


@pytest.mark.parametrize("key", [b"root", b"policy", b"mine", b"minex", b"", b"anchors/" + bytes(32)])
def test_a_contract_neither_reads_nor_writes_what_is_not_its_own(key: bytes) -> None:
    def reads(view: View, found: Statement, now_ms: int) -> Changes:
        view.get(key)
        return Changes(puts={})

    with pytest.raises(AssertionError, match="mine reads"):
        judged_by(reads)
    with pytest.raises(AssertionError, match="mine writes"):
        judged_by(lambda *_: Changes(puts={key: b"x"}))


def test_an_answer_sees_only_the_part_of_who_gives_it() -> None:
    class Asked(Question[bytes | None]):
        """Something."""

    def apply(view: View, found: Statement, now_ms: int) -> Changes:
        view.ask(Asked())
        return Changes(puts={})

    with pytest.raises(AssertionError, match="mine reads"):
        judged_by(apply, answers={Asked: lambda state, question, now_ms: state.get(b"root")})


def test_a_question_that_no_contract_answers_is_a_bug_of_ours() -> None:
    class Unheard(Question[int]):
        """Nobody knows."""

    with pytest.raises(AssertionError, match="Unheard"):
        judged_by(lambda view, *_: Changes(puts={b"mine/": b"%d" % view.ask(Unheard())}))


def test_the_standard_questions_have_answers() -> None:
    log = book()
    name = GATEWAY.public.thumbprint
    assert CONTRACTS.ask(log.state, AnchorsOf(gateway=name), 0) == 0
    assert CONTRACTS.ask(log.state, HasRole(party=name, role="gateway"), 0)
    found = CONTRACTS.ask(log.state, PartyOf(key=name), 0)
    assert found is not None and found.name == "Gateway"
    asked = {question for each in CONTRACTS.all for question in each.answers}
    assert set(Question.__subclasses__()) >= asked


steps = st.builds(
    lambda parcel, event, to: Step(parcel=parcel, event=event, to=to if event == "offer" else None),
    st.binary(min_size=16, max_size=16),
    st.sampled_from(sorted({event for _, event in LIFE})),
    st.binary(min_size=32, max_size=32),
)


@settings(max_examples=30)
@given(steps)
def test_a_step_comes_back_and_nothing_else_is_one(found: Step) -> None:
    assert Step.decode(found.encode()) == found
    with pytest.raises(Malformed):
        Step.decode(found.encode()[:-1])


def test_the_table_is_the_whole_life_of_a_parcel() -> None:
    states = {state for state, _ in LIFE} | set(LIFE.values())
    for state in states:
        for event in {event for _, event in LIFE}:
            after = Parcel(state=state).after(Step(parcel=NUMBER, event=event), b"x")
            assert (after is None) is ((state, event) not in LIFE)
    assert CONTRACTS.kind(STEP) is not None and STANDARD.kind(STEP) is None
