"""The gateway's side of the processes that verify signatures: jobs out, verdicts in; none of them is needed.

A process that dies is started again. What it had in hand is verified here, so that nobody's message is lost with it.
"""

import asyncio
import logging
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from protocol.signatures import Claim, all_hold, packed

AGAIN_AFTER_S = 1.0  # a process that ended is started again so much later
END_WITHIN_S = 1.0  # once its input is closed; then it is ended
STUCK_AFTER_S = 3.0  # 64 signatures take some milliseconds; a process that takes so long is ended
MODULE = "gateway.signatures"

log = logging.getLogger(__name__)


class Verifier(asyncio.SubprocessProtocol):
    """One process and the jobs in its hands, the oldest first."""

    def __init__(self, owner: "Verifiers") -> None:
        self._owner = owner
        self.jobs: deque[tuple[Sequence[Claim], Future[list[bool]], float]] = deque()  # with when it was given, s
        self._rest = b""
        self._transport: asyncio.SubprocessTransport | None = None
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process runs."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def give(self, claims: Sequence[Claim]) -> "Future[list[bool]]":
        """Hand a job over."""
        job: Future[list[bool]] = Future()
        self.jobs.append((claims, job, asyncio.get_running_loop().time()))
        into = self._pipe()
        if into is not None:
            into.write(packed(claims))
        return job

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Verdicts of one job, a part of one, or more."""
        found = self._rest + data
        while self.jobs and len(found) >= len(self.jobs[0][0]):
            claims, job, _ = self.jobs.popleft()
            job.set_result([verdict == 1 for verdict in found[: len(claims)]])
            found = found[len(claims) :]
        self._rest = found

    def process_exited(self) -> None:
        """Verify what it had in hand, and start another unless we asked it to end."""
        self.gone.set()
        self._owner.left(self)
        while self.jobs:
            claims, job, _ = self.jobs.popleft()
            job.set_result(all_hold(claims))

    def look(self, now_s: float) -> None:
        """End it when it is stuck."""
        if self.jobs and now_s - self.jobs[0][2] > STUCK_AFTER_S and self._transport is not None:
            self._transport.kill()

    async def end(self) -> None:
        """Close its input, at which it ends, or else end it."""
        into = self._pipe()
        if into is not None:
            into.close()
        try:
            async with asyncio.timeout(END_WITHIN_S):
                await self.gone.wait()
        except TimeoutError:
            if self._transport is not None:
                self._transport.kill()
            await self.gone.wait()

    def _pipe(self) -> asyncio.WriteTransport | None:
        found = self._transport.get_pipe_transport(0) if self._transport is not None else None
        return found if isinstance(found, asyncio.WriteTransport) else None


class Verifiers:
    """count: processes. All methods belong to the event loop."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._all: list[Verifier] = []
        self._ending = False

    @property
    def ready(self) -> bool:
        """Whether any process runs; without one, verify where you are."""
        return bool(self._all)

    async def start(self) -> None:
        """Start what is missing. A machine that lets no process start verifies without."""
        while len(self._all) < self._count and not self._ending:
            try:
                _, verifier = await asyncio.get_running_loop().subprocess_exec(
                    lambda: Verifier(self), sys.executable, "-m", MODULE, stderr=subprocess.DEVNULL
                )
            except OSError as error:
                log.warning("signatures are verified in the gateway's own process: %s", error.strerror)
                return
            self._all.append(verifier)

    def submit(self, claims: Sequence[Claim]) -> "Future[list[bool]]":
        """Verdicts, in the order of the claims. Only when `ready`."""
        return min(self._all, key=lambda verifier: len(verifier.jobs)).give(claims)

    def look(self) -> None:
        """See whether one is stuck. Call it now and then."""
        for verifier in self._all:
            verifier.look(asyncio.get_running_loop().time())

    def left(self, verifier: Verifier) -> None:
        """A process ended."""
        if verifier in self._all:
            self._all.remove(verifier)
        if not self._ending:
            log.warning("a process that verifies signatures ended; another is started")
            asyncio.get_running_loop().call_later(AGAIN_AFTER_S, self._again)

    def _again(self) -> None:
        self._starting = asyncio.create_task(self.start())

    async def close(self) -> None:
        """End all of them."""
        self._ending = True
        for verifier in tuple(self._all):
            await verifier.end()
