"""Credentials of which the holder shows a part: SD-JWT (RFC 9901) and SD-JWT VC, with the holder's key bound in."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.credentials.vc import did, jcs, jws
from ledger.credentials.vc.multikey import VerifyingKey
from protocol import base64text
from protocol.errors import BadSignature, Malformed
from protocol.keys import SigningKey
from protocol.p256 import P256SigningKey

TYP, BINDING_TYP = "dc+sd-jwt", "kb+jwt"
SHA_256 = "sha-256"
DISCLOSURES_MAX = 256  # of one credential; more are refused
SALT_SIZE = 16
NEVER_HIDDEN = frozenset("iss nbf exp cnf vct vct#integrity status credentialStatus ledger iat jti".split())
"""Claims that a verifier always sees. SD-JWT VC §2.2.2.2; the last of ours: without them nobody could check the rest."""
SKEW_S = 300  # a binding may be made so much ahead of our clock
BINDING_AGE_MAX_S = 300  # a binding that is older answers nothing

_INNER = frozenset({"_sd", "...", "_sd_alg"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """One part that can be shown. name: None for an item of a list; digest: what stands for it in the credential."""

    text: str
    digest: str
    name: str | None
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class SdJwt:
    """A credential as it was shown. claims: with what was disclosed in its place; binding: the holder's proof, if any."""

    token: jws.Token
    disclosures: tuple[Disclosure, ...]
    binding: jws.Token | None
    claims: Mapping[str, Any]
    shown: str
    """The text before the binding, which the binding covers."""

    @property
    def holder(self) -> VerifyingKey | None:
        """The key that the issuer bound it to. Raises Malformed: jwk_bad, key_*."""
        cnf = self.token.payload.get("cnf")
        return did.from_jwk(cnf.get("jwk")) if isinstance(cnf, Mapping) else None


def issue(
    claims: Mapping[str, Any],
    *,
    key: SigningKey,
    kid: str,
    disclosable: Collection[str],
    holder: VerifyingKey | None,
    random_bytes: Callable[[int], bytes],
) -> str:
    """A credential whose `disclosable` claims the holder may keep back. claims: with vct and iss among them.

    Raises Malformed: sd_never_hidden, json_*.
    """
    hidden = [name for name in claims if name in disclosable]
    if set(disclosable) & (NEVER_HIDDEN | _INNER):
        raise Malformed("sd_never_hidden", "a claim that a verifier always sees")
    made = [_made(base64text.encode_url(random_bytes(SALT_SIZE)), name, claims[name]) for name in hidden]
    payload = {name: value for name, value in claims.items() if name not in disclosable}
    if made:
        payload |= {"_sd": sorted(each.digest for each in made), "_sd_alg": SHA_256}
    if holder is not None:
        payload["cnf"] = {"jwk": did.to_jwk(holder)}
    token = jws.sign({"typ": TYP, "kid": kid}, payload, key)
    return "~".join([token, *(each.text for each in made), ""])


def read(raw: str) -> SdJwt:
    """The credential in a text, nothing checked but its form. Raises Malformed: sd_*, token_*, json_*."""
    if len(raw) > jws.TOKEN_MAX:
        raise Malformed("token_size", f"at most {jws.TOKEN_MAX} characters")
    first, *parts = raw.split("~")
    if not parts or len(parts) > DISCLOSURES_MAX + 1:
        raise Malformed(
            "sd_shape", f"a token, at most {DISCLOSURES_MAX} disclosures and perhaps a binding, with ~ between"
        )
    token = jws.read(first)
    if token.header.get("typ") != TYP:
        raise Malformed("sd_type", f"a credential of this kind is a {TYP}")
    disclosures = tuple(_read(each) for each in parts[:-1])
    if len({each.digest for each in disclosures}) != len(disclosures):
        raise Malformed("sd_twice", "a disclosure stands once")
    binding = jws.read(parts[-1]) if parts[-1] else None
    shown = raw[: len(raw) - len(parts[-1])]
    claims = _Opening(disclosures).opened(token.payload)
    return SdJwt(token=token, disclosures=disclosures, binding=binding, claims=claims, shown=shown)


def present(
    raw: str,
    disclose: Collection[str],
    *,
    key: SigningKey | P256SigningKey,
    nonce: str,
    aud: str,
    iat_s: int,
) -> str:
    """The credential with these claims shown, each whole, and no others, bound to a request by the holder's key."""
    found = read(raw)
    wanted = _beneath(found, disclose)
    kept = [each.text for each in found.disclosures if each.digest in wanted]
    shown = "~".join([found.token.raw, *kept, ""])
    payload = {"iat": iat_s, "nonce": nonce, "aud": aud, "sd_hash": _digest(shown)}
    return shown + jws.sign({"typ": BINDING_TYP}, payload, key)


def check_binding(found: SdJwt, *, nonce: str, aud: str, now_s: int) -> None:
    """Raises BadSignature: binding_missing, binding_nonce, binding_aud, binding_hash, binding_old; Malformed: binding_*,
    unless whoever shows it holds the key that it was issued to. Source: RFC 9901 §7.3."""
    binding, holder = found.binding, found.holder
    if binding is None or holder is None:
        raise BadSignature("binding_missing", "nobody showed that it is theirs")
    if binding.header.get("typ") != BINDING_TYP:
        raise Malformed("binding_type", f"a binding is a {BINDING_TYP}")
    said = binding.payload
    iat_s = said.get("iat")
    if type(iat_s) is not int:
        raise Malformed("binding_shape", "a binding says when it was made")
    jws.check(binding, holder)
    if said.get("nonce") != nonce:
        raise BadSignature("binding_nonce", "not an answer to what was asked")
    if said.get("aud") != aud:
        raise BadSignature("binding_aud", "made for somebody else")
    if said.get("sd_hash") != _digest(found.shown):
        raise BadSignature("binding_hash", "made for another selection")
    if not now_s - BINDING_AGE_MAX_S <= iat_s <= now_s + SKEW_S:
        raise BadSignature("binding_old", "made too long ago, or in the future")


def _beneath(found: SdJwt, names: Collection[str]) -> set[str]:
    """The digests of these claims of a credential, and of all that is hidden within them."""
    parts = {each.digest: each for each in found.disclosures}
    payload = found.token.payload
    hidden = {each for each in payload.get("_sd", []) if each in parts and parts[each].name in names}
    wanted = set(hidden)
    waiting = [parts[each].value for each in hidden] + [value for name, value in payload.items() if name in names]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            within = {*value.get("_sd", []), *([value["..."]] if "..." in value else [])} & parts.keys()
            wanted |= within
            waiting += [*value.values(), *(parts[each].value for each in within)]
        elif isinstance(value, list):
            waiting += value
    return wanted


def _digest(text: str) -> str:
    return base64text.encode_url(hashlib.sha256(text.encode("ascii", "replace")).digest())


def _made(salt: str, name: str, value: object) -> Disclosure:
    return _read(base64text.encode_url(jcs.canonical([salt, name, value])))


def _read(text: str) -> Disclosure:
    data = base64text.decode_url(text, code="sd_disclosure")
    whole = jcs.parse(b'{"d":' + data + b"}")
    if whole.keys() != {"d"}:
        raise Malformed("sd_disclosure", "a disclosure is one list")
    match whole["d"]:
        case [str(), str(name), value] if name not in _INNER:
            return Disclosure(text=text, digest=_digest(text), name=name, value=value)
        case [str(), value]:
            return Disclosure(text=text, digest=_digest(text), name=None, value=value)
    raise Malformed("sd_disclosure", "a disclosure is a salt, perhaps a name, and a value")


class _Opening:
    """Puts disclosures into their places. Each is used once, and each digest stands once. RFC 9901 §7.1."""

    def __init__(self, disclosures: Sequence[Disclosure]) -> None:
        self._waiting = {each.digest: each for each in disclosures}
        self._seen: set[str] = set()

    def opened(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Raises Malformed: sd_alg, sd_digest, sd_name, sd_unused, sd_never_hidden, json_depth."""
        if payload.get("_sd_alg", SHA_256) != SHA_256:
            raise Malformed("sd_alg", f"digests are {SHA_256}")
        top = {name: value for name, value in payload.items() if name != "_sd_alg"}
        found = self._object(top, 1)
        if self._waiting:
            raise Malformed("sd_unused", "a disclosure that the credential has no place for")
        return found

    def _object(self, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        found = {name: self._value(each, depth + 1) for name, each in value.items() if name != "_sd"}
        digests = value.get("_sd", [])
        if not isinstance(digests, list) or "..." in value:
            raise Malformed("sd_digest", "_sd is a list, and a hidden item stands in a list")
        for each in self._disclosed(digests):
            if each.name is None or each.name in found:
                raise Malformed("sd_name", "a disclosure names a claim that is not there yet")
            if depth == 1 and each.name in NEVER_HIDDEN:
                raise Malformed("sd_never_hidden", "a claim that a verifier always sees was hidden")
            found[each.name] = self._value(each.value, depth + 1)
        return found

    def _value(self, value: object, depth: int) -> object:
        if depth > jcs.DEPTH_MAX:  # parts within parts can be deeper than any one text of them
            raise Malformed("json_depth", f"at most {jcs.DEPTH_MAX} objects and lists within each other")
        if isinstance(value, Mapping):
            return self._object(value, depth)
        if not isinstance(value, list):
            return value
        found: list[object] = []
        for each in value:
            if isinstance(each, Mapping) and "..." in each:
                if each.keys() != {"..."}:
                    raise Malformed("sd_digest", "a hidden item is its digest alone")
                for one in self._disclosed([each["..."]]):
                    if one.name is not None:
                        raise Malformed("sd_name", "an item of a list has no name")
                    found.append(self._value(one.value, depth + 1))
            else:
                found.append(self._value(each, depth + 1))
        return found

    def _disclosed(self, digests: Sequence[object]) -> Iterator[Disclosure]:
        for digest in digests:
            if not isinstance(digest, str) or digest in self._seen:
                raise Malformed("sd_digest", "a digest is a text, and stands once")
            self._seen.add(digest)
            if digest in self._waiting:
                yield self._waiting.pop(digest)
