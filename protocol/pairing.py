"""Pairing: a text or QR code shown by the gateway becomes an enrolment, in one exchange. wire.md, "Pairing".

The device sends a signed request, the gateway a signed answer; each also carries an HMAC-SHA-256 under the shown secret over
everything said so far, so that neither side can be replaced by someone who has not seen the code.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, urlencode

from protocol import cbor
from protocol.errors import BadSignature, Malformed
from protocol.keys import PublicKey, SigningKey, device_id

CONTENT_TYPE = "application/vigil-pair+cbor"
SECRET_SIZE = 16
NONCE_SIZE = 16
LINK_ID_SIZE = 4
REQUEST_SIZE_MAX = 1024  # bytes; the gateway reads no more from someone it does not know
ANSWER_SIZE_MAX = 16_384  # bytes: two certificates and settings
OFFER_SIZE_MAX = 512  # characters of the shown text
VALID_S = 600  # an offer is good for ten minutes, once

_SCHEME = "vigil://pair?"
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]{1,253}):([0-9]{1,5})")
_REQUEST_INFO, _ANSWER_INFO = b"vigil/1/pair/request", b"vigil/1/pair/answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the gateway shows. address: host:port of its pairing endpoint; secret: 16 random bytes."""

    address: str
    gateway_key: PublicKey
    secret: bytes = field(repr=False)

    def text(self) -> str:
        """The shown text; the QR code holds the same."""
        values = {"a": self.address, "k": _b64(self.gateway_key.x), "s": _b64(self.secret)}
        return _SCHEME + urlencode(values, safe=":[]")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Reads what `text` writes. Raises Malformed: offer_shape."""
        text = text.strip()
        if len(text) > OFFER_SIZE_MAX or not text.startswith(_SCHEME):
            raise Malformed("offer_shape", f"a pairing text starts with {_SCHEME}")
        try:
            values = parse_qs(text.removeprefix(_SCHEME), strict_parsing=False, max_num_fields=8)
        except ValueError as error:
            raise Malformed("offer_shape", "a pairing text has three parts") from error
        if values.keys() != {"a", "k", "s"} or any(len(found) != 1 for found in values.values()):
            raise Malformed("offer_shape", "a pairing text has an address, a key and a secret")
        address = values["a"][0]
        match = _ADDRESS.fullmatch(address)
        if match is None or not 0 < int(match[2]) < 65536:
            raise Malformed("offer_shape", "the address is host:port")
        secret = _unb64(values["s"][0])
        if len(secret) != SECRET_SIZE:
            raise Malformed("offer_shape", "the secret has 16 bytes")
        found = cls(address=address, gateway_key=PublicKey(_unb64(values["k"][0])), secret=secret)
        if found.text() != text:
            raise Malformed("offer_shape", "not the one text of this offer")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRequest:
    """A device that has seen the code. raw: the request as received."""

    raw: bytes
    device_key: PublicKey
    x25519: bytes
    nonce: bytes

    @property
    def device(self) -> str:
        """The device's name for life."""
        return device_id(self.device_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAnswer:
    """The gateway's side of the enrolment. certificate, ca: PEM texts; settings: small facts such as the MQTT address."""

    device: str
    link_id: bytes
    x25519: bytes
    certificate: str
    ca: str
    settings: Mapping[str, str | int]


def request(*, offer: Offer, device_key: SigningKey, x25519_public: bytes, nonce: bytes) -> bytes:
    """The request: signed by the device's key, authenticated by the offer's secret. nonce: 16 fresh random bytes."""
    body = {"v": 1, "key": device_key.public.x, "x25519": x25519_public, "nonce": nonce}
    return _close(body, device_key, offer.secret, _REQUEST_INFO + offer.gateway_key.x)


def read_request(raw: bytes, *, secret: bytes, gateway_key: PublicKey) -> PairRequest:
    """The request in `raw`. Raises Malformed: pair_shape; BadSignature: pair_mac, signature_bad."""
    outer = _outer(raw, REQUEST_SIZE_MAX)
    body = _body(outer, {"v", "key", "x25519", "nonce"})
    key = PublicKey(_bytes(body, "key", 32))
    _check(outer, key, secret, _REQUEST_INFO + gateway_key.x)
    return PairRequest(
        raw=raw, device_key=key, x25519=_bytes(body, "x25519", 32), nonce=_bytes(body, "nonce", NONCE_SIZE)
    )


def request_tag(raw: bytes) -> bytes:
    """32 bytes that name a request, for a gateway that must tell a repeated one from another."""
    return hashlib.sha256(raw).digest()


def answer(
    *,
    to: PairRequest,
    secret: bytes,
    gateway_key: SigningKey,
    x25519_public: bytes,
    link_id: bytes,
    certificate: str,
    ca: str,
    settings: Mapping[str, str | int],
) -> bytes:
    """The answer to a request: signed by the gateway's key and authenticated over the whole transcript."""
    body: dict[str, object] = {
        "v": 1,
        "device": to.device,
        "link": link_id,
        "x25519": x25519_public,
        "certificate": certificate,
        "ca": ca,
        "settings": dict(settings),
    }
    return _close(body, gateway_key, secret, _ANSWER_INFO + request_tag(to.raw))


def read_answer(raw: bytes, *, offer: Offer, request_raw: bytes, device_key: PublicKey) -> PairAnswer:
    """The answer in `raw` to our `request_raw`. Raises Malformed: pair_shape, pair_device; BadSignature."""
    outer = _outer(raw, ANSWER_SIZE_MAX)
    body = _body(outer, {"v", "device", "link", "x25519", "certificate", "ca", "settings"})
    _check(outer, offer.gateway_key, offer.secret, _ANSWER_INFO + request_tag(request_raw))
    certificate, ca, settings = body["certificate"], body["ca"], body["settings"]
    if not isinstance(certificate, str) or not isinstance(ca, str) or not isinstance(settings, dict):
        raise Malformed("pair_shape", "certificates are texts, settings a map")
    for name, value in settings.items():
        if not isinstance(name, str) or type(value) not in (str, int):
            raise Malformed("pair_shape", "settings are texts and whole numbers")
    if body["device"] != device_id(device_key):
        raise Malformed("pair_device", "the gateway named another device")
    return PairAnswer(
        device=device_id(device_key),
        link_id=_bytes(body, "link", LINK_ID_SIZE),
        x25519=_bytes(body, "x25519", 32),
        certificate=certificate,
        ca=ca,
        settings=settings,
    )


def _close(body: Mapping[str, object], key: SigningKey, secret: bytes, transcript: bytes) -> bytes:
    said = cbor.encode(dict(body))
    signature = key.sign(transcript + said)
    mac = hmac.digest(secret, transcript + said + signature, "sha256")
    return cbor.encode([said, signature, mac])


def _check(outer: list[bytes], key: PublicKey, secret: bytes, transcript: bytes) -> None:
    said, signature, mac = outer
    if not hmac.compare_digest(mac, hmac.digest(secret, transcript + said + signature, "sha256")):
        raise BadSignature("pair_mac", "the other side has not seen this code")
    key.verify(signature, transcript + said)


def _outer(raw: bytes, size_max: int) -> list[bytes]:
    outer = cbor.decode(raw, size_max=size_max)
    if not isinstance(outer, list) or len(outer) != 3 or not all(isinstance(part, bytes) for part in outer):
        raise Malformed("pair_shape", "not [body, signature, code]")
    return outer


def _body(outer: list[bytes], names: set[str]) -> dict[str, object]:
    body = cbor.decode(outer[0], size_max=len(outer[0]))
    if not isinstance(body, dict) or body.keys() != names or body["v"] != 1 or type(body["v"]) is not int:
        raise Malformed("pair_shape", "not this version's fields")
    return body


def _bytes(body: Mapping[str, object], name: str, size: int) -> bytes:
    value = body[name]
    if not isinstance(value, bytes) or len(value) != size:
        raise Malformed("pair_shape", f"{name} has {size} bytes")
    return value


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise Malformed("offer_shape", "not base64url") from error
    if _b64(data) != text:
        raise Malformed("offer_shape", "not base64url")
    return data
