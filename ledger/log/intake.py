"""Statements from an event loop into the log: all that wait share one transaction, one wait for the disk and one thread."""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ledger.log.engine import Engine
from ledger.log.registering import BATCH_MAX, Registered
from protocol.errors import Unavailable, VigilError

WAITING_MAX = (
    4096  # statements that wait or are being written, some 300 MB at the worst; who comes beyond is asked to come back
)
JOB_MAX = (
    4 * BATCH_MAX
)  # statements at once, where so many wait: while one transaction is written, the next is verified

Verdicts = list[Registered | VigilError]


class Intake:
    """Everything but `close` belongs to one event loop."""

    def __init__(self, engine: Engine, *, waiting_max: int = WAITING_MAX) -> None:
        self._engine, self._waiting_max = engine, waiting_max
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vigil-log")
        self._queue: deque[tuple[Sequence[bytes], asyncio.Future[Verdicts]]] = deque()
        self._writing: list[tuple[Sequence[bytes], asyncio.Future[Verdicts]]] = []
        self.waiting = 0
        """Statements that have no verdict yet."""

    async def register(self, raw: bytes) -> Registered:
        """As `Engine.register`. Raises also Unavailable: too_many."""
        (found,) = await self.register_many((raw,))
        if isinstance(found, VigilError):
            raise found
        return found

    async def register_many(self, raws: Sequence[bytes]) -> Verdicts:
        """A verdict for each statement. Who stops waiting for them stops nothing. Raises Unavailable: too_many."""
        if self.waiting + len(raws) > self._waiting_max:
            raise Unavailable("too_many", "too many statements are waiting: come back")
        told: asyncio.Future[Verdicts] = asyncio.get_running_loop().create_future()
        self.waiting += len(raws)
        self._queue.append((raws, told))
        self._write()
        return await told

    def close(self) -> None:
        """After what is being written is on disk."""
        self._thread.shutdown()

    def _write(self) -> None:
        if self._writing or not self._queue:
            return
        count = 0
        while self._queue and count < JOB_MAX:
            self._writing.append(self._queue.popleft())
            count += len(self._writing[-1][0])
        raws = [raw for group, _ in self._writing for raw in group]
        job = asyncio.get_running_loop().run_in_executor(self._thread, self._engine.register_many, raws)
        job.add_done_callback(self._written)

    def _written(self, job: "asyncio.Future[Verdicts]") -> None:
        """Give each its verdicts. A bug of ours is everybody's who was there: nobody waits for ever."""
        error = job.exception()
        found = iter(() if error is not None else job.result())
        for raws, told in self._writing:
            self.waiting -= len(raws)
            verdicts = [verdict for _, verdict in zip(raws, found, strict=False)]
            if told.done():
                continue
            if error is not None:
                told.set_exception(error)
            else:
                told.set_result(verdicts)
        self._writing = []
        self._write()
