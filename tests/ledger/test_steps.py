"""A ledger that is killed at each of its durable steps, one after the other: what it answered is there, nothing is signed twice."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.log import fsck, registering
from protocol import merkle, notes, receipt, statement
from tests.support import killing, ledgers

STEPS_MAX = 400  # far above what the work below takes; reaching it would mean that it never ends
TOLD = "told.jsonl"  # what the ledger let out before it died, one JSON object a line


def work(folder: Path, tell: Callable[[dict[str, object]], None]) -> None:
    """A first run, an admission, one statement, and a batch of three of which one is refused and one is there already."""
    with contextlib.closing(ledgers.opened(folder)) as log:
        tell({"note": log.checkpoint()})
        for raw in (ledgers.admission(folder), ledgers.anchor(1)):
            found = log.register(raw)
            tell({"raw": raw.hex(), "index": found.index, "receipt": found.receipt.hex(), "note": log.checkpoint()})
        raw = ledgers.anchor(3)
        many = (ledgers.anchor(1), ledgers.anchor(9, ledgers.STRANGER), ledgers.enrolment(2), raw)
        found = log.register_many(many)[-1]
        assert isinstance(found, registering.Registered)
        tell({"raw": raw.hex(), "index": found.index, "receipt": found.receipt.hex(), "note": log.checkpoint()})


def killed_at(step: int, folder: Path) -> bool:
    """Does the work in a process that kills itself before its durable step number `step`. Whether it did."""

    def telling() -> None:
        with (folder.parent / TOLD).open("a") as told:
            work(folder, lambda said: print(json.dumps(said), file=told, flush=True))

    return killing.killed_at(step, telling)


def told(folder: Path) -> list[dict[str, object]]:
    path = folder.parent / TOLD
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def check_what_was_told(folder: Path) -> int:
    """Takes the ledger up after the kill; every answer holds in it, and every tree that was signed is a part of its own."""
    said = told(folder)
    with ledgers.checked(folder) as log:
        size, key = log.size, ledgers.log_key(folder)
        assert size >= ledgers.BEGUN
        tree = merkle.Tree([merkle.leaf_hash(statement.entry(log.statement(index))) for index in range(size)])
        for one in [*said, {"note": log.checkpoint()}]:
            checkpoint = notes.Checkpoint.from_text(notes.parse(str(one["note"])).text)
            assert checkpoint.size <= size and checkpoint.root == tree.root(checkpoint.size)
            if "raw" in one:
                raw, proof = bytes.fromhex(str(one["raw"])), bytes.fromhex(str(one["receipt"]))
                found = receipt.check(proof, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
                assert found.index == one["index"] and log.statement(found.index) == raw
                assert receipt.verify(found, entry=statement.entry(raw), key=key) == tree.root(found.size)
    return size


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the ledger is killed in a process of its own")
def test_a_kill_before_each_durable_step_loses_and_doubles_nothing(tmp_path: Path) -> None:
    sizes: list[int] = []
    for step in range(STEPS_MAX):
        folder = tmp_path / str(step) / "ledger"
        folder.parent.mkdir()
        dead = killed_at(step, folder)
        if told(folder):
            fsck.check(folder)
        sizes.append(check_what_was_told(folder))
        work(folder, lambda _: None)  # and the same work again ends as if nothing had been
        with ledgers.checked(folder) as log:
            assert [statement.parse(log.statement(index)).sub.split(":")[1] for index in range(log.size)] == [
                *("log", "policy", "key", "anchors", "enrolments", "anchors")
            ]
        if not dead:
            break
    assert not dead
    assert sizes == sorted(sizes) and set(sizes) == {2, 3, 4, 6}  # a batch is there as a whole or not at all
    assert len(sizes) > 60
