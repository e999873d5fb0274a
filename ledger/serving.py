"""Web servers of one process: uvicorn without its signal handlers, on a socket that is bound first."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

from protocol.errors import Unavailable

SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRACE_S = 10  # how long requests under way may take once the server is told to end
STARTED_EVERY_S = 0.01  # between two looks at whether the server accepts
BACKLOG = 512  # connections that wait to be accepted; the kernel turns away who comes beyond


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs it: several of them share a process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


@contextlib.contextmanager
def told_to_end() -> Iterator[asyncio.Event]:
    """The event that SIGTERM and SIGINT set while the block runs, on the running loop."""
    ending, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, ending.set)
    try:
        yield ending
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, *, host: str, port: int, requests_max: int | None = None) -> AsyncIterator[str]:
    """Serve `app` while the block runs, and yield its URL. port: 0 for any free one.

    requests_max: connections and requests at once; beyond it the answer is 503.
    Raises Unavailable: address_in_use, server_failed.
    """
    with _bound(host, port) as listener:
        config = uvicorn.Config(
            app,
            access_log=False,  # paths would name entries and who asks for them
            log_level="warning",
            lifespan="auto",
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            limit_concurrency=requests_max,
            ws="none",
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]), name="server")
        try:
            while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(STARTED_EVERY_S)
            if not server.started:
                raise Unavailable("server_failed", "the server ended while it started")
            yield _url(listener)
        finally:
            server.should_exit = True
            await task


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.create_server((host, port), family=family, backlog=BACKLOG)
        # An answer's head and body are two writes: without this the second waits 40 ms for the first to be acknowledged.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections have it from the listener
        return found
    except OSError as error:
        raise Unavailable("address_in_use", f"cannot listen on {host} port {port}: {error.strerror}") from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
