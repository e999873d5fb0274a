"""What a verifier asks for, and whether a credential is it: the Digital Credentials Query Language. OpenID4VP 1.0 §6 and §7."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.credentials.vc import secured
from protocol.errors import Malformed, NotFound

LDP_VC, VC_COSE, SD_JWT = secured.DATA_INTEGRITY, secured.COSE, secured.SD_JWT
"""Formats. OpenID4VP names the first and the last (appendix B); `vc+cose` is our own identifier, for the media type
application/vc+cose. Its query has type_values as ldp_vc has, and it is shown in an ldp_vc presentation, in an envelope."""
FORMATS = (LDP_VC, VC_COSE, SD_JWT)
QUERIES_MAX = 32  # credentials that one request asks for; more are refused
CLAIMS_MAX = 64  # claims of one query, values of one claim, sets of one query, and options of one set; more are refused
PATH_MAX = 16  # steps of a path
TEXT_MAX = 512  # characters of a name, a type or a value

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_W3C = "https://www.w3.org/2018/credentials#"
_BADGES = "https://purl.imsglobal.org/spec/vc/ob/vocab.html#"
_OURS = "https://vigil.example/credentials#"
_KNOWN = {
    "VerifiableCredential": _W3C,
    "OpenBadgeCredential": _BADGES,
    "AchievementCredential": _BADGES,
}

Step = str | int | None
"""Of a path: a member, an item from 0, or every item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim that is asked for. values: any of them will do; every value when there are none."""

    id: str | None
    path: tuple[Step, ...]
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialQuery:
    """One credential that is asked for. types: alternatives, each of which it has to have whole (IRIs); vcts: any of them;
    claims_of: claims by what will do, best first."""

    id: str
    format: str
    multiple: bool
    types: tuple[frozenset[str], ...]
    vcts: frozenset[str]
    claims_of: tuple[tuple[Claim, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSet:
    """Queries of which one option is to be answered whole."""

    options: tuple[tuple[str, ...], ...]
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What one request asks for."""

    credentials: tuple[CredentialQuery, ...]
    sets: tuple[CredentialSet, ...]

    def of(self, name: str) -> CredentialQuery:
        """Raises Malformed: dcql_unknown."""
        for each in self.credentials:
            if each.id == name:
                return each
        raise Malformed("dcql_unknown", "an answer to what was not asked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A credential as a query sees it. types: IRIs; claims: of its root, those that can be shown."""

    format: str
    types: frozenset[str]
    vct: str | None
    claims: Mapping[str, Any]


def type_iri(name: str) -> str:
    """The IRI that a type's name stands for under the contexts that are known here. OpenID4VP 1.0 §B.1.1."""
    return name if ":" in name else _KNOWN.get(name, _OURS) + name


def vct_of(name: str) -> str:
    """The `vct` of one of our types."""
    return secured.VCT + name


def query_for(types: Sequence[str], *, formats: Sequence[str] = (LDP_VC, SD_JWT)) -> dict[str, Any]:
    """A query for one credential of each type, in whichever of the formats the holder has it."""
    credentials, sets = [], []
    for at, name in enumerate(types):
        options = []
        for form in formats:
            identity = f"q{at}_{FORMATS.index(form)}"
            meta = {"vct_values": [vct_of(name)]} if form == SD_JWT else {"type_values": [[type_iri(name)]]}
            credentials.append({"id": identity, "format": form, "meta": meta})
            options.append([identity])
        sets.append({"options": options, "required": True})
    return {"credentials": credentials, "credential_sets": sets}


def parse(found: object) -> Query:
    """A query as it travels. Raises Malformed: dcql_bad. Unknown members are passed over, as OpenID4VP 1.0 §6 says; what
    narrows a query in a way that is not known here (trusted_authorities) is refused, for we could not keep to it."""
    whole = _mapping(found)
    credentials = tuple(_credential(_mapping(each)) for each in _list(whole.get("credentials"), QUERIES_MAX))
    names = {each.id for each in credentials}
    if not credentials or len(names) != len(credentials):
        raise Malformed("dcql_bad", "a query asks for credentials, each under a name of its own")
    sets = tuple(_set(_mapping(each), names) for each in _list(whole.get("credential_sets", []), QUERIES_MAX))
    return Query(credentials=credentials, sets=sets)


def shown(query: CredentialQuery, held: Held) -> tuple[Claim, ...] | None:
    """The claims that a credential would show to a query; None when it is not what is asked for. OpenID4VP 1.0 §6.4.1."""
    if held.format != query.format:
        return None
    if query.types and not any(each <= held.types for each in query.types):
        return None
    if query.vcts and held.vct not in query.vcts:
        return None
    for claims in query.claims_of:
        if all(_has(claim, held.claims) for claim in claims):
            return claims
    return None


def satisfied(query: Query, answered: Collection[str]) -> bool:
    """Whether answers to these queries are enough. OpenID4VP 1.0 §6.4.2."""
    if not query.sets:
        return all(each.id in answered for each in query.credentials)
    return all(any(set(option) <= set(answered) for option in each.options) for each in query.sets if each.required)


def chosen(query: Query, candidates: Collection[str]) -> tuple[str, ...]:
    """The queries that a wallet answers, the first option that it can, no optional ones.

    candidates: queries that it has something for. Raises NotFound: dcql_unmatched.
    """
    if not satisfied(query, candidates):
        raise NotFound("dcql_unmatched", "the wallet does not have all that is asked for")
    if not query.sets:
        return tuple(each.id for each in query.credentials)
    found: dict[str, None] = {}
    for each in query.sets:
        if each.required:
            option = next(option for option in each.options if set(option) <= set(candidates))
            found |= dict.fromkeys(option)
    return tuple(found)


def values_at(claims: object, path: Sequence[Step]) -> list[object]:
    """What a path selects; nothing when it leads nowhere. OpenID4VP 1.0 §7.1."""
    selected = [claims]
    for step in path:
        selected = [each for one in selected for each in _step(one, step)]
    return selected


def _step(value: object, step: Step) -> Iterator[object]:
    if isinstance(step, str):
        if isinstance(value, Mapping) and step in value:
            yield value[step]
    elif isinstance(value, list):
        if step is None:
            yield from value
        elif step < len(value):
            yield value[step]


def _has(claim: Claim, claims: Mapping[str, Any]) -> bool:
    found = values_at(claims, claim.path)
    if not claim.values:
        return bool(found)
    return any(type(one) is type(each) and one == each for one in found for each in claim.values)


def _credential(found: Mapping[str, Any]) -> CredentialQuery:
    form, meta = found.get("format"), _mapping(found.get("meta", {}))
    if form not in FORMATS:
        raise Malformed("dcql_bad", f"formats are {', '.join(FORMATS)}")
    if "trusted_authorities" in found or found.get("require_cryptographic_holder_binding", True) is not True:
        raise Malformed("dcql_bad", "who is trusted is in the ledger, and a holder always proves that it is theirs")
    multiple = found.get("multiple", False)
    if type(multiple) is not bool:
        raise Malformed("dcql_bad", "multiple is true or false")
    types = [frozenset(_texts(each)) for each in _list(meta.get("type_values", []), CLAIMS_MAX)]
    vcts = _texts(meta.get("vct_values", []))
    if (form == SD_JWT and (types or not vcts)) or (form != SD_JWT and (vcts or not types)) or not all(types):
        raise Malformed("dcql_bad", "a query says of which type: vct_values of an SD-JWT VC, type_values of others")
    claims = tuple(_claim(_mapping(each)) for each in _list(found.get("claims", []), CLAIMS_MAX))
    return CredentialQuery(
        id=_name(found.get("id")),
        format=form,
        multiple=multiple,
        types=tuple(types),
        vcts=frozenset(vcts),
        claims_of=_claim_sets(found, claims),
    )


def _claim_sets(found: Mapping[str, Any], claims: tuple[Claim, ...]) -> tuple[tuple[Claim, ...], ...]:
    if "claim_sets" not in found:
        return (claims,)
    named = {each.id: each for each in claims}
    if len(named) != len(claims) or None in named or not claims:
        raise Malformed("dcql_bad", "claims in sets have names, each its own")
    sets = [_texts(each) for each in _list(found["claim_sets"], CLAIMS_MAX)]
    if not sets or not all(each and set(each) <= named.keys() for each in sets):
        raise Malformed("dcql_bad", "a set of claims names claims of its query")
    return tuple(tuple(named[name] for name in each) for each in sets)


def _claim(found: Mapping[str, Any]) -> Claim:
    path = _list(found.get("path"), PATH_MAX)
    if not path or not isinstance(path[0], str):
        raise Malformed("dcql_bad", "a path begins with a member")
    for step in path:
        if not (step is None or isinstance(step, str) or (type(step) is int and step >= 0)):
            raise Malformed("dcql_bad", "a step is a member, an item from 0, or null for every item")
    values = _list(found.get("values", []), CLAIMS_MAX)
    if not all(isinstance(each, str | int | bool) for each in values) or ("values" in found and not values):
        raise Malformed("dcql_bad", "values are texts, whole numbers or truths")
    identity = _name(found["id"]) if "id" in found else None
    return Claim(id=identity, path=tuple(path), values=tuple(values))


def _set(found: Mapping[str, Any], names: Collection[str]) -> CredentialSet:
    options = tuple(tuple(_texts(each)) for each in _list(found.get("options"), CLAIMS_MAX))
    required = found.get("required", True)
    if type(required) is not bool or not options or not all(each and set(each) <= set(names) for each in options):
        raise Malformed("dcql_bad", "a set's options name queries of its request")
    return CredentialSet(options=options, required=required)


def _name(found: object) -> str:
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise Malformed("dcql_bad", "a name is letters, digits, _ and -")
    return found


def _texts(found: object) -> list[str]:
    texts = _list(found, CLAIMS_MAX)
    if not all(isinstance(each, str) and 0 < len(each) <= TEXT_MAX for each in texts):
        raise Malformed("dcql_bad", f"a list of texts, each at most {TEXT_MAX} characters")
    return texts


def _list(found: object, most: int) -> list[Any]:
    if not isinstance(found, list) or len(found) > most:
        raise Malformed("dcql_bad", f"a list of at most {most}")
    return found


def _mapping(found: object) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise Malformed("dcql_bad", "an object")
    return found
