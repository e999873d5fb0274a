"""scitt-cose, which is not ours, judges statements, receipts and consistency proofs as we do."""

import hashlib
import itertools
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from protocol import keys, statement
from tests.support import ledgers
from tests.support.grown import Log, invented, stored
from tests.support.outside import WITHIN_S, ask, python

pytestmark = pytest.mark.outside

SIZES = (2, 300, 70_000)
CHOSEN = (0, 1, 255, 256, 65_535, 65_536, 69_999)


@pytest.fixture(params=SIZES)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    python("ledger")
    return stored(tmp_path, request.param) if request.param <= 300 else invented(request.param, CHOSEN)


def judged(cases: list[dict[str, object]]) -> list[Mapping[str, object]]:
    """scitt-cose's answers."""
    found = ask("ledger", "ask_scitt_cose.py", cases)
    assert isinstance(found, list) and len(found) == len(cases)
    return found


def receipt_case(raw: bytes, proof: bytes, key: keys.PublicKey) -> dict[str, object]:
    return {"ask": "receipt", "receipt": proof.hex(), "entry": statement.entry(raw).hex(), "key": key.pem()}


def test_our_statements_are_signed_and_say_what_they_say(log: Log) -> None:
    cases = [{"ask": "statement", "statement": raw.hex(), "key": signer.pem()} for _, raw, signer, _ in log.receipts]
    for (_, raw, _, _), found in zip(log.receipts, judged(cases), strict=True):
        ours = statement.parse(raw)
        assert found == {"signature_verified": True, "issuer": ours.iss, "subject": ours.sub}


def test_our_receipts_prove_what_they_prove(log: Log) -> None:
    found = judged([receipt_case(raw, proof, log.key) for _, raw, _, proof in log.receipts])
    root, size = log.tree.root().hex(), log.tree.size
    assert found == [{"ok": True, "root": root, "size": size, "index": index} for index, *_ in log.receipts]


def test_what_was_changed_proves_nothing(log: Log) -> None:
    stranger = ledgers.STRANGER.public
    cases: list[dict[str, object]] = []
    for _, raw, _, proof in log.receipts:
        cases += [
            receipt_case(raw + b"\x00", proof, log.key),
            receipt_case(raw, proof[:-1] + bytes((proof[-1] ^ 1,)), log.key),
            receipt_case(raw, proof, stranger),
            {"ask": "statement", "statement": raw.hex(), "key": stranger.pem()},
        ]
    for place, found in enumerate(judged(cases)):
        assert found["signature_verified" if place % 4 == 3 else "ok"] is False, place


def test_our_consistency_proofs_hold_between_all_sizes() -> None:
    python("ledger")
    tree = invented(70_000, CHOSEN).tree
    cases: list[dict[str, object]] = [
        {
            "ask": "consistency",
            "size1": size1,
            "size2": size2,
            "root1": tree.root(size1).hex(),
            "root2": tree.root(size2).hex(),
            "path": [item.hex() for item in tree.consistency(size1, size2)],
        }
        for size1, size2 in itertools.combinations((1, 2, 3, 255, 256, 257, 300, 65_536, 65_537, 70_000), 2)
    ]
    wrong = [case | {"root1": bytes(32).hex()} for case in cases]
    assert judged(cases) == [{"ok": True}] * len(cases)
    assert judged(wrong) == [{"ok": False}] * len(cases)


def commanded(folder: Path, log: Log, place: int, entry: bytes) -> tuple[int, dict[str, object]]:
    """The exit code and the answer of the command line about one of the log's receipts, from files."""
    _, raw, signer, proof = log.receipts[place]
    files = {"s.cose": raw, "issuer.pem": signer.pem().encode(), "r.cose": proof, "log.pem": log.key.pem().encode()}
    for name, body in files.items():
        (folder / name).write_bytes(body)
    command = [
        str(python("ledger").with_name("scitt-cose")),
        "--statement",
        "s.cose",
        "--statement-pubkey",
        "issuer.pem",
    ]
    command += ["--receipt", "r.cose", "--receipt-log-pubkey", "log.pem", "--leaf-entry-hex", entry.hex(), "--json"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, timeout=WITHIN_S, check=False)
    return ran.returncode, json.loads(ran.stdout)


def test_its_command_line_accepts_our_files_and_no_other_entry(log: Log, tmp_path: Path) -> None:
    for place, (index, raw, _, _) in enumerate(log.receipts):
        code, found = commanded(tmp_path, log, place, hashlib.sha256(raw).digest())
        said, proved = found["statement"], found["receipt"]
        assert isinstance(said, dict) and isinstance(proved, dict)
        assert (code, said["signature_verified"], proved["ok"]) == (0, True, True)
        assert (proved["root"], proved["tree_size"], proved["leaf_index"]) == (
            log.tree.root().hex(),
            log.tree.size,
            index,
        )
    code, found = commanded(tmp_path, log, 0, bytes(32))
    refused = found["receipt"]
    assert isinstance(refused, dict) and refused["ok"] is False
    assert code == 1
