"""Tiles: a log's nodes, 256 to a file, as any web server or cache can hand them out. Source: C2SP tlog-tiles."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from protocol import merkle
from protocol.errors import Malformed

WIDTH = 256
HEIGHT = 8
LEVEL_MAX = 7  # tiles above it would belong to trees of more than 2^64 leaves
ENTRY_SIZE_MAX = 65_535

_PATH = re.compile(r"tile/(entries|[0-7])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A tile of hashes, or with level None a bundle of entries. width: 256, or fewer for a partial one."""

    level: int | None
    index: int
    width: int = WIDTH

    def path(self) -> str:
        """Where it lies under a log's prefix."""
        groups = [f"{self.index % 1000:03d}"]
        rest = self.index // 1000
        while rest:
            groups.append(f"x{rest % 1000:03d}")
            rest //= 1000
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        level = "entries" if self.level is None else str(self.level)
        return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"

    @classmethod
    def from_path(cls, path: str) -> Self:
        """Reads what `path` writes. Raises Malformed: tile_path."""
        match = _PATH.fullmatch(path)
        if match is None or len(path) > 64:
            raise Malformed("tile_path", "not a tile's path")
        index = int(match[2].replace("x", "").replace("/", ""))
        width = int(match[3]) if match[3] else WIDTH
        found = cls(level=None if match[1] == "entries" else int(match[1]), index=index, width=width)
        if width > WIDTH or found.path() != path:
            raise Malformed("tile_path", "not the one path of a tile")
        return found

    def fits(self, size: int) -> bool:
        """Whether a log of `size` entries may hand this tile out: it is filled at least as far as its width."""
        return self.index * WIDTH + self.width <= size >> (HEIGHT * (self.level or 0))


def tiles_of(size: int) -> Iterator[Tile]:
    """All that a log of `size` entries hands out: the tiles of every level, and a bundle beside each of the lowest."""
    for level in range(LEVEL_MAX + 1):
        count = size >> (HEIGHT * level)
        for index in range(-(-count // WIDTH)):
            width = min(WIDTH, count - index * WIDTH)
            yield Tile(level=level, index=index, width=width)
            if level == 0:
                yield Tile(level=None, index=index, width=width)


def tile_for(level: int, index: int, size: int) -> Tile:
    """The tile of a log of `size` entries that the node (level, index) can be computed from."""
    tile_level = level // HEIGHT
    first = index << (level - tile_level * HEIGHT)
    filled = (size >> (HEIGHT * tile_level)) - (first // WIDTH) * WIDTH
    return Tile(level=tile_level, index=first // WIDTH, width=min(WIDTH, filled))


def node_from(tile: Sequence[bytes], level: int, index: int) -> bytes:
    """The node (level, index) from the hashes of its tile. Raises Malformed: tile_short."""
    depth = level % HEIGHT
    first = (index << depth) % WIDTH
    hashes = tile[first : first + (1 << depth)]
    if len(hashes) != 1 << depth:
        raise Malformed("tile_short", "the tile is not filled that far")
    return merkle.tree_root(hashes)


def reader(fetch: Callable[[Tile], Sequence[bytes]], size: int) -> merkle.Reader:
    """A reader of nodes of a log of `size` entries, from tiles that `fetch` gives as lists of hashes."""
    return lambda level, index: node_from(fetch(tile_for(level, index, size)), level, index)


def split(data: bytes, width: int) -> list[bytes]:
    """The hashes in a tile's body. Raises Malformed: tile_size."""
    if len(data) != width * merkle.HASH_SIZE:
        raise Malformed("tile_size", f"a tile of {width} has {width * merkle.HASH_SIZE} bytes")
    return [data[place : place + merkle.HASH_SIZE] for place in range(0, len(data), merkle.HASH_SIZE)]


def bundle(entries: Sequence[bytes]) -> bytes:
    """A bundle's body: each entry after its length in two bytes."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unbundle(data: bytes, width: int) -> list[bytes]:
    """The entries in a bundle's body. Raises Malformed: tile_size."""
    entries = []
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 2], "big")
        entries.append(data[place + 2 : place + 2 + size])
        place += 2 + size
    if place != len(data) or len(entries) != width:
        raise Malformed("tile_size", f"a bundle of {width} entries ends where the last one ends")
    return entries
