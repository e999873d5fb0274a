"""The way from an event loop into the log: shared transactions, each its own verdict, and a bound."""

import asyncio
from pathlib import Path

import pytest

from ledger.log.intake import Intake
from ledger.log.registering import BATCH_MAX, Registered
from protocol.errors import Unavailable, VigilError
from tests.support import ledgers


def test_statements_that_wait_together_are_one_transaction_with_a_verdict_each(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as log:
        log.register(ledgers.admission(tmp_path))
        before = log.size
        sizes = []
        intake = Intake(log)

        async def act() -> list[Registered | VigilError | BaseException]:
            raws = [ledgers.anchor(n) for n in range(40)] + [b"nothing", ledgers.anchor(1, ledgers.STRANGER)]
            return list(await asyncio.gather(*map(intake.register, raws), return_exceptions=True))

        found = asyncio.run(act())
        intake.close()
        places = [one.index for one in found if isinstance(one, Registered)]
        sizes = sorted({one.size for one in found if isinstance(one, Registered)})
        assert places == list(range(before, before + 40))
        assert len(sizes) <= 2  # the first goes alone at the most, all others together
        assert [type(one).__name__ for one in found[40:]] == ["Malformed", "Refused"]
        assert intake.waiting == 0


def test_a_group_keeps_its_order_and_may_be_larger_than_a_transaction(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as log:
        log.register(ledgers.admission(tmp_path))
        before = log.size
        intake = Intake(log)
        raws = [ledgers.anchor(n) for n in range(BATCH_MAX + 5)]
        found = asyncio.run(intake.register_many(raws))
        intake.close()
        assert [one.index for one in found if isinstance(one, Registered)] == list(range(before, before + len(raws)))
        for one, raw in zip(found, raws, strict=True):
            assert isinstance(one, Registered)
            ledgers.prove(tmp_path, one, raw)


def test_who_comes_beyond_the_bound_is_asked_to_come_back_and_disturbs_nobody(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as log:
        log.register(ledgers.admission(tmp_path))
        intake = Intake(log, waiting_max=3)

        async def act() -> list[object]:
            many = [intake.register_many([ledgers.anchor(n), ledgers.anchor(n + 10)]) for n in range(2)]
            return list(await asyncio.gather(*many, return_exceptions=True))

        first, second = asyncio.run(act())
        intake.close()
        assert isinstance(first, list) and all(isinstance(one, Registered) for one in first)
        assert isinstance(second, Unavailable) and second.code == "too_many"


def test_who_stops_waiting_stops_nothing(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as log:
        log.register(ledgers.admission(tmp_path))
        before = log.size
        intake = Intake(log)

        async def act() -> None:
            gone = asyncio.create_task(intake.register(ledgers.anchor(1)))
            await asyncio.sleep(0)
            gone.cancel()
            await intake.register(ledgers.anchor(2))

        asyncio.run(act())
        intake.close()
        assert log.size == before + 2


def test_a_bug_in_the_log_reaches_all_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ledgers.checked(tmp_path) as log:
        intake = Intake(log)
        monkeypatch.setattr(type(log), "register_many", lambda *_: (_ for _ in ()).throw(AssertionError("a bug")))
        with pytest.raises(AssertionError, match="a bug"):
            asyncio.run(intake.register(ledgers.anchor(1)))
        assert intake.waiting == 0
        intake.close()
