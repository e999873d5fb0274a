"""The pages of who hires: files with what is missing and why, what has been told, and the next step of each."""

import asyncio
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from ledger.credentials import judging
from ledger.credentials.exchange.asking import Asking
from ledger.credentials.hiring import described, life
from ledger.credentials.hiring.collecting import Collecting
from ledger.credentials.hiring.opening import Opened
from ledger.credentials.hiring.posts import usual
from ledger.credentials.model import is_jurisdiction
from ledger.credentials.pages import forms, page
from ledger.credentials.pages.access import VERIFIER
from ledger.credentials.pages.front import Front, Shown
from protocol.errors import Malformed, NotFound

HERE = "hiring/"
STAFF = "staff"  # by whom what is done here is done: a session is a role's, not a person's
FILES_MAX = 200  # in the list; older ones are found by `vigil credentials hiring list`
EVENTS: Mapping[str, tuple[str, str]] = {
    "verify": ("Verify all of it now", ""),
    "hire": ("Hire", ""),
    "renew": ("Credential again", ""),
    "suspend": ("Suspend from work", "danger"),
    "reinstate": ("Let work again", ""),
    "end": ("End employment", "danger"),
    "refuse": ("Do not hire", "danger"),
}
CHECKED = ("verify", "hire", "renew")  # which say what stands against them
TONES = {"pass": "good", "fail": "bad", "unknown": "unsure"}


class Hirers:
    """The pages. hired: None while the party has no ledger to judge by."""

    def __init__(self, front: Front, hired: Opened | None, asking: Asking | None) -> None:
        self._front, self._hired = front, hired
        self._collecting = None if hired is None or asking is None else Collecting(hired.hiring, asking)

    def routes(self) -> list[BaseRoute]:
        """Under the pages, for who is signed in as verifier."""
        route, one = self._front.route, "/hiring/files/{id}"
        return [
            route("/hiring/", self.home, role=VERIFIER, here=HERE),
            route("/hiring/open", self.open, role=VERIFIER, here=HERE, methods=("POST",)),
            route(one, self.one, role=VERIFIER, here=HERE),
            route(f"{one}/ask", self.ask, role=VERIFIER, here=HERE, methods=("POST",)),
            route(f"{one}/{{event}}", self.step, role=VERIFIER, here=HERE, methods=("GET", "POST")),
        ]

    async def home(self, _: Request) -> Shown:
        """GET /hiring/: what was told, the files, and a new one."""
        its = self._its

        def read() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
            states = [*dict.fromkeys(state for state, _ in life.TABLE), *life.OVER]
            rows = [its.store.row(each) for each in its.store.ids(states)[-FILES_MAX:]]
            alerts = [described.alert(each) for each in its.hiring.alerts(standing=True)]
            return [described.line(row) for row in reversed(rows)], alerts

        files, alerts = await asyncio.to_thread(read)
        heads = ("Post", "Name", "Stands", "Opened")
        now_ms = self._front.now_ms()
        cells = (
            [
                page.link(f"hiring/files/{each['id']}", each["label"]),
                escape(each["name"] or "erased"),
                escape(each["state"]),
                page.time(each["made_ms"], now_ms),
            ]
            for each in files
        )
        listed = page.table("The newest first", heads, cells, empty="There is no file yet.")
        parts = page.section("alerts", "What stands now", _alerts(alerts, now_ms))
        return (
            "Hire",
            f"<h1>Hire</h1>{parts}{page.section('files', 'Files', listed)}{page.section('new', 'A new file', _new())}",
        )

    async def open(self, request: Request) -> Response:
        """POST /hiring/open: a file for a person and a post."""
        form = await forms.read(request)
        place = form.text("place", most=16)
        if not is_jurisdiction(place):
            raise Malformed("place_bad", "a place is a jurisdiction, as US-CA")
        post = usual(place).get(form.text("post"))
        if post is None:
            raise Malformed("post_unknown", "choose a post")
        named = {name: form.text(name) for name in ("given", "family", "birth", "npi")}
        person = described.person({name: text for name, text in named.items() if text})
        name = await asyncio.to_thread(self._its.hiring.open, post, person, by=STAFF)
        return RedirectResponse(f"{page.BASE}/hiring/files/{name.hex()}", status_code=303)

    async def one(self, request: Request) -> Shown:
        """GET: one file."""
        found, alerts = await self._found(request)
        return found["label"], self._file(found, alerts)

    async def ask(self, request: Request) -> Response:
        """POST: a request to the person's wallet for what is missing."""
        await forms.read(request)
        if self._collecting is None:
            raise NotFound("verifier_missing", "this party asks no wallets: set ledger_url and trust")
        made = await asyncio.to_thread(self._collecting.ask, _id(request))
        where = f"{page.BASE}/verifier/asked/{made.name}?link={quote(made.short, safe='')}"
        return RedirectResponse(where, status_code=303)

    async def step(self, request: Request) -> Shown | Response:
        """GET: whether it is really meant. POST: take the step."""
        name, event = _id(request), request.path_params["event"]
        if event not in EVENTS:
            raise NotFound("event_unknown", "there is no such step")
        found, alerts = await self._found(request)
        words, look = EVENTS[event]
        where = f"hiring/files/{name.hex()}"
        if request.method != "POST":
            asked = page.facts({"Post": found["label"], "Name": found["name"], "Stands": found["state"]})
            asked += page.form(f"{where}/{event}", page.hidden({"sure": "yes"}), f"Yes: {words.lower()}", kind=look)
            asked += f"<p>{page.link(where, 'No, go back')}</p>"
            return words, f"<h1>{escape(words)}?</h1>{page.section('sure', 'What will happen', asked)}"
        await forms.read(request)
        done = await asyncio.to_thread(getattr(self._its.hiring, event), name, by=STAFF)
        against = described.review(done)["causes"] if event in CHECKED else []
        if not against:
            return RedirectResponse(f"{page.BASE}/{where}", status_code=303)
        found, alerts = await self._found(request)
        said = page.state("bad", "That is not possible now.", "What stands against it is below.")
        return found["label"], said + self._file(found, alerts)

    def _file(self, found: Mapping[str, Any], alerts: Sequence[Mapping[str, Any]]) -> str:
        now_ms, where = self._front.now_ms(), f"hiring/files/{found['id']}"
        gaps = _gaps(found["gaps"])
        if found["gaps"] and self._collecting is not None:
            gaps += page.form(f"{where}/ask", page.hidden({"all": "yes"}), "Ask the wallet for what is missing")
        causes = "".join(_line(each["outcome"], each["subject"], each["code"]) for each in found["causes"])
        came = page.table(
            "What was shown",
            ("Kind", "Where", "Until", "Stands"),
            ([*_shown(each)] for each in found["credentials"]),
            empty="Nothing was shown yet.",
        )
        permits = "".join(
            _line("pass" if each["state"] == "granted" else "fail", name, each["state"])
            for name, each in found["permits"].items()
        )
        steps = "".join(
            f"<li>{page.link(f'{where}/{event}', EVENTS[event][0])}</li>" for event in EVENTS if _possible(found, event)
        )
        parts = [
            ("gaps", "What is missing", gaps),
            ("causes", "What stands against working", f"<ul>{causes}</ul>" if causes else "<p>Nothing.</p>"),
            ("came", "Credentials", came),
            ("permits", "What they may do", f"<ul>{permits}</ul>" if permits else "<p>Nothing of its own.</p>"),
            ("alerts", "What was told", _alerts(alerts, now_ms)),
        ]
        if steps:
            parts.append(("steps", "What you can do", f"<ul>{steps}</ul>"))
        head = page.facts({"Name": found["name"] or "erased", "Stands": found["state"]})
        return f"<h1>{escape(found['label'])}</h1>{head}" + "".join(page.section(*part) for part in parts)

    async def _found(self, request: Request) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """(a file with all that stands in it, what was told of it)."""
        its, name, now_ms = self._its, _id(request), self._front.now_ms()

        def read() -> tuple[dict[str, Any], list[dict[str, Any]]]:
            row, seen = its.hiring.row(name), its.hiring.review(name)
            permits, history = its.store.permits(name), its.store.history(name)
            whole = described.whole(row, seen, permits, history, now_ms=now_ms)
            return whole, [described.alert(each) for each in its.hiring.alerts(name)]

        return await asyncio.to_thread(read)

    @property
    def _its(self) -> Opened:
        if self._hired is None:
            raise NotFound("verifier_missing", "this party has no ledger to judge by: set ledger_url and trust")
        return self._hired


def _new() -> str:
    posts = [(each.name, each.label) for each in usual("*").values()]
    inside = page.choice("post", "Post", posts) + page.field("place", "Where", hint="As US or US-CA", most=16)
    inside += page.field("given", "Given name", most=128) + page.field("family", "Family name", most=128)
    inside += page.field("npi", "National Provider Identifier", needed=False, most=10)
    inside += page.field("birth", "Date of birth", kind="date", needed=False, hint="For lists of who may not be hired.")
    return page.form("hiring/open", inside, "Open the file")


def _possible(found: Mapping[str, Any], event: str) -> bool:
    """Whether the life of a file has this step now; being kept from work by hand is not one of its states."""
    if event in ("suspend", "reinstate"):
        return found["state"] in life.AT_WORK and bool(found["held"]) is (event == "reinstate")
    return any(state == found["state"] and each == event for state, each in life.TABLE)


def _gaps(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return page.state("good", "Nothing is missing.")
    return f"<ul>{''.join(_line(each['outcome'], each['label'], each['code']) for each in found)}</ul>"


def _line(outcome: str, what: str, code: str) -> str:
    return f'<li><strong class="{TONES[outcome]}">{escape(what)}</strong>: {escape(code.replace("_", " "))}</li>'


def _shown(found: Mapping[str, Any]) -> tuple[str, ...]:
    until = "no end" if found["until_ms"] is None else page.day(found["until_ms"])
    stands = f'<strong class="{TONES[found["outcome"]]}">{escape(found["code"].replace("_", " "))}</strong>'
    return escape(judging.label(found["type"])), escape(found["jurisdiction"]), until, stands


def _alerts(found: Sequence[Mapping[str, Any]], now_ms: int) -> str:
    if not found:
        return "<p>Nothing.</p>"
    return f"<ul>{''.join(_alert(each, now_ms) for each in found)}</ul>"


def _alert(found: Mapping[str, Any], now_ms: int) -> str:
    what = judging.label(found["type"]) if found["type"] else found["subject"]
    days = f", {found['days']} days" if found["days"] else ""
    over = "" if found["resolved_ms"] is None else " (over)"
    said = f"<strong>{escape(found['code'].replace('_', ' '))}</strong>{days}, {page.time(found['raised_ms'], now_ms)}{over}"
    return f"<li>{page.link('hiring/files/' + found['file'], what)}: {said}</li>"


def _id(request: Request) -> bytes:
    try:
        found = bytes.fromhex(request.path_params["id"])
    except ValueError:
        found = b""
    if len(found) != 16:
        raise NotFound("file_unknown", "a file is named by 32 hex digits")
    return found
