"""The ledger's side of a process that verifies signatures: jobs out, verdicts in; the process is never needed.

While it verifies one job, the thread that writes the log judges the statements of the job before. A process that died, cannot be
started or is stuck costs nothing but its help: whoever asked verifies in place, and another is started later.
"""

import contextlib
import fcntl
import logging
import os
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence

from protocol.signatures import Claim, packed

MODULE = "ledger.log.signatures"
JOB_CLAIMS = 32  # in one job: handing it over costs little, and the first verdicts come soon
JOBS_AHEAD = 8  # jobs in the process's hands: it goes on while what it said before is written and receipted
PIPE_SIZE = 1024 * 1024  # bytes that its input holds, where the system allows it: jobs of usual statements fit
POOL_FROM = 16  # fewer claims than these are verified in place: a job would only add to the wait
STUCK_AFTER_S = 2.0  # 32 signatures take some milliseconds; a process that takes so long is ended
WARM_AFTER_S = (
    0.5  # a process that was just started is first asked so much later: until then, who waits would wait for it
)
AGAIN_AFTER_S = 5.0  # a process that ended is started again so much later
END_WITHIN_S = 1.0  # once its input is closed; then it is ended

log = logging.getLogger(__name__)


class Verifying:
    """One process at most, started when it is first wanted; for one thread at a time. on: whether there is to be one at all."""

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self._process: subprocess.Popen[bytes] | None = None
        self._again_s = self._warm_s = 0.0
        self._newest: Verdicts | None = None

    def verdicts(self, claims: Sequence[Claim | None]) -> "Verdicts":
        """What becomes of these claims, to be asked for in their order; a claim that is None gets no verdict."""
        if self._newest is not None:
            self._newest.finish()  # whoever asked may have failed: what it left unread would be taken for these
        wanted = sum(claim is not None for claim in claims)
        process = self._ready() if wanted >= POOL_FROM else None
        self._newest = Verdicts(self, process, claims)
        return self._newest

    def close(self) -> None:
        """Close its input, at which it ends, or else end it."""
        self._on = False
        self._newest = None
        process, self._process = self._process, None
        if process is not None:
            _end(process)

    def lost(self, process: subprocess.Popen[bytes]) -> None:
        """It died or is stuck: go on without."""
        if self._process is process:
            log.warning("the process that verifies signatures ended; they are verified in place for now")
            self._process, self._again_s = None, time.monotonic() + AGAIN_AFTER_S
            process.kill()
            _end(process)

    def _ready(self) -> subprocess.Popen[bytes] | None:
        if self._process is None and self._on and time.monotonic() >= self._again_s:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-m", MODULE],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            except OSError as error:
                log.warning("signatures are verified in the ledger's own process: %s", error.strerror)
                self._again_s = time.monotonic() + AGAIN_AFTER_S
                return None
            if self._process.stdin is not None:
                os.set_blocking(self._process.stdin.fileno(), False)
                with contextlib.suppress(OSError):
                    fcntl.fcntl(self._process.stdin.fileno(), fcntl.F_SETPIPE_SZ, PIPE_SIZE)
            self._warm_s = time.monotonic() + WARM_AFTER_S
        return self._process if time.monotonic() >= self._warm_s else None


class Verdicts:
    """The verdicts on some claims, in their order. Two follow each other: the second is asked for when the first was told."""

    def __init__(
        self, owner: Verifying, process: subprocess.Popen[bytes] | None, claims: Sequence[Claim | None]
    ) -> None:
        self._owner, self._process = owner, process
        kept = [claim for claim in claims if claim is not None]
        self._jobs = deque(kept[place : place + JOB_CLAIMS] for place in range(0, len(kept), JOB_CLAIMS))
        self._asked: deque[int] = deque()  # claims in each job that is in its hands
        self._told: deque[bool] = deque()
        self._give()

    def next(self) -> bool | None:
        """Whether the next claim holds; None when nobody knows and the caller has to look."""
        while not self._told and self._process is not None and (self._jobs or self._asked):
            self._give()
            self._take()
        return self._told.popleft() if self._told else None

    def finish(self) -> None:
        """Take what is still on its way, so that it is not taken for the verdicts of what comes next."""
        self._jobs.clear()
        while self._process is not None and self._asked:
            self._take()

    def _give(self) -> None:
        while self._process is not None and self._jobs and len(self._asked) < JOBS_AHEAD:
            job = self._jobs.popleft()
            self._asked.append(len(job))
            self._written(packed(job))

    def _take(self) -> None:
        if self._process is None or not self._asked or self._process.stdout is None:
            return
        found, count, ends_s = b"", self._asked[0], time.monotonic() + STUCK_AFTER_S
        while len(found) < count:
            pipe = self._process.stdout.fileno()
            part = os.read(pipe, count - len(found)) if _free(pipe, select.POLLIN, ends_s) else b""
            if not part:
                self._gone()
                return
            found += part
        self._asked.popleft()
        self._told.extend(verdict == 1 for verdict in found)

    def _written(self, data: bytes) -> None:
        if self._process is None or self._process.stdin is None:
            return
        rest, ends_s = memoryview(data), time.monotonic() + STUCK_AFTER_S
        while rest:
            pipe = self._process.stdin.fileno()
            if not _free(pipe, select.POLLOUT, ends_s):
                self._gone()
                return
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                continue
            except OSError:
                self._gone()
                return

    def _gone(self) -> None:
        if self._process is not None:
            self._owner.lost(self._process)
        self._process = None
        self._jobs.clear()
        self._asked.clear()


def _free(pipe: int, event: int, ends_s: float) -> bool:
    """Whether a pipe can be read or written before `ends_s`. Not by `select`: it takes no descriptor from 1024 on, which
    a ledger with many connections has."""
    waiting = select.poll()
    waiting.register(pipe, event)
    return bool(waiting.poll(max(0.0, ends_s - time.monotonic()) * 1000))


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
