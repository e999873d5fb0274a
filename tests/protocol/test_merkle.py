"""Merkle trees: the definition of RFC 9162 written out naively, its published vectors, and every way to fail a proof."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import merkle
from protocol.errors import VerificationFailed

LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(70)]


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = split(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:middle]) + naive_root(leaves[middle:])).digest()


def naive_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 9162 section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    middle = split(len(leaves))
    if index < middle:
        return [*naive_path(index, leaves[:middle]), naive_root(leaves[middle:])]
    return [*naive_path(index - middle, leaves[middle:]), naive_root(leaves[:middle])]


def naive_consistency(size: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """RFC 9162 section 2.1.4.1."""
    if size == len(leaves):
        return [] if whole else [naive_root(leaves)]
    middle = split(len(leaves))
    if size <= middle:
        return [*naive_consistency(size, leaves[:middle], whole=whole), naive_root(leaves[middle:])]
    return [*naive_consistency(size - middle, leaves[middle:], whole=False), naive_root(leaves[:middle])]


def split(size: int) -> int:
    """The largest power of two below `size`."""
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def refused(check: Callable[..., object], **claims: object) -> bool:
    try:
        check(**claims)
    except VerificationFailed:
        return True
    return False


def test_hashes_of_leaves_and_nodes_are_apart() -> None:
    assert merkle.leaf_hash(b"entry") == hashlib.sha256(b"\x00entry").digest()
    assert merkle.node_hash(b"a" * 32, b"b" * 32) == hashlib.sha256(b"\x01" + b"a" * 32 + b"b" * 32).digest()
    assert merkle.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_tree_that_grows_has_at_each_size_the_root_of_the_definition() -> None:
    tree = merkle.Tree()
    assert tree.root() == naive_root([])
    for size, leaf in enumerate(LEAVES, 1):
        assert tree.append(leaf) == size - 1
        assert tree.size == size
        assert tree.root() == merkle.tree_root(LEAVES[:size]) == naive_root(LEAVES[:size])
    for size in range(len(LEAVES) + 1):
        assert tree.root(size) == naive_root(LEAVES[:size])


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=40), st.data())
def test_proofs_are_those_of_the_definition_and_verify(entries: list[bytes], data: st.DataObject) -> None:
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    tree = merkle.Tree(leaves)
    size = data.draw(st.integers(1, len(leaves)))
    index = data.draw(st.integers(0, size - 1))
    path = tree.path(index, size)
    assert path == naive_path(index, leaves[:size])
    merkle.verify_inclusion(leaf=leaves[index], index=index, size=size, path=path, root=tree.root(size))
    older = data.draw(st.integers(1, size))
    proof = tree.consistency(older, size)
    assert proof == naive_consistency(older, leaves[:size])
    merkle.verify_consistency(size1=older, size2=size, root1=tree.root(older), root2=tree.root(size), path=proof)


def test_every_proof_of_small_trees_verifies_and_no_other_claim_does() -> None:
    tree = merkle.Tree(LEAVES[:9])
    for size in range(1, 10):
        root = tree.root(size)
        for index in range(size):
            path = tree.path(index, size)
            merkle.verify_inclusion(leaf=LEAVES[index], index=index, size=size, path=path, root=root)
            good = {"leaf": LEAVES[index], "index": index, "size": size, "path": path, "root": root}
            wrong: list[dict[str, object]] = [{"index": other} for other in range(-1, 11) if other != index]
            wrong += [{"leaf": other} for other in (LEAVES[index + 1], b"", LEAVES[index][:31], merkle.EMPTY_ROOT)]
            wrong += [{"root": other} for other in (bytes(32), b"", merkle.EMPTY_ROOT)]
            wrong += [{"path": [*path, root]}, {"path": [root, *path]}, {"size": 0}, {"size": -1}]
            wrong += [{"path": path[:-1]}, {"path": [*path[:-1], path[-1][:31]]}] if path else []
            for claim in wrong:
                assert refused(merkle.verify_inclusion, **{**good, **claim}), claim


def test_another_size_with_the_same_path_is_told_apart_by_the_root() -> None:
    tree = merkle.Tree(LEAVES)
    for size in range(2, 20):
        for other in range(1, 40):
            path = tree.path(0, size)
            found = refused(
                merkle.verify_inclusion, leaf=LEAVES[0], index=0, size=other, path=path, root=tree.root(other)
            )
            assert found == (other != size)


def test_every_consistency_of_small_trees_verifies_and_no_other_claim_does() -> None:
    tree = merkle.Tree(LEAVES[:9])
    roots = [tree.root(size) for size in range(10)]
    for size2 in range(1, 10):
        for size1 in range(1, size2 + 1):
            path = tree.consistency(size1, size2)
            good = {"size1": size1, "size2": size2, "root1": roots[size1], "root2": roots[size2], "path": path}
            merkle.verify_consistency(**good)
            wrong: list[dict[str, object]] = [{"root1": other} for other in (*roots, b"") if other != roots[size1]]
            wrong += [{"root2": other} for other in (*roots, b"") if other != roots[size2]]
            wrong += [{"path": [*path, roots[1]]}, {"path": [roots[1], *path]}, {"size1": 0}, {"size1": size2 + 1}]
            wrong += [{"path": path[:-1]}, {"path": [b"", *path]}, {"path": [path[0][:31], *path[1:]]}] if path else []
            for claim in wrong:
                assert refused(merkle.verify_consistency, **{**good, **claim}), (good, claim)


hashes = st.binary(min_size=32, max_size=32) | st.binary(max_size=40)
sizes = st.integers(-2, 20) | st.integers(0, 1 << 70)


@given(hashes, sizes, sizes, st.lists(hashes, max_size=6))
def test_any_claim_only_fails(some: bytes, one: int, two: int, path: list[bytes]) -> None:
    if not (two == 1 and not path):
        assert refused(merkle.verify_inclusion, leaf=some, index=one, size=two, path=path, root=bytes(32))
    assert refused(merkle.verify_consistency, size1=one, size2=two, root1=some, root2=bytes(31), path=path)


def test_a_path_longer_than_any_tree_is_refused_unread() -> None:
    path = [bytes(32)] * (merkle.PATH_MAX + 1)
    assert refused(merkle.verify_inclusion, leaf=bytes(32), index=0, size=1 << 65, path=path, root=bytes(32))
    assert refused(merkle.verify_consistency, size1=1, size2=1 << 65, root1=bytes(32), root2=bytes(32), path=path)


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (0, 0), (1, 1), (5, 3)])
def test_no_proof_is_made_for_a_leaf_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(IndexError):
        merkle.Tree(LEAVES[:3]).path(index, size)


@pytest.mark.parametrize(("size1", "size2"), [(0, 3), (3, 2), (-1, 3)])
def test_no_proof_is_made_between_sizes_that_do_not_ascend(size1: int, size2: int) -> None:
    with pytest.raises(IndexError):
        merkle.Tree(LEAVES[:3]).consistency(size1, size2)


@given(st.integers(0, 600))
def test_the_nodes_that_a_leaf_completes_are_each_a_full_subtree(index: int) -> None:
    tree = merkle.Tree([merkle.leaf_hash(number.to_bytes(2, "big")) for number in range(index)])
    leaf = merkle.leaf_hash(index.to_bytes(2, "big"))
    found = merkle.completed(index, leaf, tree.node)
    assert [node for node, _ in found] == [
        (level, index >> level) for level in range(12) if (index + 1) % (1 << level) == 0
    ]
    tree.append(leaf)
    assert all(tree.node(*node) == value for node, value in found)


def test_a_proof_reads_few_nodes() -> None:
    tree = merkle.Tree([merkle.leaf_hash(number.to_bytes(3, "big")) for number in range(5000)])
    read: list[merkle.Node] = []

    def counted(level: int, index: int) -> bytes:
        read.append((level, index))
        return tree.node(level, index)

    assert len(merkle.inclusion_path(counted, 1234, 5000)) <= 13
    assert len(read) <= 26
    read.clear()
    assert len(merkle.consistency_path(counted, 1234, 5000)) <= 14
    assert len(read) <= 26


def vectors(folder: Path) -> list[tuple[str, dict]]:
    found = [(str(path.relative_to(folder)), json.loads(path.read_text())) for path in sorted(folder.rglob("*.json"))]
    assert len(found) > 80
    return found


def plain(vector: dict, name: str) -> bytes:
    return base64.b64decode(vector[name] or "")


def proof(vector: dict) -> list[bytes]:
    return [base64.b64decode(item) for item in vector["proof"] or []]


def test_the_inclusion_vectors_come_out_as_they_should(vectors_dir: Path) -> None:
    for name, vector in vectors(vectors_dir / "rfc9162" / "inclusion"):
        found = refused(
            merkle.verify_inclusion,
            leaf=plain(vector, "leafHash"),
            index=vector["leafIdx"],
            size=vector["treeSize"],
            path=proof(vector),
            root=plain(vector, "root"),
        )
        assert found == vector["wantErr"], name


def test_the_consistency_vectors_come_out_as_they_should(vectors_dir: Path) -> None:
    """But for the empty tree: its proofs prove nothing, and are refused here."""
    for name, vector in vectors(vectors_dir / "rfc9162" / "consistency"):
        found = refused(
            merkle.verify_consistency,
            size1=vector["size1"],
            size2=vector["size2"],
            root1=plain(vector, "root1"),
            root2=plain(vector, "root2"),
            path=proof(vector),
        )
        assert found == (vector["wantErr"] or vector["size1"] == 0), name
