"""The door of a server that strangers may call: so many at a time, of one address and in all, and each for a while only.

Without it whoever opens sockets and says nothing takes the file descriptors that devices need.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Who comes beyond the first two is closed without a word; whoever is not through after the last two, too."""

    of_address: int = 8
    of_all: int = 32
    handshake_s: float = 5.0
    whole_s: float = 20.0
    again_s: float = 0.2  # after accept failed, say for want of file descriptors


class Guest(H11Protocol):
    """One HTTP connection. left: set when it is over."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.left = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, from either side."""
        super().connection_lost(exc)
        self.left.set()


class Door:
    """make: a guest for each connection."""

    def __init__(self, *, make: Callable[[], Guest], context: ssl.SSLContext, limits: Limits) -> None:
        self._make, self._context, self._limits = make, context, limits
        self._inside: Counter[str] = Counter()
        self._hosting: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def opened(self, listener: socket.socket) -> AsyncIterator[None]:
        """Lets guests in while the block runs; those who are inside then are cut."""
        listener.setblocking(False)
        accepting = asyncio.create_task(self._accept(listener), name="door")
        try:
            yield
        finally:
            tasks = [accepting, *self._hosting]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop, limits = asyncio.get_running_loop(), self._limits
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(limits.again_s)
                continue
            if self._inside[address[0]] >= limits.of_address or self._inside.total() >= limits.of_all:
                accepted.close()
                continue
            self._inside[address[0]] += 1
            task = loop.create_task(self._host(accepted, address[0]))
            self._hosting.add(task)
            task.add_done_callback(self._hosting.discard)

    async def _host(self, accepted: socket.socket, address: str) -> None:
        try:
            transport, guest = await asyncio.get_running_loop().connect_accepted_socket(
                self._make,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake_s,
                ssl_shutdown_timeout=self._limits.handshake_s,
            )
            try:
                async with asyncio.timeout(self._limits.whole_s):
                    await guest.left.wait()
            finally:
                transport.abort()
        except (OSError, TimeoutError):
            accepted.close()  # no TLS, or too slow
        finally:
            self._inside[address] -= 1
            if not self._inside[address]:
                del self._inside[address]
