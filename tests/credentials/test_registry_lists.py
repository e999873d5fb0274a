"""Fetching status lists: from where the operator allows and nowhere else, and nothing that is not a list the ledger names."""

import asyncio
import contextlib
import gzip
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.credentials.issuing import Issued
from ledger.credentials.registry import Lists, Registry, lists, store
from ledger.credentials.registry.lists import AGAIN_MS, is_open
from ledger.credentials.vc import integrity, jcs, secured, status
from ledger.credentials.verdict.steps import EVER_MS
from protocol import base64text
from tests.support import registrants
from tests.support.reading import BOARD, OPEN, SOURCE, Town, town


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Town, Issued]]:
    """A town with a licence."""
    with town(tmp_path_factory.mktemp("town")) as found:
        yield found, found.licence()


@pytest.fixture
def registry(ready: tuple[Town, Issued], tmp_path: Path) -> Iterator[Registry]:
    """A registry that has read the ledger, and no list."""
    found = Registry.open(tmp_path)
    asyncio.run(ready[0].read(found))
    yield found
    found.close()


def held(ready: tuple[Town, Issued], registry: Registry) -> int:
    """How many lists of the licence are there."""
    found = secured.read(ready[1].raw)
    places = found.status.values()
    return sum(registry.version(one.url, party=BOARD.public.thumbprint, at_ms=EVER_MS)[1] is not None for one in places)


def tried(ready: tuple[Town, Issued], registry: Registry, **changed: Any) -> Lists:
    """Lists that were to be prepared for the licence."""
    found = ready[0].lists(registry, **changed)
    found.prepare([secured.read(ready[1].raw)])
    return found


def test_a_list_is_fetched_by_its_name_at_the_address_that_was_looked_at(
    ready: tuple[Town, Issued], registry: Registry
) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return ready[0].answer(request)

    tried(ready, registry, transport=httpx.MockTransport(answer))
    assert held(ready, registry) == 2
    for request in asked:
        assert request.url.host == OPEN and request.headers["host"] == "board.example"
        assert request.extensions["sni_hostname"] == "board.example"
        assert "cookie" not in request.headers and request.headers["accept-encoding"] == "identity"


INSIDE = (
    *("127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1"),
    *("::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "ff02::1"),
)


def test_a_name_that_stands_for_an_inner_address_leads_nowhere(ready: tuple[Town, Issued], registry: Registry) -> None:
    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"asked {request.url}")

    for address in INSIDE:
        for found in ([address], [OPEN, address]):
            tried(ready, registry, transport=httpx.MockTransport(never), resolve=lambda host, port, f=found: f)
        assert held(ready, registry) == 0 and not is_open(address), address


def test_what_the_operator_wrote_as_an_address_is_asked_there(tmp_path: Path) -> None:
    found = Lists.__new__(Lists)
    found._sources = ("http://127.0.0.1:8091/", "http://localhost:1/")
    found._resolve = lambda host, port: pytest.fail("an address has no name")
    for url in ("http://127.0.0.1:8091/x", "http://localhost:1/x"):
        target, headers, more = found._target(url)
        assert str(target) == url and "host" not in headers and not more


OTHER_PLACES = (
    "https://board.example.evil.example/credentials/status/1",
    "https://board.example@evil.example/credentials/status/1",
    "https://board.example:444/credentials/status/1",
    "http://board.example/credentials/status/1",
    "https://evil.example/https://board.example/",
    "https://board.example/../admin",
    "https://board.example/a/%2e%2e/admin",
    "https://board.example/a%2Fb",
    "https://board.example//evil.example/",
    "https://board.example/x?to=http://evil.example",
    "https://board.example/x#y",
    "https://board.example/x\\y",
    "https://board.example/x y",
    "https://board.example/x\r\nhost: evil.example",
    "https://board.example/" + "x" * 4000,
    "file:///etc/passwd",
    "gopher://board.example/",
    "https://BOARD.example/x",
)


def test_an_address_that_begins_as_no_source_does_is_never_asked(
    ready: tuple[Town, Issued], registry: Registry
) -> None:
    found = ready[0].lists(registry)
    before = len(ready[0].asked)
    for url in OTHER_PLACES:
        assert not found.allowed(url), url
        assert not found._try(url, BOARD.public.thumbprint, EVER_MS) and len(ready[0].asked) == before
    assert found.allowed(SOURCE + "credentials/status/1")


def test_without_sources_nothing_is_asked(ready: tuple[Town, Issued], registry: Registry) -> None:
    before = len(ready[0].asked)
    tried(ready, registry, sources=())
    assert len(ready[0].asked) == before and held(ready, registry) == 0


def respond(raw: bytes, code: int = 200, media: str = "application/vc", **headers: str) -> httpx.Response:
    named = {"content-type": media, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.Response(code, headers=named, stream=httpx.ByteStream(raw))


ANSWERS: dict[str, Any] = {
    "a redirect": lambda raw: respond(b"", 302, location="http://169.254.169.254/latest/meta-data"),
    "an error with a list in it": lambda raw: respond(raw, 404),
    "another kind": lambda raw: respond(raw, media="text/html"),
    "packed": lambda raw: respond(gzip.compress(raw), content_encoding="gzip"),
    "a bomb": lambda raw: respond(gzip.compress(bytes(1 << 22)), content_encoding="gzip"),
    "too long": lambda raw: respond(bytes(status.SIGNED_MAX + 1)),
    "nothing": lambda raw: respond(b""),
    "no list": lambda raw: respond(b"{}"),
    "another's word": lambda raw: respond(resigned(raw, registrants.STRANGER)),
    "changed": lambda raw: respond(raw.replace(b'"validUntil":"2', b'"validUntil":"3')),
    "not changed, they say": lambda raw: respond(b"", 304),
    "a bomb in the list": lambda raw: respond(bombed(raw)),
}


def resigned(raw: bytes, key: Any) -> bytes:
    """The list, signed by somebody else under the name of the right key."""
    found = jcs.parse(raw)
    method = found.pop("proof")["verificationMethod"]
    return jcs.canonical(integrity.sign(found, key, method=method, created_s=0))


def bombed(raw: bytes) -> bytes:
    """A list of 16 MiB of zeros in a few kilobytes: eight times what a list may have."""
    found = jcs.parse(raw)
    found["credentialSubject"]["encodedList"] = "u" + base64text.encode_url(gzip.compress(bytes(1 << 24)))
    return jcs.canonical(found)


@pytest.mark.parametrize("kind", ANSWERS)
def test_what_is_not_the_list_that_the_ledger_names_is_not_kept(
    ready: tuple[Town, Issued], registry: Registry, kind: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return ANSWERS[kind](ready[0].answer(request).read())  # type: ignore[no-any-return]

    found = tried(ready, registry, transport=httpx.MockTransport(answer))
    assert held(ready, registry) == 0 and found.failures == 2


def test_a_list_that_its_issuer_signed_and_did_not_log_is_not_kept(
    ready: tuple[Town, Issued], registry: Registry
) -> None:
    town_ = ready[0]

    def answer(request: httpx.Request) -> httpx.Response:
        found = jcs.parse(town_.answer(request).read())
        del found["proof"]
        signer = town_.issuer._keys.signer
        found["validUntil"] = "2099-01-01T00:00:00Z"
        return respond(jcs.canonical(integrity.sign(found, signer.key, method=signer.method, created_s=0)))

    tried(ready, registry, transport=httpx.MockTransport(answer))
    assert held(ready, registry) == 0


def test_a_list_of_another_address_is_not_kept_there(ready: tuple[Town, Issued], registry: Registry) -> None:
    urls = [entry.url for entry in secured.read(ready[1].raw).status.values()]

    def answer(request: httpx.Request) -> httpx.Response:
        other = urls[0] if str(request.url).endswith(urls[1].rpartition("/")[2]) else urls[1]
        return ready[0].answer(httpx.Request("GET", other))

    tried(ready, registry, transport=httpx.MockTransport(answer))
    assert held(ready, registry) == 0


def test_an_address_that_brought_nothing_is_left_alone_for_a_while(
    ready: tuple[Town, Issued], registry: Registry
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        raise httpx.ConnectError("nobody there")

    found = tried(ready, registry, transport=httpx.MockTransport(answer))
    for _ in range(20):
        found.prepare([secured.read(ready[1].raw)])
    assert len(asked) == 2
    ready[0].clock.at_ms += AGAIN_MS
    found.prepare([secured.read(ready[1].raw)])
    ready[0].clock.at_ms -= AGAIN_MS
    assert len(asked) == 4


def test_many_who_need_one_list_at_once_fetch_it_once(ready: tuple[Town, Issued], registry: Registry) -> None:
    gate, asked = threading.Event(), list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        gate.wait(5)
        return ready[0].answer(request)

    found = ready[0].lists(registry, transport=httpx.MockTransport(answer))
    seen = list[int]()

    def need() -> None:
        found.prepare([secured.read(ready[1].raw)])
        seen.append(held(ready, registry))

    threads = [threading.Thread(target=need) for _ in range(8)]
    for each in threads:
        each.start()
    gate.set()
    for each in threads:
        each.join()
    assert len(asked) == 2 and seen == [2] * 8, "and all have it"


def test_who_drips_is_left_after_the_time_for_all_of_it(
    ready: tuple[Town, Issued], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in good time, the head as the body, and the whole never would."""

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()

    async def both() -> float:
        server = await asyncio.start_server(dripping, "127.0.0.1", 0)
        async with server:
            source = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            found = ready[0].lists(registry, transport=None, sources=(source,))
            began_s = time.monotonic()
            assert not await asyncio.to_thread(found._try, source + "x", BOARD.public.thumbprint, EVER_MS)
            return time.monotonic() - began_s

    monkeypatch.setattr(lists, "WITHIN_S", 0.2)
    assert asyncio.run(both()) < 2


def test_addresses_are_remembered_within_a_bound(
    ready: tuple[Town, Issued], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "URLS_MAX", 10)

    def answer(request: httpx.Request) -> httpx.Response:
        return respond(b"{}")

    found = ready[0].lists(registry, transport=httpx.MockTransport(answer))
    for n in range(50):
        found._try(f"{SOURCE}{n}", BOARD.public.thumbprint, EVER_MS)
        assert len(found._asked) <= 10 and len(found._busy) <= 11


def test_old_versions_go_when_there_are_too_many(
    ready: tuple[Town, Issued], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LISTS_MAX", 1)
    tried(ready, registry)
    assert held(ready, registry) == 1 and len(registry._store.lists()) == 1


def test_names_are_resolved_by_the_system() -> None:
    found = lists.resolved("localhost", 80)
    assert found and set(found) <= {"127.0.0.1", "::1"}
    assert is_open(OPEN) and is_open("2606:4700::1111")
