"""A ledger of a million entries: what the next one costs as it grows, what it takes on disk, and what it serves.

The log is filled in this process, many statements to a transaction, by the code that the service runs; then a real ledger process
serves it. The baseline of growth is the same run at ten thousand entries.
"""

import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench._ledger import admissions, anchors, get, load, running, verifications
from ledger.log import fsck
from ledger.log.engine import Engine
from ledger.log.store import FILE

Row = dict[str, object]
SIZES = (10_000, 100_000, 1_000_000)
WINDOW = 8_960  # statements over which a cost is measured, up to each size: a whole number of transactions
BATCH = 256
CONNECTIONS = 8
PROOFS = 6_000  # requests of each kind
SEED = 7


def run() -> list[Row]:
    """Fill, measure on the way, serve, check; about eight minutes."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        rows += list(_filled(state))
        rows += _served(state)
        begun_s = time.perf_counter()
        found = fsck.check(state)
        rows.append({"what": f"fsck of {found.size:,} entries", "value": time.perf_counter() - begun_s, "unit": "s"})
    return rows


def _filled(state: Path) -> Iterator[Row]:
    engine = Engine.open(state, now_ms=lambda: time.time_ns() // 1_000_000, verify_process=True)
    try:
        for raw in admissions(state):
            engine.register(raw)
        first_us = 0.0
        for size in SIZES:
            _grow(engine, size - WINDOW)
            raws = anchors(engine.size, WINDOW)
            begun_s, cpu_s = time.perf_counter(), time.process_time()
            _register(engine, raws)
            cost_us = (time.perf_counter() - begun_s) / WINDOW * 1e6
            cpu_us = (time.process_time() - cpu_s) / WINDOW * 1e6
            first_us = first_us or cpu_us
            yield {"what": f"a statement in {BATCH}, at {size:,} entries", "value": cost_us, "unit": "us"}
            row = {"what": "  processor time of the ledger itself", "value": cpu_us, "unit": "us"}
            yield {**row, "ratio": cpu_us / first_us, "baseline": f"at {SIZES[0]:,} entries"}
            per_s = verifications(raws)
            row = {"what": "  statements/s", "value": 1e6 / cost_us, "unit": "statements/s"}
            yield {**row, "ratio": 1e6 / cost_us / per_s, "baseline": "bare PyNaCl verify/s of the same run"}
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield {"what": "memory of the process that filled it, at the most", "value": memory, "unit": "MiB"}
    finally:
        engine.close()
    disk = sum(path.stat().st_size for path in state.glob(f"{FILE}*")) / 2**20
    statement = sum(map(len, anchors(0, 100))) / 100 * SIZES[-1] / 2**20
    row = {"what": "disk for a million entries", "value": disk, "unit": "MiB"}
    yield {**row, "ratio": disk / statement, "baseline": "the statements alone"}


def _grow(engine: Engine, size: int) -> None:
    while engine.size < size:
        _register(engine, anchors(engine.size, min(50 * BATCH, size - engine.size)))


def _register(engine: Engine, raws: list[bytes]) -> None:
    for place in range(0, len(raws), BATCH):
        for verdict in engine.register_many(raws[place : place + BATCH]):
            if isinstance(verdict, Exception):
                raise SystemExit(f"refused: {verdict}")


def _served(state: Path) -> list[Row]:
    rng = random.Random(SEED)
    begun_s = time.perf_counter()
    with running(state) as hub:
        rows: list[Row] = [{"what": "until it serves", "value": time.perf_counter() - begun_s, "unit": "s"}]
        size = SIZES[-1]
        for what, path in (
            ("receipts of any entry", "/entries/1.{}"),
            ("inclusion proofs of any entry (.tlog-proof)", "/entries/1.{}/proof"),
            ("full tiles of hashes", "/tile/0/{:03d}"),
        ):
            most = 1000 if "tile" in path else size
            requests = [get(path.format(rng.randrange(most))) for _ in range(PROOFS)]
            result = load(hub.ports["http"], requests, connections=CONNECTIONS)
            rows.append({"what": what, "value": PROOFS / result["seconds"], "unit": "a second"})
            rows.append({"what": "  p99", "value": result["p99_s"] * 1e3, "unit": "ms"})
        rows.append({"what": "memory of the ledger at the most", "value": hub.memory_mib(), "unit": "MiB"})
    return rows
