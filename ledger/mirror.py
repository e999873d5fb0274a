"""A log as files that any web server can hand out: the checkpoint and the tiles of one epoch. Source: C2SP tlog-tiles.

Read from the ledger's folder, whether the ledger runs or not, and brought up to date in place: full tiles never change, so
that each is written once. The checkpoint is written last; whoever reads the mirror meanwhile finds all that the old one needs.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from ledger import export, files
from ledger.log import epochs
from ledger.log.keeping import MINIMUM
from ledger.log.store import Store
from protocol import merkle, notes, tiles
from protocol.errors import ConfigError, Malformed, NotFound, Unavailable, VerificationFailed
from protocol.notes import Checkpoint
from protocol.tiles import Tile

CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """What a mirror holds now. written: files that were new; minimum: below it the log may have had nothing to copy."""

    origin: str
    size: int
    written: int
    minimum: int


def bring(folder: Path, out: Path, *, epoch: int | None = None) -> Mirrored:
    """Bring the mirror in `out` up to the newest checkpoint, the newest that witnesses cosigned where there is one.

    folder: the ledger's, or a kept demo's; epoch: the newest one by default.
    Raises NotFound: state_missing; ConfigError: out_exists; VerificationFailed: log_rolled_back, when the mirror holds what
    the log does not continue; Unavailable: state_damaged, state_unreadable, node_missing, mirror_too_old, file_unwritable.
    """
    place = export.ledger_in(folder)
    name = epochs.file_of(epochs.newest(place) if epoch is None else epoch)
    if not (place / name).exists():
        raise NotFound("state_missing", f"the ledger in {place} has no epoch {epoch}")
    with contextlib.closing(Store.reader(place, name)) as store:
        with store.reading():
            note, minimum = store.keeping.cosigned() or store.note(), store.keeping.mark(MINIMUM)
        head = _head(note)
        if merkle.range_root(store.node, 0, head.size) != head.root:
            raise Unavailable("state_damaged", "the stored tree and its checkpoint do not fit: run fsck")
        _check_continues(out, head, store, minimum)
        written = 0
        for tile in tiles.tiles_of(head.size):
            file = out / tile.path()
            body = None if file.exists() or _is_pruned(tile, minimum) else _body(tile, store)
            if body is not None:
                _put(file, body)
                written += 1
        # Stop before here: more tiles than the old checkpoint needs. Nobody asks for them, and the next run goes on.
        _put(out / CHECKPOINT, note.encode())
    return Mirrored(origin=head.origin, size=head.size, written=written, minimum=minimum)


def _head(note: str) -> Checkpoint:
    try:
        return Checkpoint.from_text(notes.parse(note).text)
    except Malformed as error:
        raise Unavailable("state_damaged", "the stored checkpoint cannot be read: run fsck") from error


def _check_continues(out: Path, head: Checkpoint, store: Store, minimum: int) -> None:
    """Raises ConfigError: out_exists; VerificationFailed: log_rolled_back; Unavailable: mirror_too_old, node_missing."""
    if not out.exists():
        return
    try:
        old = Checkpoint.from_text(notes.parse((out / CHECKPOINT).read_text()).text)
    except FileNotFoundError:
        old = None
    except (OSError, UnicodeDecodeError, Malformed) as error:
        raise ConfigError("out_exists", f"{out / CHECKPOINT} is no checkpoint: name another folder") from error
    if old is None:
        if not out.is_dir() or any(path.name != "tile" and path.name[0] != "." for path in out.iterdir()):
            raise ConfigError("out_exists", f"{out} is no mirror of a log: name another folder")
        return
    if old.origin != head.origin:
        raise ConfigError("out_exists", f"{out} mirrors the log {old.origin}: name another folder")
    try:
        grew = old.size <= head.size and merkle.range_root(store.node, 0, old.size) == old.root
    except Unavailable as error:
        if old.size > minimum:
            raise
        raise Unavailable(
            "mirror_too_old", "what it takes to compare was pruned from the log: begin another mirror"
        ) from error
    if not grew:
        raise VerificationFailed(
            "log_rolled_back", f"{out} has a checkpoint of {old.size} entries that the log does not continue: keep both"
        )


def _is_pruned(tile: Tile, minimum: int) -> bool:
    return (tile.index + 1) * tiles.WIDTH << tiles.HEIGHT * (tile.level or 0) <= minimum


def _body(tile: Tile, store: Store) -> bytes | None:
    """None for a tile that was pruned a moment ago. Raises Unavailable: node_missing."""
    first = tile.index * tiles.WIDTH
    if tile.level is None:
        found = store.digests(first, tile.width)
    else:
        found = store.row_of_nodes(tile.level * tiles.HEIGHT, first, tile.width)
    if len(found) != tile.width:
        if _is_pruned(tile, store.keeping.mark(MINIMUM)):
            return None
        raise Unavailable("node_missing", "the database lacks a part of the tree: run fsck")
    return tiles.bundle(found) if tile.level is None else b"".join(found)


def _put(file: Path, body: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable("file_unwritable", f"cannot make {file.parent}: {error.strerror}") from error
    files.write(file, body)
