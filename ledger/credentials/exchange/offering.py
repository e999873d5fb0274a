"""An issuer's side of an exchange: offers that staff make, and what wallets get for them. OpenID4VCI 1.0."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.credentials.exchange import oid4vci
from ledger.credentials.exchange.oid4vci import Configuration, Refused
from ledger.credentials.exchange.store import OFFER_LIFE_MS, TOKEN_LIFE_MS, Store, code_of
from ledger.credentials.vc import did
from ledger.credentials.vc.multikey import VerifyingKey
from protocol import base64text
from protocol.errors import Malformed, VigilError

NONCE_LIFE_MS = 300_000
DRAFT_MAX = 65_536  # bytes of what an offer will say; more is refused

Issue = Callable[[Mapping[str, Any], str, VerifyingKey], str | dict[str, Any]]
"""Issues a draft in a format to the holder of a key: an object, or a text (base64url of a COSE_Sign1). It may block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """An offer that was made. name: secret, for who made it; link: has the offer in it; address, short: the same, by reference;
    tx_code: to be told the holder another way."""

    name: str
    link: str
    address: str
    short: str
    tx_code: str | None
    until_ms: int


class Offering:
    """base: the issuer's identifier, an address; issue: what makes and logs a credential."""

    def __init__(
        self,
        store: Store,
        issue: Issue,
        configurations: Sequence[Configuration],
        *,
        base: Callable[[], str],
        name: str,
        random_bytes: Callable[[int], bytes],
        now_ms: Callable[[], int],
    ) -> None:
        self._store, self._issue, self._base, self._name = store, issue, base, name
        self._configurations = {each.id: each for each in configurations}
        self._random, self._now_ms = random_bytes, now_ms
        self._secret = random_bytes(32)  # of nonces; a restart makes those unknown that wallets have not answered

    def metadata(self) -> dict[str, Any]:
        """What the issuer says of itself."""
        return oid4vci.metadata(self._base(), tuple(self._configurations.values()), name=self._name)

    def authorization_metadata(self) -> dict[str, Any]:
        """What its authorization server says of itself."""
        return oid4vci.authorization_metadata(self._base())

    def offer(
        self, kind: str, form: str, draft: Mapping[str, Any], *, tx_code: bool = True, life_ms: int = OFFER_LIFE_MS
    ) -> Offered:
        """Offer a credential to whoever has the link, and the tx_code where there is one. It blocks.

        kind: type of the ledger; form: format; draft: what it will say. Raises Malformed: configuration_unknown, draft_size;
        Unavailable: offers_full, exchange_failing.
        """
        configuration = Configuration(type=kind, format=form, name="").id
        if configuration not in self._configurations:
            raise Malformed("configuration_unknown", "this issuer does not offer such credentials")
        kept, now_ms = json.dumps(draft), self._now_ms()
        if len(kept) > DRAFT_MAX:
            raise Malformed("draft_size", f"a credential says at most {DRAFT_MAX} bytes")
        secret, digits = self._store.offer(configuration, kept, tx_code=tx_code, life_ms=life_ms, now_ms=now_ms)
        said = oid4vci.offer(self._base(), configuration, code=code_of(secret), tx_code=tx_code)
        address = f"{self._base()}/openid/offers/{secret}"
        return Offered(
            name=secret,
            link=oid4vci.link_with(said),
            address=address,
            short=oid4vci.link_to(address),
            tx_code=digits,
            until_ms=now_ms + life_ms,
        )

    def state(self, name: str) -> str:
        """Where an offer stands. Raises NotFound: offer_unknown."""
        return self._store.offer_state(name)

    def withdraw(self, name: str) -> None:
        """Take back an offer that nobody took up. Raises NotFound: offer_unknown."""
        self._store.withdraw(name)

    def offered(self, name: str) -> dict[str, Any]:
        """The offer under an address. Raises NotFound: offer_unknown."""
        configuration, tx_code = self._store.offered(name, now_ms=self._now_ms())
        return oid4vci.offer(self._base(), configuration, code=code_of(name), tx_code=tx_code)

    def token(self, form: Mapping[str, str]) -> dict[str, Any]:
        """The token for a code. Raises Refused; Unavailable. OpenID4VCI 1.0 §6.2."""
        code, tx_code = oid4vci.read_token_request(form)
        token = self._store.claim(code, tx_code, now_ms=self._now_ms())
        return {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFE_MS // 1000}

    def nonce(self) -> str:
        """A nonce for one proof. It is not kept: asking for many costs nobody room. OpenID4VCI 1.0 §7.2."""
        said = (self._now_ms() + NONCE_LIFE_MS).to_bytes(8, "big") + self._random(16)
        return base64text.encode_url(said + self._mark(said))

    def credential(self, token: str, body: bytes) -> dict[str, Any]:
        """The credential for a token and a proof of a key. It blocks. Raises Refused; Unavailable. OpenID4VCI 1.0 §8.3."""
        now_ms = self._now_ms()
        claim = self._store.claimed(token, now_ms=now_ms)
        wanted = oid4vci.read_credential_request(body, claim.configuration)
        key, nonce = oid4vci.check_proof(wanted.proof, issuer=self._base(), now_s=now_ms // 1000)
        said, until_ms = self._check_nonce(nonce, now_ms)
        self._store.begin(claim, said, now_ms=now_ms, nonce_until_ms=until_ms)
        holder = did.did_key(key)
        if claim.answer is not None:
            if claim.holder != holder:
                raise Refused("credential_request_denied", "the credential was issued to another key")
            found: dict[str, Any] = json.loads(claim.answer)
            return found
        try:
            made = self._issue(json.loads(claim.draft), self._configurations[claim.configuration].format, key)
        except VigilError as error:
            self._store.release(claim)
            raise Refused("credential_request_denied", error.detail) from error
        notice = base64text.encode_url(self._random(16))
        answer = {"credentials": [{"credential": made}], "notification_id": notice}
        # Stop here: issued, logged and in nobody's hands. The wallet asks again and gets another; see Store.open.
        self._store.issued(claim, holder=holder, answer=json.dumps(answer), notice=notice, now_ms=now_ms)
        return answer

    def notify(self, token: str, body: bytes) -> None:
        """What became of it at the wallet. Raises Refused; Unavailable. OpenID4VCI 1.0 §11."""
        name, event = oid4vci.read_notification(body)
        self._store.noticed(token, name, event, now_ms=self._now_ms())

    def _mark(self, said: bytes) -> bytes:
        return hmac.digest(self._secret, said, "sha256")[:16]

    def _check_nonce(self, nonce: str, now_ms: int) -> tuple[bytes, int]:
        """(its bytes, when it ends). Raises Refused: invalid_nonce."""
        try:
            raw = base64text.decode_url(nonce, code="nonce_bad")
        except Malformed as error:
            raise Refused("invalid_nonce", "get a nonce at the nonce endpoint") from error
        said, until_ms = raw[:24], int.from_bytes(raw[:8], "big")
        if len(raw) != 40 or not hmac.compare_digest(raw[24:], self._mark(said)) or until_ms <= now_ms:
            raise Refused("invalid_nonce", "get a new nonce at the nonce endpoint")
        return hashlib.sha256(raw).digest(), until_ms
