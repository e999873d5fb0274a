"""A party as a process, killed again and again between queue and receipt: what it took is on the log in the end, once."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.party import node
from ledger.party.peer import Peer
from ledger.party.store import Store
from protocol import growth, statement
from protocol.errors import Unavailable
from protocol.keys import SigningKey
from tests.support import ledgers, parties
from tests.support.gatehouse import until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
ROUNDS = 5
WITHIN_S = 60.0


def started(state: Path, program: str = "party", **chosen: object) -> tuple[subprocess.Popen[str], str]:
    """A running party, or ledger, and its address. chosen: its settings."""
    words = [program, "run", "--state", str(state), "--port", "0", "--metrics-port", "0", "--json"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")}
    env |= {f"VIGIL_{program.upper()}_{name.upper()}": str(value) for name, value in chosen.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "vigil", *words], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["url"]


@contextlib.contextmanager
def ledger(state: Path) -> Iterator[tuple[int, str]]:
    """(process id, address) of a ledger that runs while the block does, and ends well."""
    process, url = started(state, "ledger")
    try:
        yield process.pid, url
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WITHIN_S)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


async def feed(url: str, key: SigningKey, first: int, taken: list[bytes]) -> None:
    """Queue one statement after the other until the party is gone. taken: digests of those that it acknowledged."""
    async with Peer(url, key=key, now_s=parties.now_s) as peer:
        for number in range(first, first + 100_000):
            try:
                taken.append(await peer.queue(b"%d" % number, content_type=parties.TYPE, sub="lot", hashed=True))
            except Unavailable:
                return


async def killed_while_fed(
    state: Path, key: SigningKey, chosen: dict[str, object], after_s: float, first: int
) -> list[bytes]:
    """What a party acknowledged until it was killed."""
    process, url = started(state, **chosen)
    taken: list[bytes] = []
    feeder = asyncio.create_task(feed(url, key, first, taken))
    try:
        await until(lambda: bool(taken), within_s=WITHIN_S)
        await asyncio.sleep(after_s)
    finally:
        process.kill()
        process.communicate()
    await feeder
    return taken


def test_a_party_that_is_killed_between_queue_and_receipt_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    state = tmp_path / "party"
    parties.open_to_parties(tmp_path / "ledger")
    with ledgers.checked(tmp_path / "ledger") as engine:
        trust = parties.trust(engine, tmp_path / "trust.json")
    with parties.folder(state) as (key, _):
        admission = parties.admission(tmp_path / "ledger", key, tmp_path / "admission")
    taken: list[bytes] = []
    with ledger(tmp_path / "ledger") as (pid, url):
        chosen = {"ledger_url": url, "trust": tmp_path / "trust.json", "admission": admission}
        for round_ in range(ROUNDS):
            held = round_ == 1
            if held:
                os.kill(pid, signal.SIGSTOP)  # every statement of this round is between queue and receipt
            with contextlib.ExitStack() as then:
                if held:
                    then.callback(os.kill, pid, signal.SIGCONT)
                waited_s = 0.3 + 0.17 * round_
                taken += asyncio.run(killed_while_fed(state, key, chosen, waited_s, round_ * 1_000_000))
                if held:
                    with contextlib.closing(Store.reader(state)) as kept:
                        assert kept.counts().waiting > 0
        process, _ = started(state, **chosen)
        with contextlib.closing(Store.reader(state)) as kept:
            asyncio.run(until(lambda: kept.counts().waiting == 0, within_s=WITHIN_S))
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=WITHIN_S)
            assert process.returncode == 0
            counts = kept.counts()
            assert len(taken) > ROUNDS and len(set(taken)) == len(taken)
            assert not counts.refused and not counts.conflicts and counts.receipted >= len(taken)
            rows = [kept.find(digest) for digest in taken]
    with ledgers.checked(tmp_path / "ledger") as engine:
        logged = Counter(statement.entry(engine.statement(index)) for index in range(engine.size))
        assert max(logged.values()) == 1 and engine.size == ledgers.BEGUN + 1 + counts.receipted
        for row in rows:
            found = growth.placed(trust.policy, row.receipt, digest=row.digest)
            assert engine.statement(found.index) == row.statement
    assert node.load_key(state).public == key.public
