"""The page for those whom credentials are about: what a wallet is, what is theirs, and what nobody learns."""

from starlette.requests import Request
from starlette.routing import BaseRoute

from ledger.credentials.pages import page
from ledger.credentials.pages.front import Front, Shown

HERE = "holder"
_WALLET = """<p>Your wallet is a page that your own browser keeps. The keys are made in it and never leave it; nobody here can
read them, and nobody can bring them back when they are lost. Then you ask the issuer for new credentials.</p>"""
_GET = """<ol><li>Your issuer shows you a code or sends you a link, once, for a short time.</li>
<li>Open it with your wallet, and look at what the credential says.</li>
<li>Keep it. A copy as a file works too, with any wallet that speaks OpenID4VCI.</li></ol>"""
_SHOW = """<ol><li>Who wants to check you shows you what is asked, and for what.</li>
<li>Your wallet lets you choose what to show, and signs that it is you, for this one question.</li>
<li>It keeps a list of who asked what, and when. The list is yours alone.</li></ol>"""
_NOT = """<ul><li>The ledger has no name, number or date of yours: of each credential it has one random number and one hash.</li>
<li>Your issuer does not learn where you show a credential. Who checks it fetches a list of a hundred thousand and more.</li>
<li>An employer who checks you sees what you chose to show, and whether it still holds.</li></ul>"""


class Holder:
    """The page. front: the way in."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def routes(self) -> list[BaseRoute]:
        """GET /holder."""
        return [self._front.route("/holder", self.about, here=HERE)]

    async def about(self, _: Request) -> Shown:
        """GET /holder."""
        wallet = f"{_WALLET}<p>{page.link('wallet', 'Open your wallet')}</p>"
        parts = [("wallet", "Your wallet", wallet), ("get", "Getting a credential", _GET)]
        parts += [("show", "Showing it", _SHOW), ("not", "What nobody learns", _NOT)]
        title = "Your credentials"
        return title, f"<h1>{title}</h1>" + "".join(page.section(*part) for part in parts)
