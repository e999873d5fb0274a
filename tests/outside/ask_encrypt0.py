"""Runs in .outside/cose: cwt opens and makes COSE_Encrypt0 objects, all in hexadecimal. Nothing of ours is imported."""

import json
import sys

import cwt
from cwt.exceptions import DecodeError, VerifyError

CHACHA20_POLY1305 = 24


def key_of(case):
    """The content key, under the name that the object gives it."""
    return cwt.COSEKey.from_symmetric_key(
        key=bytes.fromhex(case["cek"]), alg="ChaCha20/Poly1305", kid=bytes.fromhex(case["kid"])
    )


def opened(case):
    """[the content, its protected and unprotected headers], or None when the tag does not hold."""
    try:
        protected, unprotected, content = cwt.COSE.new().decode_with_headers(
            bytes.fromhex(case["raw"]), key_of(case), external_aad=bytes.fromhex(case["aad"])
        )
    except (DecodeError, VerifyError):
        return None
    return [content.hex(), [protected[1], protected[3]], [unprotected[4].hex(), unprotected[5].hex()]]


def made(case):
    """The object."""
    return (
        cwt.COSE.new()
        .encode(
            bytes.fromhex(case["content"]),
            key_of(case),
            protected={1: CHACHA20_POLY1305, 3: case["content_type"]},
            unprotected={4: bytes.fromhex(case["kid"]), 5: bytes.fromhex(case["iv"])},
            external_aad=bytes.fromhex(case["aad"]),
        )
        .hex()
    )


ANSWERS = {"open": opened, "make": made}
json.dump([ANSWERS[case["ask"]](case) for case in json.load(sys.stdin)], sys.stdout)
