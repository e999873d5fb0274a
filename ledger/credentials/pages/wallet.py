"""The page that is a holder's wallet: all of it happens in the browser, which calls issuers and verifiers itself."""

from starlette.requests import Request
from starlette.routing import BaseRoute

from ledger.credentials.pages import page
from ledger.credentials.pages.front import POLICY, Front, Shown

CONNECT = "connect-src 'self' https: http://127.0.0.1:* http://localhost:*"
"""Issuers and verifiers are anywhere. The scripts are ours alone, and so are the forms."""
WALLET_POLICY = f"{POLICY}; script-src 'self'; {CONNECT}"

_MAIN = f"""<h1>Your wallet</h1>
<noscript><p>This wallet is a program that runs in your browser, and scripts are switched off. Switch them on for this page, or
use the wallet of the command line: <code>vigil credentials wallet</code>.</p></noscript>
<p id="wallet-said" role="status" aria-live="polite"></p>
<div id="wallet-app" hidden>
<div id="wallet-choice" tabindex="-1"></div>
<section aria-labelledby="wallet-in"><h2 id="wallet-in">Take up an offer, or answer a request</h2>
<form id="wallet-open"><p class="field"><label for="wallet-link">Link that you were given</label>
<textarea id="wallet-link" rows="3" autocomplete="off" spellcheck="false" required></textarea></p>
<p class="row"><button type="submit">Look at it</button></p></form>
<p class="field"><label for="wallet-photo">Or a photo of its code</label>
<input id="wallet-photo" type="file" accept="image/*"></p></section>
<section aria-labelledby="wallet-have"><h2 id="wallet-have">What you have</h2>
<p id="wallet-none">Nothing yet.</p><ul id="wallet-cards"></ul></section>
<section aria-labelledby="wallet-who"><h2 id="wallet-who">Who asked, and what you showed</h2>
<ol id="wallet-history" reversed></ol></section>
<section aria-labelledby="wallet-key"><h2 id="wallet-key">Your key</h2>
<p>It was made in this browser and cannot leave it: whoever clears this browser's data loses it, and asks the issuers again. Your
name to issuers and verifiers is</p><p><code id="wallet-did"></code></p>
<p class="row"><button id="wallet-export" class="quiet" type="button">Save what you have as a file</button></p></section>
</div>
<script type="module" src="{page.BASE}/static/wallet.js"></script>"""


class WalletPage:
    """The page. front: the way in."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def routes(self) -> list[BaseRoute]:
        """GET /wallet."""
        return [self._front.route("/wallet", self.shown, here="holder", policy=WALLET_POLICY)]

    async def shown(self, _: Request) -> Shown:
        """GET /wallet: the same for everybody, for the party knows nobody's wallet."""
        return "Your wallet", _MAIN
