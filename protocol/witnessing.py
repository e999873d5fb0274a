"""What a log and its witnesses say to each other: a checkpoint with its consistency proof, and cosignatures or a size back.

Source: C2SP tlog-witness, `add-checkpoint`.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from protocol import base64text, merkle, notes
from protocol.errors import Malformed
from protocol.notes import Checkpoint, Line

PATH = "add-checkpoint"  # below a witness's submission prefix
SIZE_TYPE = "text/x.tlog.size"  # the content type of an answer that says where the witness stands
PROOF_MAX = 63  # hashes of a consistency proof; more is malformed
TREE_SIZE_MAX = (1 << 63) - 1  # what a database holds as a number; a larger tree is malformed
BODY_SIZE_MAX = (
    notes.NOTE_SIZE_MAX + 4096
)  # of a request: a note, 63 lines of 45 bytes, and the size; beyond is refused
ANSWER_SIZE_MAX = notes.NOTE_SIZE_MAX  # of an answer; a longer one is none

_NUMBER = r"0|[1-9][0-9]{0,18}"
_OLD = re.compile(rf"old ({_NUMBER})")
_SIZE = re.compile(rf"({_NUMBER})\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A checkpoint that a witness is asked to cosign. old: the size that it should stand at; proof: from there, 32 bytes each.

    note: the checkpoint, signed; checkpoint: what it says.
    """

    old: int
    proof: tuple[bytes, ...]
    note: str
    checkpoint: Checkpoint

    def body(self) -> bytes:
        """The request as it travels."""
        lines = [f"old {self.old}", *(base64text.encode(item) for item in self.proof), ""]
        return ("\n".join(lines) + "\n" + self.note).encode()

    @classmethod
    def make(cls, *, old: int, proof: tuple[bytes, ...], note: str) -> Self:
        """A request over the checkpoint in `note`. Raises Malformed: request_bad, note_size, note_bad, checkpoint_bad."""
        checkpoint = Checkpoint.from_text(notes.parse(note).text)
        if checkpoint.size > TREE_SIZE_MAX or old > TREE_SIZE_MAX:
            raise Malformed("request_bad", "no tree is that large")
        if len(proof) > PROOF_MAX:
            raise Malformed("request_bad", f"at most {PROOF_MAX} hashes prove consistency")
        return cls(old=old, proof=proof, note=note, checkpoint=checkpoint)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Reads what `body` writes, and nothing else. Raises Malformed: request_size, request_bad, note_*, checkpoint_bad."""
        if len(body) > BODY_SIZE_MAX:
            raise Malformed("request_size", f"at most {BODY_SIZE_MAX} bytes")
        try:
            head, found, note = body.decode().partition("\n\n")
        except UnicodeDecodeError as error:
            raise Malformed("request_bad", "not UTF-8") from error
        first, *rest = head.split("\n", PROOF_MAX + 1)
        old = _OLD.fullmatch(first)
        if not found or old is None:
            raise Malformed("request_bad", "a request is an old size, hashes, an empty line and a checkpoint")
        return cls.make(old=int(old[1]), proof=tuple(map(_hash, rest)), note=note)


def checkpoint_path(origin: str) -> str:
    """Where a witness shows the newest checkpoint of a log that it cosigned, below its monitoring prefix."""
    return f"{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint"


def size_body(size: int) -> bytes:
    """The body of an answer that the witness stands at `size`, of the type `SIZE_TYPE`."""
    return f"{size}\n".encode()


def parse_size(body: bytes) -> int:
    """Reads what `size_body` writes. Raises Malformed: answer_bad."""
    found = _SIZE.fullmatch(body[:32].decode("ascii", "replace"))
    if found is None or len(body) > 32 or int(found[1]) > TREE_SIZE_MAX:
        raise Malformed("answer_bad", "a size is a number and a newline")
    return int(found[1])


def cosignatures_body(lines: tuple[Line, ...]) -> bytes:
    """The body of an answer with cosignatures."""
    return "".join(line.text() for line in lines).encode()


def parse_cosignatures(body: bytes) -> tuple[Line, ...]:
    """Reads what `cosignatures_body` writes, whoever signed. Raises Malformed: answer_bad, note_bad."""
    if len(body) > ANSWER_SIZE_MAX:
        raise Malformed("answer_bad", f"at most {ANSWER_SIZE_MAX} bytes")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Malformed("answer_bad", "not UTF-8") from error
    if not text.endswith("\n") or text.startswith("\n") or "\n\n" in text:
        raise Malformed("answer_bad", "cosignatures are lines, and nothing else")
    return notes.parse("-\n\n" + text).lines


def _hash(text: str) -> bytes:
    found = base64text.decode(text, code="request_bad")
    if len(found) != merkle.HASH_SIZE:
        raise Malformed("request_bad", "a hash has 32 bytes")
    return found
