"""The right edge of a tree: what suffices to go on hashing its entries, about one hash for each doubling of its size.

Pure. Source: RFC 9162 §2.1, as a compact range.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol import merkle


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The edge of the tree of `size`. nodes: the hashes of `merkle.range_nodes(0, size)`, in that order."""

    size: int
    nodes: tuple[bytes, ...]

    def grown(self, entries: Sequence[bytes]) -> "Edge":
        """The edge after these entries."""
        nodes, size = list(self.nodes), self.size
        for entry in entries:
            place, value = size, merkle.leaf_hash(entry)
            while place & 1:
                place, value = place >> 1, merkle.node_hash(nodes.pop(), value)
            nodes.append(value)
            size += 1
        return Edge(size=size, nodes=tuple(nodes))

    def root(self) -> bytes:
        """32 bytes: the root of the tree."""
        if not self.nodes:
            return merkle.EMPTY_ROOT
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = merkle.node_hash(node, root)
        return root


EMPTY = Edge(size=0, nodes=())
