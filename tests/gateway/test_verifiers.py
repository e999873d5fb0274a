"""Processes that verify signatures: the verdicts of the gateway's own process, in order; none is needed and none outlives it."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import verifiers
from gateway.verifiers import Verifiers
from protocol import signatures
from protocol.keys import SigningKey
from protocol.signatures import Claim, all_hold

KEY = SigningKey.from_seed(bytes([8]) * 32)
ROOT = Path(__file__).parents[2]
WITHIN_S = 10.0


def claim(number: int, *, good: bool = True) -> Claim:
    said = b"message %d" % number
    return KEY.sign(said if good else b"another") + said, KEY.public.x


kinds = st.sampled_from(["good", "bad", "short", "other key"])


def made(kind: str, number: int) -> Claim:
    if kind == "short":
        return b"too short", KEY.public.x
    if kind == "other key":
        return claim(number)[0], bytes(32)
    return claim(number, good=kind == "good")


@given(st.lists(st.lists(kinds, max_size=5), max_size=4))
def test_the_process_says_what_we_would_say_job_by_job(jobs: list[list[str]]) -> None:
    claims = [[made(kind, number) for number, kind in enumerate(job)] for job in jobs]
    told = io.BytesIO()
    signatures.serve(io.BytesIO(b"".join(map(signatures.packed, claims))), told)
    assert list(told.getvalue()) == [verdict for job in claims for verdict in all_hold(job)]


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_job_that_is_cut_short_gets_no_verdict(cut: int) -> None:
    whole, told = signatures.packed([claim(0)]), io.BytesIO()
    signatures.serve(io.BytesIO(whole[:-cut]), told)
    assert told.getvalue() == b""


def with_processes(count: int, act: Callable[[Verifiers], Awaitable[None]]) -> None:
    async def live() -> None:
        pool = Verifiers(count)
        await pool.start()
        try:
            await asyncio.wait_for(act(pool), WITHIN_S)
        finally:
            await asyncio.wait_for(pool.close(), WITHIN_S)

    asyncio.run(live())


def pids(pool: Verifiers) -> list[int]:
    return [one._transport.get_pid() for one in pool._all if one._transport is not None]


def test_many_jobs_come_back_each_with_its_own_verdicts() -> None:
    async def act(pool: Verifiers) -> None:
        jobs = [[claim(number, good=number % (size + 2) > 0) for number in range(size)] for size in range(1, 65)]
        told = [asyncio.wrap_future(pool.submit(job)) for job in jobs]
        assert await asyncio.gather(*told) == [all_hold(job) for job in jobs]

    with_processes(2, act)


def test_a_process_that_is_killed_loses_no_job_and_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifiers, "AGAIN_AFTER_S", 0.01)

    async def act(pool: Verifiers) -> None:
        (pid,) = pids(pool)
        os.kill(pid, signal.SIGSTOP)
        jobs = [[claim(number, good=number != 2) for number in range(5)] for _ in range(3)]
        told = [asyncio.wrap_future(pool.submit(job)) for job in jobs]
        os.kill(pid, signal.SIGKILL)
        assert await asyncio.gather(*told) == [all_hold(job) for job in jobs]
        while not pool.ready:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
        assert pids(pool) != [pid]
        assert await asyncio.wrap_future(pool.submit(jobs[0])) == all_hold(jobs[0])

    with_processes(1, act)


def test_a_process_that_is_stuck_is_ended_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifiers, "STUCK_AFTER_S", 0.0)

    async def act(pool: Verifiers) -> None:
        (pid,) = pids(pool)
        os.kill(pid, signal.SIGSTOP)
        job = [claim(number, good=number != 2) for number in range(5)]
        told = asyncio.wrap_future(pool.submit(job))
        await asyncio.sleep(0)
        pool.look()
        assert await told == all_hold(job)

    with_processes(1, act)


@pytest.mark.parametrize("stopped", [False, True])
def test_no_process_is_left_when_the_gateway_stops(monkeypatch: pytest.MonkeyPatch, stopped: bool) -> None:
    monkeypatch.setattr(verifiers, "END_WITHIN_S", 0.05 if stopped else WITHIN_S)
    seen: list[int] = []

    async def act(pool: Verifiers) -> None:
        seen.extend(pids(pool))
        if stopped:
            os.kill(seen[0], signal.SIGSTOP)

    with_processes(2, act)
    assert len(seen) == 2
    for pid in seen:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_without_processes_nothing_is_ready() -> None:
    async def act(pool: Verifiers) -> None:
        assert not pool.ready

    with_processes(0, act)


def test_a_machine_that_starts_no_process_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    async def act(pool: Verifiers) -> None:
        assert not pool.ready

    with_processes(1, act)


def test_a_process_ends_with_whoever_started_it_however_that_ended() -> None:
    """Its input ends when nobody holds the other end any more, after kill -9 too; a terminal's Ctrl-C is not its business."""
    process = subprocess.Popen(
        [sys.executable, "-m", verifiers.MODULE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(signatures.packed([claim(1)]))
    process.stdin.flush()
    assert process.stdout.read(1) == b"\x01"
    process.send_signal(signal.SIGINT)
    process.stdin.write(signatures.packed([claim(2, good=False)]))
    process.stdin.flush()
    assert process.stdout.read(1) == b"\x00"
    process.stdin.close()
    assert process.wait(WITHIN_S) == 0
