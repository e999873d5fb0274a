"""What a document may say: the names that its contexts define, as deep as it goes, and no second meaning for any of them."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.credentials.types import CATALOGUE
from ledger.credentials.types.catalogue import IN_ACHIEVEMENT
from ledger.credentials.vc import (
    anchor,
    contexts,
    cose_vc,
    datamodel,
    did,
    integrity,
    jcs,
    presentation,
    secured,
    terms,
)
from protocol.errors import Malformed, ProtocolError
from tests.credentials.test_types import DRAFTS
from tests.credentials.vc.test_forms import CLAIMS, FORMS

ANCHORED = ["LedgerCommitment", "log", "nonce"]  # what our context defines beside the catalogue
DIGEST = "97f0474c91b9d05d9d17cb45bfc2b75e1ad4f431147b0d0c81a9142ca04b551c"  # of a context that was published: it never changes, and another term needs another version


def test_our_context_defines_the_words_of_the_catalogue_and_of_the_anchor() -> None:
    fields = {each.name for kind in CATALOGUE.values() for each in kind.fields} - set(IN_ACHIEVEMENT)
    assert contexts.TERMS[contexts.OURS] == {*CATALOGUE, *fields, *ANCHORED}
    assert anchor.TYPE in ANCHORED
    said = json.loads(contexts.CONTEXT_BYTES)["@context"]
    assert {name for name in said if not name.startswith("@")} == {"id", "type", *CATALOGUE, *fields, *ANCHORED}


def test_our_context_is_the_one_that_was_published() -> None:
    assert hashlib.sha256(contexts.CONTEXT_BYTES).hexdigest() == DIGEST


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_type_of_the_catalogue_is_a_credential(name: str) -> None:
    kind = CATALOGUE[name]
    from ledger.credentials import types

    claims = {**CLAIMS, **types.draft(name, DRAFTS[name])}
    claims["credentialSubject"]["id"] = "did:example:a"
    datamodel.check_credential(claims)
    assert datamodel.types_of(claims)[-1] == name
    if kind.achievement:  # whose words are those of Open Badges
        with pytest.raises(Malformed, match="vc_type"):
            datamodel.check_credential({**claims, "@context": [contexts.V2, contexts.OURS]})


def changed(path: list[Any], value: Any, **more: Any) -> dict[str, Any]:
    document: dict[str, Any] = {**copy.deepcopy(CLAIMS), **more}
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


INLINE = [contexts.V2, contexts.OURS]
TAKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a member that nobody defines": (changed(["surname"], "x"), "vc_term"),
    "one of a subject": (changed(["credentialSubject", "surname"], "x"), "vc_term"),
    "one of a status": (changed(["credentialStatus", 0, "bit"], "1"), "vc_term"),
    "one in a list in a list": (changed(["credentialSubject", "scope"], [["x", {"surname": "x"}]]), "vc_term"),
    "a type of a part": (changed(["credentialSubject", "site"], {"type": ["Ward"]}), "vc_term"),
    "another name for the type": (changed(["credentialSubject", "@type"], "Privilege"), "vc_term"),
    "a value with a language that is none": (changed(["credentialSubject", "@language"], "en"), "vc_term"),
    "a context within": (changed(["credentialSubject", "@context"], {"npi": "urn:x:y"}), "vc_context"),
    "a second meaning for a word of ours": (changed(["@context"], [*INLINE, {"npi": "urn:x:y"}]), "vc_context"),
    "a second meaning before ours": (
        changed(["@context"], [contexts.V2, {"npi": "urn:x:y"}, contexts.OURS]),
        "vc_context",
    ),
    "a second meaning for its own": (
        changed(["@context"], [*INLINE, {"a": "urn:x:y"}, {"a": "urn:x:z"}]),
        "vc_context",
    ),
    "another word for the type": (changed(["@context"], [*INLINE, {"kind": "@type"}]), "vc_context"),
    "one in long": (changed(["@context"], [*INLINE, {"kind": {"@id": "@type"}}]), "vc_context"),
    "too many contexts": (changed(["@context"], [contexts.V2] * 65), "vc_context"),
}


@pytest.mark.parametrize(("document", "code"), TAKEN.values(), ids=TAKEN)
def test_what_no_context_defines_is_refused(document: dict[str, Any], code: str) -> None:
    with pytest.raises(Malformed) as refused:
        datamodel.check_credential(document)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "document",
    [
        changed(["credentialSubject", "surname"], "x", **{"@context": [*INLINE, {"surname": "urn:x:surname"}]}),
        changed(["credentialSubject", "surname"], "x", **{"@context": [*INLINE, {"@vocab": "urn:x:"}]}),
        changed(["credentialSubject", "surname"], "x", **{"@context": [*INLINE, contexts.UNDEFINED]}),
        changed(["credentialSubject", "https://schema.org/familyName"], "x"),
        changed(["name"], {"@value": "Licence", "@language": "en"}),
        changed(["type"], ["VerifiableCredential", "https://example.com/Own"]),
    ],
    ids=["its own context", "a vocabulary", "the context for it", "a whole URL", "a language", "a type's URL"],
)
def test_what_a_context_defines_is_taken(document: dict[str, Any]) -> None:
    datamodel.check_credential(document)


WORDS = sorted((contexts.TERMS[contexts.V2] or frozenset()) | {"@context", "npi", "@value", "LedgerCommitment"})
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 53) + 1, (1 << 53) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from([contexts.V2, contexts.OURS, "did:key:z6Mk", "data:,x", *WORDS]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(WORDS), JSON, max_size=6)


@settings(max_examples=150)
@given(OBJECTS)
def test_no_object_makes_a_check_fall(found: dict[str, Any]) -> None:
    credential, shown = {**CLAIMS, **found}, {"@context": contexts.V2, "type": "VerifiablePresentation", **found}
    for job in (
        lambda: datamodel.check_credential(credential),
        lambda: datamodel.check_presentation(shown),
        lambda: integrity.proofs(found),
        lambda: secured.of_json({**json.loads(FORMS["ldp_vc"]), **found}),
        lambda: presentation.credential_of(found),
        lambda: did.DidDocument.from_json(jcs.canonical({"id": "did:example:a", "verificationMethod": [found]})),
        lambda: terms.of_contexts(found),
        lambda: anchor.of_credential({"evidence": [{"type": anchor.TYPE, **found}]}),
        lambda: did.from_jwk(found),
    ):
        try:
            job()  # type: ignore[no-untyped-call]
        except ProtocolError:
            continue


@settings(max_examples=100)
@given(st.dictionaries(st.text(max_size=6), JSON, max_size=5))
def test_json_comes_back_from_its_canonical_text(found: dict[str, Any]) -> None:
    try:
        text = jcs.canonical(found)
    except Malformed:  # half a character
        return
    assert text == rfc8785.dumps(found)  # the reference implementation, which is slow
    assert jcs.canonical(jcs.parse(text)) == text
    assert jcs.parse(text) == json.loads(json.dumps(found))
    for size in range(len(text)):
        with pytest.raises(Malformed):
            jcs.parse(text[:size])


@settings(max_examples=100)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_make_a_reader_fall(raw: bytes) -> None:
    for head in (b"", b"{", b"\xd2\x84", FORMS["vc+cose"][:40], FORMS["dc+sd-jwt"][:200] + b"~", b'{"@context":'):
        for read in (secured.read, presentation.read, cose_vc.read):
            with pytest.raises(ProtocolError):
                read(head + raw)


@pytest.mark.parametrize(
    "text", ['{"a":1e400}', '{"a":"\\ud83d"}', '{"\\udc00":1}', '{"a":-Infinity}', "\ufeff{}", '{"a":1}x']
)
def test_json_that_nobody_could_write_again_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        jcs.parse(text)


@pytest.mark.parametrize("value", [b"x", {1: 2}, {"a": {1, 2}}, object(), {"a": "\ud800"}, {"\udc00": 1.5}])
def test_what_is_no_json_has_no_canonical_text(value: object) -> None:
    with pytest.raises(Malformed, match="json_canonical"):
        jcs.canonical({"v": value})


def test_every_character_is_written_as_the_reference_writes_it() -> None:
    every = {"v": "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000)])), "w": [True, False, None, -0, 1 << 52]}
    assert jcs.canonical(every) == rfc8785.dumps(every)
    names = {
        chr(code): code for code in (0x80, 0xE000, 0x10000, 0x41, 0x7F, 0x20AC)
    }  # sorted by UTF-16, not by code point
    assert jcs.canonical(names) == rfc8785.dumps(names)


def test_a_whole_character_in_escapes_is_one() -> None:
    assert jcs.parse('{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.vectors
def test_the_published_document_is_canonical_here_too(vectors_dir: Path) -> None:
    document = (vectors_dir / "vc-di-eddsa" / "unsigned.json").read_bytes()
    text = (vectors_dir / "vc-di-eddsa" / "eddsa-jcs-2022" / "canonDocJCS.txt").read_text().strip()
    assert jcs.canonical(jcs.parse(document)).decode() == text
