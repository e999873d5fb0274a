"""Signed requests: who sent an HTTP request, that nobody changed it, and that it comes once. RFC 9421, RFC 9530.

A signature covers the method, the authority, the path and the query, and with a body its digest and type. The scheme is left
out: a proxy in front that ends TLS changes it. What signs is Ed25519; `keyid` is the key's COSE thumbprint (RFC 9679) in
base64url; `created`, `expires`, `nonce` and the tag "vigil" are always there. The core knows neither httpx nor Starlette:
`Signed` and `received` bring their requests here.
"""

import base64
import datetime
import re
import secrets
import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from http_message_signatures import (
    ContentDigest,
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    VerifyResult,
)

from protocol.errors import Malformed, ProtocolError, Unavailable
from protocol.keys import PublicKey, SigningKey

TAG = "vigil"
LIFETIME_S = 60  # from `created` to `expires`, as we sign
LIFETIME_MAX_S = 300  # as we accept; a longer one is refused, so that what has to be remembered ends
SKEW_S = 30  # by which clocks may differ
FIELDS_MAX = 4096  # characters of the two signature fields together; longer ones are refused unread
NONCES_PER_KEY_MAX = 4096  # of signatures that are still valid; whoever sends more is asked to wait, others are not
NONCES_MAX = 65_536  # of all keys together; beyond it everybody is asked to wait until the oldest have expired
COVERED = ("@method", "@authority", "@path", "@query")
COVERED_BODY = ("content-digest", "content-type")
ACCEPT = f'{TAG}=("@method" "@authority" "@path" "@query");created;expires;keyid;nonce;tag="{TAG}"'
"""The Accept-Signature field (RFC 9421 §5.1) that goes with a refusal."""
CODES = frozenset(
    "signature_missing signature_malformed signature_parameters signature_early signature_expired signature_key_unknown "
    "signature_bad signature_size signature_components signature_elsewhere signature_replayed signatures_too_many "
    "digest_wrong".split()
)

_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_OWN = ("content-digest", "signature", "signature-input")
_PARAMETERS = {"created", "expires", "nonce", "keyid", "tag"}


class NotSigned(ProtocolError):
    """The request is not by whom it says, or not for us, or not for now. code: one of CODES."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request as both sides see it. url: absolute, as encoded on the wire; fields: names and values in their order."""

    method: str
    url: str
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def authority(self) -> str:
        """host:port that the request was sent to, in lower case, the port as it was given."""
        return httpx.URL(self.url).netloc.decode("ascii").lower()


class Memory:
    """Nonces of signatures that are still valid, for any number of threads.

    started_s: signatures made before are refused, because nobody remembers which of them were used; one by a clock that is
    ahead may be used again after a restart, for as long as that clock is ahead, at most SKEW_S. A clock of ours that is set
    back brings nothing back: what has expired once stays so.
    """

    def __init__(self, *, started_s: int) -> None:
        self.started_s = self._latest_s = started_s
        self._lock = threading.Lock()
        self._seen: dict[bytes, set[str]] = {}
        self._ends: dict[int, deque[tuple[bytes, str]]] = {}
        self.count = 0
        """How many are remembered."""

    def take(self, thumbprint: bytes, nonce: str, *, until_s: int, now_s: int) -> None:
        """Remember a nonce until a time.

        Raises NotSigned: signature_replayed, signature_expired; Unavailable: signatures_too_many.
        """
        with self._lock:
            self._latest_s = max(self._latest_s, now_s)
            self._forget(self._latest_s)
            if until_s < self._latest_s:
                raise NotSigned(
                    "signature_expired", "the signature has expired by this server's own past: look at its clock"
                )
            seen = self._seen.setdefault(thumbprint, set())
            if nonce in seen:
                raise NotSigned("signature_replayed", "this request has been here before")
            if len(seen) >= NONCES_PER_KEY_MAX or self.count >= NONCES_MAX:
                raise Unavailable("signatures_too_many", "too many signed requests at once: come back in some minutes")
            seen.add(nonce)
            self._ends.setdefault(until_s, deque()).append((thumbprint, nonce))
            self.count += 1

    def _forget(self, now_s: int) -> None:
        for until_s in [each for each in self._ends if each < now_s]:
            for thumbprint, nonce in self._ends.pop(until_s):
                self._seen[thumbprint].discard(nonce)
                self.count -= 1
                if not self._seen[thumbprint]:
                    del self._seen[thumbprint]


def name_of(thumbprint: bytes) -> str:
    """The `keyid` of a key."""
    return base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()


def thumbprint_of(name: str) -> bytes:
    """The 32-byte thumbprint in a `keyid`. Raises NotSigned: signature_parameters."""
    if not _THUMBPRINT.fullmatch(name):
        raise NotSigned("signature_parameters", "keyid is a thumbprint in base64url")
    found = base64.urlsafe_b64decode(name + "=")
    if name_of(found) != name:
        raise NotSigned("signature_parameters", "keyid is not the one base64url of its bytes")
    return found


def sign(message: Message, key: SigningKey, *, now_s: int, nonce: str, lifetime_s: int = LIFETIME_S) -> dict[str, str]:
    """The fields to add to the request; those of older signatures and digests are replaced.

    nonce: 16 to 64 characters of base64url, never used before. Raises Malformed: request_unsignable.
    """
    fields = _Fields((name, value) for name, value in message.fields if name.lower() not in _OWN)
    if message.body and "content-type" not in fields:
        raise Malformed("request_unsignable", "a body has a content type")
    request = _Request(method=message.method, url=message.url, headers=fields)
    signer = HTTPMessageSigner(signature_algorithm=Ed25519, key_resolver=_Own(key))
    try:
        signer.sign(
            request,
            key_id=name_of(key.public.thumbprint),
            created=datetime.datetime.fromtimestamp(now_s, datetime.UTC),
            expires=datetime.datetime.fromtimestamp(now_s + lifetime_s, datetime.UTC),
            nonce=nonce,
            label=TAG,
            tag=TAG,
            include_alg=False,
            covered_component_ids=(*COVERED, "content-type") if message.body else COVERED,
            body=message.body or None,
        )
    except HTTPMessageSignaturesException as error:
        raise Malformed("request_unsignable", str(error)) from error
    return {name: value for name, value in fields.items() if name in _OWN}


def verify(
    message: Message,
    *,
    key_of: Callable[[bytes], PublicKey | None],
    authorities: Collection[str],
    memory: Memory,
    now_s: int,
) -> bytes:
    """The 32-byte thumbprint of the key that signed the request for us and for now, once.

    key_of: the key with a thumbprint, None for one that is not known. authorities: the host:port, in lower case, under
    which we are called: a request to somebody else that is handed on to us is refused.
    Raises NotSigned; Unavailable: signatures_too_many.
    """
    if message.authority not in authorities:
        raise NotSigned("signature_elsewhere", "the request was made for another address than ours")
    found = authenticate(
        message,
        key_of=lambda name: key_of(thumbprint_of(name)),
        tag=TAG,
        check=lambda parameters: _check(parameters, started_s=memory.started_s, now_s=now_s),
    )
    covered = {name.strip('"') for name in found.covered_components}
    if not {*COVERED, *(COVERED_BODY if message.body else ())} <= covered:
        raise NotSigned("signature_components", "the signature leaves out something that it has to cover")
    try:
        ContentDigest.verify_components(found.covered_components, message.body)
    except InvalidSignature as error:
        raise NotSigned("digest_wrong", "the body is not the one that was signed") from error
    thumbprint = thumbprint_of(str(found.parameters["keyid"]))
    until_s = int(found.parameters["expires"]) + SKEW_S
    memory.take(thumbprint, str(found.parameters["nonce"]), until_s=until_s, now_s=now_s)
    return thumbprint


def authenticate(
    message: Message,
    *,
    key_of: Callable[[str], PublicKey | None],
    tag: str | None,
    check: Callable[[Mapping[str, Any]], None],
) -> VerifyResult:
    """The one signature with `tag`, once it holds over what it covers, by any rules of RFC 9421 but Ed25519 alone.

    key_of: the key of a `keyid`; check: raises for parameters that it does not accept. Neither body nor coverage is looked at.
    Raises NotSigned.
    """
    fields = _Fields(message.fields)
    sizes = [len(value) for name, value in fields.items() if name in ("signature", "signature-input")]
    if len(sizes) < 2:
        raise NotSigned("signature_missing", "send a signed request (RFC 9421)")
    if sum(sizes) > FIELDS_MAX:
        raise NotSigned("signature_malformed", f"the fields of signatures have at most {FIELDS_MAX} characters")
    verifier = _Checking(signature_algorithm=Ed25519, key_resolver=_Theirs(key_of))
    verifier.check = check
    try:
        found = verifier.verify(
            _Request(method=message.method, url=message.url, headers=fields), max_age=None, expect_tag=tag
        )
    except HTTPMessageSignaturesException as error:
        cause = error.__cause__
        if isinstance(cause, ProtocolError):  # of the key or of its signature: the library has wrapped it
            raise NotSigned(cause.code, cause.detail) from error
        raise NotSigned("signature_malformed", "the signature cannot be read") from error
    if len(found) != 1:
        raise NotSigned("signature_malformed", "one signature is made for us")
    return found[0]


def received(scope: Mapping[str, Any], body: bytes) -> Message:
    """The message of an ASGI HTTP scope. Raises NotSigned: signature_malformed."""
    try:
        fields = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in scope["headers"])
        (host,) = (value for name, value in fields if name == "host")
        target = scope["raw_path"].decode("ascii") + ("?" if scope["query_string"] else "")
        url = f"{scope['scheme']}://{host}{target}{scope['query_string'].decode('ascii')}"
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise NotSigned("signature_malformed", "the request has no address that can be signed") from error
    return Message(method=scope["method"], url=url, fields=fields, body=body)


class Signed(httpx.Auth):
    """Signs each request of an httpx client, blocking or not. now_s: a clock, in Unix seconds."""

    requires_request_body = True

    def __init__(self, key: SigningKey, *, now_s: Callable[[], int]) -> None:
        self._key, self._now_s = key, now_s

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Adds the fields of a signature with a nonce of its own."""
        url = f"{request.url.scheme}://{request.headers['host']}{request.url.raw_path.decode('ascii')}"
        message = Message(
            method=request.method, url=url, fields=tuple(request.headers.multi_items()), body=request.content
        )
        request.headers.update(sign(message, self._key, now_s=self._now_s(), nonce=secrets.token_urlsafe(16)))
        yield request


class Ed25519(HTTPSignatureAlgorithm):
    """The algorithm "ed25519" (RFC 9421 §3.3.6) with keys of ours."""

    algorithm_id = "ed25519"

    def __init__(self, public_key: PublicKey | None = None, private_key: SigningKey | None = None) -> None:
        self._public, self._private = public_key, private_key

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        if self._private is None:
            raise AssertionError("who signs has a key")
        return self._private.sign(message)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Raises BadSignature."""
        if self._public is None:
            raise AssertionError("who verifies has a key")
        self._public.verify(signature, message)


@dataclass(slots=True, kw_only=True)
class _Request:
    """What the library looks at."""

    method: str
    url: str
    headers: "_Fields"


class _Fields:
    """Fields with names in any case, each line kept, as the library asks for."""

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        self._lines = [(name.lower(), value) for name, value in lines]

    def items(self) -> list[tuple[str, str]]:
        return list(self._lines)

    def __iter__(self) -> Any:
        return iter(dict(self._lines))

    def __contains__(self, name: str) -> bool:
        return name.lower() in dict(self._lines)

    def __setitem__(self, name: str, value: str) -> None:
        self._lines.append((name.lower(), value))

    def __delitem__(self, name: str) -> None:
        self._lines = [line for line in self._lines if line[0] != name.lower()]


class _Own(HTTPSignatureKeyResolver):
    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def resolve_private_key(self, key_id: str) -> SigningKey:
        return self._key


class _Theirs(HTTPSignatureKeyResolver):
    def __init__(self, key_of: Callable[[str], PublicKey | None]) -> None:
        self._key_of = key_of

    def resolve_public_key(self, key_id: str) -> PublicKey:
        found = self._key_of(key_id)
        if found is None:
            raise NotSigned("signature_key_unknown", "nobody known here has the key that signed")
        return found


class _Checking(HTTPMessageVerifier):
    """The library's verifier with times and parameters by our rules and our clock."""

    check: Callable[[Mapping[str, Any]], None]

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        self.check(sig_input.params)


def _check(parameters: Mapping[str, Any], *, started_s: int, now_s: int) -> None:
    """Raises NotSigned: signature_parameters, signature_early, signature_expired."""
    if not parameters.keys() >= _PARAMETERS or not _NONCE.fullmatch(parameters["nonce"]):
        raise NotSigned("signature_parameters", "created, expires, keyid, a nonce of 16 to 64 characters, and the tag")
    created_s, expires_s = parameters["created"], parameters["expires"]
    if not 0 <= expires_s - created_s <= LIFETIME_MAX_S:
        raise NotSigned("signature_parameters", f"a signature is valid for at most {LIFETIME_MAX_S} seconds")
    if created_s > now_s + SKEW_S:
        raise NotSigned("signature_early", "the signature is of a time to come: look at the clocks")
    if expires_s < now_s - SKEW_S:
        raise NotSigned("signature_expired", "the signature has expired: look at the clocks")
    if created_s < started_s:
        raise NotSigned("signature_expired", "the signature is older than this server's memory: sign again")
