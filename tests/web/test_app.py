"""The caregiver page's routes: what they show, whom they refuse, and how their stream is framed."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import httpx
import pytest
from starlette.applications import Starlette

from gateway.detect.finding import KINDS
from gateway.serving import serving
from gateway.web import app as app_module
from gateway.web import page
from gateway.web.app import BY, app
from gateway.web.hub import SUBSCRIBERS_MAX, Hub
from gateway.web.serve import loopback
from protocol.errors import ConfigError, Unavailable
from tests.support.pages import DEVICE, OTHER, MemoryDesk, alert, second

NOW = 1_800_000_000_000
ORIGIN = "http://127.0.0.1:8080"
HOSTILE = """<script>alert(1)</script>"'&<img src=x onerror=alert(2)>"""


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk()


@pytest.fixture
def hub() -> Hub:
    return Hub()


class Client:
    """Asks the application without a socket."""

    def __init__(self, application: Starlette) -> None:
        self._transport = httpx.ASGITransport(app=application)

    async def _ask(self, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url=ORIGIN) as browser:
            return await browser.request(method, path, headers=headers)

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, headers or {}))

    def post(self, path: str, headers: dict[str, str]) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, headers))


@pytest.fixture
def client(hub: Hub, desk: MemoryDesk) -> Client:
    return Client(app(hub, desk, now_ms=lambda: NOW))


class Tags(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_shows_homes_values_and_alarms_without_scripts(client: Client, hub: Hub, desk: MemoryDesk) -> None:
    desk.kept["a1"] = alert("a1", onset_ms=NOW - 61_000, raised_ms=NOW - 57_000)
    desk.kept["over"] = alert("over", state="resolved", text="Over long ago")
    hub.publish_content(DEVICE, second(end_ms=NOW - 2_000), NOW - 2_000)
    hub.publish_content(OTHER, second(end_ms=NOW - 12_000), NOW - 12_000)
    answer = client.get("/")
    text = answer.text
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Fall, and no getting up since" in text and "(1 min)" in text and "Over long ago" not in text
    assert "Ada Example" in text and ">72</b>" in text and ">124</b>/<b" in text and ">36.7</b>" in text
    assert "stale, 12 s" in text
    assert '<form method="post" action="/alerts/a1/acknowledge">' in text


@pytest.mark.parametrize("onset_ms", [0, NOW + 1_000, 1 << 53])
def test_an_onset_that_cannot_be_is_replaced_by_the_receipt_and_breaks_nothing(
    client: Client, desk: MemoryDesk, onset_ms: int
) -> None:
    desk.kept["a1"] = alert("a1", onset_ms=onset_ms, raised_ms=NOW - 61_000)
    answer = client.get("/")
    assert answer.status_code == 200
    assert "(1 min)" in answer.text
    assert page.clock(NOW - 61_000) in answer.text


@pytest.mark.parametrize("at_ms", [-(1 << 63), 0, 1 << 53, 1 << 63])
def test_every_number_can_be_written_as_a_time(at_ms: int) -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d", page.clock(at_ms))
    assert page.iso(at_ms)[4] == "-"


def test_every_alarm_says_what_to_do_first_until_somebody_does_it(client: Client, desk: MemoryDesk) -> None:
    assert set(page.TODO) == set(KINDS)
    desk.kept["a1"] = alert("a1")
    desk.kept["a2"] = alert("a2", kind="button", acknowledged_ms=NOW)
    text = client.get("/").text
    assert f'<p class="todo" data-field="todo">{page.TODO["fall"]}</p>' in text
    assert f'<p class="todo" data-field="todo" hidden>{page.TODO["button"]}</p>' in text


def test_a_home_bears_the_worst_of_its_open_alarms(client: Client, desk: MemoryDesk) -> None:
    for number, priority in enumerate(("low", "high", "medium")):
        desk.kept[f"a{number}"] = alert(f"a{number}", priority=priority)
    homes = [attrs for tag, attrs in Tags(client.get("/").text).found if tag == "article"]
    assert [home["data-alarm"] for home in homes] == ["high", "", ""]
    assert homes[0]["id"] == f"home-{DEVICE}"


def test_a_home_says_when_it_was_read_last_and_its_state_only_when_it_is_unusual(
    client: Client, hub: Hub, desk: MemoryDesk
) -> None:
    desk.places[0]["state"], desk.places[1]["state"] = "active", "suspended"
    hub.publish_content(DEVICE, second(end_ms=NOW - 12_000), NOW - 12_000)
    text = client.get("/").text
    assert ">last reading 12 s ago</span>" in text
    assert ">suspended, no reading yet</span>" in text


def test_what_became_of_an_alarm_is_said(client: Client, desk: MemoryDesk) -> None:
    desk.kept["e1"] = alert("e1", state="escalated", technical=True, priority="medium")
    desk.kept["e2"] = alert("e2", state="exhausted", cleared_ms=NOW)
    text = client.get("/").text
    assert "Medium priority, technical, escalated" in text and ">!!</span>" in text
    assert "High priority, nobody has answered, no longer the case" in text


def test_a_value_that_is_too_old_is_not_shown(client: Client, hub: Hub) -> None:
    hub.publish_content(DEVICE, second(end_ms=NOW - 40_000), NOW - 40_000)
    text = client.get("/").text
    assert ">72</b>" not in text and "no data for 40 s" in text
    assert ">36.7</b>" in text, "a temperature is measured now and then, and does not age so fast"


def test_hostile_names_and_texts_stay_text(client: Client, desk: MemoryDesk) -> None:
    desk.places[0]["name"] = desk.places[0]["state"] = desk.places[1]["device"] = HOSTILE
    desk.kept["x"] = alert(HOSTILE, text=HOSTILE, acknowledged_ms=NOW, acknowledged_by=HOSTILE, priority=HOSTILE)
    text = client.get("/").text
    tags = Tags(text).found
    assert [attrs.get("src") for tag, attrs in tags if tag == "script"] == ["/static/page.js"]
    assert {attrs.get("src") for tag, attrs in tags if tag == "img"} == {"/static/icon.svg"}
    assert not [attrs for _, attrs in tags if any(name.startswith("on") or name == "style" for name in attrs)]
    assert [attrs["data-device"] for _, attrs in tags if "data-device" in attrs][1] == HOSTILE


def test_no_script_and_no_style_is_inline(client: Client) -> None:
    text = client.get("/").text
    assert not re.search(r"<style|<script(?![^>]* src=)|style=|javascript:", text)


def test_every_answer_carries_the_policy_and_data_is_not_stored(client: Client) -> None:
    for path in ("/", "/healthz", "/static/page.js", "/nowhere", "/static/nothing.js"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"].split("; ")
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "style-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy and "form-action 'self'" in policy
        assert not any("unsafe" in part or "http" in part for part in policy)
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert client.get("/").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "LOCALHOST", "[::1]:8080", "[::1]"])
def test_a_loopback_host_is_answered(client: Client, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:8080", "127.0.0.1@evil.example", "10.0.0.1", "", "[::2]"],
)
def test_any_other_host_is_refused(client: Client, host: str) -> None:
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 421 and "Ada" not in answer.text


def test_a_form_acknowledges_and_leads_back(client: Client, desk: MemoryDesk) -> None:
    desk.kept["a1"] = alert("a1")
    answer = client.post("/alerts/a1/acknowledge", headers={"origin": ORIGIN})
    assert answer.status_code == 303 and answer.headers["location"] == "/#alarms"
    assert desk.kept["a1"]["acknowledged_by"] == BY
    text = client.get("/").text
    assert f"by {BY}" in text and '<form method="post" action="/alerts/a1/acknowledge" hidden>' in text


def test_a_script_gets_the_alert_as_json(client: Client, desk: MemoryDesk) -> None:
    desk.kept["a1"] = alert("a1")
    answer = client.post("/alerts/a1/acknowledge", headers={"origin": ORIGIN, "accept": "application/json"})
    assert answer.status_code == 200 and answer.json()["acknowledged_by"] == BY and answer.json()["open"] is True


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "https://127.0.0.1:8080"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": ORIGIN},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
    ],
    ids=str,
)
def test_a_change_from_elsewhere_is_refused(client: Client, desk: MemoryDesk, headers: dict[str, str]) -> None:
    desk.kept["a1"] = alert("a1")
    assert client.post("/alerts/a1/acknowledge", headers=headers).status_code == 403
    assert desk.kept["a1"]["acknowledged_ms"] is None


def test_a_browsers_form_under_no_referrer_is_known_by_its_fetch_metadata(client: Client, desk: MemoryDesk) -> None:
    desk.kept["a1"] = alert("a1")
    headers = {"origin": "null", "sec-fetch-site": "same-origin"}
    assert client.post("/alerts/a1/acknowledge", headers=headers).status_code == 303


def test_an_unknown_alarm_is_not_found(client: Client) -> None:
    as_form = client.post("/alerts/zz/acknowledge", headers={"origin": ORIGIN})
    as_json = client.post("/alerts/zz/acknowledge", headers={"origin": ORIGIN, "accept": "application/json"})
    assert as_form.status_code == as_json.status_code == 404
    assert "no alarm has this id" in as_form.text and as_json.json()["code"] == "alert_unknown"
    assert client.post(f"/alerts/{'z' * 129}/acknowledge", headers={"origin": ORIGIN}).status_code == 404
    assert client.get("/alerts/zz/acknowledge").status_code == 405


def test_records_that_cannot_be_read_are_said_to_be_unavailable(client: Client, desk: MemoryDesk) -> None:
    async def homes() -> list[dict[str, object]]:
        raise Unavailable("store_busy", "the store <does> not answer")

    desk.homes = homes  # type: ignore[method-assign]
    answer = client.get("/")
    assert answer.status_code == 503 and "the store &lt;does&gt; not answer" in answer.text


def test_the_pages_own_files_have_a_tag_and_no_path_leads_out(client: Client) -> None:
    names = [tag["src"] for name, tag in Tags(client.get("/").text).found if name == "script"]
    for name in (*names, "/static/ecg.js", "/static/style.css", "/static/icon.svg"):
        assert name is not None
        answer = client.get(name)
        assert answer.status_code == 200
        again = client.get(name, headers={"if-none-match": f'"other", W/{answer.headers["etag"]}'})
        assert again.status_code == 304 and again.content == b""
    assert client.get("/static/page.js").headers["content-type"].startswith("text/javascript")
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/__init__.py"):
        assert client.get(path).status_code == 404


def test_every_module_that_a_script_imports_is_served(client: Client) -> None:
    known, waiting = set(), ["page.js"]
    while waiting:
        name = waiting.pop()
        if name not in known:
            known.add(name)
            answer = client.get(f"/static/{name}")
            assert answer.status_code == 200
            waiting += re.findall(r'from "\./([\w.]+)"', answer.text)
    assert len(known) > 4


@contextlib.asynccontextmanager
async def streaming(hub: Hub, desk: MemoryDesk) -> AsyncIterator[httpx.Response]:
    """The stream of a page that is served on a socket; it all ends with the block."""
    async with (
        serving(app(hub, desk, now_ms=lambda: NOW), host="127.0.0.1", port=0, name="the page") as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5) as browser,
        browser.stream("GET", "/events") as answer,
    ):
        yield answer


async def events(answer: httpx.Response, most: int) -> AsyncIterator[tuple[str, dict[str, object]]]:
    """The first `most` events of a stream, each framed as the standard says."""
    block: list[str] = []
    async for line in answer.aiter_lines():
        if line:
            block.append(line)
            continue
        fields = dict(part.split(": ", 1) for part in block if not part.startswith(":"))
        block = []
        if "event" in fields:
            assert list(fields) == ["id", "event", "data"]
            yield fields["event"], json.loads(fields["data"])
            most -= 1
            if most == 0:
                return


def test_the_stream_starts_with_a_snapshot_and_goes_on_with_what_happens(hub: Hub, desk: MemoryDesk) -> None:
    desk.kept["a1"] = alert("a1")
    hub.publish_content(DEVICE, second(end_ms=NOW), NOW)

    async def read() -> list[tuple[str, dict[str, object]]]:
        found = []
        async with streaming(hub, desk) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            async for event in events(answer, 6):
                found.append(event)
                if len(found) == 1:
                    hub.publish_content(DEVICE, second(end_ms=NOW + 1000), NOW + 1000)
                    hub.publish_alert(alert("a2", device="new", text="two\nlines"))
        assert hub.subscribers == 0, "a page that is gone leaves nothing behind"
        return found

    found = asyncio.run(asyncio.wait_for(read(), 10))
    assert [name for name, _ in found] == ["snapshot", "snapshot", "alert", "vitals", "wave", "wave"]
    snapshot, _, raised, vitals, wave, _ = (data for _, data in found)
    assert [home["name"] for home in snapshot["homes"]] == ["Ada Example", "Bo Example"]  # type: ignore[attr-defined]
    assert [item["id"] for item in snapshot["alerts"]] == ["a1"]  # type: ignore[attr-defined]
    assert set(snapshot["values"]) == {DEVICE}  # type: ignore[call-overload]
    assert raised["text"] == "two\nlines" and raised["open"] is True and raised["mark"] == "***"
    assert vitals["device"] == DEVICE and wave["stream"] == "ecg" and wave["now_ms"] == NOW


def test_a_home_that_is_paired_while_a_page_is_open_gets_its_name(hub: Hub, desk: MemoryDesk) -> None:
    async def read() -> list[tuple[str, dict[str, object]]]:
        found = []
        async with streaming(hub, desk) as answer:
            async for event in events(answer, 3):
                found.append(event)
                if len(found) == 1:
                    desk.places.append({"device": "new", "name": "Cy Example", "state": "active", "simulated": True})
                    hub.publish_alert(alert("a1", device="new"))
        return found

    (_, first), (name, again), (_, raised) = asyncio.run(asyncio.wait_for(read(), 10))
    assert len(first["homes"]) == 2 and name == "snapshot"  # type: ignore[arg-type]
    assert [home["name"] for home in again["homes"]][2:] == ["Cy Example"]  # type: ignore[attr-defined]
    assert raised["home"] == "Cy Example"


def test_a_device_that_the_records_do_not_know_costs_one_look_at_them_and_no_more(hub: Hub, desk: MemoryDesk) -> None:
    async def read() -> list[str]:
        names = []
        async with streaming(hub, desk) as answer:
            async for name, _ in events(answer, 12):
                if not names:
                    for number in range(10):
                        hub.publish_alert(alert(f"a{number}", device="nobody"))
                names.append(name)
        return names

    assert asyncio.run(asyncio.wait_for(read(), 10)) == ["snapshot", "snapshot", *["alert"] * 10]


def test_a_silent_stream_has_a_heartbeat(hub: Hub, desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "HEARTBEAT_EVERY_S", 0.05)

    async def read() -> list[str]:
        async with streaming(hub, desk) as answer:
            return [name async for name, _ in events(answer, 3)]

    assert asyncio.run(asyncio.wait_for(read(), 10)) == ["snapshot", "heartbeat", "heartbeat"]


def test_only_so_many_pages_are_served_at_once(client: Client, hub: Hub) -> None:
    for _ in range(SUBSCRIBERS_MAX):
        hub.subscribe()
    answer = client.get("/events")
    assert answer.status_code == 503 and answer.headers["retry-after"]


def test_a_closed_hub_ends_the_streams_so_that_the_server_stops_soon(hub: Hub, desk: MemoryDesk) -> None:
    async def stop() -> float:
        loop, names = asyncio.get_running_loop(), []
        async with streaming(hub, desk) as answer:
            async for name, _ in events(answer, 9):
                names.append(name)
                began = loop.time()
                hub.close()
        assert names == ["snapshot"]
        return loop.time() - began

    assert asyncio.run(asyncio.wait_for(stop(), 10)) < 1.5


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "gateway.example", ""])
def test_the_page_is_bound_to_no_address_that_others_reach(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loopback(host)
    assert caught.value.code == "page_not_loopback" and caught.value.exit_code == 2


def test_a_port_that_is_taken_is_said_to_be_unavailable(hub: Hub, desk: MemoryDesk) -> None:
    async def twice() -> None:
        async with serving(app(hub, desk), host="127.0.0.1", port=0, name="the page") as port:
            await serving(app(hub, desk), host="127.0.0.1", port=port, name="the page").__aenter__()

    with pytest.raises(Unavailable, match="port_taken"):
        asyncio.run(twice())
