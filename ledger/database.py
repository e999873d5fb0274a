"""What the ledger's, the party's and the witness's databases have in common: durable SQLite, laid out once and marked as ours."""

import sqlite3


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
