"""@digitalbazaar's status lists, which are not ours, read those of our issuer, and ours read theirs."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ledger.credentials import model, types
from ledger.credentials.issuing import Issuer
from ledger.credentials.vc import did, multikey, secured, status
from ledger.credentials.vc.status import Bits
from protocol.errors import BadSignature
from protocol.keys import SigningKey
from tests.support.outside import ask_node
from tests.support.vouching import HOLDER, LICENCE

pytestmark = pytest.mark.outside

SIZE = model.LIST_SIZE_MIN
THEIRS = SigningKey.from_seed(bytes([8]) * 32)
SECRET = b"\x80\x26"  # multicodec of an Ed25519 secret key
EDGES = (0, 1, 7, 8, SIZE // 2, SIZE - 8, SIZE - 1)


def asked(*cases: dict[str, Any]) -> list[Any]:
    """Its answers, in the order of the cases."""
    found = ask_node("ask_status_list.js", list(cases))
    assert isinstance(found, list) and len(found) == len(cases)
    return found


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    """One that issues under a did:key, for now: their software has no other clock."""
    found = Issuer.open(
        tmp_path,
        say=lambda *_: bytes(32),
        base=lambda: "https://board.example/credentials",
        log="log.example/test",
        party=bytes(32),
        now_ms=lambda: time.time_ns() // 1_000_000 - 60_000,
        random_bytes=Random(1).randbytes,
    )
    with contextlib.closing(found):
        yield found


def lists_of(issuer: Issuer, credential: dict[str, Any]) -> dict[str, Any]:
    """The list credentials that a credential points to, by address."""
    urls = [each["statusListCredential"] for each in credential["credentialStatus"]]
    return {url: json.loads(issuer.status_list(bytes.fromhex(url.rpartition("/")[2]))) for url in urls}


def question(issuer: Issuer, credential: dict[str, Any], **lists: Any) -> dict[str, Any]:
    return {"ask": "check", "credential": credential, "documents": {**lists_of(issuer, credential), **lists}}


@pytest.mark.parametrize("size", [SIZE, 1_000_000])
def test_the_same_bits_come_back_from_either_side(size: int) -> None:
    rng = Random(size)
    for chosen in ((), EDGES, sorted({rng.randrange(size) for _ in range(5000)})):
        bits = Bits(size)
        for index in chosen:
            bits.set(index, True)
        theirs, read = asked(
            {"ask": "encode", "size": size, "set": list(chosen)}, {"ask": "decode", "encoded": bits.encoded()}
        )
        assert read == {"size": size, "set": list(chosen)}
        assert Bits.decode(theirs) == bits


def test_it_finds_each_status_of_our_credentials(issuer: Issuer) -> None:
    made = [issuer.issue(types.draft("StateLicence", LICENCE), holder=HOLDER.public) for _ in range(4)]
    for each, events in zip(made, ([], ["suspend"], ["revoke"], ["suspend", "reinstate"]), strict=True):
        for event in events:
            issuer.change(each.id, event, reason="x")
    issuer.publish()
    found = asked(*(question(issuer, json.loads(each.raw)) for each in made))
    assert [(each["revocation"], each["suspension"]) for each in found] == [
        *((False, False), (False, True), (True, False), (False, False))
    ]


def test_it_refuses_our_lists_when_they_were_changed_or_are_not_for_this(issuer: Issuer) -> None:
    made = issuer.issue(types.draft("StateLicence", LICENCE), holder=HOLDER.public)
    issuer.publish()
    credential = json.loads(made.raw)
    lists = lists_of(issuer, credential)
    (first, one), (_, other) = lists.items()
    full = Bits(SIZE, b"\xff" * (SIZE // 8)).encoded()
    changed = json.loads(json.dumps(one))
    changed["credentialSubject"]["encodedList"] = full
    stranger = {**credential, "issuer": did.did_key(THEIRS.public)}
    found = asked(
        question(issuer, credential),
        question(issuer, credential, **{first: changed}),
        question(issuer, credential, **{first: other}),
        question(issuer, stranger),
    )
    assert ["refused" in each for each in found] == [False, True, True, True], found


def test_we_read_a_list_that_it_signed() -> None:
    url, name = "https://their.example/lists/1", did.did_key(THEIRS.public)
    key = {
        "id": did.key_method(THEIRS.public),
        "controller": name,
        "publicKeyMultibase": multikey.encode(THEIRS.public),
        "secretKeyMultibase": multikey.base58(SECRET + THEIRS.seed),
    }
    case = {
        "ask": "issue",
        "id": url,
        "issuer": name,
        "purpose": "suspension",
        "size": SIZE,
        "set": list(EDGES),
        "key": key,
    }
    (made,) = asked(case)
    assert isinstance(made, dict) and "refused" not in made, made
    found, now_ms = secured.read(json.dumps(made).encode()), time.time_ns() // 1_000_000
    found.check(THEIRS.public, now_ms=now_ms)
    read = status.read_list(found.claims)
    assert (read.url, read.issuer, read.purpose, read.bits.size) == (url, name, "suspension", SIZE)
    assert [index for index in range(SIZE) if read.bits[index]] == list(EDGES)
    made["credentialSubject"]["statusPurpose"] = "revocation"
    with pytest.raises(BadSignature):
        secured.read(json.dumps(made).encode()).check(THEIRS.public, now_ms=now_ms)
