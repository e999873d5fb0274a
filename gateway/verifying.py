"""When and where signatures are verified: here when few wait, in other processes when many do. Verdicts come in the order of the
messages."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Protocol

from gateway.admission import Entrant
from gateway.ingress.arrival import Arrival
from protocol import message
from protocol.signatures import Claim, all_hold, holds

JOB_MESSAGES = 64  # signatures in one job: enough that handing it over costs little
JOBS_MAX = 8  # jobs under way: some in hand and some waiting, also while a turn is long
POOL_FROM = 8  # fewer waiting messages than this are verified here: a job would only add latency

Waiting = tuple[Arrival, Entrant]


class Pool(Protocol):
    """Who verifies beside us: `gateway.verifiers.Verifiers`."""

    @property
    def ready(self) -> bool:
        """Whether `submit` may be called."""

    def submit(self, claims: Sequence[Claim]) -> "Future[list[bool]]":
        """A verdict for each claim, given on the event loop."""


def claim_of(entrant: Entrant) -> Claim:
    """What an entrant's signature claims. Its kid was compared before."""
    seen = entrant.message
    return seen.signature + message.signed_bytes(seen), entrant.member.key.x


class Verifying:
    """pool: runs jobs, or None to verify inline always; wake: asks for another turn when a job is done."""

    def __init__(self, pool: Pool | None, wake: Callable[[], None]) -> None:
        self._pool, self._wake = pool, wake
        self._jobs: deque[tuple[list[Waiting], Future[list[bool]]]] = deque()
        self.count = 0  # messages in jobs

    def now(self, entrant: Entrant) -> bool:
        """The verdict for one message, at once."""
        return holds(claim_of(entrant))

    def turn(self, inbox: "deque[Waiting]", most: int) -> Iterator[tuple[Waiting, bool]]:
        """Verdicts that are ready, in order; starts jobs for what waits."""
        self._start(inbox)
        if self._jobs and self._jobs[0][1].done():
            waiting, job = self._jobs.popleft()
            self.count -= len(waiting)
            self._start(inbox)
            yield from zip(waiting, job.result(), strict=True)
        elif not self._jobs:
            turn = [inbox.popleft() for _ in range(min(most, len(inbox)))]
            yield from zip(turn, all_hold([claim_of(entrant) for _, entrant in turn]), strict=True)

    def pressing(self, inbox: "deque[Waiting]") -> bool:
        """Whether another turn would find something to do now; otherwise a finished job wakes."""
        if self._jobs:
            return self._jobs[0][1].done()
        return bool(inbox)

    def _start(self, inbox: "deque[Waiting]") -> None:
        if self._pool is None or not self._pool.ready:
            return
        while len(self._jobs) < JOBS_MAX and len(inbox) >= (POOL_FROM if not self._jobs else JOB_MESSAGES // 2):
            waiting = [inbox.popleft() for _ in range(min(JOB_MESSAGES, len(inbox)))]
            job = self._pool.submit([claim_of(entrant) for _, entrant in waiting])
            self._jobs.append((waiting, job))
            self.count += len(waiting)
            job.add_done_callback(self._done)

    def _done(self, _: "Future[list[bool]]") -> None:
        """A job is done."""
        self._wake()
