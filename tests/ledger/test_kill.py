"""The ledger as a process, killed again and again while it is fed: what it answered 201 or 200 for is there for ever."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from ledger.log import fsck
from protocol import merkle, notes, receipt, statement
from tests.support import ledgers

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
ROUNDS = 5
FEEDERS = 4


class Feeder(threading.Thread):
    """Posts statements until the ledger is gone. answered: those that got a receipt, with it."""

    def __init__(self, url: str, first: int) -> None:
        super().__init__()
        self.url, self.next = url, first
        self.answered: list[tuple[bytes, bytes]] = []

    def run(self) -> None:
        with httpx.Client(base_url=self.url, headers={"content-type": "application/cose"}) as client:
            while True:
                raw = ledgers.anchor(self.next)
                try:
                    answer = client.post("/entries", content=raw)
                except httpx.TransportError:
                    return
                assert answer.status_code in (200, 201)
                self.answered.append((raw, answer.content))
                self.next += 1


def started(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A running ledger and its address."""
    words = ["ledger", "run", "--state", str(folder), "--port", "0", "--metrics-port", "0", "--json"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "vigil", *words], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["url"]


def test_a_ledger_that_is_killed_while_it_is_fed_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as engine:
        engine.register(ledgers.admission(tmp_path))
    key = ledgers.log_key(tmp_path)
    kept: list[tuple[bytes, bytes]] = []
    roots: dict[int, bytes] = {}
    for round_ in range(ROUNDS):
        process, url = started(tmp_path)
        feeders = [Feeder(url, (round_ * FEEDERS + place) * 1_000_000) for place in range(FEEDERS)]
        for feeder in feeders:
            feeder.start()
        time.sleep(0.4 + 0.13 * round_)
        process.kill()
        process.communicate()
        for feeder in feeders:
            feeder.join()
            kept += feeder.answered
        fsck.check(tmp_path)
    assert len(kept) > ROUNDS * FEEDERS
    with ledgers.checked(tmp_path) as engine:
        entries = [statement.entry(engine.statement(index)) for index in range(engine.size)]
        tree = merkle.Tree([merkle.leaf_hash(entry) for entry in entries])
        for raw, proof in kept:
            found = receipt.check(proof, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
            assert engine.statement(found.index) == raw
            root = receipt.verify(found, entry=statement.entry(raw), key=key)
            assert roots.setdefault(found.size, root) == root == tree.root(found.size)  # one history, no second tree
        newest = notes.Checkpoint.from_text(notes.parse(engine.checkpoint()).text)
        assert (newest.size, newest.root) == (tree.size, tree.root())
