"""What the ledger's, the party's and the witness's databases have in common: durable SQLite, laid out once and marked as ours."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path


def make_durable(db: sqlite3.Connection) -> None:
    """WAL with synchronous=FULL: what a commit has returned from is on disk."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")


def lay_out(db: sqlite3.Connection, schema: str, *, application_id: int) -> bool:
    """Make the tables of an empty database and mark it; within the caller's transaction. Whether it was empty.

    schema: statements, each of which ends with a semicolon and a newline.
    """
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return False
    for one in schema.split(";\n"):
        db.execute(one)
    db.execute(f"PRAGMA application_id = {application_id}")
    return True


def opened(
    path: Path, schema: str, *, application_id: int, busy_ms: int, forgetting: bool = False
) -> sqlite3.Connection:
    """A connection for any thread to a durable file of mode 0600 that is ours, made and laid out when it is not there.

    busy_ms: how long another process is waited for; forgetting: what is deleted is not left in free pages.
    Raises OSError; sqlite3.Error, also for a file that is somebody else's.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    with contextlib.ExitStack() as held:
        db = _connected(path, busy_ms)
        held.callback(db.close)
        make_durable(db)
        if forgetting:
            db.execute("PRAGMA secure_delete = ON")
        with transaction(db):
            lay_out(db, schema, application_id=application_id)
        if db.execute("PRAGMA application_id").fetchone()[0] != application_id:
            raise sqlite3.DatabaseError("not ours, or of another release")
        held.pop_all()
    return db


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it is on disk when the block ends, or nothing. Raises sqlite3.Error."""
    if db.in_transaction:  # a rollback failed
        db.execute("ROLLBACK")
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _connected(path: Path, busy_ms: int) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=busy_ms / 1000)
