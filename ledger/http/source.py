"""The engine as an event loop uses it: statements go through the intake, and reads that block run in a thread."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ledger.log.engine import Engine
from ledger.log.intake import Intake
from protocol.errors import VigilError

READS_MAX = 32  # handed to the thread at once: who comes next waits for no more than these

_T = TypeVar("_T")
_Told = list[tuple[object, Exception | None]]


class Source:
    """One log for the handlers of one event loop.

    A log has one connection for reading, so a second thread would only wait for the first; and a way to a thread and back
    costs more than most reads, so those that wait go together.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine, self.intake = engine, Intake(engine)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vigil-ledger")
        self._queue: deque[tuple[Callable[[], object], asyncio.Future[object]]] = deque()
        self._reading: list[tuple[Callable[[], object], asyncio.Future[object]]] = []

    async def read(self, job: Callable[[], _T]) -> _T:
        """What `job` gives, in a thread."""
        told: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._queue.append((job, told))  # type: ignore[arg-type]  # a future of what the job gives
        self._read()
        return await told

    def close(self) -> None:
        """After what is being written is on disk. Blocks."""
        self.intake.close()
        self._thread.shutdown()

    def _read(self) -> None:
        if self._reading or not self._queue:
            return
        self._reading = [self._queue.popleft() for _ in range(min(READS_MAX, len(self._queue)))]
        jobs = [job for job, _ in self._reading]
        asyncio.get_running_loop().run_in_executor(self._thread, _all, jobs).add_done_callback(self._done)

    def _done(self, running: "asyncio.Future[_Told]") -> None:
        """Give each its answer. A bug of ours is everybody's who was there: nobody waits for ever."""
        bug = running.exception()
        outcomes: _Told = [(None, None)] * len(self._reading) if bug is not None else running.result()
        for (_, told), (value, error) in zip(self._reading, outcomes, strict=True):
            if told.done():
                continue
            failure = bug or error
            if failure is not None:
                told.set_exception(failure)
            else:
                told.set_result(value)
        self._reading = []
        self._read()


def _all(jobs: list[Callable[[], object]]) -> _Told:
    return [_one(job) for job in jobs]


def _one(job: Callable[[], object]) -> tuple[object, Exception | None]:
    try:
        return job(), None
    except (VigilError, sqlite3.Error) as error:
        return None, error
