"""Signatures in number: claims packed for a process that does nothing but verify them, and its verdicts.

A job is the number of claims and of their bytes, then each claim as length, signature with what it is over, and key. The answer
is a byte for each claim: 1 when the signature holds.
"""

import struct
from collections.abc import Sequence
from typing import BinaryIO

import nacl.bindings
import nacl.exceptions

Claim = tuple[bytes, bytes]
"""(signature and what it is over, 32-byte key)"""
KEY_SIZE = 32
_JOB = struct.Struct(">HI")  # claims, bytes of them
_CLAIM = struct.Struct(">I")  # bytes of a claim before its key


def holds(claim: Claim) -> bool:
    """Whether one Ed25519 signature holds, by libsodium's rules."""
    try:
        nacl.bindings.crypto_sign_open(*claim)
    except (nacl.exceptions.BadSignatureError, ValueError):
        return False
    return True


def all_hold(claims: Sequence[Claim]) -> list[bool]:
    """A verdict for each claim."""
    return [holds(claim) for claim in claims]


def packed(claims: Sequence[Claim]) -> bytes:
    """A job as the process reads it."""
    body = b"".join([part for signed, key in claims for part in (_CLAIM.pack(len(signed)), signed, key)])
    return _JOB.pack(len(claims), len(body)) + body


def serve(jobs: BinaryIO, verdicts: BinaryIO) -> None:
    """Answer jobs until there are no more. jobs, verdicts: the two ends of pipes that the caller owns."""
    while len(head := jobs.read(_JOB.size)) == _JOB.size:
        count, size = _JOB.unpack(head)
        body = jobs.read(size)
        if len(body) < size:
            return
        verdicts.write(bytes(all_hold(_unpacked(body, count))))
        verdicts.flush()


def _unpacked(body: bytes, count: int) -> list[Claim]:
    claims, at = [], 0
    for _ in range(count):
        (length,) = _CLAIM.unpack_from(body, at)
        at += _CLAIM.size
        claims.append((body[at : at + length], body[at + length : at + length + KEY_SIZE]))
        at += length + KEY_SIZE
    return claims
