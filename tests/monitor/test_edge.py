"""The right edge of a tree against the tree itself."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.monitor.edge import EMPTY, Edge
from protocol import merkle

ENTRIES = [b"%d" % n for n in range(600)]
TREE = merkle.Tree([merkle.leaf_hash(entry) for entry in ENTRIES])


def test_an_edge_that_grows_has_the_root_and_the_nodes_of_the_tree_at_every_size() -> None:
    edge = EMPTY
    assert edge.root() == merkle.EMPTY_ROOT
    for size in range(1, len(ENTRIES) + 1):
        edge = edge.grown(ENTRIES[size - 1 : size])
        assert (edge.size, edge.root()) == (size, TREE.root(size))
        assert edge.nodes == tuple(TREE.node(*node) for node in merkle.range_nodes(0, size))


@given(st.lists(st.integers(0, 60), max_size=4))
def test_an_edge_grows_the_same_in_any_steps(steps: list[int]) -> None:
    edge = EMPTY
    for step in steps:
        edge = edge.grown(ENTRIES[edge.size : edge.size + step])
    assert edge == EMPTY.grown(ENTRIES[: edge.size])


def test_an_edge_from_the_nodes_of_a_tree_grows_on() -> None:
    for size in (1, 255, 256, 257, 512):
        nodes = tuple(TREE.node(*node) for node in merkle.range_nodes(0, size))
        assert Edge(size=size, nodes=nodes).grown(ENTRIES[size:]).root() == TREE.root()
