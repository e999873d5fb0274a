"""Signatures: whether they hold, here or in a process that does nothing else (`python -m gateway.signatures`).

Threads would wait for Python's lock after each signature, and the loop that holds it would wait for them. The process reads jobs
on its standard input and answers each with a byte for each claim; it ends when its input does, so it outlives no gateway.
"""

import signal
import struct
import sys
from collections.abc import Sequence
from typing import BinaryIO

import nacl.bindings
import nacl.exceptions

Claim = tuple[bytes, bytes]
"""(signature and what it is over, 32-byte key)"""
KEY_SIZE = 32
_JOB = struct.Struct(">HI")  # claims, bytes of them
_CLAIM = struct.Struct(">H")  # bytes of a claim before its key: admission lets nothing near 65,536 come so far


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
    """Answer jobs until there are no more."""
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


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the gateway's to answer
    serve(sys.stdin.buffer, sys.stdout.buffer)
