"""@digitalbazaar's verifiable credentials, which are not ours, judge what we sign, and we what they sign."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest

from ledger.credentials import types
from ledger.credentials.types import CATALOGUE
from ledger.credentials.vc import anchor, contexts, datamodel, did, integrity, multikey, presentation, secured, status
from ledger.credentials.vc.multikey import VerifyingKey
from ledger.credentials.vc.status import Entry
from protocol.errors import NotFound, ProtocolError
from protocol.keys import SigningKey
from protocol.p256 import P256SigningKey
from tests.credentials.test_types import DRAFTS
from tests.support.outside import ask_node

pytestmark = pytest.mark.outside

NOW_S, NOW = 1_800_000_000, "2027-01-15T08:00:00Z"
ISSUER = SigningKey.from_seed(bytes([1]) * 32)
SECRET = bytes([2]) * 32  # of both holders
HOLDERS: dict[str, SigningKey | P256SigningKey] = {
    "eddsa-jcs-2022": SigningKey.from_seed(SECRET),
    "ecdsa-jcs-2019": P256SigningKey(SECRET),
}
PREFIXES = {"eddsa-jcs-2022": b"\x80\x26", "ecdsa-jcs-2019": b"\x86\x26"}  # multicodec of a secret key
WEB = "did:web:hospital.example"
DOCUMENT = did.DidDocument(
    id=WEB,
    methods={f"{WEB}#k1": ISSUER.public, f"{WEB}#k2": SigningKey.from_seed(bytes([4]) * 32).public},
    assertion=frozenset({f"{WEB}#k1"}),
    authentication=frozenset({f"{WEB}#k2"}),
)
TABLE = did.DidTable({WEB: DOCUMENT})
DOCUMENTS = {WEB: DOCUMENT.to_json(), contexts.OURS: contexts.CONTEXT}
ANCHOR = anchor.Anchor(id=bytes(range(16)), log="log.example/1", nonce=bytes(range(32)))
LISTS = [Entry(purpose=each, index=7, url=f"https://i.example/lists/{each}") for each in ("revocation", "suspension")]
CHALLENGE, DOMAIN = "n-1", "https://v.example/answers"


def drafted(name: str, *, issuer: str = WEB, holder: str | None = None) -> dict[str, Any]:
    draft = types.draft(name, DRAFTS[name])
    draft["credentialSubject"]["id"] = holder or did.did_key(HOLDERS["eddsa-jcs-2022"].public)
    return {
        **draft,
        "issuer": issuer,
        "validFrom": "2026-01-01T00:00:00Z",
        "validUntil": "2028-01-01T00:00:00Z",
        "credentialStatus": [each.said() for each in LISTS],
        "evidence": [ANCHOR.evidence()],
    }


def issued(name: str, **more: Any) -> dict[str, Any]:
    return integrity.sign(drafted(name, **more), ISSUER, method=f"{WEB}#k1", created_s=NOW_S)


def asked(ask: str, **question: Any) -> dict[str, Any]:
    return {"ask": ask, "documents": DOCUMENTS, "now": NOW, **question}


def answers(questions: list[dict[str, Any]]) -> list[Any]:
    found = ask_node("ask_digitalbazaar.js", questions)
    assert isinstance(found, list) and len(found) == len(questions)
    return found


def verdicts(questions: list[dict[str, Any]]) -> list[bool]:
    """What they say of each; a question that they do not get through is a no."""
    return [isinstance(each, Mapping) and each.get("verified") is True for each in answers(questions)]


def signing(suite: str, public: VerifyingKey, secret: bytes, method: str) -> dict[str, Any]:
    """What they sign with: the key as their Multikey."""
    key = {
        "id": method,
        "controller": method.partition("#")[0],
        "publicKeyMultibase": multikey.encode(public),
        "secretKeyMultibase": multikey.base58(PREFIXES[suite] + secret),
    }
    return {"cryptosuite": suite, "key": key, "created": NOW}


def test_they_take_what_our_issuer_signs() -> None:
    found = answers([asked("credential", credential=issued(name)) for name in CATALOGUE])
    assert found == [{"verified": True, "error": None}] * len(CATALOGUE)


def tampered(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The document with one thing changed, in each of the places where it counts."""
    made = []
    for path, value in (
        (["credentialSubject", "licenceNumber"], "RN-99999"),
        (["validUntil"], "2038-01-01T00:00:00Z"),
        (["issuer"], did.did_key(SigningKey.from_seed(bytes([9]) * 32).public)),
        (["proof", "created"], "2027-01-15T08:00:01Z"),
        (["proof", "@context"], [*reversed(document["@context"])]),
        (["proof", "proofPurpose"], "authentication"),
        (["proof", "verificationMethod"], f"{WEB}#k2"),
        (["proof", "proofValue"], document["proof"]["proofValue"][:-1] + "2"),
        (["credentialStatus"], []),
    ):
        other = copy.deepcopy(document)
        place: Any = other
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        made.append(other)
    return made


def taken_here(document: dict[str, Any]) -> bool:
    try:
        found = secured.of_json(document)
        found.check(TABLE.resolve(found.issuer).key(found.method, did.ASSERTION), now_ms=NOW_S * 1000)
    except (ProtocolError, NotFound):
        return False
    return True


def test_neither_takes_what_was_changed() -> None:
    documents = tampered(issued("StateLicence"))
    assert verdicts([asked("credential", credential=each) for each in documents]) == [False] * len(documents)
    assert [taken_here(each) for each in documents] == [False] * len(documents)


def theirs(name: str) -> dict[str, Any]:
    key = signing("eddsa-jcs-2022", ISSUER.public, ISSUER.seed, f"{WEB}#k1")
    (made,) = answers([{"ask": "issue", "credential": drafted(name), **key}])
    assert isinstance(made, dict) and "refused" not in made, made
    return made


def test_we_take_what_their_issuer_signs_which_is_what_ours_would() -> None:
    made = theirs("StateLicence")
    assert taken_here(made)
    assert made == issued("StateLicence")  # Ed25519 leaves nothing to chance
    assert [taken_here(each) for each in tampered(made)] == [False] * len(tampered(made))


@pytest.mark.parametrize("suite", HOLDERS)
def test_they_take_what_our_holder_shows(suite: str) -> None:
    holder = HOLDERS[suite]
    credential = issued("StateLicence", holder=did.did_key(holder.public))
    shown = presentation.signed([credential], holder, nonce=CHALLENGE, audience=DOMAIN, now_s=NOW_S)
    right = {"presentation": shown, "challenge": CHALLENGE, "domain": DOMAIN}
    changed = copy.deepcopy(shown)
    changed["verifiableCredential"][0]["credentialSubject"]["licenceNumber"] = "RN-99999"
    other = {**shown, "holder": did.did_key(ISSUER.public)}
    cases = [
        right,
        {**right, "challenge": "n-2"},
        {**right, "domain": "https://other.example"},
        {**right, "presentation": changed},
        {**right, "presentation": other},
    ]
    assert verdicts([asked("presentation", **each) for each in cases]) == [True, False, False, False, False]


@pytest.mark.parametrize("suite", HOLDERS)
def test_we_take_what_their_holder_shows(suite: str) -> None:
    holder = HOLDERS[suite]
    name, method = did.did_key(holder.public), did.key_method(holder.public)
    bare = presentation.bare([issued("StateLicence", holder=name)], holder=name)
    key = signing(suite, holder.public, SECRET, method)
    question = {"ask": "present", "presentation": bare, "challenge": CHALLENGE, "domain": DOMAIN, **key}
    (made,) = answers([question])
    assert "refused" not in made, made
    right: dict[str, Any] = {"nonce": CHALLENGE, "audience": DOMAIN, "now_ms": NOW_S * 1000}
    found = presentation.read(json.dumps(made).encode())
    assert presentation.check(found, **right) == name
    assert found.credentials[0].subject == name
    for change in ({"nonce": "n-2"}, {"audience": "https://other.example"}, {"now_ms": (NOW_S + 301) * 1000}):
        with pytest.raises(ProtocolError):
            presentation.check(found, **{**right, **change})
    made["verifiableCredential"][0]["credentialSubject"]["licenceNumber"] = "RN-99999"
    with pytest.raises(ProtocolError):
        presentation.check(presentation.read(json.dumps(made).encode()), **right)


def test_they_understand_every_word_of_every_type() -> None:
    """JSON-LD in safe mode refuses what no context defines, and a word with two protected meanings."""
    found = answers([asked("expand", document=issued(name)) for name in CATALOGUE])
    for name, expanded in zip(CATALOGUE, found, strict=True):
        assert isinstance(expanded, list) and len(expanded) == 1, (name, expanded)
        assert "https://vigil.example/credentials#" + name in expanded[0]["@type"]
        text = json.dumps(expanded)
        for field in DRAFTS[name]:
            assert f"#{field}" in text or f"/{field}" in text, (name, field)
    loose = {**issued("StateLicence"), "surname": "x"}
    (refused,) = answers([asked("expand", document=loose)])
    assert "refused" in refused
    with pytest.raises(ProtocolError):
        datamodel.check_credential(loose)


@pytest.mark.parametrize("context", [contexts.V2, contexts.OPEN_BADGES])
def test_our_tables_have_the_names_of_the_published_contexts(context: str) -> None:
    (names,) = answers([{"ask": "names", "context": context}])
    assert set(names) == contexts.TERMS[context]


def test_they_take_a_status_list_that_we_sign() -> None:
    bits = status.Bits(131_072)
    bits.set(7, True)
    bare = status.credential(
        url=LISTS[0].url, issuer=WEB, purpose="revocation", bits=bits, from_ms=0, until_ms=(NOW_S + 60) * 1000
    )
    made = integrity.sign(bare, ISSUER, method=f"{WEB}#k1", created_s=NOW_S)
    assert verdicts([asked("credential", credential=made)]) == [True]
