"""What a log says about itself, from what it has published: its status, an entry's digest, and a proof of it. Blocking."""

import base64
import struct
from dataclasses import dataclass

from ledger.log.engine import Engine
from ledger.log.shelf import Shelf
from protocol import cbor, notes
from protocol.errors import Unavailable
from protocol.notes import Checkpoint
from protocol.tlog_proof import Proof

_TIME = struct.Struct(">Q")
_COSIGNATURE_SIZE = 72  # bytes: a time, and an Ed25519 signature
_KID, _ALG = 2, 3  # labels of a COSE_Key
_ALGORITHMS = {-7: "ES256", -8: "EdDSA", -9: "ESP256", -19: "Ed25519"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """Who cosigned a checkpoint, and when, in Unix seconds."""

    name: str
    at_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The published checkpoint. note: as it is served; witnesses: who cosigned it, which this log has checked."""

    note: str
    size: int
    root: bytes
    witnesses: tuple[Witness, ...]


def seen(shelf: Shelf) -> Seen:
    """What an epoch shows now."""
    whole = shelf.checkpoint()
    note = notes.parse(whole)
    head = Checkpoint.from_text(note.text)
    others = [
        line for line in note.lines if line.name != shelf.published.origin and len(line.blob) == _COSIGNATURE_SIZE
    ]
    witnesses = tuple(Witness(name=line.name, at_s=_TIME.unpack_from(line.blob)[0]) for line in others)
    return Seen(note=whole, size=head.size, root=head.root, witnesses=witnesses)


def proof(shelf: Shelf, index: int) -> Proof:
    """That an entry is in the tree of the published checkpoint. Raises Unavailable: proof_too_early; NotFound: entry_pruned."""
    head = seen(shelf)
    if index >= head.size:
        raise Unavailable("proof_too_early", "the published checkpoint does not cover the entry yet: ask again")
    path = shelf.inclusion(index, head.size)
    return Proof(index=index, path=tuple(path), checkpoint=head.note)


def keys(engine: Engine) -> list[dict[str, str]]:
    """The keys that sign receipts or did once: kid, in base64url, and alg."""
    found = cbor.decode_loosely(engine.keys())
    if not isinstance(found, list):
        raise AssertionError("a key set is an array")
    return [{"kid": _name(key[_KID]), "alg": _ALGORITHMS.get(key[_ALG], str(key[_ALG]))} for key in found]


def vkeys(engine: Engine) -> list[str]:
    """The verifier keys of the log's checkpoints, as the trust file names them."""
    policy = str(engine.trust()["policy"])
    return [line.split()[1] for line in policy.splitlines() if line.startswith("log ")]


def status(engine: Engine) -> dict[str, object]:
    """The answer of GET /status. size: of the published tree; minimum: index of the first entry
    that is surely served; newest_ms: when the newest entry of that tree came, in Unix ms."""
    shelf = engine.shelf(engine.epoch)
    head = seen(shelf)
    return {
        "origin": engine.origin,
        "epoch": engine.epoch,
        "size": head.size,
        "root": base64.b64encode(head.root).decode(),
        "minimum": engine.minimum,
        "newest_ms": shelf.entry(head.size - 1).at_ms,
        "healthy": engine.healthy,
        "keys": keys(engine),
        "vkeys": vkeys(engine),
        "witnesses": [{"name": one.name, "cosigned_s": one.at_s} for one in head.witnesses],
    }


def _name(kid: bytes) -> str:
    return base64.urlsafe_b64encode(kid).rstrip(b"=").decode()
