"""One witness as a log sees it: what is asked of it over HTTP, and what each answer means. It is trusted with nothing.

Source: C2SP tlog-witness.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from protocol import config, notes, witnessing
from protocol.errors import ConfigError, ProtocolError, Unavailable
from protocol.notes import Line, Note, NoteKey
from protocol.witnessing import Request

TIMEOUT_S = 5.0  # for a whole exchange, however slowly the answer drips: a witness that is slower counts as away
RETRY_AFTER_MAX_S = 60.0  # a witness that asks for a longer pause is asked again anyway

COSIGNED, MOVED, INCONSISTENT, REFUSED = "cosigned", "moved", "inconsistent", "refused"
BUSY, UNREACHABLE, BAD_ANSWER, UNPROVABLE, AHEAD = "busy", "unreachable", "bad_answer", "unprovable", "ahead"
OUTCOMES = (COSIGNED, MOVED, INCONSISTENT, REFUSED, BUSY, UNREACHABLE, BAD_ANSWER, UNPROVABLE, AHEAD)
"""Of asking. moved: it stands elsewhere than we thought; inconsistent: it says that our tree did not grow out of what it
knows; refused: it does not know the log or its key; unprovable: we lack the nodes for a proof; ahead: it claims a tree that
is larger than ours."""

_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer to add-checkpoint. line: for cosigned, verified; size: for moved; retry_after_s: for busy, 0 when not said."""

    outcome: str
    line: Line | None = None
    size: int = 0
    retry_after_s: float = 0.0


class Peer:
    """A witness at `url`, its submission prefix. Raises ConfigError: witness_url."""

    def __init__(self, *, name: str, key: NoteKey, url: str, http: httpx.AsyncClient) -> None:
        self.name, self.key = name, key
        self._base, self._http = _base(name, url), http

    async def add(self, request: Request) -> Said:
        """Ask for a cosignature."""
        try:
            status, headers, body = await self._send("POST", witnessing.PATH, request.body())
        except Unavailable:
            return Said(outcome=UNREACHABLE)
        if status == 200:
            return self._cosigned(request, body)
        if status == 409 and headers.get("content-type", "").strip() == witnessing.SIZE_TYPE:
            try:
                return Said(outcome=MOVED, size=witnessing.parse_size(body))
            except ProtocolError:
                return Said(outcome=BAD_ANSWER)
        if status in (409, 422):  # 409 without a size: the same size with another root, as older witnesses say it
            return Said(outcome=INCONSISTENT)
        if status == 429 or status >= 500:
            said = headers.get("retry-after", "")
            pause_s = min(float(said), RETRY_AFTER_MAX_S) if _SECONDS.fullmatch(said) else 0.0
            return Said(outcome=BUSY, retry_after_s=pause_s)
        return Said(outcome=REFUSED if 400 <= status < 500 else BAD_ANSWER)

    async def newest(self, origin: str) -> str | None:
        """The newest checkpoint of a log that it cosigned, unverified; None when it does not show any.

        Raises Unavailable: witness_unreachable.
        """
        status, _, body = await self._send("GET", witnessing.checkpoint_path(origin), None)
        if status == 429 or status >= 500:
            raise Unavailable("witness_unreachable", f"the witness {self.name} answers with status {status}")
        return body.decode("utf-8", "replace") if status == 200 else None

    def _cosigned(self, request: Request, body: bytes) -> Said:
        """The one line of the witness's own key; lines of unknown keys are passed over."""
        try:
            lines = tuple(
                line
                for line in witnessing.parse_cosignatures(body)
                if (line.name, line.key_id) == (self.key.name, self.key.key_id)
            )
            found = notes.verify(Note(text=request.checkpoint.text(), lines=lines), [self.key])
        except ProtocolError:
            return Said(outcome=BAD_ANSWER)
        if not found or not found[0][1]:  # nothing of its own, or a time of 0, which the protocol forbids
            return Said(outcome=BAD_ANSWER)
        return Said(outcome=COSIGNED, line=lines[-1])

    async def _send(self, method: str, path: str, content: bytes | None) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body, all within bounds. Raises Unavailable: witness_unreachable."""
        body = bytearray()
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._http.stream(
                    method, f"{self._base}/{path}", content=content, headers={"accept-encoding": "identity"}
                ) as answer,
            ):
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > witnessing.ANSWER_SIZE_MAX:
                        raise Unavailable("witness_unreachable", f"the witness {self.name} does not stop talking")
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable(
                "witness_unreachable", f"the witness {self.name} cannot be reached: {type(error).__name__}"
            ) from error
        return answer.status_code, answer.headers, bytes(body)


def client(mounts: Mapping[str, httpx.AsyncBaseTransport] | None = None) -> httpx.AsyncClient:
    """What peers share to talk with. Redirects are not followed: a witness is where the policy says. mounts: by URL."""
    return httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, mounts=mounts)


def _base(name: str, url: str) -> str:
    fault = ConfigError(
        "witness_url", f"the address of the witness {name} begins with http:// or https:// and names a host"
    )
    try:
        found = httpx.URL(url)
        host = found.host
    except (httpx.InvalidURL, UnicodeError) as error:  # also a host that is no internationalised name
        raise fault from error
    if (
        found.scheme not in ("http", "https")
        or not config.callable_at(host, found.port)
        or found.query
        or found.fragment
    ):
        raise fault
    return url.rstrip("/")
