"""The commands in a pack's README.txt, as they stand there, with the software that they name."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from ledger import contracts, export, files
from ledger.http import app as http
from ledger.metrics import Metrics
from tests.support import ledgers
from tests.support.outside import WITHIN_S, installed
from tests.support.serving import served

pytestmark = pytest.mark.outside


PROGRAMS = {"scitt-cose": "ledger", "aics-tlog": "tlog", "tlog-tiles": "tlog"}  # in which environment each is
XXD = "xxd -r -p", "python3 -c 'import sys;sys.stdout.buffer.write(bytes.fromhex(input()))'"  # not every machine has it


def said(out: Path, url: str) -> list[tuple[str, str]]:
    """(program, what it prints) of the commands in the README of a pack, in its folder."""
    places = {str(installed(group, f"bin/{program}").parent) for program, group in PROGRAMS.items()}
    env = {**os.environ, "PATH": ":".join([*places, os.environ["PATH"]])}
    printed = []
    for line in re.findall(r"^  (.*)$", (out / "README.txt").read_text(), flags=re.MULTILINE):
        command = line.replace(*XXD).replace("URL", url)
        ran = subprocess.run(command, shell=True, cwd=out, env=env, capture_output=True, timeout=WITHIN_S, check=False)
        assert ran.returncode == 0, (line, ran.stdout, ran.stderr)
        printed.append((line.split()[0], ran.stdout.decode()))
    return printed


@pytest.mark.parametrize("index", [0, 3])
def test_the_readme_of_a_pack_can_be_followed(tmp_path: Path, index: int) -> None:
    state, out = tmp_path / "ledger", tmp_path / "pack"
    with ledgers.checked(state) as engine:
        engine.register_many([ledgers.admission(state), *(ledgers.anchor(n) for n in range(10))])
        files.make_folder(out, export.pack(state, f"1.{index}").files)
        with served(http.app(engine, Metrics(contracts.CODES))) as url:
            printed = said(out, url)
    assert [program for program, _ in printed] == ["scitt-cose", "printf", "aics-tlog", "aics-tlog", "tlog-tiles"]
    verdict = json.loads(printed[0][1])
    assert (verdict["statement"]["signature_verified"], verdict["receipt"]["ok"]) == (True, True)
    assert printed[-1][1] == (out / "entry.tlog-proof").read_text()
