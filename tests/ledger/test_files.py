"""Files and folders written whole: a failure leaves what was there before."""

import os
from pathlib import Path

import pytest

from ledger import files
from protocol.errors import ConfigError, Unavailable


def test_a_folder_appears_with_all_its_files(tmp_path: Path) -> None:
    for out in (tmp_path / "new", tmp_path / "a" / "b", tmp_path / "empty"):
        if out.name == "empty":
            out.mkdir()
        files.make_folder(out, {"one": b"1", "two": b"2"})
        assert {path.name: path.read_bytes() for path in out.iterdir()} == {"one": b"1", "two": b"2"}
        assert [path.name for path in out.parent.iterdir() if path.name.startswith(".")] == []


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_bytes(b"mine")
    (tmp_path / "file").write_bytes(b"mine")
    for out in (tmp_path / "full", tmp_path / "file", Path("/")):
        with pytest.raises(ConfigError) as wrong:
            files.make_folder(out, {"one": b"1"})
        assert wrong.value.code == "out_exists"
    assert (tmp_path / "full" / "mine").read_bytes() == (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_folder_that_cannot_be_finished_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "rename")), fail)
    with pytest.raises(Unavailable) as full:
        files.make_folder(tmp_path / "out", {"one": b"1", "two": b"2"})
    assert full.value.code == "file_unwritable"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_finished_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.write(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Unavailable):
        files.write(path, b"new")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", b"old")]
