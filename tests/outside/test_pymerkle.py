"""pymerkle, a second Merkle tree that is not ours, finds the same roots and the same inclusion proofs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from protocol import merkle
from tests.support.grown import Log, invented, stored
from tests.support.outside import ask, python

pytestmark = pytest.mark.outside

SMALL = range(1, 41)
LARGE = (255, 256, 257, 300, 4_095, 65_535, 65_536, 65_537, 69_999, 70_000)


def answered(log: Log, cases: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """pymerkle's answers."""
    question = {"entries": [entry.hex() for entry in log.entries], "cases": list(cases)}
    found = ask("ledger", "ask_pymerkle.py", question)
    assert isinstance(found, list) and len(found) == len(cases)
    return found


def proof_case(log: Log, index: int, size: int) -> dict[str, object]:
    return {
        "size": size,
        "index": index,
        "leaf": merkle.leaf_hash(log.entries[index]).hex(),
        "root": log.tree.root(size).hex(),
        "path": [item.hex() for item in log.tree.path(index, size)],
    }


@pytest.fixture(scope="module")
def large() -> Log:
    python("ledger")
    return invented(70_000, ())


def test_roots_are_the_same_at_every_size(large: Log) -> None:
    sizes = [*SMALL, *LARGE]
    found = answered(large, [{"size": size} for size in sizes])
    assert [each["root"] for each in found] == [large.tree.root(size).hex() for size in sizes]


def test_inclusion_proofs_are_the_same_and_hold(large: Log) -> None:
    pairs = [(index, size) for size in SMALL for index in range(size)]
    pairs += [(index, size) for size in LARGE for index in sorted({0, 1, size // 3, size - 2, size - 1})]
    cases = [proof_case(large, index, size) for index, size in pairs]
    for case, found in zip(cases, answered(large, cases), strict=True):
        assert found == {"root": case["root"], "path": case["path"], "ok": True}


def test_inclusion_proofs_that_were_changed_do_not_hold(large: Log) -> None:
    whole = [proof_case(large, index, size) for index, size in ((0, 2), (1, 2), (7, 300), (69_999, 70_000))]
    cases = [case | {name: bytes(32).hex()} for case in whole for name in ("leaf", "root")]
    for case in whole:
        path = case["path"]
        assert isinstance(path, list)
        cases += [case | {"path": [*path[:-1], bytes(32).hex()]}, case | {"path": path[:-1]}]
    assert [found["ok"] for found in answered(large, cases)] == [False] * len(cases)


@pytest.mark.parametrize("size", [2, 300])
def test_a_stored_ledger_has_the_root_that_its_entries_give(tmp_path: Path, size: int) -> None:
    python("ledger")
    log = stored(tmp_path, size)
    cases = [proof_case(log, index, size) for index, *_ in log.receipts]
    for case, found in zip(cases, answered(log, cases), strict=True):
        assert found == {"root": log.tree.root().hex(), "path": case["path"], "ok": True}
