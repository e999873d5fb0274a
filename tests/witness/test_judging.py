"""The table of a witness: which request gets which status, in which order, and what is held against a log."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.witness import judging
from ledger.witness.judging import NO_PROOF, STATUS, TWO_TREES, Cosigned, Verdict
from protocol import notes
from protocol.keys import SigningKey
from protocol.notes import NoteKey
from tests.support.witnesses import Log

STRANGER = SigningKey.from_seed(bytes([99]) * 32)
LOG = Log().grown(40)
FORK = Log(fork=5, branch="other").grown(40)
KEYS = [LOG.vkey]


def cosigned(size: int, log: Log = LOG) -> Cosigned:
    return Cosigned(size=size, root=log.tree.root(size), note=log.note(size), at_s=1)


TABLE = [
    # what                                   request                                  newest        verdict
    ("the first tree", LOG.request(0, 7), None, Verdict(code="cosigned")),
    ("the empty tree", LOG.request(0, 0), None, Verdict(code="cosigned")),
    ("a tree after the empty one", LOG.request(0, 7), cosigned(0), Verdict(code="cosigned")),
    ("a tree that grew", LOG.request(7, 12), cosigned(7), Verdict(code="cosigned")),
    ("a tree that grew from a power of two", LOG.request(8, 9), cosigned(8), Verdict(code="cosigned")),
    ("the same tree again", LOG.request(7, 7), cosigned(7), Verdict(code="cosigned")),
    ("a first tree with a proof", LOG.request(0, 7, proof=(bytes(32),)), None, Verdict(code="proof_bad")),
    ("the same tree with a proof", LOG.request(7, 7, proof=(bytes(32),)), cosigned(7), Verdict(code="proof_bad", evidence=NO_PROOF)),
    ("an old size above the tree", LOG.request(9, 7), cosigned(9), Verdict(code="old_too_large")),
    ("nothing known of the old size", LOG.request(0, 12), cosigned(7), Verdict(code="old_differs")),
    ("an old size that is behind", LOG.request(6, 12), cosigned(7), Verdict(code="old_differs")),
    ("an old size that is ahead", LOG.request(8, 12), cosigned(7), Verdict(code="old_differs")),
    ("an old size without a first tree", LOG.request(3, 12), None, Verdict(code="old_differs")),
    ("a tree that shrank", LOG.request(0, 5), cosigned(7), Verdict(code="old_differs")),
    ("a second tree of the same size", FORK.request(7, 7), cosigned(7), Verdict(code="root_differs", evidence=TWO_TREES)),
    ("a second tree, asked at 0", FORK.request(0, 7), cosigned(7), Verdict(code="old_differs", evidence=TWO_TREES)),
    ("a fork that grew", FORK.request(7, 12), cosigned(7), Verdict(code="proof_bad", evidence=NO_PROOF)),
    ("no proof at all", LOG.request(7, 12, proof=()), cosigned(7), Verdict(code="proof_bad", evidence=NO_PROOF)),
    ("a proof from elsewhere", LOG.request(7, 12, proof=tuple(LOG.tree.consistency(6, 12))), cosigned(7), Verdict(code="proof_bad", evidence=NO_PROOF)),
    ("the signature of somebody else", LOG.request(7, 12, note=LOG.note(12, STRANGER)), cosigned(7), Verdict(code="log_unsigned")),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "newest", "verdict"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_each_request_has_its_verdict(request_, newest, verdict: Verdict) -> None:
    assert judging.judge(request_, keys=KEYS, newest=newest) == verdict


def test_the_statuses_are_those_of_the_protocol() -> None:
    found = {row[0]: STATUS[judging.judge(row[1], keys=KEYS, newest=row[2]).code] for row in TABLE}
    assert found["a tree that grew"] == 200
    assert found["an old size above the tree"] == 400
    assert found["the signature of somebody else"] == 403
    assert found["nothing known of the old size"] == 409
    assert found["a second tree of the same size"] == found["a fork that grew"] == 422


def test_an_unknown_log_is_404_before_anything_else() -> None:
    asked = LOG.request(9, 7, note=LOG.note(7, STRANGER))
    assert STATUS[judging.judge(asked, keys=[], newest=None).code] == 404


def test_who_has_not_signed_learns_nothing_of_sizes() -> None:
    asked = FORK.request(7, 7, note=FORK.note(7, STRANGER))
    assert judging.judge(asked, keys=KEYS, newest=cosigned(7)) == Verdict(code="log_unsigned")


def test_a_line_under_a_known_key_that_does_not_hold_refuses_the_note() -> None:
    good, text = notes.parse(LOG.note(12)), LOG.checkpoint(12).text()
    forged = dataclasses.replace(good.lines[0], blob=bytes(64))
    unknown = notes.sign(text, name="other.example", key=STRANGER)
    asked = LOG.request(7, 12, note=notes.Note(text=text, lines=(good.lines[0], forged)).whole())
    assert judging.judge(asked, keys=KEYS, newest=cosigned(7)).code == "log_unsigned"
    asked = LOG.request(7, 12, note=notes.Note(text=text, lines=(unknown, good.lines[0])).whole())
    assert judging.judge(asked, keys=KEYS, newest=cosigned(7)).code == "cosigned"


def test_either_key_of_a_log_that_changes_its_key_will_do() -> None:
    other = NoteKey(name=LOG.origin, kind=notes.SIGNATURE, key=STRANGER.public)
    for note in (LOG.note(12), LOG.note(12, STRANGER)):
        asked = LOG.request(7, 12, note=note)
        assert judging.judge(asked, keys=[LOG.vkey, other], newest=cosigned(7)).code == "cosigned"


@given(first=st.integers(0, 40), second=st.integers(0, 40), shift=st.integers(-2, 2))
def test_only_a_tree_that_grew_is_ever_cosigned(first: int, second: int, shift: int) -> None:
    """Whatever is claimed of the old size: 200 means same or larger, from exactly where we stood."""
    old = max(0, first + shift)
    verdict = judging.judge(LOG.request(old, second), keys=KEYS, newest=cosigned(first))
    assert (verdict.code == "cosigned") == (old == first <= second)


@given(first=st.integers(6, 40), second=st.integers(6, 40), old=st.integers(0, 40))
def test_no_fork_is_ever_cosigned(first: int, second: int, old: int) -> None:
    proof = tuple(FORK.tree.consistency(first, second)) if first < second else ()
    for sent in (FORK.request(old, second), FORK.request(first, second, proof=proof)):
        assert judging.judge(sent, keys=KEYS, newest=cosigned(first)).code != "cosigned"


def test_a_small_tree_of_a_fork_that_both_share_is_no_contradiction() -> None:
    assert FORK.tree.root(5) == LOG.tree.root(5)
    assert judging.judge(FORK.request(5, 5), keys=KEYS, newest=cosigned(5)).code == "cosigned"
    assert FORK.tree.root(6) != LOG.tree.root(6)
