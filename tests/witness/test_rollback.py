"""A ledger that was restored from an old copy: a witness that has seen more stops it, over real HTTP, before it signs on."""

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response

from ledger.http import app as ledger_http
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from ledger.witness.history import CODE
from protocol import notes, witnessing
from protocol.errors import ConfigError, Unavailable
from protocol.policy import Policy
from tests.support import ledgers
from tests.support.serving import served
from tests.support.witnesses import Clock, Log
from tests.witness.test_asking import VKEYS, Fake, asked, gauge, grow, policy_of, step, witness


def look(engine: Engine, rules: Policy) -> None:
    """What a ledger does before it serves."""

    async def ask() -> None:
        async with asked(engine, rules) as found:
            await found.look()

    asyncio.run(ask())


def cosigned_once(engine: Engine, rules: Policy) -> None:
    async def ask() -> None:
        async with asked(engine, rules) as found:
            await found.look()
            await step(found)
            assert rules.check(engine.checkpoint())[0].size == engine.size

    asyncio.run(ask())


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[tuple[Engine, Policy, str]]:
    """A ledger from a copy that is four entries old, and the witness that cosigned all of them; and its URL."""
    ledger, copy = tmp_path / "ledger", tmp_path / "copy"
    with contextlib.ExitStack() as held:
        with contextlib.closing(ledgers.opened(ledger)) as engine:
            grow(engine, tmp_path)
            url, key = held.enter_context(witness(tmp_path / "w", engine, serve=served))
            rules = policy_of(engine, [("w0", key, url)], "quorum w0\n")
            cosigned_once(engine, rules)
            shutil.copytree(ledger, copy)
            grow(engine, tmp_path, 4)
            cosigned_once(engine, rules)
        shutil.rmtree(ledger)
        copy.rename(ledger)
        with ledgers.checked(ledger) as engine:
            yield engine, rules, url


def test_an_old_copy_is_refused_at_the_start_with_the_fix(restored: tuple[Engine, Policy, str]) -> None:
    engine, rules, _ = restored
    with pytest.raises(ConfigError, match=CODE) as caught:
        look(engine, rules)
    assert caught.value.exit_code == 2
    assert "bring back the newest copy" in caught.value.detail
    assert f"{engine.size + 4} entries" in caught.value.detail and f"{engine.size} are here" in caught.value.detail


@pytest.mark.parametrize("more", [4, 9])
def test_an_old_copy_that_grew_another_way_is_refused_too(restored: tuple[Engine, Policy, str], more: int) -> None:
    """As large as what the witness holds, or larger: it ran without witnesses in between."""
    engine, rules, _ = restored
    for number in range(more):
        engine.register(ledgers.enrolment(1000 + number))
    with pytest.raises(ConfigError, match=CODE) as caught:
        look(engine, rules)
    assert "another tree" in caught.value.detail


def test_an_old_copy_whose_witness_was_away_at_the_start_stops_when_it_answers(
    restored: tuple[Engine, Policy, str],
) -> None:
    engine, rules, _ = restored
    metrics, clock = Metrics(frozenset()), Clock()

    async def ask() -> None:
        async with asked(engine, rules, metrics, clock) as found:
            (peer,) = found._standings
            there = peer._base
            peer._base = "http://127.0.0.1:1"
            await found.look()  # nobody answers: it starts, and says so
            assert gauge(metrics, "witnesses_missing") == 1
            said = engine.register(ledgers.enrolment(1))
            assert said.new
            peer._base = there
            clock.at_s += 100
            await step(found)

    asyncio.run(ask())
    assert gauge(metrics, "rolled_back") == 1
    size = engine.size
    with pytest.raises(Unavailable, match=CODE):
        engine.register(ledgers.anchor(50))
    assert engine.size == size and not engine.healthy
    assert engine.receipt(0) and engine.checkpoint()  # what is there is still read
    app = ledger_http.metrics_app(engine, metrics)

    async def health() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as client:
            return await client.get("/healthz")

    answer = asyncio.run(health())
    assert (answer.status_code, answer.json()["ok"]) == (503, False)


def test_a_ledger_that_stopped_shows_witnesses_nothing_more(restored: tuple[Engine, Policy, str]) -> None:
    engine, rules, _ = restored

    async def ask() -> None:
        async with asked(engine, rules) as found:
            await step(found)
            assert engine.stopped is not None
            for standing in found._standings.values():
                standing.due_s = 0.0
            found.step()
            assert not found._busy

    asyncio.run(ask())


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path / "ledger") as found:
        grow(found, tmp_path)
        yield found


def ahead(size: int):
    return lambda fake, _: Response(
        witnessing.size_body(size), status_code=409, headers={"content-type": witnessing.SIZE_TYPE}
    )


def test_a_witness_that_shows_no_checkpoint_is_believed_at_the_start(engine: Engine) -> None:
    """Its 409 is all there is; who names it in the policy can take it out again."""
    with served(Fake(0, ahead(engine.size + 1)).app) as url:
        rules = policy_of(engine, [("w0", VKEYS[0], url)], "quorum w0\n")
        with pytest.raises(ConfigError, match=CODE) as caught:
            look(engine, rules)
        assert "take it out of the policy" in caught.value.detail


def test_a_bare_claim_does_not_stop_a_running_log(engine: Engine) -> None:
    metrics = Metrics(frozenset())
    with served(Fake(0, ahead(1 << 40)).app) as url:
        rules = policy_of(engine, [("w0", VKEYS[0], url)], "quorum w0\n")

        async def ask() -> None:
            async with asked(engine, rules, metrics) as found:
                await step(found)

        asyncio.run(ask())
    assert engine.stopped is None and engine.register(ledgers.anchor(77)).new
    assert gauge(metrics, "rolled_back") == 0 and gauge(metrics, "witnesses_missing") >= 0


def forged(engine: Engine) -> list[str]:
    """Checkpoints of a larger tree that this log has not signed."""
    text = notes.Checkpoint(origin=engine.origin, size=engine.size + 5, root=bytes(32)).text()
    stranger = notes.sign(text, name=engine.origin, key=Log().key)
    own = notes.parse(engine.signed()).lines[0]
    return [
        "",
        "no note",
        notes.Note(text=text, lines=(stranger,)).whole(),
        notes.Note(text=text, lines=(own,)).whole(),
        notes.Note(text=text, lines=(notes.Line(name="x", key_id=bytes(4), blob=bytes(64)),)).whole(),
    ]


def test_a_witness_that_shows_what_the_log_never_signed_stops_nothing(engine: Engine) -> None:
    fake = Fake(0)
    with served(fake.app) as url:
        rules = policy_of(engine, [("w0", VKEYS[0], url)], "quorum w0\n")
        for note in forged(engine):
            fake.shows = note
            look(engine, rules)

            async def ask() -> None:
                async with asked(engine, rules) as found:
                    await step(found)

            asyncio.run(ask())
            assert engine.stopped is None, note
    assert engine.register(ledgers.anchor(78)).new


def test_a_witness_that_knows_less_is_what_witnesses_are_after_every_entry(engine: Engine, tmp_path: Path) -> None:
    with witness(tmp_path / "w", engine, serve=served) as (url, key):
        rules = policy_of(engine, [("w0", key, url)], "quorum w0\n")
        look(engine, rules)
        cosigned_once(engine, rules)
        grow(engine, tmp_path, 6)
        look(engine, rules)
        cosigned_once(engine, rules)
