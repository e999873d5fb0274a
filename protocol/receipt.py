"""COSE Receipts: a log's word that an entry is in its tree, or that its tree only grew. RFC 9942 §5, RFC 9943 §7.

The verifiable data structure is RFC9162_SHA256 (1); proofs travel in the unprotected header, the root is what is signed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol import cbor, cose, merkle
from protocol.errors import BadSignature, Malformed, VerificationFailed
from protocol.statement import CWT_CLAIMS, ISS, SUB

VDS, VDP, RECEIPTS = 395, 396, 394
RFC9162_SHA256 = 1
INCLUSION, CONSISTENCY = -1, -2
SIZE_MAX = 8192  # bytes of a receipt: a path of 64 hashes and its headers fit
RECEIPTS_MAX = 8  # receipts on one transparent statement; more is malformed
TRANSPARENT_SIZE_MAX = 65_536 + RECEIPTS_MAX * SIZE_MAX

_INCLUSION_HEAD = bytes.fromhex("a119018ca12081")  # {396: {-1: [ and its proof
_CONSISTENCY_HEAD = bytes.fromhex("a119018ca12181")  # {396: {-2: [
_HASH_HEAD = b"\x58\x20"  # of 32 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """A parsed receipt of inclusion. path: sibling of the leaf first; kid: of the log's key.

    The log signs the root alone: size and index are what leads there, and in another tree the same steps may have others.
    """

    kid: bytes
    iss: str
    sub: str
    size: int
    index: int
    path: tuple[bytes, ...]
    signed: cose.Sign1


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """A parsed receipt of consistency between two sizes; root: of the newer."""

    kid: bytes
    size1: int
    size2: int
    path: tuple[bytes, ...]
    root: bytes
    signed: cose.Sign1


def issue(key: cose.Signer, *, iss: str, sub: str, root: bytes, size: int, index: int, path: Sequence[bytes]) -> bytes:
    """A receipt of inclusion by the log's `key`; never at size 1, whose path would be empty."""
    if size < 2 or not path:
        raise AssertionError("a receipt needs a tree of at least two entries")
    return _laid(key, _protected(key, iss, sub), root, _INCLUSION_HEAD, (size, index), path, b"\xf6")


def issue_consistency(
    key: cose.Signer, *, iss: str, sub: str, root: bytes, size1: int, size2: int, path: Sequence[bytes]
) -> bytes:
    """A receipt of consistency by the log's `key`; root: of the newer tree, attached."""
    return _laid(key, _protected(key, iss, sub), root, _CONSISTENCY_HEAD, (size1, size2), path, cose.bstr(root))


def read(raw: bytes) -> Inclusion:
    """The receipt of inclusion in `raw`. Raises Malformed: receipt_*."""
    signed, kid, iss, sub = _read(raw)
    size, index, path = _proof(signed, INCLUSION)
    if signed.payload is not None:
        raise Malformed("receipt_payload", "the root of a receipt of inclusion is detached")
    if size < 2 or not path or not 0 <= index < size:
        raise Malformed("receipt_proof", "a proof has an index below the size, and a path")
    return Inclusion(kid=kid, iss=iss, sub=sub, size=size, index=index, path=path, signed=signed)


def verify(receipt: Inclusion, *, entry: bytes, key: cose.Verifier) -> bytes:
    """The root, once `key` is seen to have signed it and `entry` to lie under it.

    Raises VerificationFailed: inclusion_bad; BadSignature.
    """
    leaf = merkle.leaf_hash(entry)
    root = merkle.root_from_path(leaf=leaf, index=receipt.index, size=receipt.size, path=receipt.path)
    cose.verify_sign1(receipt.signed, key, payload=root)
    return root


def read_consistency(raw: bytes) -> Consistency:
    """The receipt of consistency in `raw`. Raises Malformed: receipt_*."""
    signed, kid, _, _ = _read(raw)
    size1, size2, path = _proof(signed, CONSISTENCY)
    if signed.payload is None or len(signed.payload) != merkle.HASH_SIZE:
        raise Malformed("receipt_payload", "the newer root is attached")
    return Consistency(kid=kid, size1=size1, size2=size2, path=path, root=signed.payload, signed=signed)


def verify_consistency(receipt: Consistency, *, root1: bytes, key: cose.Verifier) -> None:
    """Raises VerificationFailed or BadSignature unless the older tree under `root1` is a prefix of the newer one."""
    cose.verify_sign1(receipt.signed, key)
    merkle.verify_consistency(
        size1=receipt.size1, size2=receipt.size2, root1=root1, root2=receipt.root, path=receipt.path
    )


def attach(statement: bytes, receipts: Sequence[bytes]) -> bytes:
    """The transparent statement: `statement` with its receipts in the unprotected header. Source: RFC 9943 §7."""
    signed = cose.parse_sign1(statement, size_max=TRANSPARENT_SIZE_MAX)
    if signed.unprotected or signed.payload is None or not 0 < len(receipts) <= RECEIPTS_MAX:
        raise Malformed("transparent_shape", "a bare statement and one to eight receipts")
    unprotected = cbor.encode({RECEIPTS: list(receipts)})
    head = b"\xd2\x84" + cose.bstr(signed.protected_bytes)
    return head + unprotected + cose.bstr(signed.payload) + cose.bstr(signed.signature)


def detach(transparent: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """The bare statement and its receipts. Raises Malformed: transparent_shape."""
    signed = cose.parse_sign1(transparent, size_max=TRANSPARENT_SIZE_MAX)
    receipts = signed.unprotected.get(RECEIPTS)
    if signed.unprotected.keys() != {RECEIPTS} or signed.payload is None or not isinstance(receipts, list):
        raise Malformed("transparent_shape", "receipts, and nothing else, are in the unprotected header")
    if not 0 < len(receipts) <= RECEIPTS_MAX or not all(isinstance(item, bytes) for item in receipts):
        raise Malformed("transparent_shape", "one to eight receipts as byte strings")
    head = b"\xd2\x84" + cose.bstr(signed.protected_bytes)
    return head + b"\xa0" + cose.bstr(signed.payload) + cose.bstr(signed.signature), tuple(receipts)


def check(raw: bytes, *, entry: bytes, key: cose.Verifier, thumbprint: bytes) -> Inclusion:
    """`read` and `verify` in one, with the key's name compared. Raises Malformed, BadSignature, VerificationFailed."""
    found = read(raw)
    if found.kid != thumbprint:
        raise BadSignature("kid_mismatch", "signed under the name of another key")
    verify(found, entry=entry, key=key)
    return found


def _laid(
    key: cose.Signer,
    protected: bytes,
    root: bytes,
    kind: bytes,
    numbers: tuple[int, int],
    path: Sequence[bytes],
    payload: bytes,
) -> bytes:
    """A receipt, laid by hand: a log makes one for each statement. kind: the unprotected header up to the proof."""
    proof = b"\x83" + cbor.uint(numbers[0]) + cbor.uint(numbers[1]) + cbor.array_head(len(path))
    proof += b"".join([_HASH_HEAD + node for node in path])
    signature = key.sign(cose.signature_input(protected, b"", root))
    return b"\xd2\x84" + cose.bstr(protected) + kind + cose.bstr(proof) + payload + cose.bstr(signature)


def _protected(key: cose.Signer, iss: str, sub: str) -> bytes:
    """{alg, kid, CWT claims: {iss, sub}, vds}, in the order of deterministic CBOR."""
    return b"".join(
        (
            b"\xa4\x01",
            cbor.integer(key.alg),
            b"\x04",
            cose.bstr(key.thumbprint),
            b"\x0f\xa2\x01",
            cbor.text(iss),
            b"\x02",
            cbor.text(sub),
            b"\x19\x01\x8b\x01",
        )
    )


def _read(raw: bytes) -> tuple[cose.Sign1, bytes, str, str]:
    signed = cose.parse_sign1(raw, size_max=SIZE_MAX)
    vds = signed.protected.get(VDS)
    if type(vds) is not int or vds != RFC9162_SHA256:
        raise Malformed("receipt_vds", "the verifiable data structure is not RFC9162_SHA256")
    kid, claims = signed.protected.get(cose.KID), signed.protected.get(CWT_CLAIMS)
    iss = claims.get(ISS) if isinstance(claims, dict) else None
    sub = claims.get(SUB) if isinstance(claims, dict) else None
    if not isinstance(kid, bytes) or not isinstance(iss, str) or not isinstance(sub, str):
        raise Malformed("receipt_headers", "a receipt names its key, issuer and subject")
    return signed, kid, iss, sub


def _proof(signed: cose.Sign1, kind: int) -> tuple[int, int, tuple[bytes, ...]]:
    proofs = signed.unprotected.get(VDP)
    found = proofs.get(kind) if isinstance(proofs, dict) and signed.unprotected.keys() == {VDP} else None
    if not isinstance(proofs, dict) or proofs.keys() != {kind} or not isinstance(found, list) or len(found) != 1:
        raise Malformed("receipt_proof", "a receipt has one proof of the kind that was asked for")
    if not isinstance(found[0], bytes):
        raise Malformed("receipt_proof", "a proof is a byte string")
    proof = cbor.decode(found[0], size_max=SIZE_MAX)
    if not isinstance(proof, list) or len(proof) != 3 or type(proof[0]) is not int or type(proof[1]) is not int:
        raise Malformed("receipt_proof", "a proof is [size, index or newer size, path]")
    path = proof[2]
    if not isinstance(path, list) or len(path) > merkle.PATH_MAX:
        raise Malformed("receipt_proof", f"a path has at most {merkle.PATH_MAX} hashes")
    if any(not isinstance(item, bytes) or len(item) != merkle.HASH_SIZE for item in path):
        raise VerificationFailed("inclusion_bad", "a hash has 32 bytes")
    return proof[0], proof[1], tuple(path)
