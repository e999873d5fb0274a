"""A log as a folder of tiles, which any web server can hand out: copied from a running one, or written from memory."""

from collections.abc import Sequence
from pathlib import Path

import httpx

from protocol import merkle, notes, tiles
from protocol.notes import Checkpoint


def copied(url: str, folder: Path) -> None:
    """Copy a running log into `folder`."""
    with httpx.Client(base_url=url) as client:
        note = client.get("/checkpoint").raise_for_status().text
        _put(folder / "checkpoint", note.encode())
        for tile in tiles.tiles_of(Checkpoint.from_text(notes.parse(note).text).size):
            _put(folder / tile.path(), client.get(f"/{tile.path()}").raise_for_status().content)


def written(folder: Path, *, entries: Sequence[bytes], tree: merkle.Tree, note: str) -> None:
    """Write a log of these entries, its tree and its checkpoint into `folder`."""
    _put(folder / "checkpoint", note.encode())
    for tile in tiles.tiles_of(tree.size):
        first = tile.index * tiles.WIDTH
        places = range(first, first + tile.width)
        if tile.level is None:
            body = tiles.bundle([entries[place] for place in places])
        else:
            body = b"".join(tree.node(tile.level * tiles.HEIGHT, place) for place in places)
        _put(folder / tile.path(), body)


def _put(file: Path, body: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
