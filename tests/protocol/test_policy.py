"""Whom a verifier trusts: what a policy may say, and which checkpoints it lets through."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import keys, notes, policy
from protocol.errors import BadSignature, Malformed, VigilError
from tests.support import damage

ORIGIN = "log.example/one"
LOG = keys.SigningKey.from_seed(bytes([1]) * 32)
WITNESSES = [keys.SigningKey.from_seed(bytes([10 + number]) * 32) for number in range(4)]
OTHER = keys.SigningKey.from_seed(bytes([77]) * 32)
NAMES = [f"w{number}.example" for number in range(4)]
CHECKPOINT = notes.Checkpoint(origin=ORIGIN, size=12, root=bytes(range(32)))
TEXT = CHECKPOINT.text()
AT_S = 1_700_000_000

LOG_VKEY = notes.NoteKey(name=ORIGIN, kind=notes.SIGNATURE, key=LOG.public).vkey()
VKEYS = [
    notes.NoteKey(name=name, kind=notes.COSIGNATURE, key=key.public).vkey()
    for name, key in zip(NAMES, WITNESSES, strict=True)
]
PEOPLE = f"log {LOG_VKEY}\n" + "".join(f"witness w{number} {vkey}\n" for number, vkey in enumerate(VKEYS))
GOOD = PEOPLE + "group near any w0 w1\ngroup far 2 w2 w3\ngroup both all near far\nquorum both\n"


def note(*witnesses: int, text: str = TEXT, log: keys.SigningKey | None = LOG) -> str:
    lines = [notes.sign(text, name=ORIGIN, key=log)] if log else []
    lines += [notes.cosign(text, name=NAMES[number], key=WITNESSES[number], at_s=AT_S + number) for number in witnesses]
    return notes.Note(text=text, lines=tuple(lines)).whole()


def met(text: str, *witnesses: int) -> bool:
    rule = policy.parse(text)
    try:
        return rule.check(note(*witnesses))[0] == CHECKPOINT
    except BadSignature as error:
        if error.code == "quorum_missed":
            return False
        raise


def test_a_checkpoint_with_its_quorum_is_let_through() -> None:
    checkpoint, cosigned = policy.parse(GOOD).check(note(1, 2, 3))
    assert checkpoint == CHECKPOINT
    assert cosigned == (("w1", AT_S + 1), ("w2", AT_S + 2), ("w3", AT_S + 3))


@pytest.mark.parametrize("mask", range(16))
def test_groups_ask_for_as_many_as_they_say(mask: int) -> None:
    present = [number for number in range(4) if mask >> number & 1]
    near, far = mask & 3 != 0, mask >> 2 == 3
    assert met(GOOD, *present) == (near and far)
    for least in range(1, 5):
        assert met(PEOPLE + f"group g {least} w0 w1 w2 w3\nquorum g\n", *present) == (len(present) >= least)
    assert met(PEOPLE + "quorum w0\n", *present) == bool(mask & 1)
    assert met(PEOPLE + "quorum none\n", *present)


def test_what_binds_a_log_needs_no_quorum_but_its_own_signature() -> None:
    rule = policy.parse(GOOD)
    assert rule.signed(note(1)) == (CHECKPOINT, (("w1", AT_S + 1),))
    with pytest.raises(BadSignature, match="quorum_missed"):
        rule.check(note(1))
    with pytest.raises(BadSignature, match="log_unsigned"):
        rule.signed(note(1, log=WITNESSES[0]))


def test_one_witness_counts_once() -> None:
    text = PEOPLE + "group g 2 w0 w1\nquorum g\n"
    twice = notes.parse(note(0, 0))
    with pytest.raises(BadSignature, match="quorum_missed"):
        policy.parse(text).check(twice.whole())


def test_the_log_itself_must_have_signed() -> None:
    rule = policy.parse(GOOD)
    with pytest.raises(BadSignature, match="log_unsigned"):
        rule.check(
            note(0, 2, 3, log=None)
            if False
            else notes.Note(text=TEXT, lines=notes.parse(note(0, 2, 3)).lines[1:]).whole()
        )
    with pytest.raises(BadSignature, match="log_unsigned"):
        rule.check(note(0, 2, 3, log=WITNESSES[0]))
    elsewhere = dataclasses.replace(CHECKPOINT, origin="log.example/two").text()
    with pytest.raises(BadSignature, match="log_unknown"):
        rule.check(note(0, 2, 3, text=elsewhere))


def test_a_witness_that_signs_as_a_log_does_not_count() -> None:
    lines = notes.parse(note(2, 3)).lines
    as_log = notes.sign(TEXT, name=NAMES[0], key=WITNESSES[0])
    with pytest.raises(BadSignature, match="quorum_missed"):
        policy.parse(GOOD).check(notes.Note(text=TEXT, lines=(*lines, as_log)).whole())


def test_a_forged_line_of_a_witness_refuses_the_note() -> None:
    lines = notes.parse(note(0, 2, 3)).lines
    forged = dataclasses.replace(lines[1], blob=lines[1].blob[:8] + bytes(64))
    with pytest.raises(BadSignature, match="note_signature"):
        policy.parse(GOOD).check(notes.Note(text=TEXT, lines=(*lines, forged)).whole())


def test_every_flipped_bit_of_the_note_is_refused() -> None:
    rule = policy.parse(GOOD)
    raw = note(0, 2, 3).encode()

    def read(raw: bytes) -> object:
        return rule.check(raw.decode("utf-8", "surrogateescape"))

    assert damage.read_or_refuse(read, raw) is not None
    assert damage.accepted(read, damage.every_bit_flip(raw)) == []
    assert damage.accepted(read, damage.every_prefix(raw)) == []


def test_comment_lines_spaces_and_empty_lines_say_nothing() -> None:
    text = "# whom we trust\n\n" + GOOD.replace("\n", " \t\n \t# why # not\n\n").replace("quorum ", "  quorum\t")
    assert policy.parse(text) == policy.parse(GOOD)


def test_a_name_may_hold_what_elsewhere_begins_a_comment() -> None:
    vkey = notes.NoteKey(name="w#1", kind=notes.COSIGNATURE, key=keys.SigningKey.from_seed(bytes([77]) * 32).public)
    text = PEOPLE + f"witness near#1 {vkey.vkey()} https://w.example/#top\nquorum near#1\n"
    assert policy.parse(text).quorum == "near#1"
    assert policy.parse(text).witnesses["near#1"] == vkey


def test_names_are_told_apart_octet_by_octet() -> None:
    kelvin = notes.NoteKey(name="k", kind=notes.COSIGNATURE, key=keys.SigningKey.from_seed(bytes([78]) * 32).public)
    text = PEOPLE + f"witness \u212a {kelvin.vkey()}\ngroup K all w0 w1\nquorum \u212a\n"
    assert policy.parse(text).quorum == "\u212a"
    assert "K" in policy.parse(text).groups


def test_lines_of_keys_that_nobody_named_are_left_out() -> None:
    other = keys.SigningKey.from_seed(bytes([79]) * 32)
    vkey = notes.NoteKey(name="log.example/two", kind=notes.SIGNATURE, key=other.public).vkey()
    rule = policy.parse(f"log {vkey}\n{GOOD}")
    whole = notes.parse(note(0, 2, 3))
    more = (
        notes.cosign(TEXT, name="w9.example", key=other, at_s=AT_S),
        notes.cosign(TEXT, name=NAMES[1], key=other, at_s=AT_S),
        notes.sign(TEXT, name="log.example/two", key=other),
        notes.sign(TEXT, name=NAMES[1], key=WITNESSES[1]),
    )
    lines = (*more[:2], *whole.lines, *more[2:])
    assert rule.kept(notes.Note(text=TEXT, lines=lines).whole()) == whole.whole() == rule.kept(whole.whole())


def test_a_policy_with_more_than_the_least_that_must_be_taken_is_taken() -> None:
    """32 logs, 32 witnesses and 32 groups, each group with the one before it."""
    made = [keys.SigningKey.from_seed(bytes([100 + number]) * 32).public for number in range(64)]
    lines = [f"log {notes.NoteKey(name=f'l{n}', kind=notes.SIGNATURE, key=made[n]).vkey()}" for n in range(32)]
    for number in range(32):
        vkey = notes.NoteKey(name=f"w{number}", kind=notes.COSIGNATURE, key=made[32 + number]).vkey()
        lines.append(f"witness w{number} {vkey}")
    lines += [f"group g{n} any w{n}" + (f" g{n - 1}" if n else "") for n in range(32)]
    found = policy.parse("\n".join([*lines, "quorum g31"]) + "\n")
    assert (len(found.logs), len(found.witnesses), len(found.groups)) == (32, 32, 32)


def test_urls_of_logs_and_witnesses_are_read_over() -> None:
    text = f"log {LOG_VKEY} https://log.example/\nwitness w0 {VKEYS[0]} https://w0.example/\nquorum w0\n"
    assert met(text, 0) and not met(text)


NEXT_VKEYS = [
    notes.NoteKey(
        name=ORIGIN, kind=notes.SIGNATURE, key=keys.SigningKey.from_seed(bytes([90 + place]) * 32).public
    ).vkey()
    for place in range(2)
]


def test_a_log_whose_key_is_taken_over_may_sign_with_either() -> None:
    taking_over = keys.SigningKey.from_seed(bytes([90]) * 32)
    found = policy.parse(f"log {LOG_VKEY}\nlog {NEXT_VKEYS[0]}\nquorum none\n")
    text = notes.Checkpoint(origin=ORIGIN, size=3, root=bytes(32)).text()
    for signers in ([LOG], [taking_over], [LOG, taking_over]):
        lines = tuple(notes.sign(text, name=ORIGIN, key=key) for key in signers)
        whole = notes.Note(text=text, lines=lines).whole()
        assert found.check(whole)[0].size == 3 and found.kept(whole) == whole
    stranger = notes.Note(text=text, lines=(notes.sign(text, name=ORIGIN, key=OTHER),)).whole()
    with pytest.raises(BadSignature, match="log_unsigned"):
        found.check(stranger)
    assert found.receipts_by(taking_over.thumbprint) == (ORIGIN, taking_over.public)
    assert found.receipts_by(OTHER.thumbprint) is None


BAD = {
    "nothing": "",
    "no log": f"witness w0 {VKEYS[0]}\nquorum w0\n",
    "no quorum": PEOPLE,
    "two quorums": PEOPLE + "quorum w0\nquorum w0\n",
    "an unknown quorum": PEOPLE + "quorum w9\n",
    "a quorum named below it": f"log {LOG_VKEY}\nquorum w0\nwitness w0 {VKEYS[0]}\n",
    "an unknown word": GOOD + "trust everyone\n",
    "a log twice": GOOD + f"log {LOG_VKEY}\n",
    "a log with a witness's key": GOOD + f"log {VKEYS[0]}\n",
    "a witness with a log's key": PEOPLE + f"witness w9 {LOG_VKEY}\nquorum none\n",
    "a witness's name twice": PEOPLE + f"witness w0 {VKEYS[0]}\nquorum none\n",
    "one key under two names": PEOPLE + f"witness w9 {VKEYS[0]}\nquorum none\n",
    "one key under two key names": PEOPLE
    + f"witness w9 {notes.NoteKey(name='else', kind=notes.COSIGNATURE, key=WITNESSES[0].public).vkey()}\nquorum none\n",
    "a witness with the key of the log": PEOPLE
    + f"witness w9 {notes.NoteKey(name=ORIGIN, kind=notes.COSIGNATURE, key=LOG.public).vkey()}\nquorum none\n",
    "three keys of one log": PEOPLE + "".join(f"log {key}\n" for key in NEXT_VKEYS) + "quorum none\n",
    "two logs with one key": PEOPLE
    + f"log {notes.NoteKey(name='else', kind=notes.SIGNATURE, key=LOG.public).vkey()}\nquorum none\n",
    "a member of two groups": PEOPLE + "group g any w0 w1\ngroup h any w1 w2\ngroup both all g h\nquorum both\n",
    "a member of a group and of the one around it": PEOPLE + "group g any w0\ngroup h 2 g w0\nquorum h\n",
    "a last line that does not end": GOOD[:-1],
    "a line feed of another system": GOOD.replace("\n", "\r\n"),
    "a line that ends in another way": GOOD.replace("\nquorum", "\x0bquorum"),
    "a separator of Unicode": GOOD.replace("\nquorum", "\u2028quorum"),
    "a space of Unicode": GOOD.replace("quorum ", "quorum\xa0"),
    "a comment behind a line": GOOD.replace("quorum both", "quorum both # all"),
    "a delete": GOOD + "# \x7f\n",
    "a threshold with a zero before it": PEOPLE + "group g 01 w0\nquorum g\n",
    "a witness called none": f"log {LOG_VKEY}\nwitness none {VKEYS[0]}\nquorum none\n",
    "a group called none": PEOPLE + "group none all w0\nquorum none\n",
    "a group with a witness's name": PEOPLE + "group w0 all w1\nquorum none\n",
    "a group twice": PEOPLE + "group g all w0\ngroup g all w1\nquorum g\n",
    "a group in itself": PEOPLE + "group g all g\nquorum g\n",
    "a group named below it": PEOPLE + "group g all h\ngroup h all w0\nquorum g\n",
    "a group of none": PEOPLE + "group g any none\nquorum g\n",
    "a group without members": PEOPLE + "group g all\nquorum g\n",
    "a member twice": PEOPLE + "group g 2 w0 w0\nquorum g\n",
    "a threshold of zero": PEOPLE + "group g 0 w0\nquorum g\n",
    "a threshold above the members": PEOPLE + "group g 2 w0\nquorum g\n",
    "a threshold in other digits": PEOPLE + "group g \u0661 w0\nquorum g\n",
    "a threshold with a sign": PEOPLE + "group g +1 w0\nquorum g\n",
    "a threshold of many digits": PEOPLE + "group g " + "9" * 5000 + " w0\nquorum g\n",
    "a bad key": GOOD.replace(LOG_VKEY, LOG_VKEY[:-2]),
    "a line too many words": GOOD.replace("quorum both", "quorum both near"),
    "too many names": PEOPLE
    + "".join(f"group g{number} all {f'g{number - 1}' if number else 'w0'}\n" for number in range(policy.NAMES_MAX))
    + "quorum none\n",
    "too long": GOOD + "#" * policy.SIZE_MAX + "\n",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_another_policy_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        policy.parse(text)


@given(st.text(max_size=80))
def test_any_text_only_fails(text: str) -> None:
    for whole in (text, GOOD + text, PEOPLE + f"group g {text} w0\nquorum g\n", f"log {text}\nquorum none\n"):
        try:
            policy.parse(whole).check(note(0, 2, 3))
        except VigilError:
            continue


def test_every_cut_is_refused() -> None:
    for cut in range(len(GOOD)):
        found = damage.read_or_refuse(lambda data: policy.parse(data.decode()), GOOD[:cut].encode())
        assert found is None, GOOD[:cut]


def test_a_flipped_bit_is_refused_or_says_something_else() -> None:
    same = policy.parse(GOOD)
    for damaged in damage.every_bit_flip(GOOD.encode()):
        assert (
            damage.read_or_refuse(lambda data: policy.parse(data.decode("utf-8", "surrogateescape")), damaged) != same
        )


def test_deep_groups_cost_no_more_than_their_size() -> None:
    rows = ["group g0 any w0", *(f"group g{number} all g{number - 1}" for number in range(1, 200))]
    text = PEOPLE + "\n".join(rows) + "\nquorum g199\n"
    assert met(text, 0)
    assert not met(text, 1)


def test_addresses_are_kept_as_they_stand_and_change_no_verdict() -> None:
    addressed = GOOD.replace("\n", " https://near.example/a#b\n", 2)
    found, plain = policy.parse(addressed), policy.parse(GOOD)
    assert found.log_urls == {ORIGIN: "https://near.example/a#b"}
    assert found.witness_urls == {"w0": "https://near.example/a#b"}
    assert plain.log_urls == {} and plain.witness_urls == {}
    assert dataclasses.replace(found, log_urls={}, witness_urls={}) == plain
    assert found.check(note(1, 2, 3)) == plain.check(note(1, 2, 3))
