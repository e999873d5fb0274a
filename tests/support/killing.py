"""Work in a process that kills itself before one of its durable steps: every statement of SQL, every sync, every rename."""

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from ledger import database
from ledger.log import store
from ledger.party import store as party

READS = ("SELECT", "PRAGMA")  # statements of SQL that leave nothing behind


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Does `work` in a process of its own that dies before its durable step number `step`. Whether it did: else it was done."""
    child = os.fork()
    if child == 0:
        try:
            _die_at(step)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def _die_at(step: int) -> None:
    left = [step]

    def one(*_: object) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    connected, fsync, replace, unlink = store._connected, os.fsync, Path.replace, Path.unlink

    def watched(path: Path, mode: str = "rwc") -> sqlite3.Connection:
        one()
        db = connected(path, mode)
        if mode == "rwc":
            db.set_trace_callback(one)
        return db

    store._connected = watched
    for room in (database, party):
        _watch(room, one)
    os.fsync = lambda descriptor: (one(), fsync(descriptor))[1]
    Path.replace = lambda self, to: (one(), replace(self, to))[1]  # type: ignore[method-assign,assignment]
    Path.unlink = lambda self, missing_ok=False: (one(), unlink(self, missing_ok))[1]  # type: ignore[method-assign,assignment]


def _watch(room: ModuleType, one: Callable[[], None]) -> None:
    """Count what is written over the connections that a room makes."""
    connected = room._connected

    def watched(*given: object, **named: object) -> sqlite3.Connection:
        db: sqlite3.Connection = connected(*given, **named)
        db.set_trace_callback(lambda said: None if said.startswith(READS) else one())
        return db

    room._connected = watched
