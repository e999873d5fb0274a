"""The gateway's web servers."""

import asyncio
import socket

import pytest
from starlette.responses import PlainTextResponse

from gateway import serving


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections have what their listener has."""
    made: list[socket.socket] = []
    create = socket.create_server
    monkeypatch.setattr(socket, "create_server", lambda *at, **how: made.append(create(*at, **how)) or made[-1])

    async def serve() -> list[int]:
        async with serving.serving(PlainTextResponse(""), host="127.0.0.1", port=0, name="a test"):
            return [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in made]

    assert asyncio.run(serve()) == [1]
