"""The running ledger: one engine behind two HTTP servers, the world's and the operator's, until a signal ends it."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn

from ledger import contracts
from ledger.http import app as http
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from ledger.settings import Settings
from protocol.errors import Unavailable

GRACE_S = 10  # how long requests under way may take once a signal came
STARTED_EVERY_S = 0.01  # between two looks at whether the servers accept
BACKLOG = 512  # connections that wait to be accepted
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a running ledger is found."""

    url: str
    metrics: str


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs it: two of them share a process here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(engine: Engine, settings: Settings, *, ready: Callable[[Addresses], None]) -> None:
    """Serve until SIGTERM or SIGINT. ready: called once, when both servers accept.

    Raises Unavailable: address_in_use.
    """
    with contextlib.ExitStack() as held:
        outer = held.enter_context(_bound(settings.host, settings.port))
        inner = held.enter_context(_bound(settings.metrics_host, settings.metrics_port))
        metrics = Metrics(contracts.CODES)
        world, operator = http.app(engine, metrics), http.metrics_app(engine, metrics)
        servers = {_server(world): outer, _server(operator): inner}
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, _stop, *servers)
            held.callback(loop.remove_signal_handler, number)
        async with asyncio.TaskGroup() as tasks:
            for server, listener in servers.items():
                tasks.create_task(server.serve(sockets=[listener]))
            for server in servers:
                await _started(server)
            ready(Addresses(url=_url(outer), metrics=_url(inner)))


def _server(app: Any) -> _Server:
    config = uvicorn.Config(
        app,
        access_log=False,  # paths would name entries and who asks for them
        log_level="warning",
        lifespan="auto",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        ws="none",
    )
    return _Server(config)


async def _started(server: _Server) -> None:
    while not server.started and not server.should_exit:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(STARTED_EVERY_S)


def _stop(*servers: _Server) -> None:
    for server in servers:
        server.should_exit = True


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Unavailable("address_in_use", f"cannot listen on {host} port {port}: {error.strerror}") from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
