"""The process that helps a ledger to verify: its verdicts in order, none when it is gone, and nothing of it left behind."""

import contextlib
import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.log import verifying
from ledger.log.engine import Engine
from ledger.log.registering import Registered
from ledger.log.store import Head, Store
from ledger.log.verifying import JOB_CLAIMS, Verifying
from protocol.errors import VigilError
from protocol.keys import SigningKey
from protocol.signatures import Claim
from tests.support import ledgers

KEY = SigningKey.from_seed(bytes([8]) * 32)
MANY = 10 * JOB_CLAIMS + 3  # more than are in the process's hands at once
SELECT_MAX = 1024  # descriptors that select can count
HANDLES = 2048


def claims(count: int, *, bad: frozenset[int] = frozenset(), size: int = 40) -> list[Claim | None]:
    found: list[Claim | None] = []
    for number in range(count):
        data = b"%d" % number + bytes(size)
        found.append((KEY.sign(data) + (data[:-1] + b"x" if number in bad else data), KEY.public.x))
    return found


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Verifying]:
    monkeypatch.setattr(verifying, "WARM_AFTER_S", 0.0)
    with contextlib.closing(Verifying(on=True)) as found:
        yield found


def pid(of: Verifying) -> int:
    assert of._process is not None
    return of._process.pid


def test_verdicts_come_in_order_and_two_batches_may_be_under_way(process: Verifying) -> None:
    bad = frozenset({0, 31, 32, MANY - 1})
    first = process.verdicts(claims(MANY, bad=bad))
    found = [first.next() for _ in range(MANY)]
    second = process.verdicts(claims(40, bad=frozenset({7})))
    first.finish()
    assert found == [number not in bad for number in range(MANY)]
    assert [second.next() for _ in range(40)] == [number != 7 for number in range(40)]


def test_long_statements_do_not_fill_its_pipe_for_ever(process: Verifying) -> None:
    promised = process.verdicts(claims(200, size=60_000))
    assert all(promised.next() for _ in range(200))


def test_who_does_not_take_all_verdicts_leaves_none_for_the_next(process: Verifying) -> None:
    promised = process.verdicts(claims(100, bad=frozenset(range(100))))
    assert promised.next() is False
    promised.finish()
    following = process.verdicts(claims(20))
    assert [following.next() for _ in range(20)] == [True] * 20


def test_verdicts_that_nobody_took_are_not_those_of_the_next(process: Verifying) -> None:
    process.verdicts(claims(100))  # who asked failed, and says nothing
    following = process.verdicts(claims(40, bad=frozenset(range(40))))
    assert [following.next() for _ in range(40)] == [False] * 40


def test_a_ledger_with_many_connections_has_pipes_of_high_numbers(process: Verifying) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < HANDLES:
        pytest.skip("this system gives a process fewer descriptors than select can count")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, HANDLES), hard))
    with contextlib.ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while (taken := os.open(os.devnull, os.O_RDONLY)) < SELECT_MAX:
            held.callback(os.close, taken)
        held.callback(os.close, taken)
        promised = process.verdicts(claims(40, bad=frozenset({7})))
        assert [promised.next() for _ in range(40)] == [number != 7 for number in range(40)]


def test_few_claims_and_statements_without_a_key_are_not_handed_over(process: Verifying) -> None:
    assert process.verdicts(claims(verifying.POOL_FROM - 1)).next() is None
    assert process.verdicts([None] * 100).next() is None
    assert process._process is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stuck"])
def test_a_process_that_is_gone_gives_no_verdict_and_another_is_started_later(
    process: Verifying, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    monkeypatch.setattr(verifying, "STUCK_AFTER_S", 0.2)
    assert process.verdicts(claims(20)).next() is not False
    before = pid(process)
    os.kill(before, how)
    promised = process.verdicts(claims(MANY))
    assert None in {promised.next() for _ in range(MANY)}
    assert process._process is None
    assert process.verdicts(claims(20)).next() is None  # not yet
    monkeypatch.setattr(verifying, "STUCK_AFTER_S", 10.0)
    process._again_s = 0.0
    following = process.verdicts(claims(20))
    assert [following.next() for _ in range(20)] == [True] * 20
    assert pid(process) != before
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


def test_a_ledger_registers_the_same_with_it_and_when_it_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "WARM_AFTER_S", 0.0)
    raws = [ledgers.anchor(n) for n in range(300)]
    forged = [raw[:-1] + bytes((raw[-1] ^ 1,)) for raw in raws[:3]]
    mixed = [*raws[:100], *forged, ledgers.anchor(1, ledgers.STRANGER), *raws[100:]]
    found: list[list[str]] = []
    for name, on in (("alone", False), ("helped", True), ("bereft", True)):
        engine = Engine.open(tmp_path / name, now_ms=ledgers.Clock(), origin=ledgers.ORIGIN, verify_process=on)
        with contextlib.closing(engine) as log:
            log.register(ledgers.admission(tmp_path / name))
            if name == "bereft":
                log.register_many(raws[:20])
                os.kill(pid(log._writer._verifying), signal.SIGKILL)
            verdicts = log.register_many(mixed)
            found.append([_told(verdict) for verdict in verdicts])
    assert found[0] == found[1] == found[2]
    assert found[0][100:104] == ["signature_bad"] * 3 + ["issuer_unknown"]


def test_no_forged_statement_passes_on_the_verdict_of_one_that_a_failing_disk_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "WARM_AFTER_S", 0.0)
    raws = [ledgers.anchor(n) for n in range(40)]
    forged = [raw[:-1] + bytes((raw[-1] ^ 1,)) for raw in raws]
    engine = Engine.open(tmp_path, now_ms=ledgers.Clock(), origin=ledgers.ORIGIN, verify_process=True)
    with contextlib.closing(engine) as log:
        log.register(ledgers.admission(tmp_path))
        with monkeypatch.context() as patched:
            patched.setattr(Store, "head", _unreadable)
            assert {_told(verdict) for verdict in log.register_many(raws)} == {"storage_failed"}
        assert {_told(verdict) for verdict in log.register_many(forged)} == {"signature_bad"}
        assert log.size == ledgers.BEGUN + 1


def _unreadable(store: Store) -> Head:
    raise sqlite3.OperationalError("disk I/O error")


def _told(verdict: Registered | VigilError) -> str:
    return verdict.code if isinstance(verdict, VigilError) else verdict.entry_id


def test_none_is_left_when_the_log_closes(process: Verifying) -> None:
    process.verdicts(claims(20)).next()
    before = pid(process)
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    assert process.verdicts(claims(20)).next() is None
