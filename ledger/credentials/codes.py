"""What is too long for one QR code as several: each says which part of what it is, and they may be read in any order.

The same encoding as `paper.py`: deflated, in base45 (RFC 9285), which QR codes hold in their alphanumeric mode.
"""

import hashlib
import re
import zlib
from collections.abc import Iterable

from ledger.credentials import paper
from protocol.errors import Malformed

PREFIX = "VIGIL2:"  # then ID:N/M: and the part
PART = 1400  # characters of a part: a code of some 130 modules a side, which a telephone reads from a screen
PARTS_MAX = 32  # of one text; what needs more is handed over as a file

_PART = re.compile(r"VIGIL2:([0-9A-F]{16}):([0-9]{1,2})/([0-9]{1,2}):(.*)", re.DOTALL)


def split(raw: bytes) -> list[str]:
    """What the codes say, one as `paper.text` says it when it fits, else several. Raises Malformed: code_size."""
    whole = paper.base45(zlib.compress(raw, 9))
    if len(whole) <= PART and len(raw) <= paper.CARRIED_MAX:
        return [paper.text(raw)]
    parts = [whole[at : at + PART] for at in range(0, len(whole), PART)]
    if len(parts) > PARTS_MAX or len(raw) > paper.CARRIED_MAX:
        raise Malformed("code_size", "too long for QR codes: hand it over as a file")
    name = _name(whole)
    return [f"{PREFIX}{name}:{at}/{len(parts)}:{part}" for at, part in enumerate(parts, 1)]


def joined(said: Iterable[str]) -> bytes:
    """What codes hold, read in any order and some of them twice. Raises Malformed: code_bad, code_part_missing."""
    texts = list(dict.fromkeys(said))
    if len(texts) == 1 and not texts[0].startswith(PREFIX):
        return paper.carried(texts[0])
    found: dict[int, str] = {}
    names = set()
    for text in texts[: PARTS_MAX + 1]:
        matched = _PART.fullmatch(text)
        if matched is None:
            raise Malformed("code_bad", "one of the codes is no part of ours")
        names.add((matched[1], int(matched[3])))
        if found.setdefault(int(matched[2]), matched[4]) != matched[4]:
            raise Malformed("code_bad", "two codes are the same part, and differ")
    if len(names) != 1:
        raise Malformed("code_bad", "these are parts of different things")
    ((name, count),) = names
    if not 0 < count <= PARTS_MAX or found.keys() != set(range(1, count + 1)):
        raise Malformed("code_part_missing", f"there are {count} parts: {len(found)} of them are here")
    whole = "".join(found[at] for at in range(1, count + 1))
    if _name(whole) != name:
        raise Malformed("code_bad", "the parts do not belong together")
    return paper.carried(paper.PREFIX + whole)


def _name(whole: str) -> str:
    """Of all the parts together: parts of two things are not mixed up."""
    return hashlib.sha256(whole.encode()).hexdigest()[:16].upper()
