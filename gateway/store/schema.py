"""The tables, made and changed by sqlite-utils migrations, and how a connection is opened.

Three files, because they live differently. gateway.db is the record: synchronous FULL, nothing acknowledged before it. values.db
holds decoded readings, sealed, and can be made again from the record. keys.db holds what opens both; it is small, and is backed
up apart and for a short time. Both overwrite what they delete.
"""

import os
import sqlite3
from pathlib import Path

import sqlite_utils
from sqlite_utils.migrations import Migrations

from gateway.store import alerts
from protocol.errors import Unavailable

BUSY_TIMEOUT_S = 5.0  # the command line and the service share the files; whoever waits longer reports a fault
JOURNALS = ("-wal", "-shm")  # what SQLite keeps beside a file
WAL_PAGES = 2000  # pages before a checkpoint: about 8 MB

RECORD = Migrations("vigil-gateway")
VALUES = Migrations("vigil-values")
KEYS = Migrations("vigil-keys")


@RECORD()
def messages(db: sqlite_utils.Database) -> None:
    """Messages as received, the positions that are covered, conflicts, and the enrolled devices."""
    db.conn.execute(
        "CREATE TABLE device (id INTEGER PRIMARY KEY, device TEXT NOT NULL UNIQUE, key BLOB NOT NULL, link BLOB NOT NULL,"
        " state TEXT NOT NULL, name TEXT NOT NULL, paired_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL,"
        " document BLOB NOT NULL, statement BLOB NOT NULL, certificate TEXT NOT NULL)"
    )
    db.conn.execute(
        "CREATE TABLE message (id INTEGER PRIMARY KEY AUTOINCREMENT, device INTEGER NOT NULL REFERENCES device(id),"
        " lane INTEGER NOT NULL, boot INTEGER NOT NULL, seq INTEGER NOT NULL, received_ms INTEGER NOT NULL,"
        " hash BLOB NOT NULL, raw BLOB NOT NULL)"
    )
    db.conn.execute("CREATE UNIQUE INDEX message_position ON message(device, lane, boot, seq)")
    db.conn.execute(
        "CREATE TABLE covered (device INTEGER NOT NULL, lane INTEGER NOT NULL, boot INTEGER NOT NULL,"
        " first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (device, lane, boot, first))"
    )
    db.conn.execute(
        "CREATE TABLE conflict (id INTEGER PRIMARY KEY, device INTEGER NOT NULL, lane INTEGER NOT NULL,"
        " boot INTEGER NOT NULL, seq INTEGER NOT NULL, received_ms INTEGER NOT NULL, hash BLOB NOT NULL UNIQUE,"
        " raw BLOB NOT NULL)"
    )
    db.conn.execute(
        "CREATE TABLE gap (device INTEGER NOT NULL, lane INTEGER NOT NULL, boot INTEGER NOT NULL, first INTEGER NOT NULL,"
        " last INTEGER NOT NULL, reason TEXT NOT NULL, message INTEGER NOT NULL,"
        " PRIMARY KEY (device, lane, boot, first, last))"
    )


@RECORD()
def alarms(db: sqlite_utils.Database) -> None:
    """Alerts, their history and what is to be sent."""
    for statement in alerts.SCHEMA:
        db.conn.execute(statement)


@RECORD()
def anchors(db: sqlite_utils.Database) -> None:
    """Batches, and the statements that wait for the ledger or that it holds."""
    db.conn.execute(
        "CREATE TABLE anchor (n INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, size INTEGER NOT NULL,"
        " from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, document BLOB NOT NULL, digest BLOB NOT NULL UNIQUE)"
    )
    db.conn.execute(
        "CREATE TABLE submission (digest BLOB PRIMARY KEY, rank INTEGER NOT NULL, kind TEXT NOT NULL,"
        " statement BLOB NOT NULL, made_ms INTEGER NOT NULL, entry_id TEXT, idx INTEGER, size INTEGER, receipt BLOB,"
        " done_ms INTEGER, refused TEXT)"
    )
    db.conn.execute("CREATE INDEX submission_open ON submission(rank, made_ms) WHERE done_ms IS NULL")


@RECORD()
def enrolments(db: sqlite_utils.Database) -> None:
    """Every enrolment that there was, for the evidence of what came under it: a device that is paired again has another."""
    db.conn.execute(
        "CREATE TABLE enrolment (device TEXT NOT NULL, link BLOB NOT NULL, document BLOB NOT NULL, statement BLOB NOT NULL,"
        " PRIMARY KEY (device, link))"
    )
    db.conn.execute("INSERT INTO enrolment SELECT device, link, document, statement FROM device")


@RECORD()
def heads(db: sqlite_utils.Database) -> None:
    """The newest checkpoint of each log that was verified: the next one has to hold its tree."""
    db.conn.execute(
        "CREATE TABLE head (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL)"
    )


@RECORD()
def requests(db: sqlite_utils.Database) -> None:
    """What people ask of a running gateway."""
    db.conn.execute(
        "CREATE TABLE asked (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, argument TEXT NOT NULL, by TEXT NOT NULL,"
        " made_ms INTEGER NOT NULL, done_ms INTEGER, outcome TEXT)"
    )
    db.conn.execute("CREATE INDEX asked_open ON asked(id) WHERE done_ms IS NULL")


@RECORD()
def contradictions(db: sqlite_utils.Database) -> None:
    """When the newest checkpoint of a log was kept, which statements were made since, and what contradicts it, as files that
    anybody can check. A statement that waited before this was known may be in the log already."""
    db.conn.execute("ALTER TABLE head ADD COLUMN at_ms INTEGER NOT NULL DEFAULT 0")
    db.conn.execute("UPDATE head SET at_ms = CAST(strftime('%s', 'now') AS INTEGER) * 1000")
    db.conn.execute("ALTER TABLE submission ADD COLUMN older INTEGER NOT NULL DEFAULT 1")
    db.conn.execute(
        "CREATE TABLE contradiction (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, origin TEXT NOT NULL,"
        " seen_ms INTEGER NOT NULL, file BLOB NOT NULL)"
    )


@RECORD()
def ends(db: sqlite_utils.Database) -> None:
    """Where a log ended, once the next one was seen to go on from there."""
    db.conn.execute("ALTER TABLE head ADD COLUMN ended INTEGER")


@VALUES()
def values(db: sqlite_utils.Database) -> None:
    """Stretches of decoded readings, sealed under the enrolment's store key."""
    db.conn.execute(
        "CREATE TABLE value (id INTEGER PRIMARY KEY, device INTEGER NOT NULL, first_ms INTEGER NOT NULL,"
        " last_ms INTEGER NOT NULL, sealed BLOB NOT NULL)"
    )
    db.conn.execute("CREATE INDEX value_time ON value(device, last_ms)")


@VALUES()
def retention(db: sqlite_utils.Database) -> None:
    """Samples apart from everything else, and what lies around an alarm. Older rows hold both: they go when samples go."""
    db.conn.execute("ALTER TABLE value ADD COLUMN samples INTEGER NOT NULL DEFAULT 1")
    db.conn.execute("ALTER TABLE value ADD COLUMN strip INTEGER NOT NULL DEFAULT 0")
    db.conn.execute("CREATE INDEX value_age ON value(samples, last_ms) WHERE strip = 0")


@KEYS()
def secrets(db: sqlite_utils.Database) -> None:
    """Keys of enrolments and open pairing offers."""
    db.conn.execute(
        "CREATE TABLE enrolment (device TEXT PRIMARY KEY, lk BLOB NOT NULL, store_key BLOB NOT NULL, made_ms INTEGER NOT NULL)"
    )
    db.conn.execute(
        "CREATE TABLE offer (secret BLOB PRIMARY KEY, name TEXT NOT NULL, expires_ms INTEGER NOT NULL, request BLOB,"
        " answer BLOB)"
    )


def opened(path: Path, migrations: Migrations, *, full: bool = True) -> sqlite3.Connection:
    """A connection to the database at `path`, its tables up to date. full: fsync at every commit.

    The caller begins and commits transactions itself. Raises Unavailable: store_unreadable.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the mode of this one
        for each in (path, *(path.with_name(path.name + suffix) for suffix in JOURNALS)):
            if each.exists():
                each.chmod(0o600)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        if migrations is not RECORD:
            connection.execute("PRAGMA secure_delete = ON")
        database = sqlite_utils.Database(connection)
        if migrations.pending(database):
            migrations.apply(database)
    except (sqlite3.Error, OSError) as error:
        raise Unavailable("store_unreadable", f"cannot open {path}: {error}") from error
    return connection


def reader(path: Path) -> sqlite3.Connection:
    """A read-only connection to an existing database. Raises Unavailable: store_unreadable."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise Unavailable("store_unreadable", f"cannot open {path}: {error}") from error
    return connection
