"""The ledger's web servers."""

import asyncio
import socket
import time

from starlette.responses import PlainTextResponse

from ledger.serving import serving

ASKED = 6
WITHIN_S = 0.12  # for all of them; with Nagle's algorithm in the way each waits 40 ms for an acknowledgement


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_head() -> None:
    request = b"GET / HTTP/1.1\r\nhost: log.example\r\n\r\n"

    def ask(port: int) -> float:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            began_s = time.perf_counter()
            for _ in range(ASKED):
                connection.sendall(request)
                found = b""
                while not found.endswith(b"a body"):
                    found += connection.recv(65_536)
            return time.perf_counter() - began_s

    async def serve() -> float:
        async with serving(PlainTextResponse("a body"), host="127.0.0.1", port=0) as url:
            return min([await asyncio.to_thread(ask, int(url.rsplit(":", 1)[1])) for _ in range(3)])

    assert asyncio.run(serve()) < WITHIN_S
