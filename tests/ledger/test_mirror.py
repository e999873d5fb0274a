"""A mirror: what a log hands out, as files; brought up to date, and left alone when the log does not continue it."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import vigil
from ledger import files, mirror
from ledger.log import custody
from protocol import merkle, notes, tiles
from protocol.errors import ConfigError, Unavailable, VerificationFailed
from protocol.notes import Checkpoint
from protocol.tiles import Tile
from tests.support import ledgers, letters, running


def ran(*words: str | Path) -> Result:
    """`vigil ledger mirror` in this process."""
    return CliRunner().invoke(vigil.cli, ["ledger", "mirror", *map(str, words)])


def root_of(out: Path) -> tuple[Checkpoint, bytes]:
    """The checkpoint of a mirror and the root that its tiles lead to, with nothing else."""
    head = Checkpoint.from_text(notes.parse((out / "checkpoint").read_text()).text)

    def fetch(tile: Tile) -> list[bytes]:
        return tiles.split((out / tile.path()).read_bytes(), tile.width)

    return head, merkle.range_root(tiles.reader(fetch, head.size), 0, head.size)


def held(out: Path) -> dict[str, bytes]:
    """Its files."""
    return {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*") if file.is_file()}


def test_a_mirror_holds_what_the_log_hands_out_and_nothing_else(tmp_path: Path) -> None:
    state, out = tmp_path / "ledger", tmp_path / "mirror"
    running.filled(state, 520)
    with contextlib.closing(ledgers.opened(state)) as engine:  # while it runs
        found = mirror.bring(state, out)
        expected = {"checkpoint": engine.checkpoint().encode()}
        for tile in tiles.tiles_of(engine.size):
            expected[tile.path()] = (engine.entries if tile.level is None else engine.tile)(tile)
    assert held(out) == expected
    assert (found.size, found.written) == (520, len(expected) - 1)


def test_a_mirror_is_brought_up_to_date_with_what_is_new(tmp_path: Path) -> None:
    state, out = tmp_path / "ledger", tmp_path / "mirror"
    for size, written in ((3, 2), (300, 5), (300, 0), (513, 5)):
        running.filled(state, size)
        result = ran("--state", state, "--out", out, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["written"] == written
        head, root = root_of(out)
        assert (head.size, head.root) == (size, root)


def test_a_mirror_that_could_not_be_finished_still_holds_the_tree_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, out = tmp_path / "ledger", tmp_path / "mirror"
    running.filled(state, 300)
    mirror.bring(state, out)
    running.filled(state, 600)
    write, left = files.write, [3]

    def short(path: Path, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Unavailable("file_unwritable", "the disk is full")
        write(path, data)

    with monkeypatch.context() as full:
        full.setattr(files, "write", short)
        with pytest.raises(Unavailable):
            mirror.bring(state, out)
    head, root = root_of(out)
    assert (head.size, head.root) == (300, root)
    mirror.bring(state, out)
    head, root = root_of(out)
    assert (head.size, head.root) == (600, root)


@pytest.mark.parametrize("more", [0, 1, 5])
def test_a_log_that_went_back_does_not_change_its_mirror(tmp_path: Path, more: int) -> None:
    state, out = tmp_path / "ledger", tmp_path / "mirror"
    running.filled(state, 10)
    shutil.copytree(state, tmp_path / "old")
    running.filled(state, 12)
    mirror.bring(state, out)
    before = held(out)
    with ledgers.checked(tmp_path / "old") as engine:
        for number in range(more):
            engine.register(ledgers.anchor(1_000_000 + number))
    with pytest.raises(VerificationFailed) as refused:
        mirror.bring(tmp_path / "old", out)
    assert refused.value.code == "log_rolled_back"
    assert ran("--state", tmp_path / "old", "--out", out).exit_code == 4
    assert held(out) == before


def test_a_folder_that_is_no_mirror_of_this_log_is_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "ledger"
    running.filled(state, 3)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"x")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "checkpoint").write_text("x")
    other = notes.Checkpoint(origin="log.example/other", size=2, root=bytes(32)).text()
    note = notes.Note(text=other, lines=(notes.sign(other, name="log.example/other", key=ledgers.STRANGER),))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "checkpoint").write_text(note.whole())
    for name in ("photos", "odd", "other"):
        before = held(tmp_path / name)
        with pytest.raises(ConfigError) as refused:
            mirror.bring(state, tmp_path / name)
        assert refused.value.code == "out_exists"
        assert held(tmp_path / name) == before
    assert ran("--state", tmp_path, "--out", tmp_path / "new").exit_code == 0  # as with a demo that was kept
    assert ran("--state", tmp_path / "photos", "--out", tmp_path / "newer").exit_code == 3
    assert ran("--state", state, "--out", tmp_path / "newer", "--epoch", "7").exit_code == 3


def test_a_pruned_log_is_mirrored_from_its_minimum_on(tmp_path: Path) -> None:
    state, out = tmp_path / "ledger", tmp_path / "mirror"
    running.filled(state, 600)
    with contextlib.closing(ledgers.opened(state)) as engine:
        custody.prune(engine, letters.root(state), minimum=530)
        found = mirror.bring(state, out)
        assert found.minimum == engine.minimum >= 2 * tiles.WIDTH
    assert not (out / Tile(level=0, index=0).path()).exists()
    assert not (out / Tile(level=None, index=0).path()).exists()
    assert (out / Tile(level=0, index=2, width=engine.size % tiles.WIDTH).path()).exists()


def test_a_mirror_that_is_older_than_what_was_pruned_is_not_taken_on_trust(tmp_path: Path) -> None:
    state, out = tmp_path / "ledger", tmp_path / "mirror"
    running.filled(state, 301)
    mirror.bring(state, out)
    before = held(out)
    running.filled(state, 600)
    with contextlib.closing(ledgers.opened(state)) as engine:
        custody.prune(engine, letters.root(state), minimum=530)
        with pytest.raises(Unavailable) as refused:
            mirror.bring(state, out)
    assert refused.value.code == "mirror_too_old"
    assert held(out) == before
