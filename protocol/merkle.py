"""Merkle trees over SHA-256: roots, and proofs that an entry is in a tree and that a tree only grew. RFC 9162 §2.1.

A *node* is the root of a complete subtree: `(level, index)` covers the leaves `[index << level, (index + 1) << level)`.
Everything here is built from nodes, so that a database of nodes, a set of tiles or a plain list can serve the same proofs.
"""

import hashlib
from collections.abc import Callable, Sequence

from protocol.errors import VerificationFailed

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
PATH_MAX = 64  # hashes in a proof: trees have fewer than 2^64 leaves; a longer proof is refused unread
BLOCK_LEVELS = 8  # leaves of one block, 256, share their paths above this level
BLOCKS_MAX = 4096  # blocks whose upper paths are remembered; beyond it all are forgotten, and read again

Node = tuple[int, int]
Reader = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """32 bytes: the hash of one entry as a leaf. Source: RFC 9162 §2.1.1."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """32 bytes: the hash of two children. Source: RFC 9162 §2.1.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def range_nodes(begin: int, end: int) -> list[Node]:
    """The fewest nodes that cover the leaves `[begin, end)`, left to right, where `begin` is a multiple of a larger power
    of two than `end - begin` needs (as every subtree of RFC 9162 is)."""
    nodes = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        nodes.append((level, begin >> level))
        begin += 1 << level
    return nodes


def range_root(read: Reader, begin: int, end: int) -> bytes:
    """The root over the leaves `[begin, end)`; `EMPTY_ROOT` for none. read: gives the hash of a node."""
    if begin == end:
        return EMPTY_ROOT
    nodes = range_nodes(begin, end)
    root = read(*nodes[-1])
    for node in reversed(nodes[:-1]):
        root = node_hash(read(*node), root)
    return root


def inclusion_path(read: Reader, index: int, size: int) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size`, sibling of the leaf first. Source: RFC 9162 §2.1.3.1."""
    if not 0 <= index < size:
        raise IndexError(f"no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(range_root(read, middle, end))
            end = middle
        else:
            path.append(range_root(read, begin, middle))
            begin = middle
    path.reverse()
    return path


class Paths:
    """The tree of one size, for the paths of many of its leaves: its right edge is computed once.

    read: gives the hash of a node; root: of the tree, 32 bytes.
    """

    def __init__(self, read: Reader, size: int) -> None:
        self._read, self._size = read, size
        self._above: dict[int, list[bytes]] = {}  # the upper part of a path, the same for a block of leaves
        self._edge: list[bytes] = []  # by level: the root over the leaves from the level's last place on
        last, level = size - 1, 0
        edge = read(0, last) if size else EMPTY_ROOT
        while last > 0:
            self._edge.append(edge)
            if last & 1:
                edge = node_hash(read(level, last - 1), edge)
            last, level = last >> 1, level + 1
        self.root = edge

    def path(self, index: int) -> list[bytes]:
        """The audit path of leaf `index`, as `inclusion_path` gives it."""
        if not 0 <= index < self._size:
            raise IndexError(f"no leaf {index} in a tree of {self._size}")
        path, block = self._between(0, BLOCK_LEVELS, index), index >> BLOCK_LEVELS
        if block not in self._above:
            if len(self._above) >= BLOCKS_MAX:
                self._above.clear()
            self._above[block] = self._between(BLOCK_LEVELS, len(self._edge), block)
        return path + self._above[block]

    def _between(self, level: int, end: int, place: int) -> list[bytes]:
        """The part of a path from `level`, where it is at `place`, up to the level `end`."""
        path, last = [], (self._size - 1) >> level
        while last and level < end:
            if place & 1:
                path.append(self._read(level, place - 1))
            elif place < last:
                path.append(self._edge[level] if place + 1 == last else self._read(level, place + 1))
            place, last, level = place >> 1, last >> 1, level + 1
        return path


def consistency_path(read: Reader, size1: int, size2: int) -> list[bytes]:
    """The proof that the tree of `size1` is a prefix of that of `size2`. Source: RFC 9162 §2.1.4.1."""
    if not 0 < size1 <= size2:
        raise IndexError(f"no proof from {size1} to {size2}")
    path: list[bytes] = []
    begin, end, whole = 0, size2, True
    while size1 != end:
        middle = begin + _split(end - begin)
        if size1 <= middle:
            path.append(range_root(read, middle, end))
            end = middle
        else:
            path.append(range_root(read, begin, middle))
            begin, whole = middle, False
    if not whole:
        path.append(range_root(read, begin, end))
    path.reverse()
    return path


def verify_inclusion(*, leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Raises VerificationFailed unless the leaf hash `leaf` is at `index` in the tree of `size` under `root`.

    Source: RFC 9162 §2.1.3.2.
    """
    if root_from_path(leaf=leaf, index=index, size=size, path=path) != root:
        raise VerificationFailed("inclusion_bad", "the path does not lead to the root")


def root_from_path(*, leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that `path` leads to. Raises VerificationFailed: inclusion_bad, for a path of the wrong length or index."""
    if not 0 <= index < size or len(path) > PATH_MAX:
        raise VerificationFailed("inclusion_bad", "the index is outside the tree")
    if len(leaf) != HASH_SIZE or any(len(sibling) != HASH_SIZE for sibling in path):
        raise VerificationFailed("inclusion_bad", "a hash has 32 bytes")
    place, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise VerificationFailed("inclusion_bad", "the path is too long")
        if place & 1 or place == last:
            root = node_hash(sibling, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise VerificationFailed("inclusion_bad", "the path is too short")
    return root


def verify_consistency(*, size1: int, size2: int, root1: bytes, root2: bytes, path: Sequence[bytes]) -> None:
    """Raises VerificationFailed unless the tree (size1, root1) is a prefix of (size2, root2). Source: RFC 9162 §2.1.4.2."""
    if not 0 < size1 <= size2 or len(path) > PATH_MAX:
        raise VerificationFailed("consistency_bad", "sizes are above zero and ascend")
    if size1 == size2:
        if path or root1 != root2:
            raise VerificationFailed("consistency_bad", "equal sizes have equal roots and no path")
        return
    if not path or len(root1) != HASH_SIZE or len(root2) != HASH_SIZE:
        raise VerificationFailed("consistency_bad", "the path is empty, or a hash has not 32 bytes")
    hashes = list(path) if size1 & (size1 - 1) else [root1, *path]
    if prefix_roots(size1=size1, size2=size2, path=hashes) != (root1, root2):
        raise VerificationFailed("consistency_bad", "the path does not lead from the one root to the other")


def prefix_path(read: Reader, size1: int, size2: int) -> list[bytes]:
    """What `prefix_roots` takes: the consistency path, which leaves out the older root where that is a node, with it."""
    path = consistency_path(read, size1, size2)
    return path if size1 & (size1 - 1) else [read(size1.bit_length() - 1, 0), *path]


def prefix_roots(*, size1: int, size2: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """(root over the first `size1` leaves, root over all `size2`) of the tree that `path` is from; sizes ascend.

    Every hash of the path goes into the second root, at a place that the sizes alone say: when that root is the tree's, so is
    the first. Nobody can lead the root of a tree to another beginning than it has. Raises VerificationFailed: consistency_bad.
    """
    if not 0 < size1 < size2 or not 0 < len(path) <= PATH_MAX + 1 or any(len(item) != HASH_SIZE for item in path):
        raise VerificationFailed("consistency_bad", "the path is empty, or a hash has not 32 bytes")
    place, last = size1 - 1, size2 - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for item in path[1:]:
        if last == 0:
            raise VerificationFailed("consistency_bad", "the path is too long")
        if place & 1 or place == last:
            old, new = node_hash(item, old), node_hash(item, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, item)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise VerificationFailed("consistency_bad", "the path is too short")
    return old, new


class Tree:
    """A tree in memory that grows: about two hashes an entry, proofs in logarithmic time."""

    def __init__(self, leaves: Sequence[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0])

    def append(self, leaf: bytes) -> int:
        """Adds the leaf hash `leaf` (32 bytes) and returns its index."""
        index = self.size
        for node, value in completed(index, leaf, self.node):
            if node[0] == len(self._levels):
                self._levels.append([])
            self._levels[node[0]].append(value)
        return index

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        return self._levels[level][index]

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` leaves, all by default."""
        return range_root(self.node, 0, self.size if size is None else size)

    def path(self, index: int, size: int | None = None) -> list[bytes]:
        """The audit path of leaf `index` in the tree of the first `size` leaves."""
        return inclusion_path(self.node, index, self.size if size is None else size)

    def consistency(self, size1: int, size2: int | None = None) -> list[bytes]:
        """The consistency proof from `size1` to `size2` leaves."""
        return consistency_path(self.node, size1, self.size if size2 is None else size2)


def completed(index: int, leaf: bytes, read: Reader) -> list[tuple[Node, bytes]]:
    """The nodes that appending `leaf` at `index` completes, the leaf itself first. read: gives those completed before."""
    nodes = [((0, index), leaf)]
    level, place, value = 0, index, leaf
    while place & 1:
        value = node_hash(read(level, place - 1), value)
        level, place = level + 1, place >> 1
        nodes.append(((level, place), value))
    return nodes


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The root over `leaves` (32-byte leaf hashes). Source: RFC 9162 §2.1.1."""
    if not leaves:
        return EMPTY_ROOT
    row = list(leaves)
    while len(row) > 1:
        odd = row[-1:] if len(row) & 1 else []
        row = [node_hash(row[place], row[place + 1]) for place in range(0, len(row) - 1, 2)] + odd
    return row[0]


def _split(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)
