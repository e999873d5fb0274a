"""What hospitals know of the ledger: one registry for all of them, for each of its own would come to the same.

It reads the log's entries as a follower does, and fetches a status list when somebody is about to be judged by it. Over the
network that there would be between them goes nothing: addresses lead to the institutions themselves.
"""

from pathlib import Path

import httpx

from ledger.credentials.registry import Lists, Registry
from ledger.credentials.registry.reading import NAMES, Entry
from ledger.credentials.simulate.town import Town
from ledger.credentials.vc import times
from ledger.monitor.edge import EMPTY
from protocol.errors import NotFound

FRESH_MS = 3_600_000  # for so long what was read is not looked at again, when nothing came to the log since
SOMEWHERE = "203.0.114.1"  # an address in the open, for every host there is


class Library:
    """folder: of the registry."""

    def __init__(self, folder: Path, town: Town) -> None:
        folder.mkdir()
        self.registry = Registry.open(folder)
        self._town, self._clock, self._engine, self._edge = town, town.clock, town.log.engine, EMPTY
        self._lists = Lists(
            self.registry,
            sources=[each.address for each in town.institutions],
            now_ms=town.clock,
            transport=httpx.MockTransport(self._answer),
            resolve=lambda _host, _port: [SOMEWHERE],
        )
        self.prepare = self._lists.prepare

    def close(self) -> None:
        """Close the registry."""
        self._lists.close()
        self.registry.close()

    def follow(self) -> None:
        """Read the log up to its newest entry."""
        size, now_ms = self._engine.size, self._clock()
        if size == self._edge.size and now_ms - self.registry.as_of_ms < FRESH_MS:
            return
        if size > self._edge.size:
            found = [self._engine.entry(index) for index in range(self._edge.size, size)]
            self._edge = self._edge.grown([each.digest for each in found])
            told = [
                Entry(index=each.place, at_ms=each.at_ms, statement=each.statement)
                for each in found
                if each.contract in NAMES
            ]
            self.registry.take(told, self._edge, origin=self._engine.origin, root=self._town.log.root.public)
        self.registry.seen(self._engine.signed(), as_of_ms=now_ms)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        """What is served at the address of a list."""
        at = request.url.params.get("timestamp")
        url = f"https://{request.headers['host']}{request.url.path}"
        try:
            raw = self._town.serve(url, at_ms=None if at is None else times.read(at))
        except NotFound:
            return httpx.Response(404)
        return httpx.Response(200, stream=httpx.ByteStream(raw), headers={"content-type": "application/vc"})
