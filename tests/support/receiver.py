"""An HTTP receiver of webhooks on loopback that checks signatures with code of its own, and that can misbehave."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from nacl.signing import VerifyKey

Answer = tuple[int, dict[str, str]] | str
"""(status, headers), "hang", "drip" (a byte now and then, for ever) or "drop" (close without a word)."""
DRIP_EVERY_S = 0.05


@dataclass(frozen=True)
class Taken:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        """The idempotency key, without its quotes."""
        return self.headers["idempotency-key"].strip('"')


@dataclass
class Receiver:
    """answer: for the n-th request, from 0; taken: the requests in order."""

    answer: Callable[[int], Answer] = lambda _: (204, {})
    taken: list[Taken] = field(default_factory=list)
    url: str = ""
    authority: str = ""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client gave up, which is what hanging is for
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        first, *lines = head.strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.taken.append(Taken(method=method, path=path, headers=headers, body=body))
        self.arrived.set()
        found = self.answer(len(self.taken) - 1)
        if found == "hang":
            await reader.read()
        elif found == "drip":
            writer.write(b"HTTP/1.1 204 No Content\r\nx-slow: ")
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(DRIP_EVERY_S)
        elif found != "drop":
            assert not isinstance(found, str)
            status, more = found
            extra = "".join(f"{name}: {value}\r\n" for name, value in more.items())
            writer.write(f"HTTP/1.1 {status} Said\r\ncontent-length: 0\r\nconnection: close\r\n{extra}\r\n".encode())
            await writer.drain()


@asynccontextmanager
async def receiving(answer: Callable[[int], Answer] = lambda _: (204, {})) -> AsyncIterator[Receiver]:
    """A receiver while the block runs."""
    made = Receiver(answer)
    server = await asyncio.start_server(made._serve, "127.0.0.1", 0)
    made.authority = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    made.url = f"http://{made.authority}/alerts"
    try:
        yield made
    finally:
        server.close()
        if hasattr(server, "close_clients"):
            server.close_clients()


def check(taken: Taken, *, authority: str, public_key: bytes) -> dict[str, str]:
    """Check a request's digest and signature (RFC 9421 §3.2) from its bytes alone; its signature parameters. Raises
    AssertionError, or what PyNaCl raises for a signature that does not hold."""
    digest = re.fullmatch(r"sha-256=:([A-Za-z0-9+/=]+):", taken.headers["content-digest"])
    assert digest and base64.b64decode(digest[1]) == hashlib.sha256(taken.body).digest()
    label, _, parameters = taken.headers["signature-input"].partition("=")
    covered = re.match(r"\(([^)]*)\)", parameters)
    assert covered
    names = re.findall(r'"([^"]+)"', covered[1])
    values = {"@method": taken.method, "@target-uri": f"http://{authority}{taken.path}", **taken.headers}
    lines = [f'"{name}": {values[name]}' for name in names] + [f'"@signature-params": {parameters}']
    signature = re.fullmatch(rf"{label}=:([A-Za-z0-9+/=]+):", taken.headers["signature"])
    assert signature
    VerifyKey(public_key).verify("\n".join(lines).encode(), base64.b64decode(signature[1]))
    found = {name: value.strip('"') for name, value in re.findall(r';([a-z]+)=("[^"]*"|\d+)', parameters)}
    return found | {"covered": " ".join(names)}
