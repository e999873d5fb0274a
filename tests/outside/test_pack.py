"""Packs of a running ledger's entries, read as they are by cwt, pycose, scitt-cose and tlog-scales."""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from protocol import keys
from tests.outside.conftest import SIZE, Public
from tests.support import running
from tests.support.outside import ask, installed, run

pytestmark = pytest.mark.outside

EDDSA = -8
PLACES = (0, 1, 2, 255, 256, SIZE - 1)
Pack = Mapping[str, bytes]


def export(state: Path, out: Path, entry_id: str) -> None:
    """Let the command write a pack, beside the ledger at work."""
    words = ("-m", "vigil", "ledger", "export", entry_id, "--state", state, "--out", out, "--json")
    ran = run(Path(sys.executable), *words, cwd=running.ROOT)
    assert ran.returncode == 0, ran.stderr.decode()


@pytest.fixture(scope="module")
def packs(public: Public, tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, Path]:
    """The folders of packs."""
    folder = tmp_path_factory.mktemp("packs")
    for index in PLACES:
        export(public.state, folder / str(index), f"1.{index}")
    return {index: folder / str(index) for index in PLACES}


def read(folder: Path) -> Pack:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def signed(raw: bytes, pem: bytes, *, root: bytes = b"") -> dict[str, str]:
    """A question about an object and the PEM file that goes with it."""
    key = keys.PublicKey.from_pem(pem.decode())
    named = {"raw": raw, "x": key.x, "kid": key.thumbprint, "detached": root, "aad": b""}
    return {"pem": pem.decode(), **{name: value.hex() for name, value in named.items()}}


@pytest.mark.parametrize("library", ["cwt", "pycose"])
def test_statement_receipt_and_transparent_statement_are_signed_by_the_keys_beside_them(
    public: Public, packs: Mapping[int, Path], library: str
) -> None:
    root = public.tree.root()
    cases, expected = [], []
    for folder in packs.values():
        pack = read(folder)
        issuer, log = pack["issuer.pem"], pack["log.pem"]
        cases += [signed(pack[name], issuer) for name in ("statement.cose", "transparent.cose")]
        cases += [signed(pack["receipt.cose"], log, root=root), signed(pack["receipt.cose"], log, root=bytes(32))]
        names = [keys.PublicKey.from_pem(pem.decode()).thumbprint.hex() for pem in (issuer, log)]
        expected += [[names[0], EDDSA], [names[0], EDDSA], [names[1], EDDSA], None]
    found = ask("cose", "ask_cose.py", {"library": library, "cases": cases})
    assert isinstance(found, list)
    assert [None if answer is None else answer[1:] for answer in found] == expected


def judged(folder: Path, **files: Path) -> tuple[int, Mapping[str, object]]:
    """scitt-cose's exit code and answer about a pack, of which some files are others."""
    named = {
        "statement": folder / "statement.cose",
        "statement-pubkey": folder / "issuer.pem",
        "receipt": folder / "receipt.cose",
        "receipt-log-pubkey": folder / "log.pem",
    }
    words = [word for name, file in {**named, **files}.items() for word in (f"--{name}", str(file))]
    entry = hashlib.sha256(named["statement"].read_bytes()).hexdigest()
    ran = run(installed("ledger", "bin/scitt-cose"), *words, "--leaf-entry-hex", entry, "--json")
    found = json.loads(ran.stdout)
    assert isinstance(found, dict)
    return ran.returncode, found


def test_scitt_cose_accepts_each_pack(public: Public, packs: Mapping[int, Path]) -> None:
    for index, folder in packs.items():
        code, found = judged(folder)
        statement, proof = found["statement"], found["receipt"]
        assert isinstance(statement, dict) and isinstance(proof, dict)
        assert (code, statement["signature_verified"], proof["ok"]) == (0, True, True)
        assert (proof["root"], proof["tree_size"], proof["leaf_index"]) == (public.tree.root().hex(), SIZE, index)


def test_scitt_cose_accepts_no_file_of_another_pack(packs: Mapping[int, Path]) -> None:
    folder, other = packs[2], packs[SIZE - 1]
    wrong = {
        "statement-pubkey": other / "issuer.pem",
        "receipt": other / "receipt.cose",
        "receipt-log-pubkey": folder / "issuer.pem",
    }
    assert (folder / "issuer.pem").read_bytes() != (other / "issuer.pem").read_bytes()
    for name, file in wrong.items():
        assert judged(folder, **{name: file})[0] == 1, name


def test_tlog_scales_writes_the_proof_that_is_in_the_pack(public: Public, packs: Mapping[int, Path]) -> None:
    for index, folder in packs.items():
        for place in (public.url, str(public.copied)):
            ran = run(installed("tlog", "bin/tlog-tiles"), "gen-proof", place, str(index))
            assert ran.stdout == (folder / "entry.tlog-proof").read_bytes()


def test_aics_tlog_reads_checkpoint_and_key_from_the_pack(public: Public, packs: Mapping[int, Path]) -> None:
    words = ("verify-checkpoint", "--note", "checkpoint", "--vkey-file", "log.vkey", "--tiles", public.url)
    ran = run(installed("tlog", "bin/aics-tlog"), *words, cwd=packs[0])
    found = json.loads(ran.stdout)
    assert (ran.returncode, found["ok"], found["size"]) == (0, True, SIZE)
