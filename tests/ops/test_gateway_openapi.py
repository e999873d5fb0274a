"""gateway/openapi.json says what the gateway's three HTTP faces and its webhook do, status by status."""

import ast
import asyncio
import base64
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import get_args
from unittest import mock

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateway import keyring, metrics, pair_app, pairing
from gateway.alerts import lifecycle, webhook
from gateway.alerts.book import Book, Changes
from gateway.alerts.escalation import Policy
from gateway.commands import test_notices as sent_as_test
from gateway.detect.finding import KINDS, finding
from gateway.service import Gateway
from gateway.settings import Settings
from gateway.store import alerts, keys
from gateway.store.writer import KEYS_FILE
from gateway.web import app as page_module
from gateway.web import assets, guard
from gateway.web.app import app as page_app
from gateway.web.page import shown_alert
from protocol import pairing as wire
from protocol.errors import NotFound, Unavailable, VigilError
from protocol.keys import PublicKey, SigningKey, x25519_public
from tests.support.exposition import NOW as MADE
from tests.support.openapi import Document
from tests.support.pages import MemoryDesk, alert
from tests.support.tools import REPOSITORY

PATH = REPOSITORY / "gateway" / "openapi.json"
DOCUMENT = Document.read(PATH)
NOW_MS = 1_700_000_000_000
LOOPBACK = "http://127.0.0.1:8443"
DEVICE = SigningKey.from_seed(bytes([4]) * 32)
PORTS = {8444: "pair", 8443: "page", 9101: "metrics"}


@pytest.fixture
def document() -> Document:
    """A document of which nothing was observed yet."""
    return Document.read(PATH)


@asynccontextmanager
async def faces(folder: Path) -> AsyncIterator[tuple[Gateway, dict[str, Starlette]]]:
    """A gateway that serves nothing, and its three applications by the name of their port."""
    gateway = Gateway(Settings(state=folder), keyring.opened(folder, names=(), now=MADE), trust=None, admission=None)
    try:
        yield (
            gateway,
            {
                "pair": pair_app.app(gateway, settings={"mqtt": "127.0.0.1:8883"}, now_ms=lambda: NOW_MS),
                "page": page_app(gateway.hub, MemoryDesk()),
                "metrics": metrics.app(gateway.metrics, gateway.duties.health, gateway.duties.gauges),
            },
        )
    finally:
        await gateway.close()


def asking(app: Starlette) -> httpx.AsyncClient:
    """Asks an application without a socket, as a browser on this machine."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=LOOPBACK)


def test_every_route_of_every_face_is_documented_and_nothing_else(tmp_path: Path) -> None:
    async def routes() -> set[tuple[str, str, str]]:
        async with faces(tmp_path) as (_, apps):
            return {
                (face, route.path, method.lower())
                for face, app in apps.items()
                for route in app.routes
                if isinstance(route, Route) and route.methods
                for method in route.methods - {"HEAD"}
            }

    documented = {
        (PORTS[httpx.URL(server["url"]).port or 0], path, method)
        for path, method in DOCUMENT.operations()
        for server in DOCUMENT.whole["paths"][path]["servers"]
    }
    assert documented == asyncio.run(routes())


def test_servers_are_the_default_addresses() -> None:
    settings = Settings()
    wanted = {"pair": settings.pair_port, "page": settings.page_port, "metrics": settings.metrics_port}
    assert {name: port for port, name in PORTS.items()} == wanted
    for item in DOCUMENT.whole["paths"].values():
        for server in item["servers"]:
            assert httpx.URL(server["url"]).host == "127.0.0.1"
            assert (httpx.URL(server["url"]).scheme == "https") == (httpx.URL(server["url"]).port == settings.pair_port)


def test_every_documented_answer_comes_and_no_other(document: Document, tmp_path: Path) -> None:
    async def everything() -> None:
        async with faces(tmp_path) as (gateway, apps):
            async with asking(apps["pair"]) as client:
                await asked_to_pair(document, gateway, client)
            desk = MemoryDesk()
            async with asking(page_app(gateway.hub, desk)) as client:
                await looked_at(document, gateway, desk, client)
            async with asking(apps["metrics"]) as client:
                document.observe("/metrics", await client.get("/metrics"))
                assert document.observe("/healthz", await client.get("/healthz")).json()["ok"] is True
                gateway.committing.healthy = False
                assert document.observe("/healthz", await client.get("/healthz")).json()["ok"] is False
                gateway.committing.healthy = True

    asyncio.run(everything())
    assert document.seen == document.documented()


async def never() -> AsyncIterator[bytes]:
    """A body that does not end."""
    yield b"\x83"
    await asyncio.Event().wait()


async def asked_to_pair(document: Document, gateway: Gateway, client: httpx.AsyncClient) -> None:
    """Everything that can become of a pairing request."""

    async def post(body: bytes) -> httpx.Response:
        return document.observe("/pair", await client.post("/pair", content=body))

    offer = pairing.make_offer(gateway.keyring, address="127.0.0.1:8444")
    ask = wire.request(
        offer=offer, device_key=DEVICE, x25519_public=x25519_public(bytes([6]) * 32), nonce=bytes(wire.NONCE_SIZE)
    )
    assert (await post(ask)).json()["error"] == "pair_refused"
    assert (await post(bytes(wire.REQUEST_SIZE_MAX + 1))).json()["error"] == "pair_size"
    with mock.patch.object(pair_app, "BODY_WITHIN_S", 0.01):
        slow = await client.post("/pair", content=never())
    assert document.observe("/pair", slow).json()["error"] == "pair_slow"
    await gateway.writer.run(
        lambda conn: keys.offer(conn, offer.secret, name="home", expires_ms=NOW_MS + 1000, now_ms=NOW_MS),
        file=KEYS_FILE,
    )
    assert (await post(b"\x00")).json()["error"] == "pair_shape"
    answer = await post(ask)
    assert wire.read_answer(answer.content, offer=offer, request_raw=ask, device_key=DEVICE.public).settings
    works = gateway.writer.run

    async def fails(*_: object, **__: object) -> None:
        raise Unavailable("store_failing", "the disk is full")

    gateway.writer.run = fails  # type: ignore[method-assign, assignment]
    assert (await post(ask)).json()["error"] == "store_failing"
    gateway.writer.run = works  # type: ignore[method-assign]
    for _ in range(int(pair_app.TRIES_BURST)):
        last = await client.post("/pair", content=ask)
    assert document.observe("/pair", last).json()["error"] == "pair_too_many"


def failing(error: VigilError) -> Callable[..., Awaitable[object]]:
    """A function of a desk that can only fail."""

    async def fails(*_: object) -> object:
        raise error

    return fails


async def looked_at(document: Document, gateway: Gateway, desk: MemoryDesk, client: httpx.AsyncClient) -> None:
    """Everything that can become of what a page asks."""
    paths = {"/": "/", "/events": "/events", "/static/{name}": "/static/page.js", "/healthz": "/healthz"}
    for path, address in paths.items():
        document.observe(path, await client.get(address, headers={"host": "evil.example"}))
        if path != "/events":
            document.observe(path, await client.get(address))
    tag = (await client.get("/static/page.js")).headers["etag"]
    document.observe("/static/{name}", await client.get("/static/page.js", headers={"if-none-match": tag}))
    document.observe("/static/{name}", await client.get("/static/nothing.js"))
    for name in ("style.css", "icon.svg"):
        document.observe("/static/{name}", await client.get(f"/static/{name}"))

    stream = asyncio.create_task(client.get("/events"))
    while gateway.hub.subscribers == 0:
        assert not stream.done()
        await asyncio.sleep(0)
    gateway.hub.close()
    document.observe("/events", await stream)
    for _ in range(64):
        gateway.hub.subscribe()
    document.observe("/events", await client.get("/events"))

    own = {"origin": LOOPBACK}
    script = {**own, "accept": "application/json"}
    path, address = "/alerts/{id}/acknowledge", "/alerts/a1/acknowledge"
    document.observe(path, await client.post(address, headers={**own, "host": "evil.example"}))
    document.observe(path, await client.post(address))
    desk.kept["a1"] = alert("a1")
    for headers in (own, script):
        document.observe(path, await client.post(address, headers=headers))

    failures: list[VigilError] = [
        NotFound("alert_unknown", "there is none"),
        lifecycle.Refused("alert_event_refused", "it is over"),
        Unavailable("store_failing", "the disk is full"),
    ]
    for failure in failures:
        desk.acknowledge = desk.homes = failing(failure)  # type: ignore[method-assign, assignment]
        for headers in (own, script):
            document.observe(path, await client.post(address, headers=headers))
    document.observe("/", await client.get("/"))


MODULES = (pair_app, page_module, guard, assets, metrics)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_status_that_the_code_names_is_documented(module: ModuleType) -> None:
    assert module.__file__ is not None
    constants = {
        node.value
        for node in ast.walk(ast.parse(Path(module.__file__).read_text()))
        if isinstance(node, ast.Constant) and type(node.value) is int and 300 <= node.value < 600
    }
    assert {str(one) for one in constants} <= {status for _, _, status in DOCUMENT.documented()}


@pytest.mark.parametrize(
    ("value", "schema"), DOCUMENT.examples(), ids=lambda one: "" if isinstance(one, dict) else None
)
def test_an_example_is_as_its_schema_says(value: object, schema: dict[str, object]) -> None:
    assert DOCUMENT.faults(value, schema) == []


def raised(kind: str = "fall") -> Changes:
    """What the book of alerts makes of a finding."""
    book = Book(Policy(first=("first",)), [])
    found = finding(kind, "raised", onset_ms=NOW_MS, at_ms=NOW_MS + 4_000, detail={})
    return book.consider("0123456789abcdef", found, now_ms=NOW_MS + 4_000, simulated=False)


@pytest.mark.parametrize("kind", KINDS)
def test_alerts_and_notices_are_as_their_schemas_say(kind: str) -> None:
    changes = raised(kind)
    shown = shown_alert(alerts.view(changes.alerts[0]), {})
    assert DOCUMENT.faults(shown, {"$ref": "#/components/schemas/Alert"}) == []
    body = DOCUMENT.whole["webhooks"]["alert"]["post"]["requestBody"]["content"]["application/json"]
    for notice in (*changes.notices, *sent_as_test("first", now_ms=NOW_MS).notices):
        assert DOCUMENT.faults(json.loads(notice.body), body["schema"]) == []
    assert changes.notices


def test_closed_sets_are_those_of_the_code() -> None:
    properties = DOCUMENT.whole["components"]["schemas"]["Alert"]["properties"]
    assert set(properties["kind"]["enum"]) == KINDS.keys()
    assert set(properties["state"]["enum"]) == set(get_args(lifecycle.State))
    assert set(properties["priority"]["enum"]) == {kind.priority for kind in KINDS.values()}
    document = DOCUMENT.whole["paths"]["/alerts/{id}/acknowledge"]["post"]["parameters"][0]
    assert document["schema"]["maxLength"] == page_module.ALERT_ID_MAX


def test_a_webhook_is_signed_as_it_is_said() -> None:
    (notice,) = raised().notices
    key = SigningKey.from_seed(bytes([3]) * 32)
    sent = webhook.signed_headers(
        key, url="https://example.org/", body=notice.body, idempotency_key=notice.id, created_s=NOW_MS // 1000
    )
    operation = DOCUMENT.whole["webhooks"]["alert"]["post"]
    said = {one["name"]: one["schema"] for one in operation["parameters"]}
    assert said.keys() | {"content-type"} == sent.keys()
    assert sent["content-type"] in operation["requestBody"]["content"]
    for name, schema in said.items():
        assert DOCUMENT.faults(sent[name], schema) == []
    listed = ", ".join(webhook.COMPONENTS[:-1]) + f" and {webhook.COMPONENTS[-1]}"
    assert listed in operation["description"]
    assert f"within {webhook.TIMEOUT_S:.0f} s" in operation["description"]


def test_what_becomes_of_a_notice_is_as_it_is_said() -> None:
    responses = DOCUMENT.whole["webhooks"]["alert"]["post"]["responses"]
    later = {status for status, one in responses.items() if one == {"$ref": "#/components/responses/Later"}}
    assert later == {str(status) for status in webhook.AGAIN} | {"5XX"}
    assert responses.keys() - later == {"2XX", "default"}


def test_the_pairing_example_is_a_real_exchange() -> None:
    operation = DOCUMENT.whole["paths"]["/pair"]["post"]
    example = operation["x-example"]
    offer = wire.Offer.from_text(example["offer"])
    ask, answer = base64.b64decode(example["request"]), base64.b64decode(example["answer"])
    key = PublicKey(bytes.fromhex(example["deviceKey"]))
    assert wire.read_request(ask, secret=offer.secret, gateway_key=offer.gateway_key).device_key == key
    assert wire.read_answer(answer, offer=offer, request_raw=ask, device_key=key).settings == {"mqtt": "192.0.2.7:8883"}


def test_pairing_limits_are_those_of_the_code() -> None:
    operation = DOCUMENT.whole["paths"]["/pair"]["post"]
    ((media, request),) = operation["requestBody"]["content"].items()
    assert (media, request["schema"]["maxLength"]) == (wire.CONTENT_TYPE, wire.REQUEST_SIZE_MAX)
    assert operation["responses"]["200"]["content"][media]["schema"]["maxLength"] == wire.ANSWER_SIZE_MAX
    limits = (
        f"After {pair_app.TRIES_BURST:.0f} at once, a caller is answered {pair_app.TRIES_PER_S:.0f} times a second,"
        f" and all callers {pair_app.ALL_PER_S:.0f} times."
    )
    assert limits in operation["description"]
    assert wire.VALID_S == 600 and "ten minutes" in operation["description"]


WRONG: list[tuple[str, Callable[[dict[str, object]], object]]] = [
    ("a field too many", lambda alert: alert | {"pulse": 40}),
    ("a field too few", lambda alert: {name: value for name, value in alert.items() if name != "kind"}),
    ("another type", lambda alert: alert | {"raised_ms": "now"}),
    ("a truth for a number", lambda alert: alert | {"raised_ms": True}),
    ("an unknown kind", lambda alert: alert | {"kind": "boredom"}),
    ("a time before all", lambda alert: alert | {"raised_ms": -1}),
]


@pytest.mark.parametrize("wrong", [change for _, change in WRONG], ids=[name for name, _ in WRONG])
def test_an_answer_that_is_not_as_said_would_be_noticed(wrong: Callable[[dict[str, object]], object]) -> None:
    shown = shown_alert(dataclasses.asdict(raised().alerts[0]), {})
    good = {name: shown[name] for name in DOCUMENT.whole["components"]["schemas"]["Alert"]["properties"]}
    schema = {"$ref": "#/components/schemas/Alert"}
    assert DOCUMENT.faults(good, schema) == []
    assert DOCUMENT.faults(wrong(good), schema) != []
