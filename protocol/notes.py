"""Signed notes, checkpoints and cosignatures: a tree head that people can read and that witnesses sign too.

Sources: C2SP signed-note, tlog-checkpoint and tlog-cosignature.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from protocol import base64text
from protocol.errors import BadSignature, Malformed
from protocol.keys import PublicKey, SigningKey

SIGNATURE, COSIGNATURE = 0x01, 0x04
NOTE_SIZE_MAX = 65_536  # bytes of a note; a larger one is malformed
LINES_MAX = 64  # signatures on a note; more is malformed (verifiers must take at least 16)
NAME_MAX = 255  # bytes of a key name
SIZE_MAX = (
    1 << 63
) - 1  # entries of a tree; a checkpoint of a larger one is malformed, as databases cannot hold its size
TIME_MAX_S = (1 << 63) - 1  # of a cosignature; a later one counts as a signature that does not hold

_DASH = "\u2014 "
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f\ud800-\udfff]+")  # no surrogates: they have no bytes
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteKey:
    """A verifier's key: name, kind (0x01 signature, 0x04 cosignature) and Ed25519 key."""

    name: str
    kind: int
    key: PublicKey

    @property
    def key_id(self) -> bytes:
        """4 bytes: the first of SHA-256(name, newline, kind, key)."""
        material = self.name.encode() + b"\n" + bytes((self.kind,)) + self.key.x
        return hashlib.sha256(material).digest()[:4]

    def vkey(self) -> str:
        """The key as text: name+id+base64."""
        return f"{self.name}+{self.key_id.hex()}+{base64text.encode(bytes((self.kind,)) + self.key.x)}"

    @classmethod
    def from_vkey(cls, text: str) -> Self:
        """Reads what `vkey` writes. Raises Malformed: vkey_bad."""
        parts = text.split("+", 2)
        if len(parts) != 3 or not _NAME.fullmatch(parts[0]):
            raise Malformed("vkey_bad", "a verifier key is name+id+base64")
        material = base64text.decode(parts[2], code="note_bad")
        if len(material) != 33 or material[0] not in (SIGNATURE, COSIGNATURE):
            raise Malformed("vkey_bad", "not an Ed25519 key for signatures or cosignatures")
        found = cls(name=parts[0], kind=material[0], key=PublicKey(material[1:]))
        if found.key_id.hex() != parts[1]:
            raise Malformed("vkey_bad", "the id is not that of the key")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One signature line. blob: what follows the 4-byte key id."""

    name: str
    key_id: bytes
    blob: bytes

    def text(self) -> str:
        """The line, with its newline."""
        return f"{_DASH}{self.name} {base64text.encode(self.key_id + self.blob)}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A parsed note. text: what is signed, with its last newline."""

    text: str
    lines: tuple[Line, ...]

    def whole(self) -> str:
        """The note as it travels."""
        return self.text + "\n" + "".join(line.text() for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tree head. origin: the log's name; root: 32 bytes."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note text. Source: tlog-checkpoint."""
        return f"{self.origin}\n{self.size}\n{base64text.encode(self.root)}\n"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Reads what `text` writes; extension lines are refused. Raises Malformed: checkpoint_bad."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not _NAME.fullmatch(lines[0]) or not _SIZE.fullmatch(lines[1]):
            raise Malformed("checkpoint_bad", "a checkpoint is origin, size and root, a line each")
        root, size = base64text.decode(lines[2], code="note_bad"), int(lines[1])
        if len(root) != 32 or size > SIZE_MAX:
            raise Malformed("checkpoint_bad", "the root has 32 bytes, and the size fits 63 bits")
        return cls(origin=lines[0], size=size, root=root)


def parse(whole: str) -> Note:
    """The note in `whole`. Raises Malformed: note_size, note_bad."""
    try:
        size = len(whole.encode())
    except UnicodeEncodeError as error:
        raise Malformed("note_bad", "not a text of Unicode characters") from error
    if size > NOTE_SIZE_MAX:
        raise Malformed("note_size", f"at most {NOTE_SIZE_MAX} bytes")
    text, found, rest = whole.rpartition("\n\n")
    if not found or not text or any(ord(sign) < 32 and sign != "\n" for sign in whole) or not rest.endswith("\n"):
        raise Malformed("note_bad", "a note is text, an empty line and signature lines")
    lines = tuple(_line(line) for line in rest[:-1].split("\n"))
    if len(lines) > LINES_MAX:
        raise Malformed("note_bad", f"at most {LINES_MAX} signatures")
    return Note(text=text + "\n", lines=lines)


def sign(text: str, *, name: str, key: SigningKey) -> Line:
    """A signature line over `text` by a log or author. Source: signed-note."""
    note_key = NoteKey(name=name, kind=SIGNATURE, key=key.public)
    return Line(name=name, key_id=note_key.key_id, blob=key.sign(text.encode()))


def cosign(text: str, *, name: str, key: SigningKey, at_s: int) -> Line:
    """A cosignature line over `text` at Unix time `at_s`. Source: tlog-cosignature, cosignature/v1."""
    note_key = NoteKey(name=name, kind=COSIGNATURE, key=key.public)
    signature = key.sign(_cosigned(text, at_s))
    return Line(name=name, key_id=note_key.key_id, blob=at_s.to_bytes(8, "big") + signature)


def verify(note: Note, keys: Sequence[NoteKey]) -> list[tuple[NoteKey, int | None]]:
    """The keys of `keys` that signed `note`, with the time of a cosignature; lines of unknown keys are passed over.

    Raises BadSignature: note_signature, when a line of a known key does not hold.
    """
    known = {(key.name, key.key_id): key for key in keys}
    found: dict[tuple[str, bytes], tuple[NoteKey, int | None]] = {}
    for line in note.lines:
        key = known.get((line.name, line.key_id))
        if key is not None:
            found[line.name, line.key_id] = (key, _verify_line(note.text, line, key))
    return list(found.values())


def _verify_line(text: str, line: Line, key: NoteKey) -> int | None:
    try:
        if key.kind == SIGNATURE:
            key.key.verify(line.blob, text.encode())
            return None
        at_s = int.from_bytes(line.blob[:8], "big")
        if at_s > TIME_MAX_S:
            raise BadSignature("note_time", "a time that no cosignature may have")
        key.key.verify(line.blob[8:], _cosigned(text, at_s))
    except BadSignature as error:
        raise BadSignature("note_signature", f"the signature of {key.name} does not hold") from error
    return at_s


def _cosigned(text: str, at_s: int) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()


def _line(line: str) -> Line:
    name, space, blob = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not _NAME.fullmatch(name) or len(name.encode()) > NAME_MAX:
        raise Malformed("note_bad", "a signature line is a dash, a name and base64")
    data = base64text.decode(blob, code="note_bad")
    if len(data) < 5:
        raise Malformed("note_bad", "a signature has a key id and something after it")
    return Line(name=name, key_id=data[:4], blob=data[4:])
