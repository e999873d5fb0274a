"""What a monitor keeps in its folder: how far it has read which log, and checkpoints that contradict each other.

One process at a time uses a folder. Each write is whole: whoever is killed goes on from the state before or after it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ledger import files, keyfile
from ledger.monitor.edge import EMPTY, Edge
from protocol import merkle, notes
from protocol.errors import Malformed, Unavailable
from protocol.notes import Checkpoint

FILE, EVIDENCE = "followed.json", "evidence"
SIZE_MAX = 262_144  # bytes of the file: two notes and two edges fit; a larger one is not ours
EVIDENCE_MAX = 64  # contradictions of one kind that are kept; the first ones stay, more of the same says nothing new

_FIELDS = {"v", "epoch", "proven", "proven_edge", "newest", "newest_ms", "edge"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """How far a log was followed, in its newest epoch that was begun; epoch: 0 for a log that names none.

    proven: the newest checkpoint whose every entry was read, empty before the first; proven_edge: of its tree.
    newest: the newest checkpoint that is as the policy asks and continues `proven`; newest_ms: when it was seen first;
    edge: of what was read of its tree.
    """

    epoch: int
    proven: str
    proven_edge: Edge
    newest: str
    newest_ms: int
    edge: Edge

    @property
    def head(self) -> Checkpoint:
        """The newest checkpoint."""
        return Checkpoint.from_text(notes.parse(self.newest).text)

    def encode(self) -> bytes:
        """The file."""
        value = {
            "v": 1,
            "epoch": self.epoch,
            "proven": self.proven,
            "proven_edge": _edge(self.proven_edge),
            "newest": self.newest,
            "newest_ms": self.newest_ms,
            "edge": _edge(self.edge),
        }
        return json.dumps(value, indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: followed_bad."""
        try:
            value = json.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise Malformed("followed_bad", "not JSON") from error
        if not isinstance(value, dict) or value.keys() != _FIELDS:
            raise Malformed("followed_bad", "not the fields of this version")
        epoch, proven, newest, newest_ms = (value[name] for name in ("epoch", "proven", "newest", "newest_ms"))
        if value["v"] != 1 or type(epoch) is not int or type(newest_ms) is not int or epoch < 0:
            raise Malformed("followed_bad", "not this version's file")
        if not isinstance(proven, str) or not isinstance(newest, str):
            raise Malformed("followed_bad", "not this version's file")
        edge, proven_edge = _read_edge(value["edge"]), _read_edge(value["proven_edge"])
        found = cls(epoch=epoch, proven=proven, proven_edge=proven_edge, newest=newest, newest_ms=newest_ms, edge=edge)
        if not proven_edge.size <= edge.size <= found.head.size:
            raise Malformed("followed_bad", "sizes ascend")
        return found


class Folder:
    """The folder of one monitor, held until `close`. Raises ConfigError: state_in_use; Unavailable: state_unreadable."""

    def __init__(self, path: Path) -> None:
        self._path, self._held = path, keyfile.hold(path, program="monitor")
        for left in path.glob(f".{FILE}.*"):  # by a monitor that was killed as it wrote
            left.unlink(missing_ok=True)
        for left in (path / EVIDENCE).glob(".*"):
            shutil.rmtree(left, ignore_errors=True)

    def load(self) -> Followed | None:
        """How far the log was followed, None at first. Raises Unavailable: state_unreadable."""
        path = self._path / FILE
        try:
            with path.open("rb") as file:
                data = file.read(SIZE_MAX + 1)
            return Followed.decode(data if len(data) <= SIZE_MAX else b"")
        except FileNotFoundError:
            return None
        except (OSError, Malformed) as error:
            raise Unavailable("state_unreadable", f"cannot use {path}: {error}") from error

    def save(self, followed: Followed) -> None:
        """What was followed is on disk when this returns. Raises Unavailable: file_unwritable."""
        files.write(self._path / FILE, followed.encode())
        keyfile.sync(self._path)

    def keep_evidence(self, kind: str, found: Mapping[str, bytes]) -> Path:
        """Put two checkpoints (`.checkpoint`) and what else there is into a folder named after the two, once; where that is.

        Raises Unavailable: file_unwritable, evidence_full.
        """
        said = [hashlib.sha256(data).digest() for name, data in sorted(found.items()) if name.endswith(".checkpoint")]
        path = self._path / EVIDENCE / f"{kind}-{hashlib.sha256(b''.join(said)).hexdigest()[:16]}"
        if path.is_dir():
            return path
        # Of each kind by itself: old checkpoints, which anybody can show, displace no proof.
        if len(list(path.parent.glob(f"{kind}-*"))) >= EVIDENCE_MAX:
            raise Unavailable("evidence_full", f"{path.parent} holds {EVIDENCE_MAX} of {kind}: look at them first")
        files.make_folder(path, found)
        return path

    def close(self) -> None:
        """Let another process use the folder."""
        os.close(self._held)


def _edge(edge: Edge) -> object:
    return {"size": edge.size, "nodes": [node.hex() for node in edge.nodes]}


def _read_edge(value: object) -> Edge:
    if not isinstance(value, dict) or value.keys() != {"size", "nodes"}:
        raise Malformed("followed_bad", "an edge is a size and its nodes")
    size, nodes = value["size"], value["nodes"]
    if type(size) is not int or size < 0 or not isinstance(nodes, list) or len(nodes) != size.bit_count():
        raise Malformed("followed_bad", "an edge has a node for each bit of its size")
    try:
        found = tuple(bytes.fromhex(node) for node in nodes)
    except (TypeError, ValueError) as error:
        raise Malformed("followed_bad", "nodes are hexadecimal") from error
    if any(len(node) != merkle.HASH_SIZE for node in found):
        raise Malformed("followed_bad", "a node has 32 bytes")
    return Edge(size=size, nodes=found) if size else EMPTY
