"""Registrations whose clients do not wait for them, each under a number of its own. SCRAPI, "Registration is running".

They are in memory only. After a restart, or once too many newer ones have ended, a number is unknown: its client registers
the statement again and finds it, because registering is idempotent.
"""

import asyncio

from ledger.log.registering import Registered
from protocol.errors import NotFound, Unavailable, VigilError

EPOCH = 0  # what their names begin with; the epochs of a log begin at 1, so no entry is ever called so
RUNNING_MAX = 1024  # at once; who comes beyond is asked to come back
ENDED_MAX = 4096  # of which the outcome is kept, some 4 MB; the one that ended first is forgotten

Outcome = Registered | VigilError


class Operations:
    """first: the number of the first one: the clock in microseconds, so that no number of an earlier run is used again."""

    def __init__(self, *, first: int) -> None:
        self._next = first
        self._running: dict[int, asyncio.Future[Registered]] = {}
        self._ended: dict[int, Outcome] = {}

    def check_room(self) -> None:
        """Raises Unavailable: too_many."""
        if len(self._running) >= RUNNING_MAX:
            raise Unavailable("too_many", "too many statements are being registered: come back")

    def add(self, future: asyncio.Future[Registered]) -> str:
        """Keep a registration until it is forgotten, and give it its name: "0.<n>"."""
        number, self._next = self._next, self._next + 1
        self._running[number] = future
        future.add_done_callback(lambda _: self._end(number))
        return f"{EPOCH}.{number}"

    def find(self, name: str) -> Outcome | None:
        """What the registration with this name came to; None while it runs. Raises NotFound: operation_unknown."""
        epoch, _, digits = name.partition(".")
        number = int(digits) if len(digits) < 20 and digits.isascii() and digits.isdecimal() else -1
        if epoch == str(EPOCH) and digits == str(number):
            if number in self._running:
                return None
            if number in self._ended:
                return self._ended[number]
        raise NotFound("operation_unknown", "no registration of this name is running: register the statement again")

    def _end(self, number: int) -> None:
        """A bug of ours is no outcome: the loop tells of it, and the registration is unknown."""
        future = self._running.pop(number)
        try:
            self._ended[number] = future.result()
        except VigilError as error:
            self._ended[number] = type(error)(error.code, error.detail)  # without the statement, which its trace holds
        except asyncio.CancelledError:
            return
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]


def is_name(name: str) -> bool:
    """Whether a name is an operation's and no entry's."""
    return name.startswith(f"{EPOCH}.")
