"""A log that signed two histories, for tests of whoever shows that to others."""

import dataclasses

from protocol import keys, merkle, notes, policy, receipt, statement
from protocol.conflict import Conflict, Seen, Taken
from protocol.notes import Checkpoint
from tests.support import chain

ORIGIN, LOG, NOW_MS = chain.ORIGIN, chain.LOG, chain.NOW_MS
STRANGER = keys.SigningKey.from_seed(bytes([9]) * 32)
WITNESS = chain.WITNESSES[0]
RAWS = [
    statement.sign(STRANGER, iss="a", sub="b", payload=bytes([number]), content_type="text/plain")
    for number in range(24)
]
COMMON = 5  # entries that both histories have


def grown(*numbers: int) -> merkle.Tree:
    """A tree of these statements."""
    return merkle.Tree([merkle.leaf_hash(statement.entry(RAWS[number])) for number in numbers])


OURS = grown(*range(12))
THEIRS = grown(*range(COMMON), *range(12, 24))


def note(
    tree: merkle.Tree, size: int, *, origin: str = ORIGIN, key: keys.SigningKey = LOG, witness: bool = False
) -> str:
    """The log's checkpoint of a tree."""
    text = Checkpoint(origin=origin, size=size, root=tree.root(size)).text()
    lines = [notes.sign(text, name=origin, key=key)]
    if witness:
        lines.append(notes.cosign(text, name="w", key=WITNESS, at_s=NOW_MS // 1000))
    return notes.Note(text=text, lines=tuple(lines)).whole()


def trusted(key: keys.SigningKey = LOG, origin: str = ORIGIN) -> policy.Policy:
    """The log's key, and a witness whose signature is asked for."""
    log = notes.NoteKey(name=origin, kind=notes.SIGNATURE, key=key.public).vkey()
    witness = notes.NoteKey(name="w", kind=notes.COSIGNATURE, key=WITNESS.public).vkey()
    return policy.parse(f"log {log}\nwitness w {witness}\nquorum w\n")


POLICY = trusted()


def between(earlier: tuple[merkle.Tree, int], later: tuple[merkle.Tree, int], **changed: object) -> Conflict:
    """What somebody keeps who saw these trees of these sizes, one after the other."""
    (_, small), (tree, large) = sorted((earlier, later), key=lambda each: each[1])
    path = merkle.prefix_path(tree.node, small, large) if small < large else []
    found = Conflict(
        earlier=Seen(note=note(*earlier), at_ms=NOW_MS),
        later=Seen(note=note(*later), at_ms=NOW_MS + 1000),
        path=tuple(path),
    )
    return dataclasses.replace(found, **changed)  # type: ignore[arg-type]


def taken(index: int, *, tree: merkle.Tree = THEIRS, raw: bytes | None = None, epoch: str = "1") -> Taken:
    """A statement of the other history with its receipt."""
    proof = receipt.issue(
        LOG, iss=ORIGIN, sub=f"{epoch}.{index}", root=tree.root(), size=tree.size, index=index, path=tree.path(index)
    )
    return Taken(statement=RAWS[12 + index - COMMON] if raw is None else raw, receipt=proof)


EXAMPLES = {
    "two_roots": between((OURS, 8), (THEIRS, 8)),
    "other_beginning": between((OURS, 7), (THEIRS, 12)),
    "other_beginning of a size that is a power of two": between((OURS, 8), (THEIRS, 12)),
    "other_beginning of an older tree": between((OURS, 12), (THEIRS, 9)),
    "place_taken": between((OURS, 12), (THEIRS, 9), path=(), taken=taken(7)),
}
