"""A ledger as a monitor sees it, in this process: an engine's public interface, which a test can bend on the way out."""

import json
from collections.abc import Callable

import httpx

from ledger.log.engine import Engine
from protocol import tiles
from protocol.errors import NotFound
from tests.support.clients import answer, problem

Bend = Callable[[str, bytes], bytes | httpx.Response | None]
"""(path, body that is right) -> another body or answer, None for the one that is right."""


class Face:
    """Answers requests from `engine`. minimum: of the status; bend: changes answers; asked: paths so far."""

    def __init__(self, engine: Engine, *, bend: Bend = lambda path, body: None, minimum: int = 0) -> None:
        self.engine, self.bend, self.minimum = engine, bend, minimum
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path)
        try:
            body = self._body(path)
        except NotFound as error:
            body, found = b"", answer(404, problem(error.code), content_type="application/concise-problem-details+cbor")
        else:
            found = answer(200, body)
        bent = self.bend(path, body)
        if isinstance(bent, bytes):
            return answer(200, bent)
        return found if bent is None else bent

    def _body(self, path: str) -> bytes:
        shelf, parts = self.engine.shelf(self.engine.epoch), path[1:].split("/")
        if parts[0] == "epochs":
            shelf, parts = self.engine.shelf(int(parts[1])), parts[2:]
        match parts:
            case ["checkpoint"]:
                return shelf.checkpoint().encode()
            case ["status"]:
                return json.dumps(
                    {
                        "origin": self.engine.origin,
                        "epoch": self.engine.epoch,
                        "size": self.engine.size,
                        "minimum": self.minimum,
                    }
                ).encode()
            case ["entries", name, "statement"]:
                shelf = self.engine.shelf(int(name.split(".")[0]))
                return shelf.statement(shelf.find(name))
            case ["consistency", size1]:
                return self.engine.consistency(int(size1))
            case ["tile", *_]:
                tile = tiles.Tile.from_path("/".join(parts))
                end = (tile.index + 1) * 256 ** ((tile.level or 0) + 1)
                if end <= self.minimum and tile.width == tiles.WIDTH:
                    raise NotFound("tile_unknown", "pruned")
                return shelf.entries(tile) if tile.level is None else shelf.tile(tile)
        raise NotFound("http_404")
