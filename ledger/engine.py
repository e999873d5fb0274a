"""The ledger itself: registers statements in one Merkle tree, keeps what contracts say of them, and proves all of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from protocol import tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A statement in the log. entry_id: "epoch.index"; size: of the tree that `receipt` proves it in; new: not there before."""

    entry_id: str
    index: int
    size: int
    receipt: bytes
    new: bool


class Engine:
    """One log with its keys and its state, in one folder, for any number of threads of one process."""

    @classmethod
    def open(cls, state: Path, *, now_ms: Callable[[], int], origin: str | None = None) -> Self:
        """The log in the folder `state`; the first run makes its keys and genesis (entry 0).

        origin: the log's name, for the first run; later it has to be the same or None.
        Raises ConfigError: origin_bad, origin_changed; Unavailable: state_in_use, state_unreadable.
        """
        raise NotImplementedError

    @property
    def origin(self) -> str:
        """The log's name, the first line of its checkpoints."""
        raise NotImplementedError

    @property
    def epoch(self) -> int:
        """The first part of entry ids."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """Entries under the newest checkpoint."""
        raise NotImplementedError

    def register(self, raw: bytes) -> Registered:
        """Put the statement in `raw` into the log, once; not answered before it is on disk. Blocks: call it in a thread.

        Raises Malformed, BadSignature, rules.Refused (all ProtocolError, with stable codes); Unavailable: storage_failed.
        """
        raise NotImplementedError

    def statement(self, index: int) -> bytes:
        """The statement at `index`. Raises NotFound: entry_unknown."""
        raise NotImplementedError

    def receipt(self, index: int) -> bytes:
        """A receipt for the newest checkpoint. Raises NotFound: entry_unknown; Unavailable: receipt_too_early."""
        raise NotImplementedError

    def find(self, entry_id: str) -> int:
        """The index of an entry id. Raises NotFound: entry_unknown."""
        raise NotImplementedError

    def checkpoint(self) -> str:
        """The newest checkpoint, a signed note."""
        raise NotImplementedError

    def tile(self, tile: tiles.Tile) -> bytes:
        """The hashes of a tile (level not None). Raises NotFound: tile_unknown."""
        raise NotImplementedError

    def entries(self, tile: tiles.Tile) -> bytes:
        """A bundle of 32-byte entries (level None). Raises NotFound: tile_unknown."""
        raise NotImplementedError

    def keys(self) -> bytes:
        """The COSE_KeySet of the log in CBOR."""
        raise NotImplementedError

    def key(self, kid: bytes) -> bytes:
        """One COSE_Key in CBOR by its 32-byte thumbprint. Raises NotFound: key_unknown."""
        raise NotImplementedError

    def trust(self) -> dict[str, object]:
        """The trust file's object: v, policy (C2SP tlog-policy), registry_root (hex)."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of files and lock."""
        raise NotImplementedError
