"""Whether everything that a document says has a meaning: its contexts, and the names that they define.

JSON-LD 1.1 as far as the VC Data Model 2.0 needs it (§4.3, §5.2, §6.1), over tables of names: no context is processed. A name
counts as defined wherever it stands in the document, which is more than JSON-LD allows, and never less.
"""

import re
from collections.abc import Mapping
from typing import Any

from ledger.credentials.vc import contexts
from protocol.errors import Malformed

Terms = frozenset[str] | None  # the names that are defined; None: every one
CONTEXTS_MAX = 64  # of one document; more are refused
LANGUAGE = frozenset({"@value", "@language", "@direction"})  # members of a text with its language. §11.1

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
_APART = frozenset({"@context", "jsonSchema", "jwk", "verifiableCredential"})
"""Members whose values are judged elsewhere, or are JSON that means nothing by itself."""


def of_contexts(document: Mapping[str, Any]) -> Terms:
    """The names that a document's contexts define. Raises Malformed: vc_context."""
    given = document.get("@context")
    given = given if isinstance(given, list) else [given]
    if given[:1] != [contexts.V2] or len(given) > CONTEXTS_MAX:
        raise Malformed("vc_context", f"the first context is {contexts.V2}")
    known: list[Terms] = []
    inline: list[Mapping[str, Any]] = []
    for each in given:
        if isinstance(each, Mapping):
            inline.append(each)
        elif not isinstance(each, str):
            raise Malformed("vc_context", "a context is an address or an object")
        elif each not in contexts.TERMS:
            raise Malformed("vc_context", "a context that is not known here, and none is fetched")
        else:
            known.append(contexts.TERMS[each])
    named = frozenset().union(*(each for each in known if each is not None))
    own: dict[str, object] = {}
    every = None in known
    for context in inline:
        every = _take_up(context, named, own) or every
    return None if every else named | own.keys()


def check(document: Mapping[str, Any], defined: Terms) -> None:
    """Raises Malformed: vc_term, vc_context, where a document, as deep as it goes, says what none of its contexts define."""
    for name, value in document.items():
        if name not in _APART:
            if not (means(name, defined) or (name in LANGUAGE and "@value" in document)):
                raise Malformed("vc_term", "a member that no context of the document defines")
            _check_value(name, value, defined)


def means(name: object, defined: Terms) -> bool:
    """Whether a name says something: one of a context, or a URL."""
    if not isinstance(name, str) or name.startswith("@"):
        return False
    return defined is None or name in defined or is_url(name)


def is_url(name: object) -> bool:
    """Whether this is a URL (WHATWG), a DID or a URN among them."""
    return isinstance(name, str) and _URL.fullmatch(name) is not None


def _check_value(name: str, value: object, defined: Terms) -> None:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, list):
            _check_value(name, each, defined)
        elif isinstance(each, Mapping):
            if "@context" in each and name != "proof":
                raise Malformed("vc_context", "a context stands at the top of a document")
            check(each, defined)
        elif name == "type" and not means(each, defined):
            raise Malformed("vc_term", "a type that no context of the document defines")


def _take_up(context: Mapping[str, Any], named: frozenset[str], own: dict[str, object]) -> bool:
    """Take up a context that stands in the document. Whether it gives every name a meaning."""
    for name, value in context.items():
        if name.startswith("@"):
            continue
        meaning = value.get("@id") if isinstance(value, Mapping) else value
        if name in named or own.get(name, value) != value:
            raise Malformed("vc_context", "a context gives a term that is taken another meaning")
        if isinstance(meaning, str) and meaning.startswith("@"):
            raise Malformed("vc_context", "a context gives a word of JSON-LD another name")
        own[name] = value
    return context.get("@vocab") is not None
