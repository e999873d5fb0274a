"""The page's own scripts, styles and pictures, read once from the package: no path of a request reaches the disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file as it is sent. etag: quoted, of its content."""

    body: bytes
    media_type: str
    etag: str


def load() -> Mapping[str, Asset]:
    """Every file of the package's `static` folder that has a known type, by name."""
    found = {}
    for file in files("gateway.web").joinpath("static").iterdir():
        media_type = TYPES.get("." + file.name.rpartition(".")[2])
        if media_type is not None:
            body = file.read_bytes()
            found[file.name] = Asset(body=body, media_type=media_type, etag=f'"{sha256(body).hexdigest()[:32]}"')
    return found


def answer(assets: Mapping[str, Asset], request: Request) -> Response:
    """The file that a request names, 304 where the browser has it, or 404."""
    asset = assets.get(request.path_params["name"])
    if asset is None:
        return PlainTextResponse("There is no such file.\n", status_code=404)
    headers = {"etag": asset.etag, "cache-control": "no-cache"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if asset.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)
