"""tlog-scales, which is not ours, reads our tiles and writes the proofs that we write, byte for byte."""

from pathlib import Path

import httpx
import pytest

from protocol.tlog_proof import Proof
from tests.outside.conftest import SIZE, Public
from tests.support import grown
from tests.support.outside import installed, run

pytestmark = pytest.mark.outside

PLACES = (0, 255, 256, 512, SIZE - 1)


def scaled(*words: str) -> bytes:
    """What it prints."""
    ran = run(installed("tlog", "bin/tlog-tiles"), *words)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout


def ours(index: int, path: list[bytes], note: str) -> bytes:
    """The tlog-proof of an entry."""
    return Proof(index=index, path=tuple(path), checkpoint=note).encode()


@pytest.mark.parametrize("index", PLACES)
def test_it_reads_our_entries_and_finds_them_in_the_tree(public: Public, index: int) -> None:
    for place in (public.url, str(public.copied)):
        assert scaled("get-leaf", "-c", place, str(index)) == public.entries[index]


@pytest.mark.parametrize("index", PLACES)
def test_its_proofs_are_ours(public: Public, index: int) -> None:
    note = httpx.get(f"{public.url}/checkpoint").text
    expected = ours(index, public.tree.path(index), note)
    assert scaled("gen-proof", public.url, str(index)) == expected
    assert scaled("gen-proof", str(public.copied), str(index)) == expected


def test_its_proofs_are_ours_in_a_tree_of_three_levels(large: tuple[Path, grown.Log]) -> None:
    folder, log = large
    note = (folder / "checkpoint").read_text()
    for index in (0, 65_535, 65_536, 69_999):
        expected = ours(index, log.tree.path(index), note)
        assert scaled("gen-proof", str(folder), str(index)) == expected
