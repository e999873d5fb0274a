"""Tessera's fsck, which is not ours, fetches a whole log and builds its tree anew."""

import contextlib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from protocol import notes
from protocol.notes import NoteKey
from tests.outside.conftest import Public
from tests.support import grown, ledgers, running
from tests.support.outside import installed, run
from tests.support.serving import served

pytestmark = pytest.mark.outside


def root_of(folder: Path, url: str, vkey: str) -> str | None:
    """The root that it found; None when it says that the log is not whole. Its exit code is 0 either way."""
    (folder / "log.vkey").write_text(f"{vkey}\n")
    words = (f"--storage_url={url}/", "--public_key=log.vkey", f"--origin={ledgers.ORIGIN}", "--ui=false", "--N=4")
    ran = run(installed("fsck", "fsck"), *words, cwd=folder)
    told = ran.stderr.decode()
    whole = re.search(r"Successfully fsck'd log with size \d+ and root \S+ \(([0-9a-f]{64})\)", told)
    assert ran.returncode == 0 and (whole is None) is ("fsck failed" in told), told[:2000]
    return whole[1] if whole else None


@contextlib.contextmanager
def handed_out(folder: Path) -> Iterator[str]:
    """The URL of a plain web server over a folder."""
    with served(Starlette(routes=[Mount("/", StaticFiles(directory=folder))])) as url:
        yield url


def test_a_running_ledger_is_whole(public: Public, tmp_path: Path) -> None:
    assert root_of(tmp_path, public.url, public.vkey) == public.tree.root().hex()


def test_a_copy_of_its_tiles_is_whole_wherever_it_is(public: Public, tmp_path: Path) -> None:
    assert root_of(tmp_path, public.copied.as_uri(), public.vkey) == public.tree.root().hex()
    with handed_out(public.copied) as url:
        assert root_of(tmp_path, url, public.vkey) == public.tree.root().hex()


def test_a_mirror_is_whole(public: Public, tmp_path: Path) -> None:
    out = tmp_path / "mirror"
    words = ("-m", "vigil", "ledger", "mirror", "--state", public.state, "--out", out)
    assert run(Path(sys.executable), *words, cwd=running.ROOT).returncode == 0
    assert root_of(tmp_path, out.as_uri(), public.vkey) == public.tree.root().hex()


@pytest.mark.parametrize("path", ["checkpoint", "tile/0/001", "tile/1/000.p/2", "tile/entries/002.p/188"])
def test_a_copy_with_another_byte_is_refused(public: Public, tmp_path: Path, path: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(public.copied, copy)
    body = (copy / path).read_bytes()
    (copy / path).write_bytes(body[:40] + bytes((body[40] ^ 1,)) + body[41:])
    with handed_out(copy) as url:
        assert root_of(tmp_path, url, public.vkey) is None


def test_another_key_than_the_logs_is_refused(public: Public, tmp_path: Path) -> None:
    stranger = NoteKey(name=ledgers.ORIGIN, kind=notes.SIGNATURE, key=ledgers.STRANGER.public).vkey()
    assert root_of(tmp_path, public.url, stranger) is None


def test_a_log_of_three_levels_is_whole(large: tuple[Path, grown.Log], tmp_path: Path) -> None:
    folder, log = large
    vkey = NoteKey(name=ledgers.ORIGIN, kind=notes.SIGNATURE, key=log.key).vkey()
    assert root_of(tmp_path, folder.as_uri(), vkey) == log.tree.root().hex()
