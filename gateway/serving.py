"""Web servers inside the gateway's own asyncio loop: uvicorn without its signal handlers, on a socket that is bound first."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from gateway.door import Door, Guest, Limits
from protocol.errors import Unavailable

KEEP_ALIVE_S = 30  # an idle connection
STOP_WITHIN_S = 2  # what is still being answered when the gateway stops is cut after this
BACKLOG = 32  # connections that the kernel holds for us


class _Server(uvicorn.Server):
    """The gateway decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    name: str,
    connections_max: int = 128,
    certificate: tuple[Path, Path] | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[int]:
    """Serve `app` while the block runs, and yield the port that is bound. port: 0 for any free one; certificate: files of
    the certificate and its key for TLS 1.3; limits: then, for whom it lets in, in place of connections_max.

    Raises Unavailable: port_taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections have it from the listener
    except OSError as error:
        raise Unavailable("port_taken", f"cannot listen on {host}:{port} for {name}: {error.strerror}") from error
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_WITHIN_S,
        limit_concurrency=None if certificate else connections_max,
        ssl_certfile=None if certificate is None else certificate[0],
        ssl_keyfile=None if certificate is None else str(certificate[1]),
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
    server = _Server(config)
    port = int(listening.getsockname()[1])
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(listening.close)
        task = asyncio.create_task(server.serve(sockets=[] if config.ssl else [listening]), name=name)
        stack.push_async_callback(_ended, server, task)
        if config.ssl is not None:

            def guest() -> Guest:
                return Guest(config=config, server_state=server.server_state, app_state={})

            await stack.enter_async_context(
                Door(make=guest, context=config.ssl, limits=limits or Limits()).opened(listening)
            )
        yield port


async def _ended(server: _Server, task: "asyncio.Task[None]") -> None:
    server.should_exit = True
    await task
