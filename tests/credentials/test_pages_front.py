"""The way in to the pages: under which name, from where, and signed in as whom."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

from ledger.credentials.pages import forms, front, page
from ledger.credentials.pages.access import Access
from ledger.credentials.pages.front import Front
from ledger.party.mount import Face, Slice
from ledger.party.node import Node
from protocol.errors import Malformed
from tests.support import parties

ORIGIN = {"origin": "http://party.test:8091"}


def told(folder: Path, story: Callable[[httpx.AsyncClient, Access], Awaitable[None]]) -> None:
    """A party with the front pages, one page of issuers' and one that says what a form sent."""

    @contextlib.asynccontextmanager
    async def opened(node: Node) -> AsyncIterator[Face]:
        with contextlib.closing(Access.open(folder, random_bytes=random.Random(1).randbytes)) as doors:
            found = Front(node, doors, now_ms=lambda: 1_800_000_000_000)

            async def echo(request: Request) -> front.Shown:
                form = await forms.read(request)
                return "Echo", f"<p>{sorted(form.fields.items())} {[len(one) for one in form.files.values()]}</p>"

            async def secret(_: Request) -> front.Shown:
                return "Secret", "<p>secret</p>"

            async def failing(_: Request) -> front.Shown:
                raise Malformed("form_bad", "<script>alert(1)</script>")

            pages = [
                *found.routes(),
                found.route("/secret", secret, role="issuer"),
                found.route("/echo", echo, methods=("POST",)),
                found.route("/failing", failing),
            ]
            held["doors"] = doors
            yield Face(pages=pages)

    held: dict[str, Access] = {}

    async def run() -> None:
        async with parties.spoken_to(folder, slices=(Slice(name="credentials", opened=opened),)) as party:
            await story(party.client, held["doors"])

    asyncio.run(run())


async def signed_in(client: httpx.AsyncClient, doors: Access, *roles: str) -> None:
    code = doors.make_code(roles, now_ms=1_800_000_000_000)
    answer = await client.post(f"{page.BASE}/sign-in", data={"code": code}, headers=ORIGIN)
    assert answer.status_code == 303


def test_staff_sign_in_and_out(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, doors: Access) -> None:
        assert (await client.get(f"{page.BASE}/secret")).status_code == 401
        await signed_in(client, doors, "issuer")
        answer = await client.get(f"{page.BASE}/secret")
        assert answer.status_code == 200 and "Sign out" in answer.text
        assert (await client.post(f"{page.BASE}/sign-out", data={"x": ""}, headers=ORIGIN)).status_code == 303
        assert (await client.get(f"{page.BASE}/secret")).status_code == 401

    told(tmp_path, story)


def test_a_verifier_does_not_issue(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, doors: Access) -> None:
        await signed_in(client, doors, "verifier")
        answer = await client.get(f"{page.BASE}/secret")
        assert answer.status_code == 401 and "secret</p>" not in answer.text

    told(tmp_path, story)


def test_no_script_and_no_other_site_has_the_cookie(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, doors: Access) -> None:
        code = doors.make_code(["issuer"], now_ms=1_800_000_000_000)
        answer = await client.post(f"{page.BASE}/sign-in", data={"code": code}, headers=ORIGIN)
        said = answer.headers["set-cookie"].lower()
        assert "httponly" in said and "samesite=strict" in said and "path=/credentials" in said

    told(tmp_path, story)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "http://elsewhere.example"},
        {"origin": "https://party.test:8091"},
        {**ORIGIN, "sec-fetch-site": "cross-site"},
    ],
)
def test_a_change_comes_from_a_page_of_this_party(tmp_path: Path, headers: dict[str, str]) -> None:
    async def story(client: httpx.AsyncClient, doors: Access) -> None:
        await signed_in(client, doors, "issuer")
        assert (await client.post(f"{page.BASE}/echo", data={"a": "b"}, headers=headers)).status_code == 403

    told(tmp_path, story)


def test_a_page_is_not_shown_under_another_name(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, _: Access) -> None:
        for path in ("/", "/sign-in", "/secret"):
            answer = await client.get(f"{page.BASE}{path}", headers={"host": "rebound.example"})
            assert answer.status_code == 403

    told(tmp_path, story)


def test_every_page_has_headers_that_let_nothing_else_in(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, _: Access) -> None:
        for path in ("/", "/sign-in", "/secret", "/failing"):
            answer = await client.get(f"{page.BASE}{path}")
            assert answer.headers["content-security-policy"] == front.POLICY
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "<script" not in answer.text and "style=" not in answer.text

    told(tmp_path, story)


def test_what_an_error_says_is_text(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, _: Access) -> None:
        answer = await client.get(f"{page.BASE}/failing")
        assert answer.status_code == 400 and "&lt;script&gt;" in answer.text and "form_bad" in answer.text

    told(tmp_path, story)


def test_the_files_of_pages_are_those_of_the_package(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, _: Access) -> None:
        answer = await client.get(f"{page.BASE}/static/credentials.css")
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/css")
        again = await client.get(
            f"{page.BASE}/static/credentials.css", headers={"if-none-match": answer.headers["etag"]}
        )
        assert again.status_code == 304
        for name in ("..%2fpage.py", "page.py", "nothing.css"):
            assert (await client.get(f"{page.BASE}/static/{name}")).status_code == 404

    told(tmp_path, story)


def test_fields_and_a_photo_come_through_as_they_were_sent(tmp_path: Path) -> None:
    photo = random.Random(3).randbytes(200_000) + b"\r\n"

    async def story(client: httpx.AsyncClient, _: Access) -> None:
        answer = await client.post(
            f"{page.BASE}/echo", data={"a": " b ", "c": "é"}, files={"f": ("x.png", photo)}, headers=ORIGIN
        )
        assert "('a', 'b')" in answer.text and "('c', 'é')" in answer.text and f"[{len(photo)}]" in answer.text

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("media", "body", "code"),
    [
        ("application/json", b"{}", "form_type"),
        ("application/x-www-form-urlencoded", b"a=" + b"b" * forms.FORM_MAX, "form_size"),
        ("application/x-www-form-urlencoded", b"a=%ff", "form_bad"),
        ("application/x-www-form-urlencoded", b"&".join([b"a=b"] * 200), "form_bad"),
        ("multipart/form-data", b"a", "form_bad"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nnameless\r\n--x--", "form_bad"),
        ("multipart/form-data; boundary=x", b"\r\n--x\r\n" * 500, "form_bad"),
    ],
)
def test_what_is_no_form_is_refused(tmp_path: Path, media: str, body: bytes, code: str) -> None:
    async def story(client: httpx.AsyncClient, _: Access) -> None:
        answer = await client.post(f"{page.BASE}/echo", content=body, headers={**ORIGIN, "content-type": media})
        assert answer.status_code == 400 and code in answer.text

    told(tmp_path, story)


class Outline(HTMLParser):
    """Tags that are open, and whether all of them were closed."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "path", "rect", "circle"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_a_page_closes_what_it_opens_and_escapes_what_it_shows() -> None:
    around = page.Setting(party="<b>Clinic", roles=("issuer",), now_ms=1_800_000_000_000)
    main = page.section("s", "<Title>", page.facts({"<a>": "<b>"}))
    main += page.table("<c>", ["<h>"], [["<em>cell</em>"]], empty="none") + page.field("n", "<label>", value='"><x>')
    main += page.choice("k", "Kind", [("<v>", "<text>")], chosen="<v>") + page.form(
        "x", page.hidden({"<n>": '"'}), "<go>"
    )
    text = page.whole("<title>", main, around, here="issuer/")
    seen = Outline()
    seen.feed(text)
    assert seen.open == []
    for raw in ("<b>", "<Title>", "<a>", "<c>", "<h>", "<label>", "<x>", "<v>", "<text>", "<n>", "<go>"):
        assert raw not in text


@pytest.mark.parametrize(
    ("age_ms", "said"),
    [(0, "just now"), (1000, "1 second ago"), (-7_200_000, "in 2 hours"), (90 * 86_400_000, "90 days ago")],
)
def test_ages_are_said_in_words(age_ms: int, said: str) -> None:
    assert page.age(age_ms) == said
