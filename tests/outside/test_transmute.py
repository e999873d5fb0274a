"""@transmute/cose, which is not ours, judges receipts of a log that signs them with ES256."""

import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from protocol import cbor, cose, merkle, receipt, statement
from protocol.p256 import P256SigningKey
from tests.support import grown, ledgers, running
from tests.support.grown import Log
from tests.support.outside import ask_node, run

pytestmark = pytest.mark.outside

KEY, ANOTHER = P256SigningKey(bytes([5]) * 32), P256SigningKey(bytes([6]) * 32)
EC2 = 2  # the key type of P-256
CHOSEN = (0, 1, 255, 256, 65_535, 65_536, 69_999)


@pytest.fixture(scope="module", params=[2, 300, 70_000])
def log(request: pytest.FixtureRequest) -> Log:
    """A log of this size, its receipts by KEY."""
    return grown.invented(request.param, [index for index in CHOSEN if index < request.param], key=KEY)


def key_of(key: P256SigningKey) -> str:
    return cbor.encode(key.public.cose_key()).hex()


def judged(cases: list[dict[str, str]]) -> list[object]:
    """Its answers: what it found, or a map that says why not."""
    found = ask_node("ask_transmute.js", cases)
    assert isinstance(found, list) and len(found) == len(cases)
    return found


def inclusion(raw: bytes, proof: bytes, *, key: P256SigningKey = KEY) -> dict[str, str]:
    return {"ask": "inclusion", "receipt": proof.hex(), "entry": statement.entry(raw).hex(), "key": key_of(key)}


def refused(answer: object) -> bool:
    return isinstance(answer, Mapping) and "refused" in answer


def test_a_receipt_proves_its_entry(log: Log) -> None:
    found = judged([inclusion(raw, proof) for _, raw, _, proof in log.receipts])
    assert found == [log.tree.root().hex()] * len(log.receipts)


def test_a_transparent_statement_comes_apart_into_statement_and_receipt(log: Log) -> None:
    cases = [
        {"ask": "transparent", "transparent": receipt.attach(raw, [proof]).hex(), "key": key_of(KEY)}
        for _, raw, _, proof in log.receipts
    ]
    expected = [{"statement": raw.hex(), "roots": [log.tree.root().hex()]} for _, raw, _, _ in log.receipts]
    assert judged(cases) == expected


def test_what_was_changed_proves_nothing(log: Log) -> None:
    (_, raw, _, proof), (_, other, _, _) = log.receipts[0], log.receipts[-1]
    path = cose.parse_sign1(proof, size_max=receipt.SIZE_MAX).unprotected[receipt.VDP]
    assert isinstance(path, dict)
    place = proof.index(path[receipt.INCLUSION][0]) + len(path[receipt.INCLUSION][0]) - 1  # the path's last byte
    cases = [
        inclusion(other, proof),
        inclusion(raw, proof, key=ANOTHER),
        inclusion(raw, proof[:-1] + bytes((proof[-1] ^ 1,))),
        inclusion(raw, proof[:place] + bytes((proof[place] ^ 1,)) + proof[place + 1 :]),
    ]
    assert [refused(answer) for answer in judged(cases)] == [True] * len(cases)


def test_a_running_ledger_signs_receipts_for_it(tmp_path: Path) -> None:
    state = tmp_path / "ledger"
    running.filled(state, 300)
    words = ("-m", "vigil", "ledger", "rotate-key", "--state", state, "--alg", "ES256", "--json")
    assert run(Path(sys.executable), *words, cwd=running.ROOT).returncode == 0
    entries = running.entries(state)
    tree = merkle.Tree([merkle.leaf_hash(entry) for entry in entries])
    with running.ledger(state) as ledger, httpx.Client(base_url=ledger.url) as web:
        keys = cbor.decode(web.get("/.well-known/scitt-keys").content, size_max=4096)
        assert isinstance(keys, list)
        (key,) = (one for one in keys if one[1] == EC2)  # type: ignore[index, call-overload]
        cases = [
            {
                "ask": "inclusion",
                "receipt": web.get(f"/entries/1.{index}", params={"alg": "ES256"}).raise_for_status().content.hex(),
                "entry": entries[index].hex(),
                "key": cbor.encode(key).hex(),
            }
            for index in (0, 255, 299, 300)
        ]
    assert judged(cases) == [tree.root().hex()] * len(cases)
    assert [refused(answer) for answer in judged([case | {"entry": bytes(32).hex()} for case in cases])] == [True] * 4


def grew(log: Log, size1: int, **changed: str) -> dict[str, str]:
    proof = receipt.issue_consistency(
        KEY,
        iss=ledgers.ORIGIN,
        sub="tree",
        root=log.tree.root(),
        size1=size1,
        size2=log.tree.size,
        path=log.tree.consistency(size1),
    )
    roots = {"root1": log.tree.root(size1).hex(), "root2": log.tree.root().hex()}
    return {"ask": "consistency", "receipt": proof.hex(), "key": key_of(KEY), **roots, **changed}


def test_a_receipt_of_consistency_leads_from_tree_to_tree() -> None:
    """Not from sizes that are powers of two: there the library leaves out step 2 of RFC 9162 §2.1.4.2, and says so."""
    log = grown.invented(70_000, ())
    sizes = (3, 255, 257, 300, 65_535, 65_537, 69_999)
    assert judged([grew(log, size1) for size1 in sizes]) == [True] * len(sizes)
    wrong = [grew(log, 300, root1=bytes(32).hex()), grew(log, 300, root2=bytes(32).hex())]
    wrong.append(grew(log, 300, key=key_of(ANOTHER)))
    assert [answer is False or refused(answer) for answer in judged(wrong)] == [True] * len(wrong)
