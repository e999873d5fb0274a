"""Fetching status lists: whole, from addresses that the operator allows, once for each version that the ledger names.

An issuer sees that somebody keeps its lists, or asks for those of a day, never which credential is looked at. Nothing that comes
with a credential leads anywhere else: an address begins as the settings say, a host that is a name is out in the open, and
redirects end the way.
"""

import asyncio
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import httpx

from ledger.credentials.registry.reading import Registry
from ledger.credentials.vc import status, times
from ledger.credentials.vc.secured import Secured
from ledger.credentials.verdict.steps import EVER_MS
from protocol.errors import NotFound, ProtocolError, Unavailable

WITHIN_S = 5.0  # for a whole list, however slowly it drips
PREPARE_WITHIN_S = 10.0  # for all lists of one presentation; what has not come by then stays unknown
AGAIN_MS = 15_000  # an address that had nothing new is left alone so long
AHEAD_AGAIN_MS = (
    1000  # and so long one whose list is newer than what we have read of the ledger, which is read in a moment
)
URLS_MAX = 4096  # addresses that are remembered for that; beyond it all are forgotten, and may be asked again
AT_ONCE = 64  # addresses that are asked for one presentation; the rest stay unknown
MEDIA = ("application/vc", "application/vc+cose", "application/vc+ld+json", "application/json")

_URL = re.compile(r"https?://[\x21-\x7e]{1,2048}")
_BEYOND = re.compile(r"\.\.|%2e|%2f|%5c|[\\@#?]|//", re.IGNORECASE)  # what leads out of a path, or is none


class Lists:
    """sources: what addresses begin with, as in the settings; transport: for tests; resolve: the addresses of a host by name.

    Serves any number of threads, none of which runs an event loop; one address is asked by one of them at a time.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        sources: Collection[str],
        now_ms: Callable[[], int],
        transport: httpx.AsyncBaseTransport | None = None,
        resolve: Callable[[str, int], Sequence[str]] | None = None,
    ) -> None:
        self._registry, self._sources, self._now_ms = registry, tuple(sources), now_ms
        self._resolve = resolve or resolved
        self._transport, self._tls = transport, httpx.create_ssl_context(trust_env=False)
        self._lock = threading.Lock()
        self._asked: dict[str, int] = {}
        self._busy: dict[str, threading.Lock] = {}
        self.failures = 0
        """Fetches that brought nothing."""

    def close(self) -> None:
        """Nothing is held between two fetches."""

    def allowed(self, url: str) -> bool:
        """Whether the settings let us ask there."""
        if not _URL.fullmatch(url) or _BEYOND.search(url.partition("://")[2]):
            return False
        return any(url.startswith(source) for source in self._sources)

    def prepare(self, found: Sequence[Secured], at_ms: int | None = None) -> None:
        """Have the lists of these credentials at hand, those of a time too, as far as they can be had now. It blocks."""
        wanted = dict.fromkeys(
            (entry.url, key.life.party)
            for each in found
            if (key := self._registry.key(each.method)) is not None and key.did == each.issuer
            for entry in each.status.values()
        )
        ends_s = time.monotonic() + PREPARE_WITHIN_S
        for url, party in list(wanted)[:AT_ONCE]:
            if time.monotonic() > ends_s:
                return
            self._try(url, party, EVER_MS)
            if at_ms is not None:
                self._try(url, party, at_ms)

    def refresh(self) -> int:
        """Fetch the lists of which a newer version is out; how many came. It blocks."""
        return sum(self._try(url, party, EVER_MS) for url, party in self._registry.behind())

    def _address(self, url: str, party: bytes, at_ms: int) -> str | None:
        """Where to ask for the list of a time; None when it is here, or nobody has named one. Bitstring Status List v1.0 §2.4."""
        version, held = self._registry.version(url, party=party, at_ms=at_ms)
        if held is not None:
            return None
        if at_ms == EVER_MS:
            return url
        return None if version is None else f"{url}?timestamp={times.write(version.at_ms)}"

    def _try(self, url: str, party: bytes, at_ms: int) -> bool:
        """Fetch a list that is not here, unless that was tried a moment ago. Whether a version came that the ledger names."""
        address = self._address(url, party, at_ms)
        if address is None or not self.allowed(url):
            return False
        with self._lock:
            if len(self._asked) >= URLS_MAX:
                self._asked.clear()
                self._busy.clear()
            busy = self._busy.setdefault(address, threading.Lock())
        with busy:  # who comes meanwhile waits for what the first one brings
            now_ms = self._now_ms()
            tried = now_ms - self._asked.get(address, 0) < AGAIN_MS
            if tried or self._address(url, party, at_ms) != address:
                return False
            self._asked[address] = now_ms
            try:
                came = self._fetch(url, address)
            except (ProtocolError, NotFound, Unavailable):
                came = None
            if came:
                self._asked.pop(address, None)  # what is new today may be old in a moment: a revocation does not wait
            elif came is False:
                self._asked[address] = now_ms - AGAIN_MS + AHEAD_AGAIN_MS
            self.failures += not came
        return came is True

    def _fetch(self, url: str, address: str) -> bool | None:
        """Whether a version came that the ledger names; None when the one that is held is still the newest there.

        Raises Unavailable: source_*; as `Registry.hold`.
        """
        tag = self._registry.tag(url) if address == url else ""
        target, headers, extensions = self._target(address)
        if tag:
            headers["if-none-match"] = tag
        try:
            came = asyncio.run(self._within(target, headers, extensions))
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable("source_unreachable", f"no list from there: {type(error).__name__}") from error
        if came is None:
            return None
        raw, tag = came
        return self._registry.hold(raw, url=url, tag=tag if address == url else "", now_ms=self._now_ms())

    async def _within(
        self, target: httpx.URL, headers: Mapping[str, str], extensions: Mapping[str, str]
    ) -> tuple[bytes, str] | None:
        """(a body, its tag), None when nothing is new; all of it, from the first byte to the last, within the time.

        A connection of its own: names that share an address would else share one that was made for another name.
        """
        async with (
            asyncio.timeout(WITHIN_S),
            self._client() as client,
            client.stream("GET", target, headers=dict(headers), extensions=dict(extensions)) as answer,
        ):
            if answer.status_code == 304 and "if-none-match" in headers:
                return None
            _check_answer(answer)
            raw = bytearray()
            async for part in answer.aiter_raw():
                raw += part
                if len(raw) > status.SIGNED_MAX:
                    raise Unavailable("source_size", "a list that does not end")
            return bytes(raw), answer.headers.get("etag", "")

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=WITHIN_S,
            follow_redirects=False,
            transport=self._transport,
            trust_env=False,
            verify=self._tls,
            headers={"user-agent": "vigil"},
        )

    def _target(self, address: str) -> tuple[httpx.URL, dict[str, str], dict[str, str]]:
        """Where to connect, and what to say of the name: to the very address that was looked at, so that a name cannot mean
        another one a moment later. Raises Unavailable: source_private, source_unreachable."""
        parts = httpx.URL(address)
        headers = {"accept": ", ".join(MEDIA), "accept-encoding": "identity", "cache-control": "no-cache"}
        if is_literal(parts.host):  # the operator wrote it down
            return parts, headers, {}
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = self._resolve(parts.host, port)
        if not found or not all(is_open(each) for each in found):
            raise Unavailable(
                "source_private", "the name of a source stands for an address that is not out in the open"
            )
        headers["host"] = parts.netloc.decode()
        return parts.copy_with(host=found[0]), headers, {"sni_hostname": parts.host}


def is_literal(host: str) -> bool:
    """Whether a host is an address, or this machine by its name."""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_open(address: str) -> bool:
    """Whether an address is one of the open network: none of this machine, of a home or an organisation, or of a cloud's own."""
    found = ipaddress.ip_address(address.partition("%")[0])
    inside = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    if isinstance(found, ipaddress.IPv6Address) and found in _NAT64:
        inside = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
    return found.is_global and not found.is_multicast and (inside is None or inside.is_global)


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a name. Raises Unavailable: source_unreachable."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable("source_unreachable", "nobody knows that name") from error
    return [str(each[4][0]) for each in found]


def _check_answer(answer: httpx.Response) -> None:
    media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status_code != 200 or media not in MEDIA:
        raise Unavailable("source_answer", "that is no list: a redirect, an error, or another kind of thing")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise Unavailable("source_packed", "a list comes as it was signed")
