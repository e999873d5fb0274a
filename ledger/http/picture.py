"""A proof of inclusion as a drawing: from the entry's leaf at the bottom, by each sibling, up to the root. SVG, no scripts."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from protocol import merkle

WIDTH, ROW, BOX_WIDTH, BOX_HEIGHT = 340, 84, 150, 46  # in the drawing's own units, about pixels
LEFT, RIGHT, MIDDLE = 8, WIDTH - BOX_WIDTH - 8, (WIDTH - BOX_WIDTH) // 2  # where boxes begin
SHORT = 8  # hex digits of a hash that are drawn; the title has all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One level of a proof. sibling: the hash given by the proof, and whether it is the left one; parent: the hash of both."""

    sibling: bytes
    left: bool
    parent: bytes


def steps(*, leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> list[Step]:
    """What a proof computes, from the leaf up. Source: RFC 9162 §2.1.3.2.

    Raises VerificationFailed: inclusion_bad, for a path of another length.
    """
    merkle.root_from_path(leaf=leaf, index=index, size=size, path=path)
    found, place, last, value = [], index, size - 1, leaf
    for sibling in path:
        left = bool(place & 1) or place == last
        value = merkle.node_hash(sibling, value) if left else merkle.node_hash(value, sibling)
        found.append(Step(sibling=sibling, left=left, parent=value))
        while left and not place & 1 and place:
            place, last = place >> 1, last >> 1
        place, last = place >> 1, last >> 1
    return found


def draw(leaf: bytes, found: Sequence[Step], *, name: str, size: int) -> str:
    """The SVG element. name: of the entry; size: of the tree."""
    height = ROW * len(found) + BOX_HEIGHT + 8
    parts: list[str] = []
    value, label, below = leaf, f"entry {name}", height - BOX_HEIGHT - 4
    for step in found:
        at, other = (RIGHT, LEFT) if step.left else (LEFT, RIGHT)
        above = below - ROW
        peak = MIDDLE if step is found[-1] else None
        parts += _lines(at, other, below, above, peak if peak is not None else _own(found, step))
        parts.append(_box(other, below, step.sibling, "given by the proof", "given"))
        parts.append(_box(at, below, value, label, "leaf" if value is leaf else "made"))
        value, label, below = step.parent, "computed", above
    parts.append(_box(MIDDLE, below, value, f"root of {size} entries", "root"))
    said = f"Proof of entry {name}: {len(found)} hashes lead from it to the root of the tree of {size} entries"
    return f'<svg class="proof" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(said)}">{"".join(parts)}</svg>'


def _own(found: Sequence[Step], step: Step) -> int:
    """Where the parent of `step` stands: opposite to the sibling of the level above."""
    return RIGHT if found[found.index(step) + 1].left else LEFT


def _lines(at: int, other: int, below: int, above: int, parent: int) -> list[str]:
    top = above + BOX_HEIGHT
    middle = parent + BOX_WIDTH // 2
    return [
        f'<line class="{kind}" x1="{begin + BOX_WIDTH // 2}" y1="{below}" x2="{middle}" y2="{top}"/>'
        for begin, kind in ((other, "given"), (at, "made"))
    ]


def _box(x: int, y: int, value: bytes, label: str, kind: str) -> str:
    middle = x + BOX_WIDTH // 2
    return (
        f'<g class="{kind}"><title>{value.hex()}</title>'
        f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>'
        f'<text class="hash" x="{middle}" y="{y + 20}">{value.hex()[:SHORT]}…</text>'
        f'<text class="label" x="{middle}" y="{y + 37}">{escape(label)}</text></g>'
    )
