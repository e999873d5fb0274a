"""What people ask of a gateway from the command line, while it runs or while it does not.

A running gateway holds a lock on its folder and reads requests from a table; otherwise the command does the work itself, in the
same functions.
"""

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.alerts.book import REMEMBERED_MAX, Book, Changes, Notice, merged
from gateway.alerts.escalation import Policy
from gateway.store import alerts, devices, values
from gateway.store.writer import KEYS_FILE, RECORD_FILE, VALUES_FILE, Writer
from protocol.errors import ConfigError, NotFound, Unavailable, VigilError

LOCK_FILE = "gateway.lock"
ANSWER_S = 10.0  # how long a command waits for the running gateway
LOOK_EVERY_S = 0.05
KINDS = {str(kind.exit_code): kind for kind in (ConfigError, NotFound, Unavailable)}  # of errors that cross processes
ERASURE = "erasure"  # who resolves the alerts of an enrolment that is erased
SCRUBBED = (KEYS_FILE, VALUES_FILE)  # their journals are emptied after an erasure


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. kind: acknowledge, resolve, erase or test; argument: an alert, a device, or channels."""

    number: int
    kind: str
    argument: str
    by: str


@contextmanager
def sole(state: Path) -> Iterator[None]:
    """Hold the folder for one gateway. Raises ConfigError: state_in_use; Unavailable: state_unwritable."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(state / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unavailable("state_unwritable", f"cannot use the folder {state}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                "state_in_use", f"a gateway is running on {state}; stop it, or name another folder with --state"
            ) from error
        yield
    finally:
        os.close(descriptor)


def waiting(conn: sqlite3.Connection) -> list[Asked]:
    """Requests that nobody has done, oldest first. Raises Unavailable: store_failing."""
    try:
        rows = conn.execute("SELECT id, kind, argument, by FROM asked WHERE done_ms IS NULL ORDER BY id").fetchall()
    except sqlite3.Error as error:
        raise Unavailable("store_failing", f"cannot read requests: {error}") from error
    return [Asked(number=row[0], kind=row[1], argument=row[2], by=row[3]) for row in rows]


def done(conn: sqlite3.Connection, number: int, outcome: str, *, now_ms: int) -> None:
    """Write down what became of a request: "" or the `outcome_of` an error."""
    conn.execute("UPDATE asked SET done_ms = ?, outcome = ? WHERE id = ?", (now_ms, outcome, number))


def ask(state: Path, kind: str, argument: str, *, by: str, now_ms: int) -> None:
    """Have it done, by the running gateway or here. Raises what went wrong: NotFound, ConfigError, Unavailable."""
    writer = Writer(state)
    try:
        try:
            with sole(state):
                do(writer, Asked(number=0, kind=kind, argument=argument, by=by), now_ms=now_ms)
                return
        except ConfigError as error:
            if error.code != "state_in_use":
                raise
        number = writer.submit(lambda conn: _insert(conn, kind, argument, by, now_ms)).result()
        until_s = time.monotonic() + ANSWER_S
        while time.monotonic() < until_s:
            outcome = writer.submit(lambda conn: _outcome(conn, number)).result()
            if outcome is not None:
                _raise(outcome)
                return
            time.sleep(LOOK_EVERY_S)
        raise Unavailable("gateway_silent", "the running gateway has not answered; its log says why")
    finally:
        writer.close()


def do(writer: Writer, asked: Asked, *, now_ms: int) -> None:
    """Do a request without a running gateway."""
    if asked.kind == "erase":
        for step in erase_steps(asked.argument, now_ms=now_ms):
            writer.submit(step[1], file=step[0]).result()
        for file in SCRUBBED:
            writer.scrub(file).result()
    if asked.kind == "test":
        writer.submit(lambda conn: alerts.write(conn, test_notices(asked.argument, now_ms=now_ms))).result()
        return

    def act(conn: sqlite3.Connection) -> None:
        book = Book(Policy(), alerts.load(conn, most=REMEMBERED_MAX))
        alerts.write(conn, answer(book, asked, now_ms=now_ms))

    writer.submit(act).result()


def answer(book: Book, asked: Asked, *, now_ms: int) -> Changes:
    """What a person's answer changes in the book. When an enrolment is erased nobody waits for its device any more."""
    if asked.kind == "erase":
        found = [alert.id for alert in book.open() if alert.device == asked.argument]
        return merged(book.resolve(name, by=ERASURE, now_ms=now_ms) for name in found)
    if asked.kind == "acknowledge":
        return book.acknowledge(asked.argument, by=asked.by, now_ms=now_ms)
    return book.resolve(asked.argument, by=asked.by, now_ms=now_ms)


def erase_steps(device: str, *, now_ms: int) -> Iterator[tuple[str, Callable[[sqlite3.Connection], object]]]:
    """(file, job) in order: first the keys, which nothing can bring back, then what they opened, then the state."""
    row: list[int] = []

    def find(conn: sqlite3.Connection) -> None:
        row.append(devices.find(conn, device).row_id)
        devices.set_state(conn, device, "erasing", now_ms=now_ms)

    def scrub(conn: sqlite3.Connection) -> None:
        conn.execute("DELETE FROM enrolment WHERE device = ?", (device,))

    yield RECORD_FILE, find
    yield KEYS_FILE, scrub
    yield VALUES_FILE, lambda conn: values.erase(conn, row[0])


def test_notices(channels: str, *, now_ms: int) -> Changes:
    """A notice that says that it is a test, for each of the comma-separated channels."""
    body = json.dumps({"test": True, "text": "This is a test of the alarm channel", "made_ms": now_ms}).encode()
    return Changes(
        notices=tuple(
            Notice(id=f"test-{now_ms}-{name}", alert="test", channel=name, body=body, made_ms=now_ms)
            for name in channels.split(",")
            if name
        )
    )


def _insert(conn: sqlite3.Connection, kind: str, argument: str, by: str, now_ms: int) -> int:
    found = conn.execute(
        "INSERT INTO asked (kind, argument, by, made_ms) VALUES (?, ?, ?, ?)", (kind, argument, by, now_ms)
    )
    return int(found.lastrowid or 0)


def _outcome(conn: sqlite3.Connection, number: int) -> str | None:
    row = conn.execute("SELECT outcome FROM asked WHERE id = ? AND done_ms IS NOT NULL", (number,)).fetchone()
    return None if row is None else str(row[0])


def outcome_of(error: VigilError) -> str:
    """What `done` writes down of a failure: enough to raise it again in the process that asked."""
    return f"{error.exit_code} {error.code}: {error.detail}"


def _raise(outcome: str) -> None:
    if outcome:
        exit_code, _, said = outcome.partition(" ")
        code, _, detail = said.partition(": ")
        raise KINDS.get(exit_code, VigilError)(code, detail)
