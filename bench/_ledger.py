"""A real ledger process for a benchmark, statements for it, and the load's process."""

import contextlib
import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nacl.bindings

from bench._hub import READY_S, ROOT, Hub, outcome, start
from bench._posts import Job
from ledger.log import keyring
from protocol import cbor, documents, statement
from protocol.keys import SigningKey

GATEWAYS = 16  # issuers of the statements
VERIFY_S = 0.6  # how long bare verification is measured, before and after each run
KEYS = [SigningKey.from_seed(bytes([place + 1]) * 32) for place in range(GATEWAYS)]


def anchors(first: int, count: int) -> list[bytes]:
    """Signed statements as gateways send them: hash envelopes of some 340 bytes, none like another."""
    found = []
    for number in range(first, first + count):
        key = KEYS[number % GATEWAYS]
        found.append(
            statement.sign_hash_envelope(
                key,
                iss=key.public.urn,
                sub=documents.anchor_subject(key.public.thumbprint),
                preimage=b"batch %d" % number,
                preimage_content_type=documents.ANCHOR,
            )
        )
    return found


def admissions(state: Path) -> list[bytes]:
    """The registry root's word for each of KEYS, for the log in `state`."""
    root = keyring.load(state, keyring.REGISTRY_KEY)
    return [keyring.admission(root, role="gateway", key=key.public.x, name="clinic") for key in KEYS]


@contextlib.contextmanager
def running(state: Path) -> Iterator[Hub]:
    """`vigil ledger run` on free ports, ended in order."""
    process = subprocess.Popen(
        [
            sys.executable, "-m", "vigil", "ledger", "run", "--json", "--state", str(state), "--port", "0",
            "--metrics-port", "0",
        ],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline() or '{"event": "nothing"}')
        if told["event"] != "ready":
            raise SystemExit("the ledger did not start")
        port = int(told["url"].rpartition(":")[2])
        yield Hub(pid=process.pid, ports={"http": port}, ca="", state=state)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(READY_S)


def load(port: int, requests: Sequence[bytes], *, connections: int, pace_s: float = 0.0) -> dict[str, float]:
    """What came of sending these requests, all of which have to succeed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench._posts"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        job = Job(port=port, requests=tuple(requests), connections=connections, pace_s=pace_s)
        data = pickle.dumps(job)
        process.stdin.write(len(data).to_bytes(8, "big") + data)
        process.stdin.flush()
        if process.stdout.readline() != b"ready\n":
            raise SystemExit("the load did not start")
        start(process)
        found = outcome(process)
    finally:
        process.kill()
        process.wait()
    if found["refused"]:
        raise SystemExit(f"{found['refused']:.0f} of {len(requests)} requests were refused: no figure")
    return found


def post(path: str, media: str, body: bytes) -> bytes:
    """A whole HTTP request."""
    head = f"POST {path} HTTP/1.1\r\nhost: ledger\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(path: str) -> bytes:
    """A whole HTTP request."""
    return f"GET {path} HTTP/1.1\r\nhost: ledger\r\n\r\n".encode()


def batches(raws: Sequence[bytes], size: int) -> list[bytes]:
    """Requests to register statements, `size` at once."""
    parts = [raws[place : place + size] for place in range(0, len(raws), size)]
    return [post("/batches", "application/cbor", cbor.encode(list(part))) for part in parts]


def verifications(raws: Sequence[bytes]) -> float:
    """Bare PyNaCl: signatures verified a second on one core, over the very bytes that the ledger verifies."""
    keys = {key.public.thumbprint: key.public for key in KEYS}
    claims = [statement.claim(found, keys[found.kid]) for found in map(statement.parse, raws[:200])]
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < VERIFY_S:
        for claim in claims:
            if claim is not None:
                nacl.bindings.crypto_sign_open(*claim)
        done += len(claims)
    return done / (time.perf_counter() - begun)
