"""aics-tlog, which is not ours, checks our checkpoints, tiles and proofs, of a running ledger and of a folder of tiles."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from protocol import notes, tiles
from protocol.notes import NoteKey
from tests.outside.conftest import EARLIER, SIZE, Public
from tests.support import grown, ledgers
from tests.support.outside import installed, run

pytestmark = pytest.mark.outside

LAST_TILE = "tile/0/002.p/188"


@pytest.fixture(params=["url", "copied"])
def place(request: pytest.FixtureRequest, public: Public) -> str:
    """Where the log's tiles are."""
    return str(getattr(public, request.param))


def said(folder: Path, *words: str, vkey: str) -> Mapping[str, object]:
    """Its answer, once its exit code is seen to fit."""
    (folder / "log.vkey").write_text(f"{vkey}\n")
    ran = run(installed("tlog", "bin/aics-tlog"), *words, "--vkey-file", "log.vkey", cwd=folder)
    found = json.loads(ran.stdout)
    assert isinstance(found, dict) and found["ok"] is (ran.returncode == 0), ran.stderr.decode()
    return found


def changed(public: Public, folder: Path, path: str) -> str:
    """A copy of the log in which one byte of a tile is another."""
    copy = folder / "copy"
    shutil.copytree(public.copied, copy)
    body = (copy / path).read_bytes()
    (copy / path).write_bytes(body[:40] + bytes((body[40] ^ 1,)) + body[41:])
    return str(copy)


def test_the_checkpoint_is_the_logs_and_the_tiles_lead_to_it(public: Public, place: str, tmp_path: Path) -> None:
    words = ("verify-checkpoint", "--tiles", place, "--origin", ledgers.ORIGIN)
    found = said(tmp_path, *words, vkey=public.vkey)
    assert (found["log_ok"], found["tiles_ok"], found["size"]) == (True, True, SIZE)


def test_every_kind_of_place_in_the_tree_has_its_entry(public: Public, place: str, tmp_path: Path) -> None:
    assert tiles.Tile.from_path(LAST_TILE).width == SIZE % tiles.WIDTH
    for index in (0, 1, 255, 256, 511, 512, SIZE - 1):
        (tmp_path / "leaf").write_bytes(public.entries[index])
        words = ("verify-inclusion", "--leaf", "leaf", "--index", str(index), "--tiles", place)
        found = said(tmp_path, *words, vkey=public.vkey)
        assert (found["ok"], found["size"]) == (True, SIZE)
        assert found["proof_length"] == len(public.tree.path(index))


def test_no_entry_is_at_anothers_place(public: Public, place: str, tmp_path: Path) -> None:
    (tmp_path / "leaf").write_bytes(public.entries[300])
    found = said(tmp_path, "verify-inclusion", "--leaf", "leaf", "--index", "301", "--tiles", place, vkey=public.vkey)
    assert found["ok"] is False


def test_the_log_only_grew_since_an_earlier_checkpoint(public: Public, place: str, tmp_path: Path) -> None:
    (tmp_path / "earlier").write_text(public.earlier)
    words = ("verify-consistency", "--old-checkpoint", "earlier", "--tiles", place)
    found = said(tmp_path, *words, vkey=public.vkey)
    assert (found["ok"], found["old_size"], found["new_size"]) == (True, EARLIER, SIZE)
    assert found["proof_length"] == len(public.tree.consistency(EARLIER))


def test_another_past_of_the_log_is_refused(public: Public, place: str, tmp_path: Path) -> None:
    key = ledgers.keyring.load(public.state, ledgers.keyring.LOG_KEY)
    text = notes.Checkpoint(origin=ledgers.ORIGIN, size=EARLIER, root=bytes(32)).text()
    forged = notes.Note(text=text, lines=(notes.sign(text, name=ledgers.ORIGIN, key=key),))
    (tmp_path / "earlier").write_text(forged.whole())
    words = ("verify-consistency", "--old-checkpoint", "earlier", "--tiles", place)
    assert said(tmp_path, *words, vkey=public.vkey)["ok"] is False


@pytest.mark.parametrize(
    ("path", "index"), [("tile/0/000", 7), ("tile/0/001", 300), (LAST_TILE, 699), ("tile/1/000.p/2", 7)]
)
def test_a_tile_that_was_changed_is_refused(public: Public, tmp_path: Path, path: str, index: int) -> None:
    (tmp_path / "leaf").write_bytes(public.entries[index])
    words = ("verify-inclusion", "--leaf", "leaf", "--index", str(index), "--tiles")
    assert said(tmp_path, *words, str(public.copied), vkey=public.vkey)["ok"] is True
    assert said(tmp_path, *words, changed(public, tmp_path, path), vkey=public.vkey)["ok"] is False


def test_another_key_than_the_logs_is_refused(public: Public, place: str, tmp_path: Path) -> None:
    stranger = NoteKey(name=ledgers.ORIGIN, kind=notes.SIGNATURE, key=ledgers.STRANGER.public).vkey()
    assert said(tmp_path, "verify-checkpoint", "--tiles", place, vkey=stranger)["ok"] is False


def test_tiles_of_three_levels_lead_to_their_checkpoint(large: tuple[Path, grown.Log], tmp_path: Path) -> None:
    folder, log = large
    vkey = NoteKey(name=ledgers.ORIGIN, kind=notes.SIGNATURE, key=log.key).vkey()
    found = said(tmp_path, "verify-checkpoint", "--tiles", str(folder), vkey=vkey)
    assert (found["tiles_ok"], found["size"]) == (True, 70_000)
    for index in (65_535, 65_536, 69_999):
        (tmp_path / "leaf").write_bytes(log.entries[index])
        words = ("verify-inclusion", "--leaf", "leaf", "--index", str(index), "--tiles", str(folder))
        assert said(tmp_path, *words, vkey=vkey)["ok"] is True
