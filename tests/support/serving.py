"""An application on a free loopback port, in a thread of its own, for tests that talk to it as the world does."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

STARTED_WITHIN_S = 10


@contextlib.contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The URL of `app` while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            ends_s = time.monotonic() + STARTED_WITHIN_S
            while not server.started:
                assert thread.is_alive() and time.monotonic() < ends_s, "the server did not start"
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def nobody() -> str:
    """A URL where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
