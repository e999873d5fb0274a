"""Two checkpoints that contradict each other: what each kind shows to whom, and that nothing less is taken for it."""

import dataclasses
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import conflict, growth, merkle, notes, policy, receipt, statement
from protocol.conflict import Conflict, Seen, Taken
from protocol.errors import Malformed, VerificationFailed
from protocol.notes import Checkpoint
from tests.support import chain, damage
from tests.support.conflicts import (
    COMMON,
    EXAMPLES,
    LOG,
    NOW_MS,
    ORIGIN,
    OURS,
    POLICY,
    RAWS,
    STRANGER,
    THEIRS,
    between,
    grown,
    note,
    taken,
    trusted,
)


def shows(found: Conflict | bytes, trust: policy.Policy = POLICY) -> str:
    """The code with which a file shows nothing, or "" when it shows something."""
    try:
        conflict.verify(found if isinstance(found, bytes) else found.encode(), trust)
    except VerificationFailed as error:
        return error.code
    return ""


# -- what is shown -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_conflict_is_shown_to_whoever_has_the_logs_key(name: str) -> None:
    found = EXAMPLES[name]
    verdict = conflict.verify(found.encode(), POLICY)
    assert verdict.kind == name.split()[0]
    assert verdict.proof is (verdict.kind != "place_taken")
    assert (verdict.earlier.size, verdict.later.size) == tuple(
        Checkpoint.from_text(notes.parse(each.note).text).size for each in (found.earlier, found.later)
    )
    assert verdict.index == (7 if found.taken else None)


def test_every_two_histories_that_part_are_told_apart_and_no_two_that_do_not() -> None:
    for size1, size2 in itertools.product(range(1, 13), repeat=2):
        for earlier, later in itertools.product((OURS, THEIRS), repeat=2):
            seen = between((earlier, size1), (later, size2))
            parted = earlier is not later and min(size1, size2) > COMMON
            assert shows(seen) == ("" if parted else "conflict_none"), (size1, size2)


def test_a_witness_is_not_needed_against_a_log_and_one_that_signed_is_named() -> None:
    seen = EXAMPLES["two_roots"]
    witnessed = dataclasses.replace(seen, earlier=Seen(note=note(OURS, 8, witness=True), at_ms=NOW_MS))
    verdict = conflict.verify(witnessed.encode(), POLICY)
    assert verdict.earlier_cosigned == (("w", NOW_MS // 1000),) and verdict.later_cosigned == ()


# -- what is not ---------------------------------------------------------------------------------------------------------


def test_an_old_checkpoint_that_comes_late_shows_nothing() -> None:
    """Whoever is on the way can keep one back and show it again."""
    assert shows(between((OURS, 12), (OURS, 3))) == "conflict_none"
    assert shows(between((OURS, 12), (OURS, 3), path=())) == "conflict_consistency_bad"
    assert shows(between((OURS, 12), (THEIRS, 9), path=())) == "conflict_consistency_bad"


def test_every_tree_begins_with_nothing() -> None:
    empty = Checkpoint(origin=ORIGIN, size=0, root=merkle.EMPTY_ROOT)
    assert conflict.contradiction(empty, Checkpoint(origin=ORIGIN, size=12, root=OURS.root()), []) is None


def test_a_path_that_is_not_of_the_larger_tree_shows_nothing() -> None:
    """A ledger's tiles come unsigned: somebody on the way may change them, and then the log has not contradicted itself."""
    honest = between((OURS, 7), (OURS, 12))
    for place, item in enumerate(honest.path):
        for flipped in damage.every_bit_flip(item):
            path = (*honest.path[:place], flipped, *honest.path[place + 1 :])
            assert shows(dataclasses.replace(honest, path=path)) == "conflict_consistency_bad"
    for path in ((), honest.path[1:], honest.path[:-1], (*honest.path, honest.path[0])):
        assert shows(dataclasses.replace(honest, path=path)) == "conflict_consistency_bad"
    assert shows(between((OURS, 8), (OURS, 8), path=honest.path)) == "conflict_consistency_bad"


def test_only_checkpoints_of_one_log_and_by_its_key_count() -> None:
    seen = EXAMPLES["two_roots"]
    forged = Seen(note=note(THEIRS, 8, key=STRANGER), at_ms=NOW_MS)
    assert shows(dataclasses.replace(seen, later=forged)) == "conflict_log_unsigned"
    assert shows(dataclasses.replace(seen, earlier=forged)) == "conflict_log_unsigned"
    assert shows(seen, trusted(STRANGER)) == "conflict_log_unsigned"
    assert shows(seen, trusted(origin="log.example/other")) == "conflict_log_unknown"
    other = notes.NoteKey(name="log.example/other", kind=notes.SIGNATURE, key=STRANGER.public)
    both = dataclasses.replace(POLICY, logs={**POLICY.logs, other.name: (other,)})
    later = Seen(note=note(THEIRS, 8, origin=other.name, key=STRANGER), at_ms=NOW_MS)
    assert shows(dataclasses.replace(seen, later=later), both) == "conflict_log_other"


def test_a_place_that_was_free_or_a_receipt_of_something_else_shows_nothing() -> None:
    seen = EXAMPLES["place_taken"]
    assert shows(dataclasses.replace(seen, earlier=Seen(note=note(OURS, 7), at_ms=NOW_MS))) == "conflict_place"
    assert shows(dataclasses.replace(seen, taken=taken(7, raw=RAWS[0]))) == "conflict_signature_bad"
    moved = receipt.issue(
        LOG, iss=ORIGIN, sub="1.3", root=THEIRS.root(), size=THEIRS.size, index=7, path=THEIRS.path(7)
    )
    assert shows(dataclasses.replace(seen, taken=Taken(statement=RAWS[14], receipt=moved))) == "conflict_entry_other"
    forged = receipt.issue(
        STRANGER, iss=ORIGIN, sub="1.7", root=THEIRS.root(), size=THEIRS.size, index=7, path=THEIRS.path(7)
    )
    assert shows(dataclasses.replace(seen, taken=Taken(statement=RAWS[14], receipt=forged))) == "conflict_log_unknown"
    path = EXAMPLES["other_beginning"].path
    assert shows(dataclasses.replace(seen, path=path)) == "conflict_shape"
    own = taken(7, tree=OURS, raw=RAWS[7])  # its receipt is of the very tree in which its place is said to be another's
    assert shows(dataclasses.replace(seen, taken=own)) == "conflict_none"


# -- the file ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_file_comes_back_from_its_bytes_and_says_what_it_is(name: str) -> None:
    data = EXAMPLES[name].encode()
    assert Conflict.decode(data) == EXAMPLES[name]
    assert conflict.is_one(data) and not conflict.is_one(chain.bundle().encode())
    assert json.loads(data)["earlier"]["note"] == EXAMPLES[name].earlier.note, "people and other programs can read it"


@pytest.mark.parametrize("name", ["other_beginning", "place_taken"])
def test_every_cut_anything_added_and_every_other_form_is_refused(name: str) -> None:
    data = EXAMPLES[name].encode()
    for wrong in itertools.chain(damage.every_prefix(data), (data + b"\n", b" " + data, data.replace(b": ", b":", 1))):
        with pytest.raises(Malformed):
            Conflict.decode(wrong)
    with pytest.raises(Malformed, match="conflict_size"):
        Conflict.decode(bytes(conflict.SIZE_MAX + 1))


@pytest.mark.parametrize("name", ["other_beginning", "place_taken"])
def test_a_flipped_bit_is_refused_or_changes_the_time_alone(name: str) -> None:
    data = EXAMPLES[name].encode()
    for changed in itertools.islice(damage.every_bit_flip(data), 0, None, 3):
        if shows(changed) == "":
            found = Conflict.decode(changed)
            still = dataclasses.replace(
                found,
                earlier=dataclasses.replace(found.earlier, at_ms=NOW_MS),
                later=dataclasses.replace(found.later, at_ms=NOW_MS + 1000),
            )
            assert still == EXAMPLES[name]


@given(
    st.fixed_dictionaries(
        {
            name: st.none() | st.integers() | st.text() | st.lists(st.text())
            for name in json.loads(EXAMPLES["two_roots"].encode())
        }
    )
)
def test_any_json_is_only_refused(value: dict[str, object]) -> None:
    with pytest.raises(VerificationFailed):
        conflict.verify(json.dumps(value, indent=2, sort_keys=True).encode() + b"\n", POLICY)


# -- what makes a statement count ----------------------------------------------------------------------------------------


def test_a_receipt_counts_for_its_statement_its_log_and_its_name_only() -> None:
    found = taken(7)
    digest = statement.entry(found.statement)
    placed = growth.placed(POLICY, found.receipt, digest=digest, entry_id="1.7")
    assert (placed.origin, placed.index, placed.root) == (ORIGIN, 7, THEIRS.root())
    for entry_id in ("1.8", "2.7", "17", ""):
        with pytest.raises(VerificationFailed, match="entry_other"):
            growth.placed(POLICY, found.receipt, digest=digest, entry_id=entry_id)
    for sub in ("1.07", "01.7", "7", "1.7.7", "a.7"):
        named = receipt.issue(
            LOG, iss=ORIGIN, sub=sub, root=THEIRS.root(), size=THEIRS.size, index=7, path=THEIRS.path(7)
        )
        with pytest.raises(VerificationFailed, match="entry_other"):
            growth.placed(POLICY, named, digest=digest, entry_id=sub)


def test_a_later_checkpoint_grew_from_an_earlier_tree_or_is_not_taken() -> None:
    later = Checkpoint(origin=ORIGIN, size=12, root=OURS.root())
    assert growth.span(12, later) is growth.span(0, later) is None
    assert growth.span(5, later) == (5, 12)
    growth.verify(5, OURS.root(5), later, OURS.consistency(5, 12))
    growth.verify(12, OURS.root(12), later, [])
    for size, tree in ((12, grown(*range(12, 24))), (7, THEIRS)):
        with pytest.raises(VerificationFailed, match="consistency_bad"):
            growth.verify(size, tree.root(size), later, [] if size == 12 else OURS.consistency(size, 12))
