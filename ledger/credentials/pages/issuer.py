"""The issuer's pages: issue by form with a preview, look, print, and take back after a second look."""

import asyncio
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from ledger.credentials import types
from ledger.credentials.exchange.offering import Offering
from ledger.credentials.issuing.store import Row
from ledger.credentials.office import ID_SIZE, Office, facts_of
from ledger.credentials.pages import certificate, forms, issuing, page
from ledger.credentials.pages.access import ISSUER
from ledger.credentials.pages.certificate import Certificate
from ledger.credentials.pages.front import Front, Shown
from ledger.credentials.types import Type
from ledger.credentials.vc import did, secured
from protocol.errors import Malformed, NotFound

HERE = "issuer/"
DAY_MS = 86_400_000
DAYS_MAX = 36_525
FILES: Mapping[str, tuple[str, str]] = {
    secured.DATA_INTEGRITY: ("application/vc", "credential.json"),
    secured.SD_JWT: ("application/dc+sd-jwt", "credential.sd-jwt"),
    secured.COSE: ("application/vc+cose", "credential.cose"),
}


class Issuers:
    """The pages. office: the issuer; offering: to wallets, None when the party does not."""

    def __init__(self, front: Front, office: Office, offering: Offering | None, *, party: str) -> None:
        self._front, self._office, self._offering, self._party = front, office, offering, party

    def routes(self) -> list[BaseRoute]:
        """Under the pages, for who is signed in as issuer."""
        one = "/issuer/credentials/{id}"
        gets = {"/issuer/": self.home, "/issuer/new": self.new, one: self.one}
        gets |= {f"{one}/certificate": self.certificate}
        posts = {"/issuer/preview": self.preview, "/issuer/issue": self.issue}
        routes: list[BaseRoute] = [self._front.route(path, each, role=ISSUER, here=HERE) for path, each in gets.items()]
        routes += [
            self._front.route(path, each, role=ISSUER, here=HERE, methods=("POST",)) for path, each in posts.items()
        ]
        routes.append(self._front.route(f"{one}/file", self.file, role=ISSUER))
        return [
            *routes,
            self._front.route(f"{one}/{{deed}}", self.deed, role=ISSUER, here=HERE, methods=("GET", "POST")),
        ]

    async def home(self, _: Request) -> Shown:
        """GET /issuer/: the list."""
        rows = []
        if self._office.opened:
            rows = await asyncio.to_thread(self._office.issued, most=issuing.SHOWN_MAX)
        said = await asyncio.to_thread(lambda: [self._row(each) for each in rows])
        return "Issue", issuing.home(said, did=self._office.did, now_ms=self._front.now_ms())

    async def new(self, request: Request) -> Shown:
        """GET /issuer/new?type=: the form of a type."""
        found = _type(request.query_params.get("type", ""))
        return found.label, issuing.blank(found, values={})

    async def preview(self, request: Request) -> Shown:
        """POST /issuer/preview: what will be signed, or the form again with what is wrong."""
        values = (await forms.read(request)).fields
        found = _type(values.get("type", ""))
        try:
            _, days = self._draft(found, values)
        except Malformed as error:
            return found.label, issuing.blank(found, values=values, trouble=f"{error.detail} ({error.code})")
        until_ms = self._front.now_ms() + days * DAY_MS
        return f"Preview: {found.label}", issuing.preview(found, values=values, until_ms=until_ms)

    async def issue(self, request: Request) -> Shown | Response:
        """POST /issuer/issue: sign it, or offer it to whoever holds the code."""
        values = (await forms.read(request)).fields
        found = _type(values.get("type", ""))
        draft, days = self._draft(found, values)
        form = values["format"]
        if values.get("holder"):
            holder = did.key_of(values["holder"])
            made = await asyncio.to_thread(self._office.issue_draft, draft, form, holder, days=days)
            return RedirectResponse(f"{page.BASE}/issuer/credentials/{made.id.hex()}", status_code=303)
        if self._offering is None:
            raise NotFound("offers_missing", "this party offers nothing to wallets: name the holder's key")
        offered = await asyncio.to_thread(
            self._offering.offer, found.name, form, {"draft": draft, "days": days}, tx_code=True
        )
        shown = issuing.offer(
            found,
            link=offered.short,
            tx_code=offered.tx_code,
            until_ms=offered.until_ms,
            now_ms=self._front.now_ms(),
        )
        return f"Offer: {found.label}", shown

    async def one(self, request: Request) -> Shown:
        """GET: one credential."""
        row = await self._found(request)
        said, facts = await asyncio.to_thread(lambda: (self._row(row), facts_of(row)))
        shown = issuing.one(said, facts, now_ms=self._front.now_ms())
        return issuing.kind(row.type), shown

    async def certificate(self, request: Request) -> Shown:
        """GET: the sheet to print."""
        row = await self._found(request)
        facts = await asyncio.to_thread(facts_of, row)
        title = issuing.kind(row.type)
        facts["Until"] = page.day(row.until_ms)
        found = Certificate(title=title, issuer=self._party, issued_ms=row.made_ms, facts=facts, raw=row.raw)
        back = f'<p class="screen">{page.link(f"issuer/credentials/{row.id.hex()}", "Back")}</p>'
        return title, certificate.sheet(found) + back

    async def file(self, request: Request) -> Response:
        """GET: the credential as a file."""
        row = await self._found(request)
        media, name = FILES[row.format]
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(row.raw, media_type=media, headers=headers)

    async def deed(self, request: Request) -> Shown | Response:
        """GET: whether it is really meant. POST: do it."""
        row, deed = await self._found(request), request.path_params["deed"]
        said = await asyncio.to_thread(self._row, row)
        if deed not in issuing.DEEDS:
            raise NotFound("http_404", "there is nothing under this address")
        if not issuing.possible(said, deed):
            raise Malformed("status_conflict", f"a credential that is {said.state} cannot be taken through {deed}")
        if request.method != "POST":
            return issuing.kind(row.type), issuing.confirm(said, deed)
        form, after = await forms.read(request), row.id
        if deed == issuing.REFRESH:
            after = (await asyncio.to_thread(self._office.refresh, row.id)).id
        else:
            await asyncio.to_thread(self._office.change, row.id, deed, reason=form.text("reason"))
        return RedirectResponse(f"{page.BASE}/issuer/credentials/{after.hex()}", status_code=303)

    def _draft(self, found: Type, values: Mapping[str, str]) -> tuple[dict[str, object], int]:
        """(the draft of a form, for how many days). Raises Malformed."""
        draft = types.draft(found.name, {each.name: values.get(each.name, "") for each in found.fields})
        self._office.check_draft(draft)
        days = values.get("days", "")
        if not days.isdecimal() or not 0 < int(days[:6]) <= DAYS_MAX:
            raise Malformed("period_bad", f"a credential is valid for 1 to {DAYS_MAX} days")
        if values.get("format") not in secured.FORMATS:
            raise Malformed("format_unknown", "choose a form")
        if values.get("holder"):
            did.key_of(values["holder"])
        return draft, int(days)

    async def _found(self, request: Request) -> Row:
        try:
            name = bytes.fromhex(request.path_params["id"])
        except ValueError:
            name = b""
        if len(name) != ID_SIZE:
            raise NotFound("credential_unknown", "a credential is named by 32 hex digits")
        return await asyncio.to_thread(self._office.find, name)

    def _row(self, row: Row) -> issuing.Row:
        return issuing.Row(
            id=row.id.hex(),
            type=row.type,
            jurisdiction=secured.read(row.raw).jurisdiction,
            issued_ms=row.made_ms,
            until_ms=row.until_ms,
            state=self._office.state(row),
            ledger=self._office.standing(row),
        )


def _type(name: str) -> Type:
    found = types.CATALOGUE.get(name)
    if found is None:
        raise NotFound("type_unknown", "there is no such kind of credential")
    return found
