"""What a monitor keeps: it comes back, one process holds it, and damage is noticed."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.monitor import kept
from ledger.monitor.edge import EMPTY
from ledger.monitor.kept import Folder, Followed
from protocol import notes
from protocol.errors import ConfigError, Malformed, Unavailable
from tests.support import damage, ledgers

EDGE = EMPTY.grown([b"a", b"b", b"c"])
TEXT = notes.Checkpoint(origin=ledgers.ORIGIN, size=5, root=bytes(32)).text()
NOTE = notes.Note(text=TEXT, lines=(notes.sign(TEXT, name=ledgers.ORIGIN, key=ledgers.GATEWAY),)).whole()
FOLLOWED = Followed(epoch=1, proven="", proven_edge=EMPTY, newest=NOTE, newest_ms=7, edge=EDGE)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with contextlib.closing(Folder(tmp_path / "monitor")) as found:
        yield found


def test_how_far_a_log_was_followed_comes_back(tmp_path: Path, folder: Folder) -> None:
    assert folder.load() is None
    for followed in (FOLLOWED, dataclasses.replace(FOLLOWED, proven=NOTE, proven_edge=EDGE)):
        folder.save(followed)
        assert folder.load() == followed
        assert Followed.decode(followed.encode()) == followed
    assert sorted(path.name for path in (tmp_path / "monitor").iterdir()) == [kept.FILE, "lock"]


def test_two_monitors_do_not_share_a_folder(tmp_path: Path, folder: Folder) -> None:
    with pytest.raises(ConfigError) as held:
        Folder(tmp_path / "monitor")
    assert held.value.code == "state_in_use"
    folder.close()
    folder._held = Folder(tmp_path / "monitor")._held  # the fixture closes it


def test_every_cut_of_the_file_is_refused() -> None:
    whole = FOLLOWED.encode().rstrip(b"\n")
    assert damage.accepted(Followed.decode, damage.every_prefix(whole)) == []


def test_what_a_killed_monitor_left_half_written_is_taken_away(tmp_path: Path, folder: Folder) -> None:
    folder.save(FOLLOWED)
    where = folder.keep_evidence("shrank", {"a.checkpoint": b"1"})
    (tmp_path / "monitor" / ".followed.json.77").write_bytes(b"half")
    (where.parent / ".shrank-1.77").mkdir()
    (where.parent / ".shrank-1.77" / "a.checkpoint").write_bytes(b"half")
    folder.close()
    folder._held = Folder(tmp_path / "monitor")._held  # the fixture closes it
    assert sorted(path.name for path in (tmp_path / "monitor").iterdir()) == [kept.EVIDENCE, kept.FILE, "lock"]
    assert list(where.parent.iterdir()) == [where]
    assert folder.load() == FOLLOWED


@pytest.mark.parametrize(
    "changed",
    [
        {"v": 2},
        {"v": None},
        {"epoch": -1},
        {"epoch": "1"},
        {"newest": ""},
        {"newest": "no note"},
        {"newest": 5},
        {"proven": None},
        {"newest_ms": "7"},
        {"more": 1},
        {"edge": None},
        {"edge": {"size": 3}},
        {"edge": {"size": 3, "nodes": []}},
        {"edge": {"size": -1, "nodes": ["00" * 32]}},
        {"edge": {"size": True, "nodes": ["00" * 32]}},
        {"edge": {"size": 3, "nodes": ["00" * 32, "00" * 31]}},
        {"edge": {"size": 3, "nodes": ["00" * 32, "zz" * 32]}},
        {"edge": {"size": 3, "nodes": ["00" * 32, 7]}},
        {"edge": {"size": 6, "nodes": ["00" * 32, "00" * 32]}},
        {"proven_edge": {"size": 4, "nodes": ["00" * 32]}},
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, folder: Folder, changed: dict[str, object]) -> None:
    value = {**json.loads(FOLLOWED.encode()), **changed}
    with pytest.raises(Malformed):
        Followed.decode(json.dumps(value).encode())
    (tmp_path / "monitor" / kept.FILE).write_text(json.dumps(value))
    with pytest.raises(Unavailable) as damaged:
        folder.load()
    assert damaged.value.code == "state_unreadable"


def test_evidence_is_kept_once_and_not_without_end(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "EVIDENCE_MAX", 2)
    first = folder.keep_evidence("shrank", {"a.checkpoint": b"1", "b.checkpoint": b"2", "at.txt": b"now"})
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        "a.checkpoint": b"1", "b.checkpoint": b"2", "at.txt": b"now",
    }  # fmt: skip
    again = folder.keep_evidence("shrank", {"a.checkpoint": b"1", "b.checkpoint": b"2", "at.txt": b"later"})
    assert again == first and (first / "at.txt").read_bytes() == b"now"
    assert folder.keep_evidence("shrank", {"a.checkpoint": b"1", "b.checkpoint": b"3"}) != first
    with pytest.raises(Unavailable) as full:
        folder.keep_evidence("shrank", {"a.checkpoint": b"1", "b.checkpoint": b"4"})
    assert full.value.code == "evidence_full"
    folder.keep_evidence("two_roots", {"a.checkpoint": b"1", "b.checkpoint": b"4"})  # anybody can show old checkpoints
    assert folder.keep_evidence("shrank", {"a.checkpoint": b"1", "b.checkpoint": b"2"}) == first
