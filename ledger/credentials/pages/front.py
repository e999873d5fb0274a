"""What stands before every page: the Host it was asked under, where a change comes from, who is signed in, and the headers.

A page is asked for by a browser that has other pages open. They could name this server by a domain of their own (refused by the
Host), send forms to it (refused by their Origin, and the cookie is not sent with them), or frame it (refused by the browser).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from importlib.resources import files
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from ledger.credentials.pages import access, forms, page
from ledger.credentials.pages.access import Access, NotSignedIn
from ledger.http import caching
from ledger.party.node import Node
from protocol.errors import NotFound, Unavailable, VigilError

COOKIE = "vigil-credentials"
TOKEN_MAX = 128  # characters of a cookie that is looked up; a longer one is nobody's
POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cache-control": caching.NEVER,
}
TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
STATUS = {NotSignedIn: 401, NotFound: 404, Unavailable: 503}

Shown = tuple[str, str]
"""Title and HTML of a page."""
Handler = Callable[[Request], Awaitable[Shown | Response]]


class Front:
    """Sign-in, and the way in for pages of every part. now_ms: a clock, Unix milliseconds."""

    def __init__(self, node: Node, doors: Access, *, now_ms: Callable[[], int]) -> None:
        self._node, self._doors, self.now_ms = node, doors, now_ms
        self._static = _assets()
        self._failed = asyncio.Lock()  # one code at a time: guesses do not overtake each other

    def routes(self) -> list[BaseRoute]:
        """Home, sign-in, sign-out and the files that pages need."""
        return [
            Route("/static/{name}", self.static),
            self.route("/", self.home),
            self.route("/sign-in", self.sign_in, methods=("GET", "POST")),
            self.route("/sign-out", self.sign_out, methods=("POST",)),
        ]

    def route(
        self,
        path: str,
        handler: Handler,
        *,
        role: str = "",
        methods: tuple[str, ...] = ("GET",),
        here: str = "",
        policy: str = POLICY,
    ) -> Route:
        """A page. role: who may have it, everybody when empty; here: its section; policy: its Content-Security-Policy."""

        async def answer(request: Request) -> Response:
            roles: frozenset[str] = frozenset()
            try:
                roles = await self._let_in(request)
                if role and role not in roles:
                    raise NotSignedIn("sign_in_needed", f"sign in as {role} first")
                found = await handler(request)
            except VigilError as error:
                found = self._trouble(error, roles)
            if not isinstance(found, Response):
                title, main = found
                found = HTMLResponse(page.whole(title, main, self.around(roles), here=here))
            for name, value in {**HEADERS, "content-security-policy": policy}.items():
                found.headers.setdefault(name, value)
            return found

        return Route(path, answer, methods=[*methods])

    def around(self, roles: frozenset[str]) -> page.Setting:
        """What surrounds a page for somebody with these roles."""
        return page.Setting(party=self._node.name or "A party without a name", roles=roles, now_ms=self.now_ms())

    async def home(self, request: Request) -> Shown:
        """GET /: what can be done here, and by whom."""
        roles = await self._roles(request)
        ways = [
            ("holder", "Holders", "Your credentials are in a wallet of yours. What it is, and how it gets filled."),
            ("issuer/", "Issuers", "Issue, list, suspend and revoke the credentials of your people."),
            ("verifier/", "Verifiers", "Ask for a presentation, or check a file or a photo of a printed code."),
            ("hiring/", "Hiring", "What a post needs, what is missing, and what has ended since."),
        ]
        rows = "".join(f"<li>{page.link(path, name)}<p>{escape(said)}</p></li>" for path, name, said in ways)
        main = "<h1>Staff credentials</h1><p>Issued by who may, held by the person, checked in seconds.</p>"
        main += page.section("ways", "Where to", f"<ul>{rows}</ul>")
        if not roles:
            hint = f"Staff of {escape(self._node.name or 'this party')} sign in with a code that the operator makes. "
            main += page.section("staff", "Staff", f"<p>{hint}{page.link('sign-in', 'Sign in')}</p>")
        return "Staff credentials", main

    async def sign_in(self, request: Request) -> Shown | Response:
        """GET: the form. POST: a code becomes a session."""
        if request.method == "POST":
            code = (await forms.read(request)).text("code", most=64)
            async with self._failed:
                token = await asyncio.to_thread(self._doors.sign_in, code, now_ms=self.now_ms())
            answer = RedirectResponse(f"{page.BASE}/", status_code=303)
            answer.set_cookie(
                COOKIE,
                token,
                max_age=access.SESSION_LIFE_MS // 1000,
                path="/credentials",
                secure=self._node.chosen.url.startswith("https://"),
                httponly=True,
                samesite="strict",
            )
            return answer
        hint = "The operator makes one with: vigil credentials access --role issuer. It is good once, for ten minutes."
        asked = page.field("code", "Code", hint=hint, most=64)
        return (
            "Sign in",
            f"<h1>Sign in</h1>{page.section('code-of', 'With a code', page.form('sign-in', asked, 'Sign in'))}",
        )

    async def sign_out(self, request: Request) -> Response:
        """POST: end the session."""
        await forms.read(request)
        await asyncio.to_thread(self._doors.sign_out, _token(request))
        answer = RedirectResponse(f"{page.BASE}/", status_code=303)
        answer.delete_cookie(COOKIE, path="/credentials")
        return answer

    async def static(self, request: Request) -> Response:
        """GET /static/{name}: a file of the pages. No path of a request reaches the disk."""
        found = self._static.get(request.path_params["name"])
        if found is None:
            return Response("There is no such file.\n", status_code=404, media_type="text/plain")
        media, body = found
        answer = caching.answer(request, body, media=media, cache="no-cache")
        answer.headers["x-content-type-options"] = "nosniff"
        return answer

    async def _let_in(self, request: Request) -> frozenset[str]:
        """The roles of who asks. Raises NotSignedIn: host_wrong, origin_wrong."""
        own = urlsplit(self._node.chosen.url)
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in {*self._node.authorities, own.netloc}:
            raise NotSignedIn(
                "host_wrong", "this party is not reached under that name: see the settings url and addresses"
            )
        if request.method not in ("GET", "HEAD"):
            scheme = own.scheme or request.url.scheme
            if request.headers.get("origin", "").lower() != f"{scheme}://{hosts[0].lower()}":
                raise NotSignedIn("origin_wrong", "a change has to come from a page of this party")
            if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
                raise NotSignedIn("origin_wrong", "a change has to come from a page of this party")
        return await self._roles(request)

    async def _roles(self, request: Request) -> frozenset[str]:
        token = _token(request)
        return await asyncio.to_thread(self._doors.roles, token, now_ms=self.now_ms()) if token else frozenset()

    def _trouble(self, error: VigilError, roles: frozenset[str]) -> HTMLResponse:
        status = next((number for kind, number in STATUS.items() if isinstance(error, kind)), 400)
        title = {401: "Sign in first", 404: "There is nothing here", 503: "Not now"}.get(status, "That did not work")
        said = f"{error.detail[:1].upper()}{error.detail[1:]}."
        main = f"<h1>{title}</h1>{page.state('bad', said)}<p>Its code is <code>{escape(error.code)}</code>.</p>"
        main += f"<p>{page.link('sign-in', 'Sign in') if status == 401 else page.link('', 'Go on')}</p>"
        status = 403 if status == 401 and error.code in ("host_wrong", "origin_wrong") else status
        return HTMLResponse(page.whole(title, main, self.around(roles)), status_code=status)


def _token(request: Request) -> str:
    found = request.cookies.get(COOKIE, "")
    return found if len(found) <= TOKEN_MAX else ""


def _assets() -> Mapping[str, tuple[str, bytes]]:
    found = {}
    for file in files("ledger.credentials.pages").joinpath("static").iterdir():
        media = TYPES.get(file.name.rpartition(".")[2])
        if media is not None:
            found[file.name] = (media, file.read_bytes())
    return found
