"""All published vectors of our formats, counted: a file that nobody runs, or that is gone, is a failure here.

What the other tests do with a vector in detail stays there; here each file of the four folders has its one outcome.
"""

import base64
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from protocol import cbor, cose, keys, merkle, notes, receipt, statement
from protocol.errors import BadSignature, VerificationFailed, VigilError

SIZE = 16_384
COSE = {
    "chacha-poly-examples/chacha-poly-01.json": "cose_tag",  # COSE_Encrypt, with recipients
    "chacha-poly-examples/chacha-poly-enc-01.json": "opened",
    "eddsa-examples/eddsa-01.json": "cose_tag",  # COSE_Sign, with several signers
    "eddsa-examples/eddsa-02.json": "cose_tag",
    "eddsa-examples/eddsa-sig-01.json": "verified",
    "eddsa-examples/eddsa-sig-02.json": "signature_size",  # Ed448
    "sign1-tests/sign-pass-01.json": "cose_shape",  # an empty map where RFC 9052 section 3 wants an empty string
    "sign1-tests/sign-pass-02.json": "verified",
    "sign1-tests/sign-pass-03.json": "cose_tag",  # untagged
    "sign1-tests/sign-fail-01.json": "cose_tag",
    "sign1-tests/sign-fail-02.json": "signature_bad",
    "sign1-tests/sign-fail-03.json": "alg_unsupported",
    "sign1-tests/sign-fail-04.json": "alg_unsupported",
    "sign1-tests/sign-fail-06.json": "signature_bad",
    "sign1-tests/sign-fail-07.json": "signature_bad",
}
SCITT = {  # statement, receipt
    "valid-eddsa": ("verified", "verified"),
    "valid-es256": ("verified", "verified"),
    "fail-tampered-path": ("verified", "signature_bad"),
    "fail-unsupported-vds": ("verified", "receipt_vds"),
    "fail-bad-statement-sig": ("signature_bad", "verified"),
    "valid-ccf-vds2": ("verified", "receipt_vds"),
}
SCITT_FILES = {"expected.json", "issuer-key.pub", "log-key.pub", "payload.bin", "receipt.cose", "statement.cose"}


@dataclass(frozen=True)
class Ecdsa:
    """A P-256 key as a verifier: our parser and signature input, with another's curve."""

    key: ec.EllipticCurvePublicKey
    algs = frozenset({-7})

    def verify(self, signature: bytes, data: bytes) -> None:
        half = len(signature) // 2
        r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
        try:
            self.key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise BadSignature("signature_bad") from error


def from_pem(text: str) -> cose.Verifier:
    found = serialization.load_pem_public_key(text.encode())
    return Ecdsa(found) if isinstance(found, ec.EllipticCurvePublicKey) else keys.PublicKey.from_pem(text)


def outcome(job: Callable[[], str]) -> str:
    try:
        return job()
    except VigilError as error:
        return error.code


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}


def judged(vector: dict) -> str:
    raw, said = bytes.fromhex(vector["output"]["cbor"]), vector["input"]
    if "sign0" not in said and "sign" not in said:
        sealed = cose.parse_encrypt0(raw, size_max=SIZE)
        cek = bytes.fromhex(vector["intermediates"]["CEK_hex"])
        return "opened" if cose.open_encrypt0(sealed, cek).decode() == said["plaintext"] else "other"
    signed = cose.parse_sign1(raw, size_max=SIZE)
    key = said["sign0"]["key"]
    if key["kty"] == "EC":
        point = [int.from_bytes(base64.urlsafe_b64decode(key[part] + "=="), "big") for part in ("x", "y")]
        verifier: cose.Verifier = Ecdsa(ec.EllipticCurvePublicNumbers(*point, ec.SECP256R1()).public_key())
    else:
        verifier = keys.PublicKey(bytes.fromhex(key["x_hex"])[:32])
    cose.verify_sign1(signed, verifier, aad=bytes.fromhex(said["sign0"].get("external", "")))
    return "verified"


def test_every_cose_example_has_its_outcome(vectors_dir: Path) -> None:
    folder = vectors_dir / "cose"
    assert files(folder) == {*COSE, "README.md"} and len(COSE) == 15
    found = {name: outcome(lambda name=name: judged(json.loads((folder / name).read_text()))) for name in COSE}  # type: ignore[misc]
    assert found == COSE


def unb64(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def included(vector: dict, *, start: int, end: int, index: int) -> str:
    """A subtree's leaves are those of a tree of their own, when it is a subtree."""
    if not 0 <= start < end or start % (1 << (end - start - 1).bit_length()):
        raise VerificationFailed("inclusion_bad", "no subtree")
    merkle.verify_inclusion(
        leaf=unb64(vector["leafHash"]),
        index=index - start,
        size=end - start,
        path=[unb64(item) for item in vector["proof"] or []],
        root=unb64(vector["root"]),
    )
    return "verified"


def grown(vector: dict, *, size1: int, size2: int) -> str:
    merkle.verify_consistency(
        size1=size1,
        size2=size2,
        root1=unb64(vector["root1"]),
        root2=unb64(vector["root2"]),
        path=[unb64(item) for item in vector["proof"] or []],
    )
    return "verified"


MERKLE: dict[str, tuple[Callable[[dict], str], dict[str, int]]] = {
    "inclusion": (
        lambda vector: included(vector, start=0, end=vector["treeSize"], index=vector["leafIdx"]),
        {"verified": 6, "inclusion_bad": 92},
    ),
    "subtreeinclusion": (
        lambda vector: included(vector, start=vector["start"], end=vector["end"], index=vector["leafIdx"]),
        {"verified": 12, "inclusion_bad": 192},
    ),
    "consistency": (
        lambda vector: grown(vector, size1=vector["size1"], size2=vector["size2"]),
        {"verified": 6, "consistency_bad": 92},
    ),
    "subtreeconsistency": (
        lambda vector: "not ours" if vector["start"] else grown(vector, size1=vector["end"], size2=vector["size"]),
        {"verified": 6, "consistency_bad": 96, "not ours": 16},
    ),
}


@pytest.mark.parametrize("kind", MERKLE)
def test_every_merkle_vector_is_judged_as_it_says(vectors_dir: Path, kind: str) -> None:
    judge, counts = MERKLE[kind]
    found = Counter()
    for path in sorted((vectors_dir / "rfc9162" / kind).rglob("*.json")):
        vector = json.loads(path.read_text())
        said = outcome(lambda vector=vector: judge(vector))  # type: ignore[misc]
        found[said] += 1
        empty = "size" in vector and vector["end"] == 0  # a proof from an empty tree, which RFC 9162 does not have
        assert said == "not ours" or (said != "verified") == (vector["wantErr"] or empty), path
    assert found == counts


def test_every_file_of_the_merkle_vectors_is_of_a_kind_that_is_run(vectors_dir: Path) -> None:
    folder = vectors_dir / "rfc9162"
    assert {name.split("/")[0] for name in files(folder)} == {*MERKLE, "README.md"}
    assert len(files(folder)) == 98 + 98 + 204 + 118 + 1


def statement_of(folder: Path) -> str:
    """The signature alone: headers of these are in another order than ours."""
    head, _, payload, signature = cbor.decode_loosely((folder / "statement.cose").read_bytes()[1:])  # type: ignore[misc]
    headers = cbor.decode_loosely(head)
    key = from_pem((folder / "issuer-key.pub").read_text())
    assert isinstance(headers, dict) and headers[cose.ALG] in key.algs
    key.verify(signature, cose.signature_input(head, b"", payload))
    return "verified"


def receipt_of(folder: Path) -> str:
    expected = json.loads((folder / "expected.json").read_text())
    head, beside, payload, signature = cbor.decode_loosely((folder / "receipt.cose").read_bytes()[1:])  # type: ignore[misc]
    headers = cbor.decode_loosely(head)
    assert isinstance(headers, dict) and payload is None
    if headers[receipt.VDS] != receipt.RFC9162_SHA256:
        raise VerificationFailed("receipt_vds")
    size, index, path = cbor.decode(beside[receipt.VDP][receipt.INCLUSION][0], size_max=receipt.SIZE_MAX)  # type: ignore[misc]
    entry = statement.entry((folder / "statement.cose").read_bytes())
    assert (size, index, entry.hex()) == (expected["tree_size"], expected["leaf_index"], expected["leaf_entry"])
    root = merkle.root_from_path(leaf=merkle.leaf_hash(entry), index=index, size=size, path=path)
    key = from_pem((folder / "log-key.pub").read_text())
    key.verify(signature, cose.signature_input(head, b"", root))
    return "verified"


def test_every_scitt_vector_has_its_outcome(vectors_dir: Path) -> None:
    folder = vectors_dir / "scitt-cose"
    listed = json.loads((folder / "manifest.json").read_text())["vectors"]
    assert {vector["id"] for vector in listed} == set(SCITT) and len(SCITT) == 6
    named = {f"v1/{name}/{file}" for name in SCITT for file in SCITT_FILES}
    assert files(folder) == {*named, "README.md", "SHA256SUMS", "manifest.json"}
    for name, expected in SCITT.items():
        where = folder / "v1" / name
        assert (outcome(lambda: statement_of(where)), outcome(lambda: receipt_of(where))) == expected, name  # noqa: B023


def test_the_note_example_is_all_there_is_of_c2sp(vectors_dir: Path) -> None:
    folder = vectors_dir / "c2sp"
    assert files(folder) == {"README.md", "note.txt", "note.vkey"}
    key = notes.NoteKey.from_vkey((folder / "note.vkey").read_text().strip())
    assert notes.verify(notes.parse((folder / "note.txt").read_text()), [key]) == [(key, None)]
