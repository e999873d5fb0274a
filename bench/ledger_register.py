"""Statements a second that one real ledger process registers: verified, judged, in the tree, on disk, and receipted.

Everything that a statement costs is in it. The load is a process of its own on the machine's other core, which it shares with
the process that helps the ledger to verify. Baselines of the same run: bare PyNaCl verification on one core, and a plain INSERT
of the same bytes, each with a commit of its own (single) or as many to a commit as in a request (batched).
"""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench._ledger import admissions, anchors, batches, load, post, running, verifications

Row = dict[str, object]
ROUNDS = 3  # the median counts
SINGLE, BATCHED = 9_000, 25_600  # statements in a round
BATCH = 256
CONNECTIONS = {1: 48, BATCH: 4}  # by statements in a request
PLAIN = 4_000  # statements of the plain INSERT


def run() -> list[Row]:
    """Rounds of single and batched statements, then latencies at half of the rate found; about two minutes."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        with running(state) as hub:
            port = hub.ports["http"]
            for raw in admissions(state):
                load(port, [post("/entries", "application/cose", raw)], connections=1)
            first = 0
            for size, count in ((1, SINGLE), (BATCH, BATCHED)):
                found = []
                for _ in range(ROUNDS):
                    raws = anchors(first, count)
                    first += count
                    found.append(_once(port, raws, size, hub.processor_s))
                rate, verify, plain, cpu_us = sorted(found)[len(found) // 2]
                what = "single statements" if size == 1 else f"statements, {size} in a request"
                bare = {"ratio": rate / verify, "baseline": "bare PyNaCl verify/s of the same run"}
                rows.append({"what": what, "value": rate, "unit": "statements/s", **bare})
                baseline = {"ratio": rate / plain, "baseline": f"plain INSERT, {size} to a commit"}
                rows.append({"what": "  the same", "value": rate, "unit": "statements/s", **baseline})
                rows.append({"what": "  processor time of the ledger", "value": cpu_us, "unit": "us/statement"})
                if size == 1:
                    raws = anchors(first, count // 2)
                    first += len(raws)
                    rows += _latency(port, raws, rate / 2)
            rows.append({"what": "memory at the most", "value": hub.memory_mib(), "unit": "MiB"})
    return rows


def _requests(raws: Sequence[bytes], size: int) -> list[bytes]:
    return [post("/entries", "application/cose", raw) for raw in raws] if size == 1 else batches(raws, size)


def _once(port: int, raws: Sequence[bytes], size: int, processor_s: object) -> tuple[float, float, float, float]:
    """(statements/s, verifications/s, plain INSERTs/s, processor microseconds a statement) of one round."""
    assert callable(processor_s)
    before = verifications(raws)
    begun_s = processor_s()
    result = load(port, _requests(raws, size), connections=CONNECTIONS[size])
    cpu_us = (processor_s() - begun_s) / len(raws) * 1e6
    after = verifications(raws)
    return len(raws) / result["seconds"], statistics.mean((before, after)), plain_inserts(raws, size), cpu_us


def _latency(port: int, raws: Sequence[bytes], rate: float) -> list[Row]:
    result = load(port, _requests(raws, 1), connections=CONNECTIONS[1], pace_s=1 / rate)
    at = f"at {rate:,.0f} single statements/s"
    return [
        {"what": f"  until a receipt, p50, {at}", "value": result["p50_s"] * 1e3, "unit": "ms"},
        {"what": "  until a receipt, p99", "value": result["p99_s"] * 1e3, "unit": "ms"},
    ]


def plain_inserts(raws: Sequence[bytes], size: int) -> float:
    """Rows a second of the same bytes into a table of one column, `size` to a transaction, as durable as the ledger's."""
    with (
        tempfile.TemporaryDirectory() as folder,
        sqlite3.connect(Path(folder) / "plain.db", isolation_level=None) as db,
    ):
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE plain(raw BLOB)")
        some = raws[:PLAIN]
        begun_s = time.perf_counter()
        for place in range(0, len(some), size):
            db.execute("BEGIN")
            db.executemany("INSERT INTO plain VALUES (?)", [(raw,) for raw in some[place : place + size]])
            db.execute("COMMIT")
        return len(some) / (time.perf_counter() - begun_s)
