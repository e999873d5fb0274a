"""A wallet on a holder's own machine: one key, the credentials that it was given, and a list of who asked what.

What leaves it is a proof of the key for an issuer, and a presentation that its holder agreed to. OpenID4VCI 1.0, OpenID4VP 1.0.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from ledger import keyfile
from ledger.credentials.exchange import dcql, oid4vci, oid4vp
from ledger.credentials.exchange.oid4vci import Offer
from ledger.credentials.exchange.oid4vp import Request
from ledger.credentials.vc import did, jcs, jws, secured
from protocol import base64text
from protocol.errors import Malformed, ProtocolError, Unavailable
from protocol.keys import SigningKey

KEY, FILE = "wallet.key", "wallet.json"
KEPT_MAX = 512  # credentials; another one is refused: forget one first
HISTORY_MAX = 4096  # requests; the oldest goes first
ANSWER_MAX = 1_048_576  # bytes of an answer; a longer one is refused, read no further
FILE_MAX = 64 * 1_048_576
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Answered(ProtocolError):
    """An issuer or a verifier said no. code: in its own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A credential in the wallet. text: as it travels (base64url for COSE); issuer: the address it came from, "" for a file."""

    format: str
    text: str
    issuer: str
    received_ms: int

    @property
    def raw(self) -> bytes:
        """Its bytes."""
        if self.format == dcql.VC_COSE:
            return base64text.decode_url(self.text, code="vc_format")
        return self.text.encode()

    def read(self) -> secured.Secured:
        """What it says, nothing checked. Raises Malformed."""
        return secured.read(self.raw)

    def held(self) -> dcql.Held:
        """As a query sees it. Raises Malformed."""
        if self.format == dcql.SD_JWT:
            return oid4vp.of_sd_jwt(self.text)
        return oid4vp.of_document(self.format, self.read().claims)


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """What would be shown for one query. at: the credential's place in the wallet; claims: those asked for; whole: whether all of
    it is shown whatever was asked, because its format has no parts."""

    query: str
    at: int
    type: str
    claims: tuple[dcql.Claim, ...]
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One line of the history. types: what was shown, none when the holder said no; outcome: as the verifier signed it, "" when
    it did not."""

    at_ms: int
    client_id: str
    name: str
    purpose: str
    types: tuple[str, ...]
    outcome: str
    acknowledgement: str


class Wallet:
    """now_ms: a clock; folder: where it is kept, None for nowhere."""

    def __init__(self, key: SigningKey, *, now_ms: Callable[[], int], folder: Path | None = None) -> None:
        self._key, self._now_ms, self._folder = key, now_ms, folder
        self.kept: list[Kept] = []
        self.history: list[Shown] = []
        self._seen = b""  # what we read or wrote last

    @classmethod
    def open(cls, folder: Path, *, now_ms: Callable[[], int]) -> Self:
        """The wallet in a folder, made when there is none. Raises Malformed: wallet_bad, json_*; NotFound; Unavailable."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Stop here: a folder, or a key without credentials. The next run goes on.
            keyfile.make(folder / KEY)
            found = cls(keyfile.load(folder / KEY, fix="make a wallet"), now_ms=now_ms, folder=folder)
            if (folder / FILE).exists():
                found._seen = found._on_disk()
                found._read(found._seen)
        except OSError as error:
            raise Unavailable("wallet_unreadable", f"cannot use {folder}") from error
        return found

    @property
    def did(self) -> str:
        """The holder's name."""
        return did.did_key(self._key.public)

    def receive(self, link: str, web: httpx.Client, *, tx_code: str | None = None) -> Kept:
        """Take up an offer.

        Raises Answered; Malformed: offer_*, metadata_bad, address_bad, wallet_*, vc_*; Unavailable: peer_unreachable.

        Stop after the token: the code is used, and the issuer makes another offer. Stop after the credential: the same link
        gives nothing more, and the issuer can revoke what nobody keeps.
        """
        offer = self.offered(link, web)
        if len(self.kept) >= KEPT_MAX:
            raise Malformed("wallet_full", f"a wallet has at most {KEPT_MAX} credentials: forget one first")
        said = _asked(web, "GET", oid4vci.well_known(offer.issuer, oid4vci.WELL_KNOWN))
        form = self._format(said, offer)
        server = _asked(web, "GET", oid4vci.well_known(_server(said, offer), oid4vci.AUTHORIZATION))
        grant = {"grant_type": oid4vci.GRANT, "pre-authorized_code": offer.code}
        token = _asked(
            web, "POST", _text(server, "token_endpoint"), form=grant | ({"tx_code": tx_code} if tx_code else {})
        )
        access = {"authorization": f"Bearer {_text(token, 'access_token')}"}
        nonce = _text(_asked(web, "POST", _text(said, "nonce_endpoint")), "c_nonce")
        wanted = {
            "credential_configuration_id": offer.configurations[0],
            "proofs": {"jwt": [self._proof(offer.issuer, nonce)]},
        }
        given = _asked(web, "POST", _text(said, "credential_endpoint"), body=wanted, headers=access)
        try:
            kept = self._taken(given, form, offer.issuer)
            self.keep(kept)
        except (ProtocolError, Unavailable):
            _told(web, said, given, access, "credential_failure")
            raise
        _told(web, said, given, access, "credential_accepted")
        return kept

    def offered(self, link: str, web: httpx.Client) -> Offer:
        """What a link offers. Raises Malformed: offer_bad, address_bad; Answered; Unavailable."""
        found, address = oid4vci.read_link(link)
        return found if found is not None else oid4vci.read_offer(_asked(web, "GET", address))

    def keep(self, kept: Kept) -> None:
        """Put a credential that is ours into the wallet. Raises Malformed: wallet_other, wallet_full, vc_*; Unavailable."""
        if kept.read().subject != self.did:
            raise Malformed("wallet_other", "this credential is about somebody else's key")
        if len(self.kept) >= KEPT_MAX:
            raise Malformed("wallet_full", f"a wallet has at most {KEPT_MAX} credentials: forget one first")
        self.kept.append(kept)
        try:
            self._save()
        except Unavailable:
            self.kept.pop()
            raise

    def forget(self, at: int) -> None:
        """Take a credential out of the wallet. Raises Malformed: wallet_place; Unavailable."""
        if not 0 <= at < len(self.kept):
            raise Malformed("wallet_place", "the wallet has no credential there")
        del self.kept[at]
        self._save()

    def asked(self, link: str, web: httpx.Client) -> Request:
        """What a verifier's link asks. Raises Malformed: request_*, dcql_bad, address_bad; Answered; Unavailable."""
        found, address, client = oid4vp.read_link(link)
        if found is None:
            found = oid4vp.read_object(_fetched(web, "GET", address).decode("ascii", "replace"), client=client)
        _check_address(found.address)
        return found

    def match(self, query: Mapping[str, Any]) -> list[Showing]:
        """What would be shown, the newest credential for each query. Raises NotFound: dcql_unmatched; Malformed: dcql_bad."""
        parsed = dcql.parse(query)
        found: dict[str, Showing] = {}
        for at, kept in enumerate(self.kept):
            held, kind = kept.held(), kept.read().type
            for each in parsed.credentials:
                claims = dcql.shown(each, held)
                if claims is not None:
                    whole = each.format != dcql.SD_JWT
                    found[each.id] = Showing(query=each.id, at=at, type=kind, claims=claims, whole=whole)
        return [found[name] for name in dcql.chosen(parsed, found.keys())]

    def present(self, request: Request, web: httpx.Client, *, showing: Sequence[Showing] | None = None) -> Shown:
        """Show what is asked for to who asks, and keep what they signed about it; `showing` when the holder chose.

        Raises Answered; NotFound: dcql_unmatched; Malformed; BadSignature: acknowledgement_*; Unavailable.
        """
        chosen = self.match(request.query) if showing is None else showing
        now_s = self._now_ms() // 1000
        token: dict[str, list[object]] = {}
        for each in chosen:
            kept = self.kept[each.at]
            token.setdefault(each.query, []).append(
                oid4vp.presented(
                    kept.format,
                    _credential(kept),
                    each.claims,
                    key=self._key,
                    nonce=request.nonce,
                    audience=request.client_id,
                    now_s=now_s,
                )
            )
        form = {"vp_token": json.dumps(token), "state": request.state}
        return self._sent(request, web, form, tuple(each.type for each in chosen))

    def decline(self, request: Request, web: httpx.Client) -> Shown:
        """Say no. Raises as `present`."""
        return self._sent(request, web, {"error": "access_denied", "state": request.state}, ())

    def presentation(self, at: int, *, nonce: str, audience: str, claims: Sequence[dcql.Claim] = ()) -> bytes:
        """A presentation to hand over as a file or as QR codes. nonce, audience: as the verifier said, so that it is for them and
        for now. Raises Malformed."""
        kept = self.kept[at]
        made = oid4vp.presented(
            kept.format,
            _credential(kept),
            claims,
            key=self._key,
            nonce=nonce,
            audience=audience,
            now_s=self._now_ms() // 1000,
        )
        return made.encode() if isinstance(made, str) else jcs.canonical(made)

    def to_file(self) -> bytes:
        """Credentials and history, without the key."""
        found = {"v": 1, "credentials": [asdict(each) for each in self.kept]}
        return json.dumps(found | {"history": [asdict(each) for each in self.history]}, indent=1).encode() + b"\n"

    def _sent(self, request: Request, web: httpx.Client, form: Mapping[str, str], types: tuple[str, ...]) -> Shown:
        said = _asked(web, "POST", request.address, form=form)
        raw = said.get("acknowledgement", "")
        raw = raw if isinstance(raw, str) else ""
        line = Shown(
            at_ms=self._now_ms(),
            client_id=request.client_id,
            name=request.name,
            purpose=request.purpose,
            types=types,
            outcome=str(oid4vp.check_acknowledgement(raw, request)["outcome"]) if raw else "",
            acknowledgement=raw,
        )
        self.history = [*self.history, line][-HISTORY_MAX:]
        self._save()
        return line

    def _proof(self, issuer: str, nonce: str) -> str:
        head = {"typ": oid4vci.PROOF_TYP, "kid": did.key_method(self._key.public)}
        return jws.sign(head, {"aud": issuer, "iat": self._now_ms() // 1000, "nonce": nonce}, self._key)

    def _format(self, said: Mapping[str, Any], offer: Offer) -> str:
        if said.get("credential_issuer") != offer.issuer:
            raise Malformed("metadata_bad", "the issuer's metadata is another issuer's")
        match said.get("credential_configurations_supported"):
            case {**known} if isinstance(one := known.get(offer.configurations[0]), Mapping):
                if one.get("format") in dcql.FORMATS:
                    return str(one["format"])
        raise Malformed("metadata_bad", f"formats that this wallet keeps are {', '.join(dcql.FORMATS)}")

    def _taken(self, given: Mapping[str, Any], form: str, issuer: str) -> Kept:
        match given.get("credentials"):
            case [{"credential": (str() | dict()) as found}] if isinstance(found, dict) == (form == dcql.LDP_VC):
                text = found if isinstance(found, str) else jcs.canonical(found).decode()
                kept = Kept(format=form, text=text, issuer=issuer, received_ms=self._now_ms())
                if kept.read().format == form:
                    return kept
        raise Malformed("wallet_answer", "the issuer's answer is not one credential in the format that it offered")

    def _read(self, data: bytes) -> None:
        found = jcs.parse(data, size_max=FILE_MAX)
        try:
            self.kept = [Kept(**each) for each in found["credentials"]]
            self.history = [Shown(**{**each, "types": tuple(each["types"])}) for each in found["history"]]
        except (KeyError, TypeError) as error:
            raise Malformed("wallet_bad", f"{FILE} is not a wallet's") from error

    def _on_disk(self) -> bytes:
        assert self._folder is not None
        return (self._folder / FILE).read_bytes() if (self._folder / FILE).exists() else b""

    def _save(self) -> None:
        """Stop here: the wallet is as it was before. What an issuer handed out since is lost, and it issues again.

        Raises Unavailable: wallet_changed, when another program wrote meanwhile: what it kept is not lost to us.
        """
        if self._folder is None:
            return
        said = self.to_file()
        try:
            if self._on_disk() != self._seen:
                raise Unavailable("wallet_changed", "another program changed the wallet meanwhile: try again")
            keyfile.put(self._folder / FILE, said.decode())
        except OSError as error:
            raise Unavailable("wallet_unwritable", f"cannot write to {self._folder}") from error
        self._seen = said


def _credential(kept: Kept) -> object:
    if kept.format == dcql.LDP_VC:
        return jcs.parse(kept.text)
    return kept.raw if kept.format == dcql.VC_COSE else kept.text


def _server(said: Mapping[str, Any], offer: Offer) -> str:
    servers = said.get("authorization_servers", [offer.issuer])
    if not isinstance(servers, list) or not servers or not isinstance(servers[0], str):
        raise Malformed("metadata_bad", "an issuer names its authorization servers in a list")
    return servers[0]


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed("metadata_bad", f"the answer has no {name}")
    return value


def _check_address(address: str) -> None:
    """Raises Malformed: address_bad. TLS, or this machine; no name or password in it."""
    parts = urlsplit(address)
    plain = parts.scheme == "http" and parts.hostname in LOOPBACK
    if "@" in parts.netloc or not parts.netloc or not (parts.scheme == "https" or plain):
        raise Malformed("address_bad", "addresses are https://, or on this machine")


def _told(
    web: httpx.Client, said: Mapping[str, Any], given: Mapping[str, Any], access: Mapping[str, str], event: str
) -> None:
    """Tell the issuer what became of it; whether it hears that changes nothing here."""
    name, address = given.get("notification_id"), said.get("notification_endpoint")
    if isinstance(name, str) and isinstance(address, str):
        try:
            _fetched(web, "POST", address, body={"notification_id": name, "event": event}, headers=access)
        except (ProtocolError, Unavailable):
            return


def _asked(web: httpx.Client, method: str, address: str, **sent: Any) -> dict[str, Any]:
    return jcs.parse(_fetched(web, method, address, **sent), size_max=ANSWER_MAX)


def _fetched(
    web: httpx.Client,
    method: str,
    address: str,
    *,
    form: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of an answer; no redirection is followed. Raises Answered; Malformed: address_bad, answer_size; Unavailable."""
    _check_address(address)
    try:
        with web.stream(method, address, data=form, json=body, headers=headers, follow_redirects=False) as answer:
            found = bytearray()
            for chunk in answer.iter_bytes():
                found += chunk
                if len(found) > ANSWER_MAX:
                    raise Malformed("answer_size", f"an answer has at most {ANSWER_MAX} bytes")
    except httpx.HTTPError as error:
        raise Unavailable("peer_unreachable", "nobody answers there") from error
    if answer.status_code // 100 == 2:
        return bytes(found)
    try:
        said = jcs.parse(bytes(found))
    except Malformed:
        said = {}
    code = said.get("error")
    if answer.status_code == 503:
        raise Unavailable("peer_unavailable", "they cannot answer now")
    raise Answered(str(code)[:64] if code else "peer_refused", str(said.get("error_description", ""))[:512])
