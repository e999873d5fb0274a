"""The reading side of a log: statements, receipts, proofs and tiles of one epoch, for any number of threads."""

import re
import threading
from dataclasses import dataclass

from ledger.log.store import Store
from protocol import merkle, receipt, tiles
from protocol.errors import NotFound, Unavailable
from protocol.keys import SigningKey

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

    def __init__(self, *, key: SigningKey, reader: Store) -> None:
        self._key, self._reader, self._reading = key, reader, threading.Lock()
        self.published = NOTHING

    def entry_id(self, index: int) -> str:
        """The name of an entry."""
        return f"{self.published.epoch}.{index}"

    def statement(self, index: int) -> bytes:
        """The statement at `index`. Raises NotFound: entry_unknown; Unavailable: entry_missing."""
        _check(index, self.published)
        with self._reading:
            found = self._reader.statement(index)
        if found is None:
            raise Unavailable("entry_missing", "the database lacks a statement: run fsck")
        return found

    def receipt(self, index: int, seen: Published | None = None) -> bytes:
        """A receipt for the newest tree, or the one that was `seen`.

        Raises NotFound: entry_unknown; Unavailable: receipt_too_early.
        """
        seen = seen or self.published
        _check(index, seen)
        if seen.size < 2:
            raise Unavailable("receipt_too_early", "a tree of one entry proves nothing: ask again after the next one")
        with self._reading:
            path = merkle.inclusion_path(self._reader.node, index, seen.size)
        return receipt.issue(
            self._key,
            iss=seen.origin,
            sub=self.entry_id(index),
            root=seen.root,
            size=seen.size,
            index=index,
            path=path,
        )

    def consistency(self, size1: int) -> bytes:
        """A receipt that the newest tree is that of `size1` grown. Source: RFC 9942 §5.3.

        Raises NotFound: size_unknown, for a size that no tree of this log had yet.
        """
        seen = self.published
        if not 0 < size1 <= seen.size:
            raise NotFound("size_unknown", f"a proof begins at a size from 1 to {seen.size}")
        with self._reading:
            path = merkle.consistency_path(self._reader.node, size1, seen.size)
        return receipt.issue_consistency(
            self._key,
            iss=seen.origin,
            sub=f"{seen.epoch}.{size1}-{seen.size}",
            root=seen.root,
            size1=size1,
            size2=seen.size,
            path=path,
        )

    def find(self, entry_id: str) -> int:
        """The index of an entry id. Raises NotFound: entry_unknown."""
        match = _ENTRY_ID.fullmatch(entry_id)
        if match is None or int(match[1]) != self.published.epoch:
            raise NotFound("entry_unknown", "this log has no such entry")
        index = int(match[2])
        _check(index, self.published)
        return index

    def tile(self, tile: tiles.Tile) -> bytes:
        """The hashes of a tile (level not None). Raises NotFound: tile_unknown; Unavailable: node_missing."""
        if tile.level is None or not tile.fits(self.published.size):
            raise NotFound("tile_unknown", "this log has no such tile, or not yet")
        with self._reading:
            hashes = self._reader.row_of_nodes(tile.level * tiles.HEIGHT, tile.index * tiles.WIDTH, tile.width)
        return b"".join(_whole(hashes, tile))

    def entries(self, tile: tiles.Tile) -> bytes:
        """A bundle of 32-byte entries (level None). Raises NotFound: tile_unknown; Unavailable: node_missing."""
        if tile.level is not None or not tile.fits(self.published.size):
            raise NotFound("tile_unknown", "this log has no such bundle, or not yet")
        with self._reading:
            digests = self._reader.digests(tile.index * tiles.WIDTH, tile.width)
        return tiles.bundle(_whole(digests, tile))

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
