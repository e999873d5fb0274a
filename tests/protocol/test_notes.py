"""Signed notes, checkpoints and cosignatures: the published example, and what is refused."""

import base64
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import keys, notes
from protocol.errors import BadSignature, Malformed, VigilError
from tests.support import damage

LOG = keys.SigningKey.from_seed(bytes([1]) * 32)
WITNESS = keys.SigningKey.from_seed(bytes([2]) * 32)
ORIGIN = "log.example/one"
LOG_KEY = notes.NoteKey(name=ORIGIN, kind=notes.SIGNATURE, key=LOG.public)
WITNESS_KEY = notes.NoteKey(name="witness.example", kind=notes.COSIGNATURE, key=WITNESS.public)
CHECKPOINT = notes.Checkpoint(origin=ORIGIN, size=12, root=bytes(range(32)))
TEXT = CHECKPOINT.text()
NOTE = notes.Note(
    text=TEXT,
    lines=(
        notes.sign(TEXT, name=ORIGIN, key=LOG),
        notes.cosign(TEXT, name="witness.example", key=WITNESS, at_s=1_700_000_000),
    ),
)
WHOLE = NOTE.whole()


def signers(whole: str) -> list[tuple[str, int | None]]:
    return [(key.name, at_s) for key, at_s in notes.verify(notes.parse(whole), [LOG_KEY, WITNESS_KEY])]


def checked(raw: bytes) -> list[tuple[str, int | None]]:
    """All signers, or a refusal: what a verifier that wants both does."""
    try:
        found = signers(raw.decode())
    except UnicodeDecodeError as error:
        raise Malformed("note_bad", "not UTF-8") from error
    if len(found) != 2:
        raise BadSignature("missing", "one has not signed")
    return found


def test_the_published_example_is_read_and_verified(vectors_dir: Path) -> None:
    whole = (vectors_dir / "c2sp" / "note.txt").read_text()
    vkey = (vectors_dir / "c2sp" / "note.vkey").read_text().strip()
    key = notes.NoteKey.from_vkey(vkey)
    assert (key.name, key.kind, key.vkey()) == ("example.com/foo", notes.SIGNATURE, vkey)
    note = notes.parse(whole)
    assert note.whole() == whole
    assert notes.verify(note, [key]) == [(key, None)]
    with pytest.raises(BadSignature, match="note_signature"):
        notes.verify(notes.parse(whole.replace("message", "massage")), [key])


def test_a_note_comes_back_and_says_who_signed_when() -> None:
    assert notes.parse(WHOLE) == NOTE
    assert signers(WHOLE) == [(ORIGIN, None), ("witness.example", 1_700_000_000)]
    assert notes.Checkpoint.from_text(NOTE.text) == CHECKPOINT


def test_every_cut_and_every_flipped_bit_is_refused() -> None:
    raw = WHOLE.encode()
    assert len(checked(raw)) == 2
    assert damage.accepted(checked, damage.every_prefix(raw)) == []
    assert damage.accepted(checked, damage.every_bit_flip(raw)) == []
    assert damage.read_or_refuse(checked, raw + b"\n") is None


def test_lines_of_unknown_keys_are_passed_over() -> None:
    stranger = keys.SigningKey.from_seed(bytes([9]) * 32)
    others = (
        notes.sign(TEXT, name="stranger.example", key=stranger),
        notes.sign(TEXT, name=ORIGIN, key=stranger),
        notes.Line(name="future.example", key_id=b"\x00\x01\x02\x03", blob=b"another kind of signature"),
    )
    whole = notes.Note(text=TEXT, lines=(*others, *NOTE.lines)).whole()
    assert signers(whole) == signers(WHOLE)
    assert notes.verify(notes.parse(whole), []) == []


def test_a_bad_line_of_a_known_key_is_never_passed_over() -> None:
    forged = dataclasses.replace(NOTE.lines[0], blob=bytes(64))
    for lines in ((forged, *NOTE.lines), (*NOTE.lines, forged), (forged,)):
        with pytest.raises(BadSignature, match="note_signature"):
            signers(notes.Note(text=TEXT, lines=lines).whole())


def test_a_signature_is_no_cosignature() -> None:
    as_witness = dataclasses.replace(NOTE.lines[0], name=WITNESS_KEY.name, key_id=WITNESS_KEY.key_id)
    as_log = dataclasses.replace(NOTE.lines[1], name=LOG_KEY.name, key_id=LOG_KEY.key_id)
    for line in (as_witness, as_log):
        with pytest.raises(BadSignature, match="note_signature"):
            signers(notes.Note(text=TEXT, lines=(line,)).whole())


def test_a_cosignature_binds_its_time() -> None:
    line = NOTE.lines[1]
    assert line.blob[:8] == (1_700_000_000).to_bytes(8, "big") and len(line.blob) == 72
    WITNESS.public.verify(line.blob[8:], f"cosignature/v1\ntime 1700000000\n{TEXT}".encode())
    later = dataclasses.replace(line, blob=(1_700_000_001).to_bytes(8, "big") + line.blob[8:])
    with pytest.raises(BadSignature):
        signers(notes.Note(text=TEXT, lines=(later,)).whole())


@pytest.mark.parametrize("size", [1, 7, 8, 9, 63, 71, 73])
def test_a_line_of_another_length_is_refused(size: int) -> None:
    for line in NOTE.lines:
        short = dataclasses.replace(line, blob=(line.blob * 2)[:size])
        with pytest.raises(BadSignature):
            signers(notes.Note(text=TEXT, lines=(short,)).whole())


LINE = NOTE.lines[0].text()
BAD = {
    "nothing": "",
    "no signature": TEXT,
    "no signature after the empty line": TEXT + "\n",
    "no text": "\n" + LINE,
    "an empty text": "\n\n" + LINE,
    "no empty line": TEXT + LINE,
    "no newline at the end": TEXT + "\n" + LINE[:-1],
    "an empty line among the signatures": TEXT + "\n" + LINE + "\n",
    "something else among the signatures": TEXT + "\n" + LINE + "more\n",
    "a line without a dash": TEXT + "\n" + LINE.removeprefix("\u2014 "),
    "a hyphen for a dash": TEXT + "\n" + LINE.replace("\u2014", "-"),
    "a carriage return": TEXT + "\n" + LINE[:-1] + "\r\n",
    "a tab": "a\ttext\n\n" + LINE,
    "a control character": "a\x00text\n\n" + LINE,
    "two spaces": TEXT + "\n" + LINE.replace(" ", "  ", 1),
    "no name": TEXT + "\n\u2014  " + LINE.split(" ")[2],
    "a plus in the name": TEXT + "\n" + LINE.replace("log", "l+g"),
    "base64 without padding": TEXT + "\n" + LINE.replace("=", ""),
    "base64 for the web": TEXT + "\n\u2014 a " + base64.urlsafe_b64encode(b"\xff" * 9).decode() + "\n",
    "base64 with loose bits": TEXT + "\n\u2014 a AAAAAAB=\n",
    "too little after the key id": TEXT + "\n\u2014 a AAAAAA==\n",
    "a long name": TEXT + "\n" + LINE.replace(ORIGIN, "x" * (notes.NAME_MAX + 1)),
    "too many signatures": TEXT + "\n" + LINE * (notes.LINES_MAX + 1),
    "a surrogate": "\udc80" + WHOLE,
}


@pytest.mark.parametrize("whole", BAD.values(), ids=BAD.keys())
def test_another_note_is_malformed(whole: str) -> None:
    with pytest.raises(Malformed):
        notes.parse(whole)


def test_bounds_are_exact() -> None:
    assert len(notes.parse(TEXT + "\n" + LINE * notes.LINES_MAX).lines) == notes.LINES_MAX
    room = notes.NOTE_SIZE_MAX - len(("\n\n" + LINE).encode())
    assert notes.parse("x" * room + "\n\n" + LINE).lines == NOTE.lines[:1]
    with pytest.raises(Malformed, match="note_size"):
        notes.parse("x" * (room + 1) + "\n\n" + LINE)
    with pytest.raises(Malformed, match="note_size"):
        notes.parse("\u00e9" * (notes.NOTE_SIZE_MAX // 2 + 1))


@given(st.text(max_size=80))
def test_any_text_is_refused_or_comes_back(text: str) -> None:
    for whole in (text, text + "\n\n" + LINE, TEXT + "\n" + LINE + text, TEXT + f"\n\u2014 {text}\n"):
        try:
            note = notes.parse(whole)
        except Malformed:
            continue
        assert note.whole() == whole
    for read in (notes.NoteKey.from_vkey, notes.Checkpoint.from_text):
        with pytest.raises(VigilError):
            read(text)


@given(st.text(min_size=1, max_size=20).filter(lambda name: notes._NAME.fullmatch(name)), st.sampled_from([1, 4]))
def test_a_key_comes_back_from_its_text(name: str, kind: int) -> None:
    key = notes.NoteKey(name=name, kind=kind, key=LOG.public)
    assert notes.NoteKey.from_vkey(key.vkey()) == key


def test_another_verifier_key_is_malformed() -> None:
    good = LOG_KEY.vkey()
    name, ident, material = good.split("+", 2)
    unknown = notes.NoteKey(name=name, kind=2, key=LOG.public).vkey()
    wrong = [
        f"other+{ident}+{material}",
        f"{name}+00000000+{material}",
        f"{name}+{ident.upper()}+{material}",
        f"{name}+{ident}+{material[:-4]}",
        f"{name}+{ident}+{material}AAAA",
        f"+{ident}+{material}",
        f"a b+{ident}+{material}",
        f"{name}+{ident}",
        f" {good}",
        f"{good}\n",
        unknown,
        good.replace("log", "\udc80"),
        "",
    ]
    for text in wrong:
        with pytest.raises(Malformed):
            notes.NoteKey.from_vkey(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log.example\n12\n",
        TEXT + "extension\n",
        TEXT + "extension",
        TEXT[:-1],
        TEXT.replace("\n12\n", "\n012\n"),
        TEXT.replace("\n12\n", "\n-1\n"),
        TEXT.replace("\n12\n", "\n+1\n"),
        TEXT.replace("\n12\n", "\n1_2\n"),
        TEXT.replace("\n12\n", "\n\u0661\u0662\n"),
        TEXT.replace("\n12\n", "\n" + "9" * 20 + "\n"),
        TEXT.replace(ORIGIN, "two words"),
        TEXT.replace(ORIGIN, ""),
        TEXT.replace("=", ""),
        f"{ORIGIN}\n12\n{base64.b64encode(bytes(31)).decode()}\n",
    ],
)
def test_another_checkpoint_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        notes.Checkpoint.from_text(text)


def test_a_checkpoint_has_a_size_that_63_bits_hold() -> None:
    text = notes.Checkpoint(origin=ORIGIN, size=notes.SIZE_MAX, root=bytes(32)).text()
    assert notes.Checkpoint.from_text(text).size == notes.SIZE_MAX
    with pytest.raises(Malformed, match="checkpoint_bad"):
        notes.Checkpoint.from_text(text.replace(str(notes.SIZE_MAX), str(notes.SIZE_MAX + 1)))


@given(st.integers(0, notes.SIZE_MAX), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_comes_back(size: int, root: bytes) -> None:
    checkpoint = notes.Checkpoint(origin=ORIGIN, size=size, root=root)
    assert notes.Checkpoint.from_text(checkpoint.text()) == checkpoint


def test_a_cosignature_is_of_a_time_that_63_bits_hold() -> None:
    for at_s, holds in ((notes.TIME_MAX_S, True), (notes.TIME_MAX_S + 1, False), ((1 << 64) - 1, False)):
        line = notes.cosign(NOTE.text, name=WITNESS_KEY.name, key=WITNESS, at_s=at_s)
        note = notes.Note(text=NOTE.text, lines=(line,))
        if holds:
            assert notes.verify(note, [WITNESS_KEY]) == [(WITNESS_KEY, at_s)]
        else:
            with pytest.raises(BadSignature, match="note_signature"):
                notes.verify(note, [WITNESS_KEY])


def test_every_cut_of_a_checkpoint_is_refused_and_a_flipped_bit_says_something_else() -> None:
    same = notes.Checkpoint(origin=ORIGIN, size=120, root=bytes(range(32)))
    data = same.text().encode()

    def read(raw: bytes) -> notes.Checkpoint:
        return notes.Checkpoint.from_text(raw.decode("utf-8", "surrogateescape"))

    assert read(data) == same
    assert damage.accepted(read, damage.every_prefix(data)) == []
    for damaged in damage.every_bit_flip(data):
        found = damage.read_or_refuse(read, damaged)
        assert found is None or (found != same and read(damaged).text().encode() == damaged)


def test_every_cut_and_every_flipped_bit_of_a_verifier_key_is_refused() -> None:
    """The id covers name, kind and key."""

    def read(raw: bytes) -> notes.NoteKey:
        return notes.NoteKey.from_vkey(raw.decode("utf-8", "surrogateescape"))

    for key in (LOG_KEY, WITNESS_KEY):
        data = key.vkey().encode()
        assert read(data) == key
        assert damage.accepted(read, damage.every_prefix(data)) == []
        assert damage.accepted(read, damage.every_bit_flip(data)) == []


@given(st.text(max_size=80))
def test_any_text_is_refused_as_a_checkpoint_and_a_key_or_comes_back(text: str) -> None:
    for whole in (text, f"{ORIGIN}\n{text}", f"{ORIGIN}\n1\n{text}\n"):
        try:
            assert notes.Checkpoint.from_text(whole).text() == whole
        except VigilError:
            continue
    for whole in (text, f"{ORIGIN}+{text}", LOG_KEY.vkey()[:-10] + text):
        try:
            assert notes.NoteKey.from_vkey(whole).vkey() == whole
        except VigilError:
            continue
