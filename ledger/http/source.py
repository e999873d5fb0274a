"""The engine as an event loop uses it: statements go through the intake, and reads that block run in threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ledger.log.engine import Engine
from ledger.log.intake import Intake

THREADS = 4  # reads at once; more wait their turn, each for a connection that somebody holds open

_T = TypeVar("_T")


class Source:
    """One log for the handlers of one event loop."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.intake = engine, Intake(engine)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="vigil-ledger")

    async def read(self, job: Callable[[], _T]) -> _T:
        """What `job` gives, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, job)

    def close(self) -> None:
        """After what is being written is on disk. Blocks."""
        self.intake.close()
        self._threads.shutdown()
