"""Tiles: paths as the specification writes them, and every node of a tree from its tiles."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import merkle, tiles
from protocol.errors import Malformed
from tests.support import damage

SIZE = 66_000
LEAVES = [merkle.leaf_hash(number.to_bytes(3, "big")) for number in range(SIZE)]
TREE = merkle.Tree(LEAVES)

some_tiles = st.builds(
    tiles.Tile,
    level=st.none() | st.integers(0, tiles.LEVEL_MAX),
    index=st.integers(0, 10**12),
    width=st.integers(1, tiles.WIDTH),
)


def fetch(tile: tiles.Tile) -> Sequence[bytes]:
    """The hashes of a tile of the tree."""
    assert tile.level is not None
    first = tile.index * tiles.WIDTH
    return [TREE.node(tile.level * tiles.HEIGHT, first + place) for place in range(tile.width)]


@given(some_tiles)
def test_a_tile_comes_back_from_its_path(tile: tiles.Tile) -> None:
    assert tiles.Tile.from_path(tile.path()) == tile


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (tiles.Tile(level=0, index=1234067), "tile/0/x001/x234/067"),
        (tiles.Tile(level=0, index=273, width=112), "tile/0/273.p/112"),
        (tiles.Tile(level=1, index=1, width=17), "tile/1/001.p/17"),
        (tiles.Tile(level=None, index=0), "tile/entries/000"),
        (tiles.Tile(level=7, index=999), "tile/7/999"),
        (tiles.Tile(level=7, index=1000), "tile/7/x001/000"),
    ],
)
def test_paths_are_those_of_the_specification(tile: tiles.Tile, path: str) -> None:
    assert tile.path() == path and tiles.Tile.from_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/1",
        "tile/0/0001",
        "tile/0/x000/001",
        "tile/0/x001/x000",
        "tile/0/001/002",
        "tile/8/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/017",
        "tile/0/000.p/",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/../000",
        "tile/entries/000/p/1",
        "tile/0/" + "x001/" * 20 + "000",
    ],
)
def test_another_path_is_malformed(path: str) -> None:
    with pytest.raises(Malformed, match="tile_path"):
        tiles.Tile.from_path(path)


@given(
    st.text(max_size=40)
    | st.from_regex(r"tile/(entries|[0-9])/(x?[0-9]{3}/)*[0-9]{3}(\.p/[0-9]{1,3})?", fullmatch=True)
)
def test_any_path_is_refused_or_the_one_path(path: str) -> None:
    found = damage.read_or_refuse(lambda raw: tiles.Tile.from_path(raw.decode()), path.encode())
    assert found is None or (isinstance(found, tiles.Tile) and found.path() == path)


@given(st.integers(1, SIZE), st.data())
def test_every_node_comes_from_a_tile_that_the_log_hands_out(size: int, data: st.DataObject) -> None:
    level = data.draw(st.integers(0, size.bit_length() - 1))
    index = data.draw(st.integers(0, (size >> level) - 1))
    tile = tiles.tile_for(level, index, size)
    assert tile.fits(size) and 0 < tile.width <= tiles.WIDTH
    assert tiles.node_from(fetch(tile), level, index) == TREE.node(level, index)


@given(st.integers(1, SIZE), st.data())
def test_proofs_from_tiles_are_the_trees_own(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    older = data.draw(st.integers(1, size))

    def checked(tile: tiles.Tile) -> Sequence[bytes]:
        assert tile.fits(size)
        return fetch(tile)

    read = tiles.reader(checked, size)
    assert merkle.inclusion_path(read, index, size) == TREE.path(index, size)
    assert merkle.consistency_path(read, older, size) == TREE.consistency(older, size)
    assert merkle.range_root(read, 0, size) == TREE.root(size)


def test_only_what_is_filled_is_handed_out() -> None:
    assert tiles.Tile(level=0, index=0, width=255).fits(255) and not tiles.Tile(level=0, index=0).fits(255)
    assert tiles.Tile(level=0, index=0).fits(256) and not tiles.Tile(level=0, index=1, width=1).fits(256)
    assert tiles.Tile(level=1, index=0, width=1).fits(256) and not tiles.Tile(level=1, index=0, width=1).fits(255)
    assert tiles.Tile(level=None, index=0, width=3).fits(3) and not tiles.Tile(level=None, index=0, width=4).fits(3)
    assert not tiles.Tile(level=7, index=0, width=1).fits(SIZE)


def test_a_tile_that_is_too_short_gives_no_node() -> None:
    for level, index, size in ((0, 3, 3), (3, 0, 7), (7, 1, 255), (8, 0, 0)):
        with pytest.raises(Malformed, match="tile_short"):
            tiles.node_from(LEAVES[:size], level, index)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=5), st.integers(0, 6), st.binary(max_size=3))
def test_a_tiles_body_comes_apart_at_its_width_only(hashes: list[bytes], width: int, more: bytes) -> None:
    body = b"".join(hashes) + more
    if width == len(hashes) and not more:
        assert tiles.split(body, width) == hashes
    else:
        with pytest.raises(Malformed, match="tile_size"):
            tiles.split(body, width)


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_a_bundle_comes_back_and_every_cut_is_refused(entries: list[bytes]) -> None:
    body = tiles.bundle(entries)
    assert tiles.unbundle(body, len(entries)) == entries
    for cut in damage.every_prefix(body):
        with pytest.raises(Malformed, match="tile_size"):
            tiles.unbundle(cut, len(entries))
    for other in (body + b"\x00", body + b"\x00\x00", body + b"\x00\x05ab"):
        with pytest.raises(Malformed, match="tile_size"):
            tiles.unbundle(other, len(entries))


@given(st.binary(max_size=60), st.integers(0, 6))
def test_any_bundle_is_refused_or_comes_back(data: bytes, width: int) -> None:
    found = damage.read_or_refuse(lambda raw: tiles.unbundle(raw, width), data)
    if isinstance(found, list):
        assert tiles.bundle(found) == data and len(found) == width
