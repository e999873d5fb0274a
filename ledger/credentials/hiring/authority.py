"""What somebody may do at an institution, by their hiring file: answered at every question anew, and only as long as it holds."""

from collections.abc import Iterable

from ledger.credentials.hiring.life import Permit
from ledger.credentials.hiring.posts import DAY_MS
from ledger.credentials.hiring.review import File, renewal_ms, review
from ledger.questions import Standing

LOOKED_AGE_MS = 2 * DAY_MS  # a file that nobody could look at for so long allows nothing until somebody does
ALLOWED = "allowed"


def may(file: File, capability: str, *, now_ms: int, permit: Permit | None = None) -> Standing:
    """Whether a file allows a capability now, why not, and until when the answer holds by itself.

    permit: what was said about the capability in this file, None: nothing beside its post. A cause that comes up blocks at once,
    for an emergency too.
    """
    rests = file.post.grants.get(capability)
    if rests is None:
        return _no("not_granted")
    if permit == "withdrawn":
        return _no("withdrawn")
    found = review(file, now_ms=now_ms)
    for cause in found.causes:
        if cause.outcome == "fail" or cause.subject in rests:
            return _no(cause.code)
    if file.state != "hired":
        return _no("suspended" if file.state == "suspended" else "not_hired")
    looked_ms = file.looked_ms + LOOKED_AGE_MS
    if not file.looked_ms <= now_ms < looked_ms:  # also when our clock was set back
        return _no("not_looked_at")
    ends = [met.until_ms for met in found.met.values() if met.until_ms is not None]
    due_ms = renewal_ms(file)
    return Standing(allowed=True, code=ALLOWED, until_ms=min([looked_ms, *ends, *([] if due_ms is None else [due_ms])]))


def best(answers: Iterable[Standing]) -> Standing:
    """Of the answers by several files of one person: the one that allows longest, else the first that says why not."""
    found = list(answers)
    allowed = [each for each in found if each.allowed]
    if allowed:
        return max(allowed, key=lambda each: each.until_ms or 0)
    return found[0] if found else _no("nobody")


def _no(code: str) -> Standing:
    return Standing(allowed=False, code=code, until_ms=None)
