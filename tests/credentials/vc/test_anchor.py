"""What ties a credential to the ledger: read only as it is written, once in a credential."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.credentials.vc import anchor
from ledger.credentials.vc.anchor import Anchor
from protocol.errors import Malformed

ANCHOR = Anchor(id=bytes(range(16)), log="log.example/1", nonce=bytes(range(32)))


@settings(max_examples=50)
@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32), st.text(min_size=1, max_size=128))
def test_an_anchor_comes_back(identity: bytes, nonce: bytes, log: str) -> None:
    made = Anchor(id=identity, log=log, nonce=nonce)
    assert Anchor.read(made.said()) == made == anchor.of_credential({"evidence": made.evidence()})


@pytest.mark.parametrize("name", ["id", "nonce"])
def test_no_part_and_no_other_text_of_a_member_is_one(name: str) -> None:
    said = ANCHOR.said()
    whole = said[name]
    others = [*(whole[:size] for size in range(len(whole))), whole + "A", whole + "=", " " + whole, whole.upper()]
    if name == "nonce":
        others.append(whole[:-1] + "9")  # the same 32 bytes, with bits behind them
    for other in others:
        with pytest.raises(Malformed, match="anchor_bad"):
            Anchor.read({**said, name: other})


@pytest.mark.parametrize(
    "change", [{"log": ""}, {"log": "x" * 129}, {"log": None}, {"id": 1}, {"nonce": [1]}, {"nonce": "z" + "A" * 43}]
)
def test_what_is_no_anchor_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="anchor_bad"):
        Anchor.read({**ANCHOR.said(), **change})


def test_a_credential_is_committed_to_once() -> None:
    other = {"type": ["SomethingElse"], "id": "urn:x:y"}
    assert anchor.of_credential({}) is None is anchor.of_credential({"evidence": [other]})
    assert anchor.of_credential({"evidence": [other, ANCHOR.evidence()]}) == ANCHOR
    with pytest.raises(Malformed, match="anchor_bad"):
        anchor.of_credential({"evidence": [ANCHOR.evidence(), ANCHOR.evidence()]})
