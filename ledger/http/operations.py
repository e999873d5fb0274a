"""Registrations whose clients do not wait for them, each under a number of its own. SCRAPI, "Registration is running".

They are in memory only. After a restart, or once too many newer ones have ended, a number is unknown: its client registers
the statement again and finds it, because registering is idempotent.
"""

import asyncio
from typing import Any

from protocol.errors import NotFound, Unavailable

EPOCH = 0  # what their names begin with; the epochs of a log begin at 1, so no entry is ever called so
RUNNING_MAX = 1024  # at once; who comes beyond is asked to come back
ENDED_MAX = 4096  # of which the outcome is kept; the one that ended first is forgotten


class Operations:
    """first: the number of the first one: the clock in microseconds, so that no number of an earlier run is used again."""

    def __init__(self, *, first: int) -> None:
        self._next = first
        self._running: dict[int, asyncio.Future[Any]] = {}
        self._ended: dict[int, asyncio.Future[Any]] = {}

    def check_room(self) -> None:
        """Raises Unavailable: too_many."""
        if len(self._running) >= RUNNING_MAX:
            raise Unavailable("too_many", "too many statements are being registered: come back")

    def add(self, future: asyncio.Future[Any]) -> str:
        """Keep a registration until it is forgotten, and give it its name: "0.<n>"."""
        number, self._next = self._next, self._next + 1
        self._running[number] = future
        future.add_done_callback(lambda _: self._end(number))
        return f"{EPOCH}.{number}"

    def find(self, name: str) -> asyncio.Future[Any]:
        """The registration with this name, which may have ended. Raises NotFound: operation_unknown."""
        epoch, _, digits = name.partition(".")
        if epoch == str(EPOCH) and len(digits) < 20 and digits.isascii() and digits.isdecimal():
            found = self._running.get(int(digits)) or self._ended.get(int(digits))
            if found is not None and digits == str(int(digits)):
                return found
        raise NotFound("operation_unknown", "no registration of this name is running: register the statement again")

    def _end(self, number: int) -> None:
        future = self._running.pop(number)
        if future.cancelled():
            return
        future.exception()  # looked at: what nobody asks for is not an error that went unseen
        self._ended[number] = future
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]


def is_name(name: str) -> bool:
    """Whether a name is an operation's and no entry's."""
    return name.startswith(f"{EPOCH}.")
