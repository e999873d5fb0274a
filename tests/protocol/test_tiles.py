"""Tiles: one path for each, the nodes of any tree from them, and bodies of exactly their width."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import merkle, tiles
from protocol.errors import Malformed, VigilError
from tests.support import damage

every_tile = st.builds(
    tiles.Tile,
    level=st.none() | st.integers(0, tiles.LEVEL_MAX),
    index=st.integers(0, (1 << 56) - 1),
    width=st.integers(1, tiles.WIDTH),
)


@given(every_tile)
def test_a_path_comes_back(tile: tiles.Tile) -> None:
    assert tiles.Tile.from_path(tile.path()) == tile


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (tiles.Tile(level=0, index=0), "tile/0/000"),
        (tiles.Tile(level=0, index=1_234_067), "tile/0/x001/x234/067"),
        (tiles.Tile(level=1, index=273, width=1), "tile/1/273.p/1"),
        (tiles.Tile(level=None, index=1000, width=255), "tile/entries/x001/000.p/255"),
    ],
)
def test_paths_are_those_of_the_specification(tile: tiles.Tile, path: str) -> None:
    """tlog-tiles, "Merkle tree": its own example is 1234067."""
    assert tile.path() == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/001/067",
        "tile/0/x001",
        "tile/8/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/999",
        "tile/0/000.p/",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/../000",
        "tile/entries/000.p/1/",
        "tile/data/000",
        "tile/0/\u0661\u0662\u0663",
        "tile/0/" + "x001/" * 20 + "000",
    ],
)
def test_another_path_is_refused(path: str) -> None:
    with pytest.raises(Malformed, match="tile_path"):
        tiles.Tile.from_path(path)


@given(st.text(max_size=30), st.text("0123456789x./p", max_size=30))
def test_arbitrary_paths_are_refused_or_are_the_tiles_own(text: str, close: str) -> None:
    for path in (text, f"tile/{close}", f"tile/0/{close}", f"tile/entries/000{close}"):
        found = damage.read_or_refuse(lambda _, path=path: tiles.Tile.from_path(path), b"")
        assert found is None or (isinstance(found, tiles.Tile) and found.path() == path)


def test_a_log_hands_out_what_is_filled_and_no_more() -> None:
    assert tiles.Tile(level=0, index=0, width=5).fits(5)
    assert tiles.Tile(level=0, index=0, width=5).fits(70_000)
    assert not tiles.Tile(level=0, index=0, width=6).fits(5)
    assert not tiles.Tile(level=0, index=1, width=1).fits(256)
    assert tiles.Tile(level=1, index=0, width=1).fits(256)
    assert not tiles.Tile(level=1, index=0, width=1).fits(255)
    assert tiles.Tile(level=None, index=1, width=1).fits(257)
    assert not tiles.Tile(level=None, index=0).fits(255)


def test_every_proof_of_a_tree_comes_from_its_tiles() -> None:
    size = 66_000  # three levels of tiles, each with a partial one at the end
    tree = merkle.Tree([merkle.leaf_hash(number.to_bytes(3, "big")) for number in range(size)])
    for at in (1, 2, 255, 256, 257, 513, 65_535, 65_536, 65_537, size):
        fetched: list[tiles.Tile] = []

        def fetch(tile: tiles.Tile, at: int = at, fetched: list[tiles.Tile] = fetched) -> list[bytes]:
            assert tile.fits(at)
            assert tile.level is not None
            fetched.append(tile)
            level, first = tile.level * tiles.HEIGHT, tile.index * tiles.WIDTH
            return [tree.node(level, first + place) for place in range(tile.width)]

        read = tiles.reader(fetch, at)
        assert merkle.range_root(read, 0, at) == tree.root(at)
        for index in {0, at // 3, at - 1}:
            path = merkle.inclusion_path(read, index, at)
            assert path == tree.path(index, at)
        for size1 in {1, max(1, at // 2), at}:
            assert merkle.consistency_path(read, size1, at) == tree.consistency(size1, at)
        assert all(tiles.Tile.from_path(tile.path()) == tile for tile in fetched)


def test_a_tile_that_is_too_short_for_a_node_is_malformed() -> None:
    hashes = [merkle.leaf_hash(bytes([number])) for number in range(5)]
    assert tiles.node_from(hashes, 2, 0) == merkle.tree_root(hashes[:4])
    for level, index in ((0, 5), (2, 1), (3, 0)):
        with pytest.raises(Malformed, match="tile_short"):
            tiles.node_from(hashes, level, index)


def test_a_body_of_hashes_has_exactly_its_width() -> None:
    hashes = [merkle.leaf_hash(bytes([number])) for number in range(3)]
    body = b"".join(hashes)
    assert tiles.split(body, 3) == hashes
    for cut in damage.every_prefix(body):
        with pytest.raises(Malformed, match="tile_size"):
            tiles.split(cut, 3)
    for wrong, width in ((body + b"\x00", 3), (body, 2), (body, 4), (b"", 1)):
        with pytest.raises(Malformed, match="tile_size"):
            tiles.split(wrong, width)


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_a_bundle_comes_back(entries: list[bytes]) -> None:
    assert tiles.unbundle(tiles.bundle(entries), len(entries)) == entries


def test_a_bundle_is_what_the_specification_says() -> None:
    """tlog-tiles, "Log entries": each entry after its length in two big-endian bytes."""
    assert tiles.bundle([b"a", b"", b"x" * 300]) == b"\x00\x01a\x00\x00\x01\x2c" + b"x" * 300
    longest = bytes(tiles.ENTRY_SIZE_MAX)
    assert tiles.unbundle(tiles.bundle([longest]), 1) == [longest]


def test_every_cut_of_a_bundle_is_refused_and_every_flip_says_something_else() -> None:
    entries = [b"one", b"", b"three"]
    body = tiles.bundle(entries)
    for cut in damage.every_prefix(body):
        with pytest.raises(Malformed, match="tile_size"):
            tiles.unbundle(cut, 3)
    for flipped in damage.every_bit_flip(body):
        try:
            found = tiles.unbundle(flipped, 3)
        except VigilError:
            continue
        assert found != entries and tiles.bundle(found) == flipped
    for width in (0, 2, 4):
        with pytest.raises(Malformed, match="tile_size"):
            tiles.unbundle(body, width)


@given(st.binary(max_size=60), st.integers(0, 5))
def test_arbitrary_bodies_are_refused_or_are_the_one_encoding(data: bytes, width: int) -> None:
    found = damage.read_or_refuse(lambda raw: tiles.unbundle(raw, width), data)
    assert found is None or (isinstance(found, list) and tiles.bundle(found) == data)
    assert damage.read_or_refuse(lambda raw: tiles.split(raw, 1 + width), data) is None or len(data) == 32 * (1 + width)


def test_a_tree_has_the_tiles_that_the_specification_counts() -> None:
    """tlog-tiles, "Merkle tree": its own example is a tree of 70,000."""
    found = list(tiles.tiles_of(70_000))
    assert len(set(found)) == len(found) and all(tile.fits(70_000) for tile in found)
    shape = {
        level: [(tile.index, tile.width) for tile in found if tile.level == level and tile.width < tiles.WIDTH]
        for level in (None, *range(tiles.LEVEL_MAX + 1))
    }
    assert shape == {None: [(273, 112)], 0: [(273, 112)], 1: [(1, 17)], 2: [(0, 1)], **{n: [] for n in range(3, 8)}}
    assert sum(tile.level == 0 for tile in found) == 274 and sum(tile.level == 1 for tile in found) == 2
    assert list(tiles.tiles_of(0)) == []
