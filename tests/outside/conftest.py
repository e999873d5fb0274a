"""A running ledger that all tests here may read, and a copy of it in a folder; who writes starts one of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol import merkle, notes
from tests.support import grown, ledgers, running, tiled

EARLIER, SIZE = 300, 700  # two full tiles and a partial one; the earlier tree has one


@dataclass(frozen=True, slots=True, kw_only=True)
class Public:
    """url: of a running ledger; copied: its tiles in a folder; earlier: its checkpoint when it was smaller."""

    url: str
    copied: Path
    state: Path
    vkey: str
    earlier: str
    entries: list[bytes]
    tree: merkle.Tree


@pytest.fixture(scope="session")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Public]:
    """A log of SIZE entries that nobody may write to."""
    folder = tmp_path_factory.mktemp("public")
    state = folder / "ledger"
    earlier, _ = running.filled(state, EARLIER, SIZE)
    entries = running.entries(state)
    with running.ledger(state) as found:
        tiled.copied(found.url, folder / "tiles")
        yield Public(
            url=found.url,
            copied=folder / "tiles",
            state=state,
            vkey=running.vkey(state),
            earlier=earlier,
            entries=entries,
            tree=merkle.Tree([merkle.leaf_hash(entry) for entry in entries]),
        )


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, grown.Log]:
    """A log of 70,000 entries in a folder: a full tile of the second level, and a third level."""
    log = grown.invented(70_000, ())
    text = notes.Checkpoint(origin=ledgers.ORIGIN, size=log.tree.size, root=log.tree.root()).text()
    note = notes.Note(text=text, lines=(notes.sign(text, name=ledgers.ORIGIN, key=grown.LOG),))
    folder = tmp_path_factory.mktemp("large") / "tiles"
    tiled.written(folder, entries=log.entries, tree=log.tree, note=note.whole())
    return folder, log
