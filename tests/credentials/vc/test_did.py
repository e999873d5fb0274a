"""DIDs and their documents: read strictly, from a table that somebody pinned, and never fetched."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.credentials import documents
from ledger.credentials.vc import did, multikey
from ledger.credentials.vc.did import DidDocument, DidTable
from protocol import base64text
from protocol.errors import ConfigError, Malformed, NotFound
from protocol.keys import SigningKey
from protocol.p256 import P256SigningKey

KEY, OTHER = (SigningKey.from_seed(bytes([n]) * 32).public for n in (1, 2))
BROWSER = P256SigningKey(bytes([3]) * 32).public
WEB = "did:web:hospital.example"
X25519 = multikey.base58(b"\xec\x01" + bytes(32))


def method(name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"{WEB}#{name}",
        "type": "Multikey",
        "controller": WEB,
        "publicKeyMultibase": multikey.encode(KEY),
        **more,
    }


def document(**more: Any) -> dict[str, Any]:
    return {"id": WEB, "verificationMethod": [method("k1")], "assertionMethod": [f"{WEB}#k1"], **more}


def read(found: dict[str, Any]) -> DidDocument:
    return DidDocument.from_json(json.dumps(found).encode())


def test_a_method_counts_for_the_purposes_that_its_document_lists_it_under() -> None:
    found = read(document(authentication=[method("k2", publicKeyMultibase=multikey.encode(OTHER))]))
    assert found.key(f"{WEB}#k1", did.ASSERTION) == KEY and found.key(f"{WEB}#k2", did.AUTHENTICATION) == OTHER
    for name, purpose in (("k1", did.AUTHENTICATION), ("k2", did.ASSERTION), ("k1", "keyAgreement")):
        with pytest.raises(Malformed, match="method_purpose"):
            found.key(f"{WEB}#{name}", purpose)
    with pytest.raises(NotFound, match="method_unknown"):
        found.key(f"{WEB}#k3", did.ASSERTION)
    assert read(found.to_json()) == found


@pytest.mark.parametrize(
    "said",
    [
        {"type": "JsonWebKey", "publicKeyJwk": did.to_jwk(BROWSER)},
        {"type": "Multikey", "publicKeyMultibase": multikey.encode(BROWSER)},
    ],
    ids=["JsonWebKey", "Multikey"],
)
def test_keys_are_read_in_both_their_forms(said: dict[str, Any]) -> None:
    made = {"id": "#k1", "controller": WEB, **said}
    assert read({"id": WEB, "assertionMethod": made}).key(f"{WEB}#k1", did.ASSERTION) == BROWSER


@pytest.mark.parametrize(
    "other",
    [
        method("k9", publicKeyMultibase=X25519),
        method("k9", type="JsonWebKey", publicKeyJwk={"kty": "OKP", "crv": "X25519", "x": "AA"}),
        method("k9", type="SomethingNew"),
    ],
    ids=["X25519", "X25519 as JWK", "a new type"],
)
def test_keys_of_other_kinds_are_left_out(other: dict[str, Any]) -> None:
    found = read(document(verificationMethod=[method("k1"), other], assertionMethod=[f"{WEB}#k1", f"{WEB}#k9"]))
    assert found.methods.keys() == {f"{WEB}#k1"} == found.assertion


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no DID": (document(id="hospital"), "did_document"),
    "a method of another DID": (
        document(verificationMethod=[method("k1", id="did:web:evil.example#k1")]),
        "did_document",
    ),
    "a method that another controls": (
        document(verificationMethod=[method("k1", controller="did:web:evil.example")]),
        "did_document",
    ),
    "a key under the name of another": (
        document(authentication=[method("k1", publicKeyMultibase=multikey.encode(OTHER))]),
        "did_document",
    ),
    "a method that is a text": (document(verificationMethod=["x"]), "did_document"),
    "too many methods": (document(verificationMethod=[method(str(n)) for n in range(65)]), "did_document"),
    "a key that is none": (document(verificationMethod=[method("k1", publicKeyMultibase="z0")]), "multibase_bad"),
    "a private key": (
        document(verificationMethod=[method("k1", type="JsonWebKey", publicKeyJwk={**did.to_jwk(KEY), "d": "AA"})]),
        "jwk_bad",
    ),
    "a point that is not on the curve": (
        document(
            verificationMethod=[
                method(
                    "k1", type="JsonWebKey", publicKeyJwk={**did.to_jwk(BROWSER), "y": base64text.encode_url(bytes(32))}
                )
            ]
        ),
        "key_point",
    ),
}


@pytest.mark.parametrize(("found", "code"), REFUSED.values(), ids=REFUSED)
def test_a_document_that_is_none_is_refused(found: dict[str, Any], code: str) -> None:
    with pytest.raises(Malformed) as refused:
        read(found)
    assert refused.value.code == code


def test_no_beginning_of_a_document_is_one() -> None:
    whole = json.dumps(document()).encode()
    for size in range(len(whole)):
        with pytest.raises(Malformed):
            DidDocument.from_json(whole[:size])
    with pytest.raises(Malformed, match="json_size"):
        DidDocument.from_json(b" " * did.DOCUMENT_MAX + whole)


def test_a_did_that_nobody_pinned_is_not_known() -> None:
    table = DidTable({WEB: read(document())})
    assert table.resolve(WEB).id == WEB and table.resolve(did.did_key(KEY)).methods == {did.key_method(KEY): KEY}
    for unknown in ("did:web:hospital.example:ward", "did:web:127.0.0.1%3A80", "did:ion:x"):
        with pytest.raises(NotFound, match="did_unknown"):
            table.resolve(unknown)
    for bad in ("https://hospital.example", "did:web:", "did:web:a/../b", "did:web:a#k", ""):
        with pytest.raises(Malformed, match="did_bad"):
            table.resolve(bad)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    def written(**files: bytes) -> Path:
        for name, data in files.items():
            (tmp_path / f"{name}.json").write_bytes(data)
        (tmp_path / "README").write_text("not a document")
        return tmp_path

    return written


def test_a_folder_of_documents_is_a_table(folder: Callable[..., Path]) -> None:
    other = json.dumps(document()).replace("hospital", "clinic").encode()
    table = documents.pinned(folder(a=json.dumps(document()).encode(), b=other))
    assert [table.resolve(each).id for each in (WEB, "did:web:clinic.example")] == [WEB, "did:web:clinic.example"]
    with pytest.raises(NotFound, match="did_unknown"):
        documents.pinned(None).resolve(WEB)


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"a": b"{}"}, "documents_bad"),
        ({"a": b"{" * 100_000}, "documents_bad"),
        ({"a": json.dumps(document()).encode(), "b": json.dumps(document()).encode()}, "documents_twice"),
    ],
    ids=["no document", "one that is too large", "two of one DID"],
)
def test_a_folder_that_cannot_be_believed_is_refused(
    folder: Callable[..., Path], files: dict[str, bytes], code: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        documents.pinned(folder(**files))
    assert refused.value.code == code


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="documents_unreadable"):
        documents.pinned(tmp_path / "nowhere")
