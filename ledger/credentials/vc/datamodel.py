"""What a credential and a presentation must look like before anybody asks who signed them. W3C VC Data Model 2.0 §4."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.credentials.vc import contexts, times
from protocol.errors import Malformed

CREDENTIAL, PRESENTATION = "VerifiableCredential", "VerifiablePresentation"
ENVELOPED = "EnvelopedVerifiableCredential"
LIST_MAX = 64  # contexts, types, subjects, status entries or credentials in one document; more are refused

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
_TYPED = ("credentialStatus", "credentialSchema", "termsOfUse", "refreshService", "evidence", "proof")
_LANGUAGE = frozenset({"@value", "@language", "@direction"})


def check_credential(found: Mapping[str, Any], *, issued: bool = True) -> None:
    """Raises Malformed: vc_context, vc_type, vc_id, vc_issuer, vc_subject, vc_status, vc_typed, vc_text, vc_period.

    issued: it says who issues it, as every credential does that somebody signed.
    """
    terms = _contexts(found)
    if CREDENTIAL not in _types(found, terms):
        raise Malformed("vc_type", f"a credential is a {CREDENTIAL}")
    _check_id(found, "vc_id")
    if issued or "issuer" in found:
        _check_issuer(found.get("issuer"), named=issued)
    _check_subjects(found.get("credentialSubject"))
    for name in _TYPED:
        for each in listed(found, name) if name in found else ():
            _check_typed(each, terms, name)
    for name in ("name", "description"):
        _check_text(found, name)
    valid_from, valid_until = period(found)
    if valid_from is not None and valid_until is not None and valid_from > valid_until:
        raise Malformed("vc_period", "a credential is valid from before it is valid until")


def check_presentation(found: Mapping[str, Any]) -> None:
    """Raises Malformed: vp_holder, vp_credential; vc_* as `check_credential` of it and of those in it."""
    terms = _contexts(found)
    if PRESENTATION not in _types(found, terms):
        raise Malformed("vc_type", f"a presentation is a {PRESENTATION}")
    _check_id(found, "vc_id")
    holder_of(found)
    for each in listed(found, "verifiableCredential") if "verifiableCredential" in found else ():
        if not isinstance(each, Mapping):
            raise Malformed("vp_credential", "a presentation has credentials as objects")
        if enveloped(each):
            continue
        check_credential(each)


def enveloped(found: Mapping[str, Any]) -> bool:
    """Whether this is an EnvelopedVerifiableCredential, whose id is a data: URL. Raises Malformed: vp_credential."""
    if found.get("type") != ENVELOPED and found.get("type") != [ENVELOPED]:
        if str(found.get("id", "")).startswith("data:"):
            raise Malformed("vp_credential", f"a credential in an envelope is an {ENVELOPED}")
        return False
    if not str(found.get("id", "")).startswith("data:"):
        raise Malformed("vp_credential", "a credential in an envelope is a data: URL")
    return True


def issuer_of(found: Mapping[str, Any]) -> str:
    """The issuer's identifier. Raises Malformed: vc_issuer."""
    issuer = found.get("issuer")
    name = issuer.get("id") if isinstance(issuer, Mapping) else issuer
    if not is_url(name):
        raise Malformed("vc_issuer", "an issuer is named by a URL")
    return str(name)


def holder_of(found: Mapping[str, Any]) -> str | None:
    """The holder's identifier, where a presentation names it. Raises Malformed: vp_holder."""
    if "holder" not in found:
        return None
    holder = found["holder"]
    name = holder.get("id") if isinstance(holder, Mapping) else holder
    if not is_url(name):
        raise Malformed("vp_holder", "a holder is named by a URL")
    return str(name)


def subjects_of(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What is said, subject by subject."""
    return [each for each in listed(found, "credentialSubject") if isinstance(each, Mapping)]


def types_of(found: Mapping[str, Any]) -> list[str]:
    """The types, in their order."""
    return [each for each in listed(found, "type") if isinstance(each, str)]


def period(found: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """(validFrom, validUntil) in Unix ms, None where it does not say. Raises Malformed: vc_period."""
    try:
        first, last = (times.read(found[name]) if name in found else None for name in ("validFrom", "validUntil"))
    except Malformed as error:
        raise Malformed("vc_period", error.detail) from error
    return first, last


def listed(found: Mapping[str, Any], name: str) -> list[Any]:
    """A member's values: one alone stands for a list of one. Raises Malformed: vc_many."""
    value = found.get(name)
    values = value if isinstance(value, list) else [] if value is None else [value]
    if len(values) > LIST_MAX:
        raise Malformed("vc_many", f"at most {LIST_MAX} of {name}")
    return values


def is_url(name: object) -> bool:
    """Whether this is a URL (WHATWG), a DID or a URN among them."""
    return isinstance(name, str) and _URL.fullmatch(name) is not None


def _contexts(found: Mapping[str, Any]) -> frozenset[str] | None:
    """The terms that a document's contexts define; None: every one."""
    given = listed(found, "@context")
    if not given or given[0] != contexts.V2:
        raise Malformed("vc_context", f"the first context is {contexts.V2}")
    terms: set[str] = set()
    every = False
    own: dict[str, object] = {}
    for each in given:
        if isinstance(each, str):
            if each not in contexts.TERMS:
                raise Malformed("vc_context", "a context that is not known here, and none is fetched")
            known = contexts.TERMS[each]
            every, terms = (True, terms) if known is None else (every, terms | known)
        elif isinstance(each, Mapping):
            every = _inline(each, terms, own, every)
        else:
            raise Malformed("vc_context", "a context is an address or an object")
    return None if every else frozenset(terms)


def _inline(context: Mapping[str, Any], terms: set[str], own: dict[str, object], every: bool) -> bool:
    """Take up a context that stands in the document. Whether every term is defined with it."""
    base = contexts.TERMS[contexts.V2] or frozenset()
    for name, value in context.items():
        if name == "@vocab":
            every = value is not None
        elif name.startswith("@"):
            continue
        elif name in base or own.get(name, value) != value:
            raise Malformed("vc_context", "a context gives a term that is taken another meaning")
        else:
            terms.add(name)
            own[name] = value
    return every


def _types(found: Mapping[str, Any], terms: frozenset[str] | None) -> Sequence[str]:
    types = listed(found, "type")
    if not types or not all(isinstance(each, str) for each in types):
        raise Malformed("vc_type", "types are texts")
    if len(set(types)) != len(types):
        raise Malformed("vc_type", "a type is named once")
    if terms is not None and not all(each in terms or is_url(each) for each in types):
        raise Malformed("vc_type", "a type that no context of the document defines")
    return types


def _check_id(found: Mapping[str, Any], code: str) -> None:
    if "id" in found and not is_url(found["id"]):
        raise Malformed(code, "an id is one URL")


def _check_issuer(issuer: object, *, named: bool) -> None:
    if isinstance(issuer, Mapping):
        if (named or "id" in issuer) and not is_url(issuer.get("id")):
            raise Malformed("vc_issuer", "an issuer is named by a URL")
        for name in ("name", "description"):
            _check_text(issuer, name)
    elif not is_url(issuer):
        raise Malformed("vc_issuer", "an issuer is named by a URL")


def _check_subjects(subjects: object) -> None:
    found: list[Any] = subjects if isinstance(subjects, list) else [subjects]
    if not found or len(found) > LIST_MAX or not all(isinstance(each, Mapping) and each for each in found):
        raise Malformed("vc_subject", "a credential says something about a subject")
    for each in found:
        _check_id(each, "vc_subject")


def _check_typed(found: object, terms: frozenset[str] | None, name: str) -> None:
    if not isinstance(found, Mapping):
        raise Malformed("vc_typed", f"{name} is an object")
    _types_of_part(found, terms, name)
    _check_id(found, "vc_status" if name == "credentialStatus" else "vc_id")


def _types_of_part(found: Mapping[str, Any], terms: frozenset[str] | None, name: str) -> None:
    try:
        _types(found, terms)
    except Malformed as error:
        raise Malformed("vc_typed", f"{name} has a type that is defined") from error


def _check_text(found: Mapping[str, Any], name: str) -> None:
    for each in listed(found, name) if name in found else ():
        whole = isinstance(each, Mapping) and isinstance(each.get("@value"), str) and each.keys() <= _LANGUAGE
        if not isinstance(each, str) and not whole:
            raise Malformed("vc_text", f"{name} is a text, or one with its language")
