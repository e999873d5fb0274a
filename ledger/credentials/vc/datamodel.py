"""What a credential and a presentation must look like before anybody asks who signed them. W3C VC Data Model 2.0 §4."""

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.credentials.vc import terms, times
from ledger.credentials.vc.terms import Terms, is_url
from protocol.errors import Malformed

CREDENTIAL, PRESENTATION = "VerifiableCredential", "VerifiablePresentation"
ENVELOPED = "EnvelopedVerifiableCredential"
LIST_MAX = 64  # contexts, types, subjects, status entries or credentials in one document; more are refused

_TYPED = ("credentialStatus", "credentialSchema", "termsOfUse", "refreshService", "evidence", "proof")


def check_credential(found: Mapping[str, Any], *, issued: bool = True) -> None:
    """Raises Malformed: vc_context, vc_type, vc_id, vc_issuer, vc_subject, vc_status, vc_typed, vc_text, vc_period,
    vc_term.

    issued: it says who issues it, as every credential does that somebody signed.
    """
    defined = terms.of_contexts(found)
    if CREDENTIAL not in _types(found, defined):
        raise Malformed("vc_type", f"a credential is a {CREDENTIAL}")
    _check_id(found, "vc_id")
    if issued or "issuer" in found:
        _check_issuer(found.get("issuer"), named=issued)
    _check_subjects(found.get("credentialSubject"))
    for name in _TYPED:
        for each in listed(found, name) if name in found else ():
            _check_typed(each, defined, name)
    for name in ("name", "description"):
        _check_text(found, name)
    valid_from, valid_until = period(found)
    if valid_from is not None and valid_until is not None and valid_from > valid_until:
        raise Malformed("vc_period", "a credential is valid from before it is valid until")
    terms.check(found, defined)


def check_presentation(found: Mapping[str, Any], *, within: bool = True) -> None:
    """Raises Malformed: vp_holder, vp_credential; vc_* as `check_credential` of it and, `within`, of those in it."""
    defined = terms.of_contexts(found)
    if PRESENTATION not in _types(found, defined):
        raise Malformed("vc_type", f"a presentation is a {PRESENTATION}")
    _check_id(found, "vc_id")
    holder_of(found)
    for each in listed(found, "verifiableCredential") if "verifiableCredential" in found else ():
        if not isinstance(each, Mapping):
            raise Malformed("vp_credential", "a presentation has credentials as objects")
        if within and not enveloped(each):
            check_credential(each)
    terms.check(found, defined)


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


def _types(found: Mapping[str, Any], defined: Terms) -> Sequence[str]:
    types = listed(found, "type")
    if not types or not all(isinstance(each, str) for each in types):
        raise Malformed("vc_type", "types are texts")
    if len(set(types)) != len(types):
        raise Malformed("vc_type", "a type is named once")
    if not all(terms.means(each, defined) for each in types):
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


def _check_typed(found: object, defined: Terms, name: str) -> None:
    if not isinstance(found, Mapping):
        raise Malformed("vc_typed", f"{name} is an object")
    _types_of_part(found, defined, name)
    _check_id(found, "vc_status" if name == "credentialStatus" else "vc_id")


def _types_of_part(found: Mapping[str, Any], defined: Terms, name: str) -> None:
    try:
        _types(found, defined)
    except Malformed as error:
        raise Malformed("vc_typed", f"{name} has a type that is defined") from error


def _check_text(found: Mapping[str, Any], name: str) -> None:
    for each in listed(found, name) if name in found else ():
        whole = isinstance(each, Mapping) and isinstance(each.get("@value"), str) and each.keys() <= terms.LANGUAGE
        if not isinstance(each, str) and not whole:
            raise Malformed("vc_text", f"{name} is a text, or one with its language")
