"""Runs in .outside/cose: what cwt opens and seals as COSE_Encrypt0, all in hexadecimal. Nothing of ours is imported."""

import json
import sys

import cwt
from cwt.exceptions import DecodeError

ALGORITHM = "ChaCha20/Poly1305"


def key(case):
    """The content key under its link's name."""
    return cwt.COSEKey.from_symmetric_key(bytes.fromhex(case["cek"]), alg=ALGORITHM, kid=bytes.fromhex(case["kid"]))


def unseal(case):
    """[the content, the content type, the key's name], or None when the tag does not hold."""
    try:
        protected, unprotected, content = cwt.COSE.new().decode_with_headers(
            bytes.fromhex(case["raw"]), key(case), external_aad=bytes.fromhex(case["aad"])
        )
    except DecodeError:
        return None
    return [content.hex(), protected[3], unprotected[4].hex()]


def seal(case):
    """A COSE_Encrypt0 of cwt's own."""
    return (
        cwt.COSE.new()
        .encode_and_encrypt(
            bytes.fromhex(case["content"]),
            key(case),
            protected={1: 24, 3: case["content_type"]},
            unprotected={4: bytes.fromhex(case["kid"]), 5: bytes.fromhex(case["iv"])},
            external_aad=bytes.fromhex(case["aad"]),
        )
        .hex()
    )


QUESTIONS = {"unseal": unseal, "seal": seal}
json.dump([QUESTIONS[case["ask"]](case) for case in json.load(sys.stdin)], sys.stdout)
