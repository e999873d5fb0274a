"""Signed messages a second through one real gateway process, over what bare PyNaCl verifies a second in the same run.

Everything that a message costs is in it: listener, admission, signature, decryption, detectors, one fsynced commit, PUBACK,
signed receipts, decoded values. The load is a process of its own on the machine's other core; a process that verifies shares
that core with it.
"""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nacl.bindings

from bench._fleet import Device, enrol, readings
from bench._hub import loading, outcome, running, start
from bench._load import Client, Job, packets
from protocol import message, topics

Row = dict[str, object]
DEVICES = 32
MESSAGES = 1_500  # of each device in a run
ROUNDS = 3  # runs of each kind; the median counts
VERIFY_S = 0.6  # how long the baseline is measured, before and after each run
VARIANTS = (
    # what, rounds of four vitals in a message, over TLS, processes for signatures
    ("4 vitals a message, plain socket, serial", 1, False, 0),
    ("4 vitals a message, plain socket, 1 process", 1, False, 1),
    ("4 vitals a message, TLS, serial", 1, True, 0),
    ("4 vitals a message, TLS, 1 process", 1, True, 1),
    ("16 readings a message, plain socket, serial", 4, False, 0),
    ("16 readings a message, plain socket, 1 process", 4, False, 1),
)


def run() -> list[Row]:
    """Each variant some times, each with its baseline measured around it; about three minutes."""
    rows: list[Row] = []
    for what, rounds, tls, processes in VARIANTS:
        found = [_once(rounds, tls=tls, processes=processes) for _ in range(ROUNDS)]
        found.sort(key=lambda run: run[0] / run[1])
        rate, verify, cpu_us, memory = found[len(found) // 2]
        bare = "bare PyNaCl verify/s of the same run"
        rows.append({"what": what, "value": rate, "unit": "messages/s", "ratio": rate / verify, "baseline": bare})
        if rounds > 1:
            readings_s = rate * rounds * 4
            row = {"what": "  readings in them", "value": readings_s, "unit": "readings/s"}
            rows.append({**row, "ratio": readings_s / verify, "baseline": bare})
        rows.append({"what": "  processor time of the gateway", "value": cpu_us, "unit": "us/message"})
        rows.append(
            {"what": "  processor time beyond the signature", "value": cpu_us - 1e6 / verify, "unit": "us/message"}
        )
        rows.append({"what": "  memory at the most", "value": memory, "unit": "MiB"})
    return rows


def _once(rounds: int, *, tls: bool, processes: int) -> tuple[float, float, float, float]:
    """(messages a second, verifications a second, processor microseconds a message, MiB) of one run."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        fleet = enrol(state, DEVICES)
        until_ms = time.time_ns() // 1_000_000
        sent = [tuple(readings(device, messages=MESSAGES, rounds=rounds, until_ms=until_ms)) for device in fleet]
        claims = _claims(fleet[0], sent[0])
        settings = {"verify_processes": processes, "data_rate_per_s": 1e6, "data_burst": 1e6}
        with running(state, **settings) as hub:
            job = Job(
                port=hub.ports["mqtt" if tls else "plain"],
                ca=hub.ca if tls else "",
                clients=tuple(
                    Client(
                        device=device.name,
                        packets=packets(device.name, topics.DATA, raw),
                        certificate=device.certificate,
                        key=device.key_pem,
                    )
                    for device, raw in zip(fleet, sent, strict=True)
                ),
            )
            with loading(job) as load:
                before = verifications(claims)
                idle_s = hub.processor_s()
                start(load)
                result = outcome(load)
                cpu_s = hub.processor_s() - idle_s
                after = verifications(claims)
            memory = hub.memory_mib()
        total = DEVICES * MESSAGES
        _durable(state, total, result)
        return total / result["seconds"], statistics.mean((before, after)), cpu_s / total * 1e6, memory


def _durable(state: Path, total: int, result: dict[str, float]) -> None:
    """No figure for work that was not done."""
    with sqlite3.connect(state / "gateway.db") as record:
        (stored,) = record.execute("SELECT COUNT(*) FROM message").fetchone()
    if stored != total or result["refused"] or not result["receipts"]:
        raise SystemExit(f"{stored} of {total} messages stored, {result['refused']:.0f} refused")


def _claims(device: Device, raws: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    topic = topics.up(device.name, topics.DATA)
    seen = [message.parse(raw, topic=topic, size_max=8192) for raw in raws[:500]]
    return [(one.signature + message.signed_bytes(one), device.key.public.x) for one in seen]


def verifications(claims: Sequence[tuple[bytes, bytes]]) -> float:
    """Bare PyNaCl: signatures verified a second on one core, over the very bytes that the gateway verifies."""
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < VERIFY_S:
        for claim in claims[:100]:
            nacl.bindings.crypto_sign_open(*claim)
        done += len(claims[:100])
    return done / (time.perf_counter() - begun)
