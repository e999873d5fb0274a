"""Asking for a presentation, and what a wallet answers: OpenID4VP 1.0 with direct_post, unsigned, client_id prefix redirect_uri.

The client is named by the address that the answer goes to (§5.9.3), so a presentation made for one verifier is good for no other.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ledger.credentials.exchange import dcql
from ledger.credentials.vc import cose_vc, integrity, jcs, jws, presentation, sdjwt
from protocol import base64text
from protocol.errors import BadSignature, Malformed
from protocol.keys import THUMBPRINT_URN, PublicKey, SigningKey
from protocol.p256 import P256SigningKey

SCHEME = "openid4vp://"
PREFIX = "redirect_uri:"
REQUEST_TYP, REQUEST_MEDIA = "oauth-authz-req+jwt", "application/oauth-authz-req+jwt"
ACKNOWLEDGED = "vigil-acknowledgement+jwt"
LINK_MAX = 16_384  # characters of a request; a longer one is refused
ANSWER_MAX = 1_048_576  # bytes of an answer; a longer one is refused
PRESENTATIONS_MAX = 32  # in one answer; more are refused
VALID, REFUSED, UNKNOWN = "valid", "refused", "unknown"
OUTCOMES = (VALID, REFUSED, UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a verifier asks. address: where the answer goes; query: DCQL; name, purpose: what it says to the holder."""

    address: str
    nonce: str
    state: str
    query: Mapping[str, Any]
    name: str
    purpose: str

    @property
    def client_id(self) -> str:
        """Whom a presentation is made for."""
        return PREFIX + self.address

    def to_json(self) -> dict[str, Any]:
        """The parameters. OpenID4VP 1.0 §5.1."""
        formats = {
            dcql.LDP_VC: {
                "proof_type_values": [integrity.TYPE],
                "cryptosuite_values": [integrity.EDDSA, integrity.ECDSA],
            },
            dcql.SD_JWT: {"sd-jwt_alg_values": ["EdDSA"], "kb-jwt_alg_values": list(jws.ALGS)},
            dcql.VC_COSE: {"alg_values": [-8]},
        }
        return {
            "client_id": self.client_id,
            "response_type": "vp_token",
            "response_mode": "direct_post",
            "response_uri": self.address,
            "nonce": self.nonce,
            "state": self.state,
            "dcql_query": dict(self.query),
            "client_metadata": {
                "client_name": self.name,
                "vp_formats_supported": formats,
                "vigil_purpose": self.purpose,
            },
        }

    def link(self) -> str:
        """The request in a link."""
        said = {
            name: each if isinstance(each, str) else jcs.canonical(each).decode()
            for name, each in self.to_json().items()
        }
        return f"{SCHEME}?{urlencode(said, quote_via=quote)}"

    def link_to(self, address: str) -> str:
        """The link to where the request is, short enough for any QR code. OpenID4VP 1.0 §5.7."""
        return f"{SCHEME}?{urlencode({'client_id': self.client_id, 'request_uri': address}, quote_via=quote)}"

    def to_object(self) -> str:
        """The request as a token that nobody signed, as the prefix redirect_uri demands. RFC 9101 §2.1, OpenID4VP 1.0 §5.9.3."""
        head = {"alg": "none", "typ": REQUEST_TYP}
        body = {**self.to_json(), "aud": "https://self-issued.me/v2"}
        return ".".join([*(base64text.encode_url(jcs.canonical(each)) for each in (head, body)), ""])


def read_link(link: str) -> tuple[Request | None, str, str]:
    """(the request in a link, "", its client), or (None, where it is, the client). Raises Malformed: request_*, json_*."""
    if len(link) > LINK_MAX:
        raise Malformed("request_bad", f"a request has at most {LINK_MAX} characters")
    pairs = dict(parse_qsl(urlsplit(link.strip()).query, keep_blank_values=True, max_num_fields=32))
    client = pairs.get("client_id", "")
    if "request_uri" in pairs:
        if "request" in pairs or pairs.get("request_uri_method", "get") != "get":
            raise Malformed("request_bad", "a request is at one address, and got there")
        return None, pairs["request_uri"], client
    found: dict[str, Any] = dict(pairs)
    for name in ("dcql_query", "client_metadata"):
        if name in pairs:
            found[name] = jcs.parse(pairs[name])
    return read_request(found, client=client), "", client


def read_object(raw: str, *, client: str) -> Request:
    """The request in an unsigned token. Raises Malformed: request_*, json_*."""
    parts = raw.strip().split(".")
    if len(parts) != 3 or parts[2]:
        raise Malformed("request_signed", "a request by this prefix is not signed")
    head, body = (jcs.parse(base64text.decode_url(each, code="request_bad"), size_max=LINK_MAX) for each in parts[:2])
    if head.get("alg") != "none" or head.get("typ") != REQUEST_TYP:
        raise Malformed("request_bad", f"a request is an {REQUEST_TYP}")
    return read_request(body, client=client)


def read_request(found: Mapping[str, Any], *, client: str) -> Request:
    """What a wallet is asked. client: as the link named it. Raises Malformed: request_*, dcql_bad."""
    texts = {name: found.get(name) for name in ("client_id", "response_uri", "nonce")}
    if not all(isinstance(each, str) and each for each in texts.values()):
        raise Malformed("request_bad", "a request has a client_id, a response_uri and a nonce")
    if found.get("response_type") != "vp_token" or found.get("response_mode") != "direct_post":
        raise Malformed("request_mode", "answers are a vp_token, by direct_post")
    if texts["client_id"] != client or client != PREFIX + str(texts["response_uri"]):
        raise Malformed("request_client", "whoever asks is named by where the answer goes")
    if "transaction_data" in found:
        raise Malformed("request_bad", "a wallet here agrees to nothing but showing credentials")
    dcql.parse(found.get("dcql_query"))
    said = found.get("client_metadata", {})
    said = said if isinstance(said, Mapping) else {}
    return Request(
        address=str(texts["response_uri"]),
        nonce=str(texts["nonce"]),
        state=str(found.get("state", "")),
        query=found["dcql_query"],
        name=str(said.get("client_name", ""))[:256],
        purpose=str(said.get("vigil_purpose", ""))[:512],
    )


def presented(
    form: str,
    credential: object,
    claims: Sequence[dcql.Claim],
    *,
    key: SigningKey | P256SigningKey,
    nonce: str,
    audience: str,
    now_s: int,
) -> str | dict[str, Any]:
    """One presentation for a vp_token, bound to who asks. credential: an object, a text, or bytes, by its format.

    Raises Malformed: format_unknown, json_*.
    """
    if form == dcql.SD_JWT and isinstance(credential, str):
        names = {str(claim.path[0]) for claim in claims}
        return sdjwt.present(credential, names, key=key, nonce=nonce, aud=audience, iat_s=now_s)
    if form == dcql.LDP_VC and isinstance(credential, Mapping):
        inside: Mapping[str, Any] = credential
    elif form == dcql.VC_COSE and isinstance(credential, bytes):
        inside = presentation.item(credential)
    else:
        raise Malformed("format_unknown", f"credentials are {', '.join(dcql.FORMATS)}")
    return presentation.signed([inside], key, nonce=nonce, audience=audience, now_s=now_s)


def read_answer(form: Mapping[str, str], *, state: str) -> dict[str, list[bytes]]:
    """Presentations by query, each as its bytes. Raises Malformed: answer_*, json_*. OpenID4VP 1.0 §8.1, §8.2.

    state: of the request. An empty map is a holder's no.
    """
    if form.get("state", "") != state:
        raise Malformed("answer_state", "an answer to another request")
    if "error" in form:
        return {}
    found = jcs.parse(form.get("vp_token", ""), size_max=ANSWER_MAX)
    answers: dict[str, list[bytes]] = {}
    for name, each in found.items():
        if not isinstance(each, list) or not each:
            raise Malformed("answer_shape", "a vp_token has a list of presentations for each query")
        answers[name] = [_bytes_of(one) for one in each]
    if not answers or sum(map(len, answers.values())) > PRESENTATIONS_MAX:
        raise Malformed("answer_shape", f"a vp_token has at most {PRESENTATIONS_MAX} presentations, and one at least")
    return answers


def matched(query: Mapping[str, Any], answers: Mapping[str, Sequence[bytes]]) -> None:
    """Raises Malformed: dcql_unknown, answer_many, answer_missing, answer_other, unless the answers are what was asked for, as
    far as they say so themselves: what they say is judged elsewhere."""
    asked = dcql.parse(query)
    for name, presentations in answers.items():
        one = asked.of(name)
        if len(presentations) > 1 and not one.multiple:
            raise Malformed("answer_many", "one credential was asked for")
        for raw in presentations:
            for held in held_of(one.format, raw):
                if dcql.shown(one, held) is None:
                    raise Malformed("answer_other", "not the credential that was asked for, or without a claim of it")
    if not dcql.satisfied(asked, answers):
        raise Malformed("answer_missing", "the answer lacks a credential that was asked for")


def held_of(form: str, raw: bytes) -> list[dcql.Held]:
    """The credentials in one presentation, as a query sees them. Raises Malformed: answer_shape, json_*, sd_*, cose_*."""
    if form == dcql.SD_JWT:
        return [of_sd_jwt(raw.decode("ascii", "replace"))]
    inside = jcs.parse(raw, size_max=ANSWER_MAX).get("verifiableCredential")
    items = inside if isinstance(inside, list) else [inside]
    if len(items) != 1:
        raise Malformed("answer_shape", "a presentation has one credential")
    return [_of_item(form, each) for each in items]


def of_sd_jwt(text: str) -> dcql.Held:
    """An SD-JWT VC with what it shows. Raises Malformed: sd_*, token_*, json_*."""
    claims = sdjwt.read(text).claims
    vct = claims.get("vct")
    return dcql.Held(format=dcql.SD_JWT, types=frozenset(), vct=vct if isinstance(vct, str) else None, claims=claims)


def of_document(form: str, document: Mapping[str, Any]) -> dcql.Held:
    """A credential of the VC Data Model."""
    types = document.get("type")
    names = [types] if isinstance(types, str) else types if isinstance(types, list) else []
    iris = frozenset(dcql.type_iri(each) for each in names if isinstance(each, str))
    return dcql.Held(format=form, types=iris, vct=None, claims=document)


def acknowledgement(request: Request, *, answered: Sequence[str], outcome: str, now_s: int) -> dict[str, Any]:
    """What a verifier signs for the holder: who asked what of them, and how it went. It names no person."""
    return {
        "iat": now_s,
        "client_id": request.client_id,
        "nonce": request.nonce,
        "name": request.name,
        "purpose": request.purpose,
        "asked": dict(request.query),
        "answered": sorted(answered),
        "outcome": outcome,
    }


def check_acknowledgement(raw: str, request: Request) -> Mapping[str, Any]:
    """What a verifier signed. Raises Malformed: acknowledgement_bad, token_*, json_*; BadSignature.

    Source: by the party's key, whose thumbprint (RFC 9679) is `iss`: the same name as on the ledger.
    """
    token = jws.read(raw)
    jwk = token.header.get("jwk")
    key = _party_key(jwk)
    jws.check(token, key)
    said = token.payload
    if token.header.get("typ") != ACKNOWLEDGED or said.get("outcome") not in OUTCOMES:
        raise Malformed("acknowledgement_bad", f"not an {ACKNOWLEDGED}")
    if said.get("iss") != key.urn:
        raise BadSignature("acknowledgement_iss", "signed by another key than it names")
    wanted = (request.nonce, request.client_id)
    if (said.get("nonce"), said.get("client_id")) != wanted or said.get("asked") != request.query:
        raise BadSignature("acknowledgement_other", "about another request")
    return said


def _party_key(jwk: object) -> PublicKey:
    match jwk:
        case {"kty": "OKP", "crv": "Ed25519", "x": str(x)}:
            return PublicKey(base64text.decode_url(x, code="acknowledgement_bad"))
    raise Malformed("acknowledgement_bad", f"a party's key is Ed25519, and its name {THUMBPRINT_URN}...")


def _bytes_of(presentation: object) -> bytes:
    if isinstance(presentation, str):
        return presentation.encode("utf-8", "replace")
    if isinstance(presentation, dict):
        return json.dumps(presentation, ensure_ascii=False).encode("utf-8", "replace")
    raise Malformed("answer_shape", "a presentation is an object or a text")


def _of_item(form: str, item: object) -> dcql.Held:
    if not isinstance(item, Mapping):
        raise Malformed("answer_shape", "a credential is an object")
    if form == dcql.LDP_VC:
        return of_document(form, item)
    name = str(item.get("id", ""))
    if not name.startswith(presentation.DATA_COSE):
        raise Malformed("answer_shape", "a credential in COSE is in an envelope")
    return of_document(
        form, cose_vc.read(base64text.decode(name.removeprefix(presentation.DATA_COSE), code="answer_shape")).document
    )
