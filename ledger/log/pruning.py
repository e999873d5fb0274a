"""A minimum index: statements and tree nodes below it leave the database, and every proof about what stays can still be made.

The 32-byte entries stay, so that no statement is registered twice and the whole tree can be built again; so do the statements
that verifiers need, whatever their age. Source: C2SP tlog-tiles, Pruning (whole tiles alone may be denied).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ledger import retention as rules
from ledger.contracts import Contracts
from ledger.log import snapshots
from ledger.log.keeping import MINIMUM, ROWS_MAX, SWEEP
from ledger.log.replay import Replay, entries
from ledger.log.store import Head, Store
from protocol import cose, merkle, tiles
from protocol.errors import ConfigError
from protocol.merkle import Node

LEVELS = 64  # of a tree's nodes: trees have fewer than 2^64 leaves
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A log judged anew up to one size."""

    head: Head
    state: Mapping[bytes, bytes]


def aged(store: Store, *, epoch: int, keep_days: int, now_ms: int) -> int:
    """The minimum index under which everything is older than `keep_days`, and the state at which can be known."""
    minimum = store.keeping.first_since(now_ms - keep_days * DAY_MS, store.head().size)
    sizes = [size for size, _ in store.keeping.snapshots()]
    for place in sorted(rules.redactions(store.keeping.state(rules.REDACTED), epoch)):
        if place < minimum and not any(place < size <= minimum for size in sizes):
            return place
    return minimum


def standing(store: Store, size: int, contracts: Contracts, keys: Mapping[bytes, cose.Verifier]) -> Standing:
    """The log at `size`, from its statements: nothing goes before what is left was seen to lead there.

    Raises VerificationFailed, as a check of the whole ledger does; ConfigError: minimum_unknown, where no state can be known.
    """
    replay = Replay(store, contracts, keys)
    for entry in entries(store, size):
        replay.add(entry)
    if not replay.judging:
        raise ConfigError(
            "minimum_unknown", "a body that is gone hides the state at that index: name a later one, or its own"
        )
    root = merkle.range_root(store.node, 0, size)
    head = Head(size=size, root=root, chain=replay.head.chain, at_ms=replay.head.at_ms)
    return Standing(head=head, state=replay.state)


def carry_out(store: Store, contracts: Contracts, keys: Mapping[bytes, cose.Verifier]) -> None:
    """Put the newest minimum index that the log has named into force, and take away what is below; again after a stop.

    Raises sqlite3.Error; VerificationFailed: snapshot_bad.
    """
    newest = max(rules.retentions(store.keeping.state(rules.RETAINED)).items(), default=None)
    if newest is not None and newest[0] > store.keeping.mark(MINIMUM):
        minimum, document = newest
        signed = dict(store.keeping.snapshots()).get(minimum)
        if signed is None or snapshots.name_of(signed) != document.snapshot:
            return  # ordered elsewhere, without the state that a replay would need: nothing may go
        snapshots.load(store, minimum, keys)
        with store.writing():
            store.keeping.set_mark(MINIMUM, minimum)
            store.keeping.set_mark(SWEEP, 1)
        # Stop here: the minimum is in force and all is still there; the next start takes it away.
    if store.keeping.mark(SWEEP):
        _sweep(store, store.keeping.mark(MINIMUM), contracts.lasting)


def _sweep(store: Store, minimum: int, lasting: Collection[str]) -> None:
    keeping = store.keeping
    for first in range(0, minimum, ROWS_MAX):
        going = keeping.bodies(first, min(minimum, first + ROWS_MAX), lasting)
        if going:
            with store.writing():
                keeping.take_bodies(going)
            # Stop here: some have gone; the next start goes on from the first that has not.
    needed = needed_below(minimum, keeping.places(lasting, minimum))
    for level in range(LEVELS):
        end, first = tile_end(minimum, level), 0
        while first < end:
            there = keeping.nodes(level, first, end)
            if not there:
                break
            with store.writing():
                keeping.take_nodes((level, place) for place in there if (level, place) not in needed)
            first = there[-1] + 1
    with store.writing():
        for size, _ in keeping.snapshots():
            if 0 < size < minimum:
                keeping.drop_snapshot(size)  # of a redaction whose place is below the minimum
        keeping.set_mark(SWEEP, 0)


def tile_end(minimum: int, level: int) -> int:
    """How many nodes at `level` belong to tiles that end at or below `minimum`, which need not be served."""
    whole = minimum >> (tiles.HEIGHT * (level // tiles.HEIGHT + 1))
    return whole << (tiles.HEIGHT - level % tiles.HEIGHT)


def needed_below(minimum: int, stays: Iterable[int]) -> set[Node]:
    """The nodes of tiles below `minimum` without which no proof of the entries in `stays` could be made.

    The subtrees that make up [0, minimum) are the left sides of every path from there on, and all lie in tiles that end above
    it; an entry that stays needs the siblings on its way up to one of them.
    """
    needed: set[Node] = set()
    for place in stays:
        level = 0
        while (((place >> level) | 1) + 1) << level <= minimum:
            needed.add((level, (place >> level) ^ 1))
            level += 1
    return needed


def is_needed(node: Node, minimum: int, needed: Collection[Node]) -> bool:
    """Whether a node is still there under a minimum index. needed: as `needed_below` says."""
    return node[1] >= tile_end(minimum, node[0]) or node in needed
