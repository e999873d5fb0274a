"""Merkle trees: every proof of every small tree against the plain definition."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import merkle
from protocol.errors import VerificationFailed
from tests.support import damage

SIZE_MAX = 33  # every tree up to this size is tried in full
LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(SIZE_MAX)]
TREE = merkle.Tree(LEAVES)

hashes = st.binary(min_size=32, max_size=32)


def defined_root(leaves: list[bytes]) -> bytes:
    """The root by the words of RFC 9162 section 2.1.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + defined_root(leaves[:split]) + defined_root(leaves[split:])).digest()


def included(index: int, size: int, path: list[bytes], *, leaf: bytes | None = None, root: bytes | None = None) -> None:
    merkle.verify_inclusion(
        leaf=LEAVES[index] if leaf is None else leaf,
        index=index,
        size=size,
        path=path,
        root=TREE.root(size) if root is None else root,
    )


def grown(size1: int, size2: int, path: list[bytes], *, root1: bytes | None = None, root2: bytes | None = None) -> None:
    merkle.verify_consistency(
        size1=size1,
        size2=size2,
        root1=TREE.root(size1) if root1 is None else root1,
        root2=TREE.root(size2) if root2 is None else root2,
        path=path,
    )


def test_roots_are_those_of_the_definition() -> None:
    assert merkle.tree_root([]) == merkle.Tree().root() == merkle.EMPTY_ROOT == defined_root([])
    for size in range(SIZE_MAX + 1):
        assert merkle.tree_root(LEAVES[:size]) == TREE.root(size) == defined_root(LEAVES[:size])


def test_a_leaf_is_no_node() -> None:
    """Without the prefixes, an entry made of two hashes would stand for the two leaves."""
    left, right = LEAVES[:2]
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
    assert merkle.leaf_hash(b"") == hashlib.sha256(b"\x00").digest()


def test_every_proof_of_every_small_tree_holds_and_only_for_its_place() -> None:
    for size in range(1, SIZE_MAX + 1):
        for index in range(size):
            path = TREE.path(index, size)
            included(index, size, path)
            for other in range(size):
                if other != index:
                    with pytest.raises(VerificationFailed):
                        included(other, size, path, leaf=LEAVES[index])
            assert len(path) <= (size - 1).bit_length()


def test_every_growth_of_every_small_tree_holds_and_only_between_its_sizes() -> None:
    for size2 in range(1, SIZE_MAX + 1):
        for size1 in range(1, size2 + 1):
            path = TREE.consistency(size1, size2)
            grown(size1, size2, path)
            for root in (bytes(32), TREE.root(size1 + 1 if size1 < SIZE_MAX else 1)):
                with pytest.raises(VerificationFailed):
                    grown(size1, size2, path, root1=root)
                if size2 != size1 + 1 or root == bytes(32):
                    with pytest.raises(VerificationFailed):
                        grown(size1, size2, path, root2=root)
            for other in range(1, size2):
                if other != size1:
                    with pytest.raises(VerificationFailed):
                        grown(other, size2, path)


def test_a_tree_leads_to_the_roots_of_all_that_it_began_as() -> None:
    for size2 in range(2, SIZE_MAX + 1):
        for size1 in range(1, size2):
            path = merkle.prefix_path(TREE.node, size1, size2)
            assert merkle.prefix_roots(size1=size1, size2=size2, path=path) == (TREE.root(size1), TREE.root(size2))


def test_a_path_that_leads_to_the_root_of_a_tree_leads_to_no_other_beginning() -> None:
    """Whoever changes a hash on its way changes the newer root: what the older one is cannot be made up."""
    for size1, size2 in ((8, 27), (11, 27), (16, 32), (1, 2), (26, 27)):
        path = merkle.prefix_path(TREE.node, size1, size2)
        for place, item in enumerate(path):
            for flipped in damage.every_bit_flip(item):
                changed = [*path[:place], flipped, *path[place + 1 :]]
                assert merkle.prefix_roots(size1=size1, size2=size2, path=changed)[1] != TREE.root(size2)
        for wrong in (path[1:], path[:-1], [*path, path[-1]], [*path[:-1], path[-1][:31]], []):
            with pytest.raises(VerificationFailed, match="consistency_bad"):
                merkle.prefix_roots(size1=size1, size2=size2, path=wrong)
    for size1, size2 in ((0, 5), (5, 5), (6, 5)):
        with pytest.raises(VerificationFailed, match="consistency_bad"):
            merkle.prefix_roots(size1=size1, size2=size2, path=[LEAVES[0]])


def test_every_flipped_bit_of_a_proof_is_refused() -> None:
    path = TREE.path(11, 27)
    for place, item in enumerate(path):
        for flipped in damage.every_bit_flip(item):
            with pytest.raises(VerificationFailed):
                included(11, 27, [*path[:place], flipped, *path[place + 1 :]])
    path = TREE.consistency(11, 27)
    for place, item in enumerate(path):
        for flipped in damage.every_bit_flip(item):
            with pytest.raises(VerificationFailed):
                grown(11, 27, [*path[:place], flipped, *path[place + 1 :]])


@pytest.mark.parametrize("size", [2, 7, 8, 33])
def test_a_hash_too_few_too_many_or_of_another_size_is_refused(size: int) -> None:
    for index in range(size):
        path = TREE.path(index, size)
        for wrong in (
            [*path, path[-1]],
            [path[0], *path],
            path[:-1],
            path[1:],
            [*path[:-1], path[-1][:31]],
            [b"", *path],
        ):
            with pytest.raises(VerificationFailed, match="inclusion_bad"):
                included(index, size, wrong)
        with pytest.raises(VerificationFailed, match="inclusion_bad"):
            included(index, size, path, leaf=LEAVES[index] + b"\x00")
    for size1 in range(1, size):
        path = TREE.consistency(size1, size)
        for wrong in (
            [*path, path[-1]],
            [path[0], *path],
            path[:-1],
            path[1:],
            [*path[:-1], path[-1][:31]],
            [b"", *path],
        ):
            with pytest.raises(VerificationFailed, match="consistency_bad"):
                grown(size1, size, wrong)
        with pytest.raises(VerificationFailed, match="consistency_bad"):
            grown(size1, size, path, root1=TREE.root(size1) + b"\x00")


def test_indices_and_sizes_outside_a_tree_are_refused() -> None:
    path = TREE.path(2, 5)
    for index, size in ((-1, 5), (5, 5), (2, 0), (2, -5), (1 << 70, 5), (2, 1 << 80)):
        with pytest.raises(VerificationFailed):
            included(index, size, path, leaf=LEAVES[2], root=TREE.root(5))
    for size1, size2 in ((0, 5), (6, 5), (-1, 5), (0, 0), (3, 1 << 80)):
        with pytest.raises(VerificationFailed):
            grown(size1, size2, path, root1=TREE.root(3), root2=TREE.root(5))
    grown(5, 5, [])
    for wrong, root in (([LEAVES[0]], TREE.root(5)), ([], TREE.root(6))):
        with pytest.raises(VerificationFailed):
            grown(5, 5, wrong, root1=TREE.root(5), root2=root)


def test_a_longer_path_than_any_tree_has_is_refused_unread() -> None:
    with pytest.raises(VerificationFailed):
        included(0, 1 << 70, [LEAVES[0]] * (merkle.PATH_MAX + 1), root=LEAVES[0])
    with pytest.raises(VerificationFailed):
        grown(1, 1 << 70, [LEAVES[0]] * (merkle.PATH_MAX + 1), root2=LEAVES[0])


def test_a_proof_that_cannot_be_made_is_an_error_of_the_caller() -> None:
    for index, size in ((5, 5), (-1, 5), (0, 0)):
        with pytest.raises(IndexError):
            TREE.path(index, size)
    for size1, size2 in ((0, 5), (6, 5)):
        with pytest.raises(IndexError):
            TREE.consistency(size1, size2)


@given(
    st.binary(max_size=40),
    st.integers(-1, 1 << 65),
    st.integers(-1, 1 << 65),
    st.lists(hashes | st.binary(max_size=40), max_size=70),
    hashes,
)
def test_arbitrary_proofs_are_only_refused(leaf: bytes, small: int, large: int, path: list[bytes], root: bytes) -> None:
    with pytest.raises(VerificationFailed):
        merkle.verify_inclusion(leaf=leaf, index=small, size=large, path=path, root=root)
    if leaf != root or small != large:
        with pytest.raises(VerificationFailed):
            merkle.verify_consistency(size1=small, size2=large, root1=leaf, root2=root, path=path)


@given(st.integers(1, 300), st.data())
def test_larger_trees_prove_the_same_from_nodes_that_were_stored(size: int, data: st.DataObject) -> None:
    leaves = [merkle.leaf_hash(number.to_bytes(2, "big")) for number in range(size)]
    nodes: dict[tuple[int, int], bytes] = {}
    for index, leaf in enumerate(leaves):
        nodes.update(merkle.completed(index, leaf, lambda level, place: nodes[level, place]))
    assert len(nodes) < 2 * size
    root = merkle.range_root(lambda level, place: nodes[level, place], 0, size)
    assert root == merkle.tree_root(leaves)
    index, size1 = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    path = merkle.inclusion_path(lambda level, place: nodes[level, place], index, size)
    merkle.verify_inclusion(leaf=leaves[index], index=index, size=size, path=path, root=root)
    proof = merkle.consistency_path(lambda level, place: nodes[level, place], size1, size)
    root1 = merkle.tree_root(leaves[:size1])
    merkle.verify_consistency(size1=size1, size2=size, root1=root1, root2=root, path=proof)


def test_a_proof_reads_few_nodes() -> None:
    tree = merkle.Tree([merkle.leaf_hash(number.to_bytes(2, "big")) for number in range(5000)])
    read: list[merkle.Node] = []

    def counted(level: int, index: int) -> bytes:
        read.append((level, index))
        return tree.node(level, index)

    assert len(merkle.inclusion_path(counted, 1234, 5000)) <= 13 and len(read) <= 26
    read.clear()
    assert len(merkle.consistency_path(counted, 1234, 5000)) <= 14 and len(read) <= 26


@given(st.integers(1, 600), st.data())
def test_paths_of_one_tree_are_those_of_the_standard(size: int, data: st.DataObject) -> None:
    tree = merkle.Tree([merkle.leaf_hash(b"%d" % place) for place in range(size)])
    paths = merkle.Paths(tree.node, size)
    index = data.draw(st.integers(0, size - 1))
    assert paths.path(index) == merkle.inclusion_path(tree.node, index, size)
    assert paths.root == tree.root()


def test_a_tree_of_nothing_has_the_empty_root_and_no_paths() -> None:
    paths = merkle.Paths(merkle.Tree().node, 0)
    assert paths.root == merkle.EMPTY_ROOT
    with pytest.raises(IndexError):
        paths.path(0)
