"""How requests travel: where to, within which bounds of size and time, and what of an answer is kept."""

import time

import httpx

from ledger.client.answers import Answer
from ledger.client.exchanges import Request
from protocol import config
from protocol.errors import ConfigError, Malformed, Unavailable

TIMEOUT_S = 10.0  # for a whole request and its answer, however slowly the answer drips


class Body:
    """Collects an answer's body within its bounds. ends_s: on the monotonic clock."""

    def __init__(self, *, ends_s: float, size_max: int) -> None:
        self._ends_s, self._size_max, self._found = ends_s, size_max, bytearray()

    def add(self, chunk: bytes) -> None:
        """Raises Malformed: ledger_answer; Unavailable: ledger_unreachable."""
        self._found += chunk
        if len(self._found) > self._size_max:
            raise Malformed("ledger_answer", f"an answer of more than {self._size_max} bytes")
        if time.monotonic() > self._ends_s:
            raise unreachable("the answer does not end")

    def answer(self, response: httpx.Response) -> Answer:
        """What was collected."""
        return Answer(status=response.status_code, headers=response.headers, body=bytes(self._found))


def unreachable(reason: str) -> Unavailable:
    """The error of a ledger that gives no answer."""
    return Unavailable("ledger_unreachable", f"the ledger cannot be reached: {reason}")


def base(url: str) -> httpx.URL:
    """A ledger's address. Raises ConfigError: ledger_url."""
    try:
        found = httpx.URL(url.rstrip("/"))
        host = found.host
    except (httpx.InvalidURL, UnicodeError) as error:  # also a host that is no internationalised name
        raise ConfigError("ledger_url", "the ledger's address is not a URL") from error
    if found.scheme not in ("http", "https") or not host:
        raise ConfigError("ledger_url", "the ledger's address begins with http:// or https:// and names a host")
    if not config.callable_at(host, found.port):
        raise ConfigError("ledger_url", "the ledger's address has a host or a port that cannot be")
    return found


def headers(request: Request) -> dict[str, str]:
    """No compression: a bounded body stays bounded."""
    plain = {"accept-encoding": "identity"}
    return plain if request.content is None else {**plain, "content-type": request.media}
