"""Logs of chosen sizes with what outsiders need to judge them: statements, entries, roots, proofs and receipts."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol import cose, merkle, receipt, statement
from protocol.keys import PublicKey, SigningKey
from tests.support import ledgers

LOG = SigningKey.from_seed(bytes([1]) * 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """receipts: (index, statement, its signer's key, receipt) of some entries, all for the whole tree."""

    key: PublicKey
    entries: Sequence[bytes]
    tree: merkle.Tree
    receipts: Sequence[tuple[int, bytes, PublicKey, bytes]]


def _tree(entries: Sequence[bytes]) -> merkle.Tree:
    return merkle.Tree([merkle.leaf_hash(entry) for entry in entries])


def stored(folder: Path, size: int) -> Log:
    """A real ledger of `size` entries: what it begins with, an admission, anchors. Receipts of the first, a middle and the
    last."""
    with ledgers.checked(folder) as engine:
        for raw in (ledgers.admission(folder), *(ledgers.anchor(n) for n in range(size))):
            if engine.size < size:
                engine.register(raw)
        key = ledgers.log_key(folder)
        root = ledgers.keyring.load(folder, ledgers.keyring.REGISTRY_KEY).public
        known = {signer.thumbprint: signer for signer in (key, root, ledgers.GATEWAY.public)}
        raws = [engine.statement(index) for index in range(size)]
        chosen = sorted({0, 1, size // 2, size - 1})
        signers = {index: known[statement.parse(raws[index]).kid] for index in chosen}
        receipts = [(index, raws[index], signers[index], engine.receipt(index)) for index in chosen]
        entries = [statement.entry(raw) for raw in raws]
        return Log(key=key, entries=entries, tree=_tree(entries), receipts=receipts)


def invented(size: int, chosen: Sequence[int], *, key: cose.Signer = LOG) -> Log:
    """A log of `size` entries in memory, statements at the `chosen` places only and digests of nothing elsewhere.

    key: signs the receipts.
    """
    raws = {index: ledgers.anchor(index) for index in chosen}
    entries = [hashlib.sha256(b"%d" % index).digest() for index in range(size)]
    for index, raw in raws.items():
        entries[index] = statement.entry(raw)
    tree = _tree(entries)
    receipts = []
    for index, raw in raws.items():
        proof = receipt.issue(
            key,
            iss=ledgers.ORIGIN,
            sub=f"1.{index}",
            root=tree.root(),
            size=size,
            index=index,
            path=tree.path(index),
        )
        receipts.append((index, raw, ledgers.GATEWAY.public, proof))
    return Log(key=LOG.public, entries=entries, tree=tree, receipts=receipts)
