"""Asks the ledger's application without a socket, and reads the problems that it answers with."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
from starlette.applications import Starlette

from ledger.http import problems
from protocol import cbor

COSE = {"content-type": "application/cose"}
BASE = "http://log.example"

T = TypeVar("T")


class Web:
    """One application. `held`: what `together` is given, in one event loop."""

    def __init__(self, app: Starlette) -> None:
        self.app = app

    def together(self, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
        """What `work` gives, all of it in one event loop."""

        async def ask() -> T:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
                return await work(client)

        return asyncio.run(ask())

    def request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """One request; an Accept-Encoding is sent only when it is given."""
        headers = {"accept-encoding": "identity", **sent.pop("headers", {})}
        return self.together(lambda client: client.request(method, path, headers=headers, **sent))

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET, with fields whose underscores are dashes."""
        return self.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, **sent: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", path, **sent)

    def register(self, raw: bytes, status: int = 201) -> str:
        """Register a statement; the name of its entry."""
        answer = self.post("/entries", content=raw, headers=COSE)
        assert answer.status_code == status, answer.content
        return str(answer.headers["location"]).removeprefix("/entries/")


def problem(answer: httpx.Response) -> tuple[int, str]:
    """(status, code) of an answer that is a problem."""
    assert answer.headers["content-type"] == problems.TYPE, answer.text
    found = cbor.decode(answer.content, size_max=1000)
    assert isinstance(found, dict)
    assert found.keys() == {-1, -2, problems.KEY}
    assert isinstance(found[-1], str) and isinstance(found[-2], str) and found[-2]
    ours = found[problems.KEY]
    assert isinstance(ours, dict)
    return answer.status_code, str(ours["code"])
