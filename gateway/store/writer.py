"""The one thread that writes: a queue of jobs, each a transaction. It owns the connections; nobody else writes through them."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from gateway.store import schema
from protocol.errors import Unavailable

_T = TypeVar("_T")

RECORD_FILE, VALUES_FILE, KEYS_FILE = "gateway.db", "values.db", "keys.db"
Job = Callable[[sqlite3.Connection], _T]


class Writer:
    """Writes gateway.db, values.db and keys.db of one state folder."""

    def __init__(self, state: Path) -> None:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connections = {
            RECORD_FILE: schema.opened(state / RECORD_FILE, schema.RECORD),
            VALUES_FILE: schema.opened(state / VALUES_FILE, schema.VALUES, full=False),
            KEYS_FILE: schema.opened(state / KEYS_FILE, schema.KEYS),
        }
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vigil-writer")

    def submit(self, job: Job[_T], *, file: str = RECORD_FILE) -> "Future[_T]":
        """Run `job` in a transaction of its own. The future has its result after the commit, or Unavailable:
        store_failing, when nothing of it was written."""
        return self._thread.submit(self._transact, file, job)

    async def run(self, job: Job[_T], *, file: str = RECORD_FILE) -> _T:
        """As `submit`, awaited."""
        return await asyncio.wrap_future(self.submit(job, file=file))

    def scrub(self, file: str) -> "Future[None]":
        """Bring everything into the file itself and empty its journal, where deleted rows are still to be read. The future
        has Unavailable: store_busy, while another program reads the file."""
        return self._thread.submit(self._truncate, file)

    def _truncate(self, file: str) -> None:
        try:
            busy = self._connections[file].execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error as error:
            raise Unavailable("store_failing", f"cannot write {file}: {error}") from error
        if busy:
            raise Unavailable("store_busy", f"another program reads {file}: its journal holds deleted rows; try again")

    def _transact(self, file: str, job: Job[_T]) -> _T:
        connection = self._connections[file]
        try:
            if connection.in_transaction:  # a rollback failed
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            try:
                found = job(connection)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise Unavailable("store_failing", f"cannot write {file}: {error}") from error
        return found

    def close(self) -> None:
        """Finish what is queued, then close the files."""
        self._thread.shutdown(wait=True)
        for connection in self._connections.values():
            connection.close()
