"""Signatures: one by one when few wait, in a small pool when many do; verdicts come in the order of the messages."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future

import nacl.bindings
import nacl.exceptions

from gateway.admission import Entrant
from gateway.ingress.arrival import Arrival
from protocol import message

JOB_MESSAGES = 64  # signatures in one job of the pool: enough that handing it over costs little
JOBS_MAX = 4  # jobs under way: both threads busy and one each waiting
POOL_FROM = 8  # fewer waiting messages than this are verified inline: a job would only add latency

Waiting = tuple[Arrival, Entrant]
Claim = tuple[bytes, bytes]
"""(signature and what it is over, 32-byte key)"""


def holds(claim: Claim) -> bool:
    """Whether one Ed25519 signature holds, by libsodium's rules."""
    try:
        nacl.bindings.crypto_sign_open(*claim)
    except (nacl.exceptions.BadSignatureError, ValueError):
        return False
    return True


def all_hold(claims: Sequence[Claim]) -> list[bool]:
    """A verdict for each claim; libsodium runs without Python's lock."""
    return [holds(claim) for claim in claims]


def claim_of(entrant: Entrant) -> Claim:
    """What an entrant's signature claims. Its kid was compared before."""
    seen = entrant.message
    return seen.signature + message.signed_bytes(seen), entrant.member.key.x


class Verifying:
    """pool: runs jobs, or None to verify inline always; wake: asks for another turn when a job is done."""

    def __init__(self, pool: Executor | None, wake: Callable[[], None]) -> None:
        self._pool, self._wake = pool, wake
        self._jobs: deque[tuple[list[Waiting], Future[list[bool]]]] = deque()
        self.count = 0  # messages in jobs

    def now(self, entrant: Entrant) -> bool:
        """The verdict for one message, at once."""
        return holds(claim_of(entrant))

    def turn(self, inbox: "deque[Waiting]", most: int) -> Iterator[tuple[Waiting, bool]]:
        """Verdicts that are ready, in order; starts jobs for what waits."""
        self._start(inbox)
        while self._jobs and self._jobs[0][1].done():
            waiting, job = self._jobs.popleft()
            self.count -= len(waiting)
            self._start(inbox)
            yield from zip(waiting, job.result(), strict=True)
            return
        if not self._jobs:
            turn = [inbox.popleft() for _ in range(min(most, len(inbox)))]
            yield from zip(turn, all_hold([claim_of(entrant) for _, entrant in turn]), strict=True)

    def pressing(self, inbox: "deque[Waiting]") -> bool:
        """Whether another turn would find something to do now; otherwise a finished job wakes."""
        if self._jobs:
            return self._jobs[0][1].done()
        return bool(inbox)

    def _start(self, inbox: "deque[Waiting]") -> None:
        if self._pool is None:
            return
        while len(self._jobs) < JOBS_MAX and len(inbox) >= (POOL_FROM if not self._jobs else JOB_MESSAGES // 2):
            waiting = [inbox.popleft() for _ in range(min(JOB_MESSAGES, len(inbox)))]
            job = self._pool.submit(all_hold, [claim_of(entrant) for _, entrant in waiting])
            self._jobs.append((waiting, job))
            self.count += len(waiting)
            job.add_done_callback(self._done)

    def _done(self, _: "Future[list[bool]]") -> None:
        """Called in a thread of the pool."""
        self._wake()
