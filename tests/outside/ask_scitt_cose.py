"""Runs in .outside/ledger: scitt-cose's opinion of statements, receipts and consistency proofs, all in hexadecimal."""

import json
import sys

from scitt_cose.merkle import verify_consistency
from scitt_cose.receipt import verify_receipt
from scitt_cose.statement import parse_signed_statement


def statement(case):
    """What a statement says, once its signature was checked."""
    found = parse_signed_statement(bytes.fromhex(case["statement"]), public_key_pem=case["key"])
    return {name: found[name] for name in ("signature_verified", "issuer", "subject")}


def receipt(case):
    """Whether a receipt holds for an entry, and what it says."""
    found = verify_receipt(bytes.fromhex(case["receipt"]), leaf_entry_hex=case["entry"], log_public_key_pem=case["key"])
    return {"ok": found.ok, "root": found.root, "size": found.tree_size, "index": found.leaf_index}


def consistency(case):
    """Whether one tree continues another."""
    sizes, roots = (case["size1"], case["size2"]), (case["root1"], case["root2"])
    return {"ok": verify_consistency(*roots, *sizes, case["path"])}


QUESTIONS = {"statement": statement, "receipt": receipt, "consistency": consistency}
json.dump([QUESTIONS[case["ask"]](case) for case in json.load(sys.stdin)], sys.stdout)
