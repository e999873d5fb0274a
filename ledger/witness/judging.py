"""What a witness says to a checkpoint: one table, from a request and what it cosigned before. Source: C2SP tlog-witness."""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol import merkle, notes
from protocol.errors import BadSignature, VerificationFailed
from protocol.notes import Checkpoint, NoteKey
from protocol.witnessing import Request

TWO_TREES, NO_PROOF = "two_trees", "no_proof"
KINDS = (TWO_TREES, NO_PROOF)
"""Of evidence. two_trees: the log signed two roots for one size; no_proof: it signed a tree that came without a proof that
it grew out of the one that we cosigned. Anybody can send a genuine checkpoint with a wrong proof, so only the first
convicts a log by itself; the second says which two checkpoints to compare with the log's own tiles."""

STATUS = {
    "cosigned": 200,
    "request_bad": 400,
    "old_too_large": 400,
    "log_unsigned": 403,
    "log_unknown": 404,
    "old_differs": 409,
    "root_differs": 422,
    "proof_bad": 422,
    "too_many": 429,
    "storage_failed": 503,
}
"""The HTTP status of each verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """The newest checkpoint of a log that this witness cosigned. note: with the cosignature; at_s: of it, Unix time."""

    size: int
    root: bytes
    note: str
    at_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """code: a key of `STATUS`; evidence: one of `KINDS` when the checkpoint is to be kept, else empty."""

    code: str
    evidence: str = ""


def judge(request: Request, *, keys: Sequence[NoteKey], newest: Cosigned | None) -> Verdict:
    """The verdict on a request. keys: of the log that the checkpoint names, none when it is unknown; newest: None at first."""
    if not keys:
        return Verdict(code="log_unknown")
    try:
        signed = notes.verify(notes.parse(request.note), keys)
    except BadSignature:  # a line under a known key that does not hold makes the whole note worthless
        return Verdict(code="log_unsigned")
    if not signed:
        return Verdict(code="log_unsigned")
    asked = request.checkpoint
    if request.old > asked.size:
        return Verdict(code="old_too_large")
    stands = 0 if newest is None else newest.size
    if newest is not None and asked.size == newest.size and asked.root != newest.root:
        code = "root_differs" if request.old == stands else "old_differs"
        return Verdict(code=code, evidence=TWO_TREES)
    if request.old != stands:
        return Verdict(code="old_differs")
    if _grew(request, newest):
        return Verdict(code="cosigned")
    return Verdict(code="proof_bad", evidence=NO_PROOF if newest is not None else "")


def _grew(request: Request, newest: Cosigned | None) -> bool:
    """Whether the tree of the request is the newest one grown, or its like."""
    asked: Checkpoint = request.checkpoint
    if newest is None or newest.size == 0:
        return not request.proof and (asked.size > 0 or asked.root == merkle.EMPTY_ROOT)
    try:
        merkle.verify_consistency(
            size1=newest.size, size2=asked.size, root1=newest.root, root2=asked.root, path=request.proof
        )
    except VerificationFailed:
        return False
    return True
