"""Serves the page inside the gateway's own asyncio loop, on a loopback address only."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address

import uvicorn
from starlette.types import ASGIApp

from protocol.errors import ConfigError, Unavailable

KEEP_ALIVE_S = 30  # an idle connection of a browser
STOP_WITHIN_S = 2  # what is still being answered when the gateway stops is cut after this
CONNECTIONS_MAX = 128  # open sockets of pages; more are refused with 503
BACKLOG = 32  # connections that the kernel holds for us


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: the gateway decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # uvicorn's own generator type is not public
        """Nothing is captured."""
        yield


def loopback(host: str) -> str:
    """`host` as an address of this machine. Raises ConfigError page_not_loopback for any other."""
    try:
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise ConfigError("page_not_loopback", "the page has no sign-in yet: bind it to 127.0.0.1 or ::1")
    return str(address)


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve `app` while the block runs, and yield the port that is bound. port: 0 for any free one.

    Streams have to be ended first (`Hub.close`), or stopping takes `STOP_WITHIN_S`. Raises ConfigError page_not_loopback,
    Unavailable page_port.
    """
    address = loopback(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Unavailable("page_port", f"the page cannot listen on port {port}: {error.strerror}") from error
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_WITHIN_S,
            limit_concurrency=CONNECTIONS_MAX,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listening]), name="page")
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        await task
        listening.close()
