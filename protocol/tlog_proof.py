"""Proofs in a file: that an entry is in a log, with the checkpoint that says so, checked offline. Source: C2SP tlog-proof.

Such a file ends in `.tlog-proof`. It supplies no trust: whoever checks it brings a policy of logs and witnesses.
"""

import re
from dataclasses import dataclass
from typing import Self

from protocol import base64text, merkle, notes
from protocol.errors import Malformed
from protocol.notes import Checkpoint
from protocol.policy import Policy

MAGIC = "c2sp.org/tlog-proof@v1"
EXTRA_MAX = 65_536  # bytes of extra data; more is malformed
SIZE_MAX = notes.NOTE_SIZE_MAX + 2 * EXTRA_MAX  # bytes of a proof; a larger one is malformed unread

_EXTRA, _INDEX = "extra ", "index "
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof that nobody has checked yet. path: sibling of the leaf first; checkpoint: a note, with its cosignatures.

    extra: what an application put beside it, None for nothing; nobody has signed it.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def encode(self) -> bytes:
        """The file."""
        lines = [MAGIC]
        if self.extra is not None:
            lines.append(_EXTRA + base64text.encode(self.extra))
        lines += [f"{_INDEX}{self.index}", *map(base64text.encode, self.path), "", self.checkpoint]
        return "\n".join(lines).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: proof_size, proof_bad, note_*, checkpoint_bad."""
        if len(data) > SIZE_MAX:
            raise Malformed("proof_size", f"at most {SIZE_MAX} bytes")
        try:
            head, found, checkpoint = data.decode().partition("\n\n")
        except UnicodeDecodeError as error:
            raise Malformed("proof_bad", "not a text of Unicode characters") from error
        magic, *lines = head.split("\n")
        if not found or magic != MAGIC:
            raise Malformed("proof_bad", f"a proof begins with the line {MAGIC} and ends with a checkpoint")
        extra = None
        if lines and lines[0].startswith(_EXTRA):
            extra = base64text.decode(lines.pop(0).removeprefix(_EXTRA), code="proof_bad")
        if extra is not None and len(extra) > EXTRA_MAX:
            raise Malformed("proof_size", f"at most {EXTRA_MAX} bytes of extra data")
        number = lines.pop(0).removeprefix(_INDEX) if lines and lines[0].startswith(_INDEX) else ""
        if not _DECIMAL.fullmatch(number) or len(lines) > merkle.PATH_MAX:
            raise Malformed("proof_bad", f"a proof has an index and at most {merkle.PATH_MAX} hashes")
        path = tuple(base64text.decode(line, code="proof_bad") for line in lines)
        if any(len(item) != merkle.HASH_SIZE for item in path):
            raise Malformed("proof_bad", "a hash has 32 bytes")
        Checkpoint.from_text(notes.parse(checkpoint).text)
        return cls(index=int(number), path=path, checkpoint=checkpoint, extra=extra)


def verify(proof: Proof, *, entry: bytes, policy: Policy) -> Checkpoint:
    """The checkpoint, once it is seen to be as the policy asks and `entry` to be in its tree.

    Raises Malformed; BadSignature: log_unknown, log_unsigned, quorum_missed, note_signature; VerificationFailed: inclusion_bad.
    """
    checkpoint, _ = policy.check(proof.checkpoint)
    leaf = merkle.leaf_hash(entry)
    merkle.verify_inclusion(leaf=leaf, index=proof.index, size=checkpoint.size, path=proof.path, root=checkpoint.root)
    return checkpoint
