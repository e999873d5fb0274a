"""Issuing to a wallet: what its messages say, and whether its proof of a key holds. OpenID4VCI 1.0, the pre-authorised code flow.

Credentials are handed out at once, never deferred: the commitment is on its way to the ledger by then, and a verifier that is
faster than the ledger finds `logged` unknown and asks again seconds later. A deferred answer would have the issuer keep the
credential of a person until they come back for it, and many wallets do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ledger.credentials.exchange import dcql
from ledger.credentials.vc import contexts, did, jcs, jws
from ledger.credentials.vc.multikey import VerifyingKey
from protocol.errors import BadSignature, Malformed, ProtocolError

GRANT = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
PROOF_TYP = "openid4vci-proof+jwt"
PROOF_AGE_MAX_S = 300  # an older proof of a key, or one from further ahead, is refused
OFFER_SCHEME = "openid-credential-offer://"
OFFER_MAX = 8192  # characters of an offer, or of the link that carries it; a longer one is refused
REQUEST_MAX = 16_384  # bytes of a wallet's message; a longer one is refused
TX_DIGITS = 6  # of the code that the issuer tells the holder another way
EVENTS = ("credential_accepted", "credential_failure", "credential_deleted")
WELL_KNOWN, AUTHORIZATION = "openid-credential-issuer", "oauth-authorization-server"


class Refused(ProtocolError):
    """What an endpoint answers, in the words of RFC 6749 §5.2, RFC 6750 §3.1 and OpenID4VCI 1.0 §8.3.1.2. status: of HTTP."""

    def __init__(self, code: str, detail: str, *, status: int = 400) -> None:
        super().__init__(code, detail)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One kind of credential that an issuer offers. type: as the ledger has it; name: for people."""

    type: str
    format: str
    name: str

    @property
    def id(self) -> str:
        """Its name in metadata, offers and requests."""
        return f"{self.type}_{self.format}"

    def to_json(self) -> dict[str, Any]:
        """OpenID4VCI 1.0 §12.2.4 and appendix A; `vc+cose` is described as `ldp_vc` is."""
        found: dict[str, Any] = {
            "format": self.format,
            "cryptographic_binding_methods_supported": ["did:key", "jwk"],
            "proof_types_supported": {"jwt": {"proof_signing_alg_values_supported": list(jws.ALGS)}},
            "credential_metadata": {"display": [{"name": self.name, "locale": "en"}]},
        }
        if self.format == dcql.SD_JWT:
            return found | {"vct": dcql.vct_of(self.type), "credential_signing_alg_values_supported": ["EdDSA"]}
        algs: list[object] = ["eddsa-jcs-2022"] if self.format == dcql.LDP_VC else [-8]
        definition = {"@context": [contexts.V2, contexts.OURS], "type": ["VerifiableCredential", self.type]}
        return found | {"credential_definition": definition, "credential_signing_alg_values_supported": algs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer as a wallet has it. tx_code: whether a second code is asked for, which came another way."""

    issuer: str
    configurations: tuple[str, ...]
    code: str
    tx_code: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request for a credential. proofs: compact tokens, one for now."""

    configuration: str
    proof: str


def metadata(issuer: str, configurations: Sequence[Configuration], *, name: str) -> dict[str, Any]:
    """What an issuer says of itself. OpenID4VCI 1.0 §12.2."""
    return {
        "credential_issuer": issuer,
        "credential_endpoint": f"{issuer}/openid/credential",
        "nonce_endpoint": f"{issuer}/openid/nonce",
        "notification_endpoint": f"{issuer}/openid/notification",
        "display": [{"name": name, "locale": "en"}],
        "credential_configurations_supported": {each.id: each.to_json() for each in configurations},
    }


def authorization_metadata(issuer: str) -> dict[str, Any]:
    """What its authorization server says of itself. RFC 8414 §2, OpenID4VCI 1.0 §12.3."""
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/openid/token",
        "grant_types_supported": [GRANT],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "pre-authorized_grant_anonymous_access_supported": True,
    }


def well_known(issuer: str, name: str) -> str:
    """Where an issuer's metadata is: its path comes after the well-known one. OpenID4VCI 1.0 §12.2.2, RFC 8414 §3.1."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}/.well-known/{name}{parts.path.rstrip('/')}"


def offer(issuer: str, configuration: str, *, code: str, tx_code: bool) -> dict[str, Any]:
    """OpenID4VCI 1.0 §4.1.1."""
    grant: dict[str, Any] = {"pre-authorized_code": code}
    if tx_code:
        told = "The code that the issuer told you."
        grant["tx_code"] = {"input_mode": "numeric", "length": TX_DIGITS, "description": told}
    return {
        "credential_issuer": issuer,
        "credential_configuration_ids": [configuration],
        "grants": {GRANT: grant},
    }


def link_with(found: Mapping[str, Any]) -> str:
    """The link that has an offer in it. OpenID4VCI 1.0 §4.1.2."""
    return f"{OFFER_SCHEME}?{urlencode({'credential_offer': jcs.canonical(dict(found)).decode()}, quote_via=quote)}"


def link_to(address: str) -> str:
    """The link to where an offer is, short enough for any QR code. OpenID4VCI 1.0 §4.1.3."""
    return f"{OFFER_SCHEME}?{urlencode({'credential_offer_uri': address}, quote_via=quote)}"


def read_link(link: str) -> tuple[Offer | None, str]:
    """(the offer in a link, ""), or (None, where it is). Raises Malformed: offer_bad, json_*."""
    if len(link) > OFFER_MAX:
        raise Malformed("offer_bad", f"a link to an offer has at most {OFFER_MAX} characters")
    pairs = dict(parse_qsl(urlsplit(link.strip()).query, keep_blank_values=True, max_num_fields=16))
    if ("credential_offer" in pairs) == ("credential_offer_uri" in pairs):
        raise Malformed("offer_bad", "a link has an offer in it, or the address of one")
    if "credential_offer" in pairs:
        return read_offer(jcs.parse(pairs["credential_offer"], size_max=OFFER_MAX)), ""
    return None, pairs["credential_offer_uri"]


def read_offer(found: Mapping[str, Any]) -> Offer:
    """Raises Malformed: offer_bad."""
    match found:
        case {
            "credential_issuer": str(issuer),
            "credential_configuration_ids": [str(), *_] as configurations,
            "grants": {**grants},
        } if all(isinstance(each, str) for each in configurations):
            grant = grants.get(GRANT)
            if isinstance(grant, Mapping) and isinstance(code := grant.get("pre-authorized_code"), str):
                return Offer(issuer=issuer, configurations=tuple(configurations), code=code, tx_code="tx_code" in grant)
    raise Malformed("offer_bad", "an offer names an issuer, credentials and a pre-authorised code")


def read_token_request(form: Mapping[str, str]) -> tuple[str, str | None]:
    """(code, tx_code). Raises Refused: unsupported_grant_type, invalid_request. OpenID4VCI 1.0 §6.1."""
    if form.get("grant_type") != GRANT:
        raise Refused("unsupported_grant_type", f"the grant here is {GRANT}")
    code = form.get("pre-authorized_code", "")
    if not code or len(code) > 128 or len(form.get("tx_code", "")) > 64:
        raise Refused("invalid_request", "a request for a token has a pre-authorized_code")
    return code, form.get("tx_code")


def read_credential_request(body: bytes, offered: str) -> Wanted:
    """Raises Refused: invalid_credential_request, unknown_credential_configuration, invalid_proof. OpenID4VCI 1.0 §8.2.

    offered: the configuration that the token is for.
    """
    try:
        found = jcs.parse(body, size_max=REQUEST_MAX)
    except Malformed as error:
        raise Refused("invalid_credential_request", error.detail) from error
    wanted = found.get("credential_configuration_id")
    if not isinstance(wanted, str) or "credential_identifier" in found:
        raise Refused("invalid_credential_request", "name a credential_configuration_id")
    if wanted != offered:
        raise Refused("unknown_credential_configuration", "the offer is for another credential")
    if "credential_response_encryption" in found:
        raise Refused("invalid_encryption_parameters", "answers are not encrypted here but by TLS")
    match found.get("proofs"):
        case {"jwt": [str(proof)], **others} if not others:
            return Wanted(configuration=wanted, proof=proof)
    raise Refused("invalid_proof", "prove one key, in proofs.jwt")


def check_proof(proof: str, *, issuer: str, now_s: int) -> tuple[VerifyingKey, str]:
    """(the key that a wallet has shown to hold, the nonce it answers). Raises Refused: invalid_proof. OpenID4VCI 1.0 §F.1."""
    try:
        token = jws.read(proof)
        key = _key_of(token.header)
        jws.check(token, key)
    except (Malformed, BadSignature) as error:
        raise Refused("invalid_proof", error.detail) from error
    said = token.payload
    iat_s, nonce = said.get("iat"), said.get("nonce")
    if token.header.get("typ") != PROOF_TYP:
        raise Refused("invalid_proof", f"a proof is an {PROOF_TYP}")
    if said.get("aud") != issuer:
        raise Refused("invalid_proof", "made for another issuer")
    if type(iat_s) is not int or abs(now_s - iat_s) > PROOF_AGE_MAX_S:
        raise Refused("invalid_proof", f"made more than {PROOF_AGE_MAX_S} seconds ago, or in the future")
    if not isinstance(nonce, str):
        raise Refused("invalid_nonce", "get a nonce at the nonce endpoint")
    return key, nonce


def read_notification(body: bytes) -> tuple[str, str]:
    """(notification_id, event). Raises Refused: invalid_notification_request. OpenID4VCI 1.0 §11.1."""
    try:
        found = jcs.parse(body, size_max=REQUEST_MAX)
    except Malformed as error:
        raise Refused("invalid_notification_request", error.detail) from error
    name, event = found.get("notification_id"), found.get("event")
    if not isinstance(name, str) or len(name) > 128 or event not in EVENTS:
        raise Refused("invalid_notification_request", f"a notification has an id and one of: {', '.join(EVENTS)}")
    return name, str(event)


def _key_of(header: Mapping[str, Any]) -> VerifyingKey:
    """The key in a proof's header: a JWK, or the method of a did:key. One of the two, and no certificate."""
    if ("kid" in header) == ("jwk" in header) or "x5c" in header:
        raise Malformed("proof_key", "a proof names its key by kid or jwk")
    if "jwk" in header:
        return did.from_jwk(header["jwk"])
    kid = header["kid"]
    if not isinstance(kid, str):
        raise Malformed("proof_key", "a kid is a text")
    key = did.key_of(kid.partition("#")[0])
    if kid not in (did.key_method(key), did.did_key(key)):
        raise Malformed("proof_key", "a kid is a did:key, or its one method")
    return key
