"""The reading side of a log: statements, receipts, proofs and tiles of one epoch, for any number of threads."""

import contextlib
import functools
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ledger.log.keeping import GONE
from ledger.log.signer import Signer, vkeys
from ledger.log.store import Entry, Store
from ledger.registry import LogKey
from ledger.rules import State
from protocol import merkle, receipt, tiles
from protocol.errors import NotFound, Unavailable

HIGH = 4  # the level from which on nodes are remembered: one for 16 entries
HIGH_NODES_MAX = 65_536  # nodes, some 10 MB; the one not used for longest goes first
OF_CONTRACT_MAX = 256  # statements of one contract that are handed out at once; then the caller asks for what follows
OF_CONTRACT_SIZE_MAX = 1024 * 1024  # bytes of them, likewise
LOOKED_MAX = 4096  # entries looked at for them, likewise: however rare a contract is, nobody else waits for longer
TREES_MAX = 4  # sizes of trees whose right edge is remembered: the newest, the cosigned, and who is late

T = TypeVar("T")

_ENTRY_ID = re.compile(r"(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the outside may see: a tree head whose entries are on disk, and the checkpoint over it."""

    origin: str
    epoch: int
    size: int
    root: bytes
    note: str


NOTHING = Published(origin="", epoch=0, size=0, root=merkle.EMPTY_ROOT, note="")


class Shelf:
    """What an epoch hands out. published: its newest tree head, which whoever writes the log replaces as a whole."""

    def __init__(self, *, signer: Signer, reader: Store) -> None:
        self._signer, self._reader, self._reading = signer, reader, threading.Lock()
        self._high = functools.lru_cache(maxsize=HIGH_NODES_MAX)(reader.node)
        self._trees: dict[int, merkle.Paths] = {}
        self.published = NOTHING
        self.minimum = 0
        """The minimum index: what is below may have gone. Source: C2SP tlog-tiles, Pruning."""
        self.cosigned = ""
        """The newest checkpoint that enough witnesses cosigned; empty for none, or when none need to."""

    def checkpoint(self) -> str:
        """What the outside is shown: the newest checkpoint that enough witnesses cosigned, else the newest signed one."""
        return self.cosigned or self.published.note

    @property
    def keys(self) -> tuple[LogKey, ...]:
        """Every key that signs or signed in this epoch, oldest first."""
        return self._signer.keys

    def vkeys(self) -> list[str]:
        """The verifier keys of its checkpoints."""
        return vkeys(self.published.origin, self._signer.keys, self._signer.now_ms)

    def entry_id(self, index: int) -> str:
        """The name of an entry."""
        return f"{self.published.epoch}.{index}"

    def statement(self, index: int) -> bytes:
        """The statement at `index`.

        Raises NotFound: entry_unknown, entry_pruned, statement_redacted; Unavailable: entry_missing.
        """
        _check(index, self.published)
        with self._reading:
            found = self._reader.statement(index)
        if found is None:
            raise Unavailable("entry_missing", "the database lacks a statement: run fsck")
        if found == GONE:
            raise self.pruned(index) or NotFound(
                "statement_redacted",
                "the body of this statement was taken away by order; its entry is still in the log",
            )
        return found

    def pruned(self, index: int) -> NotFound | None:
        """The error for what is missing because `index` is below the minimum; None when that is not why."""
        if index >= self.minimum:
            return None
        return NotFound("entry_pruned", f"below the minimum index {self.minimum}, nothing need be kept")

    def entry(self, index: int) -> Entry:
        """All that is stored of the entry at `index`. Raises NotFound: entry_unknown; Unavailable: entry_missing."""
        _check(index, self.published)
        with self._reading:
            found = self._reader.entry(index)
        if found is None:
            raise Unavailable("entry_missing", "the database lacks an entry: run fsck")
        return found

    def of_contract(self, name: str, first: int) -> tuple[list[Entry], int, int]:
        """What one contract judged from index `first` on, but for what was taken away; where to look next; and the size of the
        tree, which is where to look next once all was seen.

        No index over the entries is kept for this: a follower has looked at all but the newest.
        """
        size = self.published.size
        found: list[Entry] = []
        room, after = OF_CONTRACT_SIZE_MAX, max(first, min(first + LOOKED_MAX, size))
        with self._reading, contextlib.closing(self._reader.of_contract(name, first, after)) as entries:
            for each in entries:
                room -= len(each.statement)
                if (found and room < 0) or len(found) == OF_CONTRACT_MAX:
                    after = each.place
                    break
                found.append(each)
        return found, after, size

    def index_of(self, digest: bytes) -> int:
        """The index of the entry with these 32 bytes. Raises NotFound: entry_unknown."""
        with self._reading:
            found = self._reader.place_of(digest)
        if found is None or found >= self.published.size:
            raise NotFound("entry_unknown", "this log has no such entry")
        return found

    def look(self, question: Callable[[State], T]) -> T:
        """What `question` finds in the state, which is of one moment while it asks."""
        with self._reading, self._reader.reading():
            return question(self._reader.state)

    def receipt(self, index: int, seen: Published | None = None, *, alg: int | None = None) -> bytes:
        """A receipt for the newest tree, or the one that was `seen`. alg: the COSE algorithm of its signature, when it matters.

        Raises NotFound: entry_unknown, entry_pruned, alg_not_offered; Unavailable: node_missing.
        """
        seen, key = seen or self.published, self._signer.for_receipts(alg)
        _check(index, seen)
        path = self.inclusion(index, seen.size)
        return receipt.issue(
            key,
            iss=seen.origin,
            sub=self.entry_id(index),
            root=seen.root,
            size=seen.size,
            index=index,
            path=path,
        )

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The bare proof that an entry is in the tree of `size`, which the log has had.

        Raises NotFound: entry_pruned; Unavailable: node_missing.
        """
        try:
            with self._reading:
                if size not in self._trees:
                    if len(self._trees) >= TREES_MAX:
                        self._trees.clear()
                    self._trees[size] = merkle.Paths(self._node, size)
                return self._trees[size].path(index)
        except Unavailable as error:
            raise self.pruned(index) or error from error

    def consistency(self, size1: int) -> bytes:
        """A receipt that the newest tree is that of `size1` grown. Source: RFC 9942 §5.3.

        Raises NotFound: size_unknown, for a size that no tree of this log had yet; size_pruned; Unavailable: node_missing.
        """
        seen = self.published
        if not 0 < size1 <= seen.size:
            raise NotFound("size_unknown", f"a proof begins at a size from 1 to {seen.size}")
        try:
            with self._reading:
                path = merkle.consistency_path(self._reader.node, size1, seen.size)
        except Unavailable as error:
            if size1 >= self.minimum:
                raise
            raise NotFound("size_pruned", f"proofs begin at the minimum index {self.minimum}") from error
        return receipt.issue_consistency(
            self._signer.for_receipts(),
            iss=seen.origin,
            sub=f"{seen.epoch}.{size1}-{seen.size}",
            root=seen.root,
            size1=size1,
            size2=seen.size,
            path=path,
        )

    def root(self, size: int) -> bytes:
        """The root of the tree of `size`, which the log has had. Raises Unavailable: node_missing, for what is pruned."""
        with self._reading:
            return merkle.range_root(self._reader.node, 0, size)

    def path(self, size1: int, size2: int) -> list[bytes]:
        """The bare proof that the tree of `size2` is that of `size1` grown. Raises Unavailable: node_missing."""
        with self._reading:
            return merkle.consistency_path(self._reader.node, size1, size2)

    def find(self, entry_id: str) -> int:
        """The index of an entry id. Raises NotFound: entry_unknown."""
        match = _ENTRY_ID.fullmatch(entry_id)
        if match is None or int(match[1]) != self.published.epoch:
            raise NotFound("entry_unknown", "this log has no such entry")
        index = int(match[2])
        _check(index, self.published)
        return index

    def tile(self, tile: tiles.Tile) -> bytes:
        """The hashes of a tile (level not None). Raises NotFound: tile_unknown, tile_pruned; Unavailable: node_missing."""
        if tile.level is None or not tile.fits(self.published.size):
            raise NotFound("tile_unknown", "this log has no such tile, or not yet")
        self._check_kept(tile)
        with self._reading:
            hashes = self._reader.row_of_nodes(tile.level * tiles.HEIGHT, tile.index * tiles.WIDTH, tile.width)
        return b"".join(_whole(hashes, tile))

    def entries(self, tile: tiles.Tile) -> bytes:
        """A bundle of 32-byte entries (level None). Raises NotFound: tile_unknown, tile_pruned; Unavailable: node_missing."""
        if tile.level is not None or not tile.fits(self.published.size):
            raise NotFound("tile_unknown", "this log has no such bundle, or not yet")
        self._check_kept(tile)
        with self._reading:
            digests = self._reader.digests(tile.index * tiles.WIDTH, tile.width)
        return tiles.bundle(_whole(digests, tile))

    def _check_kept(self, tile: tiles.Tile) -> None:
        if (tile.index + 1) * tiles.WIDTH << tiles.HEIGHT * (tile.level or 0) <= self.minimum:
            raise NotFound("tile_pruned", f"all of it is below the minimum index {self.minimum}")

    def _node(self, level: int, place: int) -> bytes:
        """A node, which never changes; of the higher ones there are few, and every path has some."""
        return self._high(level, place) if level >= HIGH else self._reader.node(level, place)

    def close(self) -> None:
        """Let go of the file, after whoever is reading."""
        with self._reading:
            self._reader.close()


def _check(index: int, seen: Published) -> None:
    if not 0 <= index < seen.size:
        raise NotFound("entry_unknown", "this log has no such entry")


def _whole(hashes: list[bytes], tile: tiles.Tile) -> list[bytes]:
    """Whoever asks may keep a tile for ever: a damaged file has none to give."""
    if len(hashes) != tile.width:
        raise Unavailable("node_missing", "the database lacks a part of the tree: run fsck")
    return hashes
