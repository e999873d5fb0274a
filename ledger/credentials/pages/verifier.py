"""The verifier's pages: ask for a presentation by a code or a link, or check a file or a photo of a printed code."""

import asyncio
import datetime
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from ledger.credentials import judging, paper, types
from ledger.credentials.exchange import dcql
from ledger.credentials.exchange.asking import Asking
from ledger.credentials.exchange.store import ANSWERED, ASKED, DECLINED
from ledger.credentials.pages import forms, page, verdict
from ledger.credentials.pages.access import VERIFIER
from ledger.credentials.pages.front import Front, Shown
from ledger.credentials.verifying import Verifier
from protocol.errors import Malformed, NotFound

HERE = "verifier/"
ASKED_MAX = 12  # kinds of credentials in one request by form
PURPOSE_MAX = 256


class Verifiers:
    """The pages. verifier, asking: None while the party has no ledger to judge by."""

    def __init__(self, front: Front, verifier: Verifier | None, asking: Asking | None) -> None:
        self._front, self._verifier, self._asking = front, verifier, asking

    def routes(self) -> list[BaseRoute]:
        """Under the pages, for who is signed in as verifier."""
        route = self._front.route
        return [
            route("/verifier/", self.home, role=VERIFIER, here=HERE),
            route("/verifier/ask", self.ask, role=VERIFIER, here=HERE, methods=("POST",)),
            route("/verifier/asked/{name}", self.asked, role=VERIFIER, here=HERE),
            route("/verifier/check", self.check, role=VERIFIER, here=HERE, methods=("POST",)),
        ]

    async def home(self, _: Request) -> Shown:
        """GET /verifier/."""
        boxes = "".join(
            f'<p class="check"><input id="t-{each.name}" name="{each.name}" type="checkbox" value="yes">'
            f'<label for="t-{each.name}">{escape(each.label)}</label></p>'
            for each in types.CATALOGUE.values()
        )
        asked = f"<fieldset><legend>What</legend>{boxes}</fieldset>"
        asked += page.field("purpose", "What for", hint="The holder reads this before answering.", most=PURPOSE_MAX)
        given = page.field(
            "file", "A file or a photo", kind="file", hint="A credential, a presentation, or a photo of a code."
        )
        given += page.field(
            "day", "As it was on this day", kind="date", needed=False, hint="Leave it empty to ask about now."
        )
        return "Verify", "<h1>Verify</h1>" + page.section(
            "ask", "Ask the person", page.form("verifier/ask", asked, "Make a code")
        ) + page.section("check", "Check what you have", page.form("verifier/check", given, "Check", upload=True))

    async def ask(self, request: Request) -> Response:
        """POST /verifier/ask: a request, and where its answer is shown."""
        form = await forms.read(request)
        wanted = [name for name in types.CATALOGUE if form.fields.get(name) == "yes"]
        if not 0 < len(wanted) <= ASKED_MAX:
            raise Malformed("request_empty", "choose at least one kind of credential")
        query = dcql.query_for(wanted, formats=dcql.FORMATS)
        made = await asyncio.to_thread(self._asks.ask, query, purpose=form.text("purpose", most=PURPOSE_MAX))
        short = quote(made.short, safe="")
        return RedirectResponse(f"{page.BASE}/verifier/asked/{made.name}?link={short}", status_code=303)

    async def asked(self, request: Request) -> Shown:
        """GET /verifier/asked/{name}: the code while it waits, the verdict once it is there."""
        name = request.path_params["name"]
        found = await asyncio.to_thread(self._asks.result, name)
        if found.state == ANSWERED:
            parts = [one for some in found.verdicts.values() for each in some for one in each["credentials"]]
            return "Answer", "<h1>Answer</h1>" + verdicts(parts)
        if found.state == DECLINED:
            return "Answer", "<h1>Answer</h1>" + page.state("unsure", "They said no.", "Nothing was shown.")
        if found.state != ASKED:
            text = "Nothing came out of it: ask again."
            return "Answer", "<h1>Answer</h1>" + page.state("unsure", "Cut off.", text)
        link = request.query_params.get("link", "")
        if not link.startswith("openid4vp://") or len(link) > 1024:
            link = ""
        drawn = f'<div class="code">{paper.drawn(link, label="The request as a QR code")}</div>' if link else ""
        same = f"<details><summary>The same as a link</summary><pre>{escape(link)}</pre></details>" if link else ""
        again = page.link(
            f"verifier/asked/{quote(name)}" + (f"?link={quote(link, safe='')}" if link else ""), "Look again"
        )
        inside = f"<p>Good once, for five minutes. The holder scans it with a wallet.</p>{drawn}{same}<p>{again}</p>"
        return "Asked", f"<h1>Waiting for the answer</h1>{page.section('code', 'The request', inside)}"

    async def check(self, request: Request) -> Shown:
        """POST /verifier/check: the verdicts over a file or a photo."""
        form = await forms.read(request)
        content = form.files.get("file")
        if content is None:
            raise Malformed("file_missing", "choose a file or a photo")
        at_ms = _day(form.text("day"))
        raw = await asyncio.to_thread(paper.opened, content)
        answer = await asyncio.to_thread(self._checks.check, raw, at_ms=at_ms)
        return "Verdict", "<h1>Verdict</h1>" + verdicts(judging.described(answer)["credentials"])

    @property
    def _checks(self) -> Verifier:
        if self._verifier is None:
            raise NotFound("verifier_missing", "this party has no ledger to judge by: set ledger_url and trust")
        return self._verifier

    @property
    def _asks(self) -> Asking:
        if self._asking is None:
            raise NotFound("verifier_missing", "this party has no ledger to judge by: set ledger_url and trust")
        return self._asking


def verdicts(found: list[dict[str, Any]]) -> str:
    """Each credential of an answer with its steps."""
    return "".join(_verdict(each, at) for at, each in enumerate(found)) or page.state("unsure", "Nothing was shown.")


def _verdict(found: Mapping[str, Any], at: int) -> str:
    facts = {**found["says"], "Issued by": found["issuer"] or "not known"}
    if found["until_ms"] is not None:
        facts["Until"] = page.day(found["until_ms"])
    shown = verdict.Shown(title=judging.label(found["type"]), facts=facts, verdict=judging.verdict(found))
    return verdict.shown(shown, name=f"verdict-{at}")


def _day(said: str) -> int | None:
    """Noon of a day, in Unix ms. Raises Malformed: day_bad."""
    if not said:
        return None
    try:
        day = datetime.date.fromisoformat(said)
    except ValueError as error:
        raise Malformed("day_bad", "a day is written as 2026-11-25") from error
    return round(datetime.datetime(day.year, day.month, day.day, 12, tzinfo=datetime.UTC).timestamp() * 1000)
