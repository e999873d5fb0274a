"""Signed tokens in the compact form, by our own keys, so that JOSE, COSE and Data Integrity accept the same signatures.

RFC 7515, RFC 7519; algorithms EdDSA (RFC 8037) and ES256 (RFC 7518 §3.4), and no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.credentials.vc import jcs
from ledger.credentials.vc.multikey import VerifyingKey
from protocol import base64text
from protocol.errors import BadSignature, Malformed
from protocol.keys import PublicKey, SigningKey
from protocol.p256 import P256SigningKey

TOKEN_MAX = 131_072  # characters; a longer token is refused unread
ALGS = ("EdDSA", "ES256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token whose signature nobody has checked yet. raw: as it came."""

    raw: str
    header: Mapping[str, Any]
    payload: Mapping[str, Any]
    signature: bytes


def alg_of(key: VerifyingKey | SigningKey | P256SigningKey) -> str:
    """The algorithm that a key signs with."""
    return "EdDSA" if isinstance(key, PublicKey | SigningKey) else "ES256"


def sign(header: Mapping[str, Any], payload: Mapping[str, Any], key: SigningKey | P256SigningKey) -> str:
    """A compact token. header: without alg."""
    parts = (jcs.canonical({"alg": alg_of(key), **header}), jcs.canonical(dict(payload)))
    said = ".".join(base64text.encode_url(each) for each in parts)
    return f"{said}.{base64text.encode_url(key.sign(said.encode()))}"


def read(raw: str) -> Token:
    """The token in a text. Raises Malformed: token_size, token_shape, token_alg, token_crit, json_*."""
    if len(raw) > TOKEN_MAX:
        raise Malformed("token_size", f"at most {TOKEN_MAX} characters")
    parts = raw.split(".")
    if len(parts) != 3:
        raise Malformed("token_shape", "a compact token has three parts")
    head, body, signature = (base64text.decode_url(each, code="token_shape") for each in parts)
    header = jcs.parse(head)
    if header.get("alg") not in ALGS:
        raise Malformed("token_alg", f"signed with one of: {', '.join(ALGS)}")
    if "crit" in header:
        raise Malformed("token_crit", "a token that asks for an extension which is not known")
    return Token(raw=raw, header=header, payload=jcs.parse(body), signature=signature)


def check(token: Token, key: VerifyingKey) -> None:
    """Raises BadSignature unless the key signed this."""
    if token.header["alg"] != alg_of(key):
        raise BadSignature("alg_mismatch", "signed with another algorithm than this key's")
    key.verify(token.signature, token.raw.rpartition(".")[0].encode())
