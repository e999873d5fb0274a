"""What is asked of a ledger, and in which order: each exchange yields requests and is sent their answers.

An exchange knows no socket and no clock, so that the blocking client and that for asyncio do exactly the same. SCRAPI's
way to a receipt is `register`: 201 or 200 at once, or 303 to a place that answers 302 until it answers 200.
"""

import base64
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from ledger.client import answers
from ledger.client.answers import Answer, ContractEntries, LedgerBusy, LedgerRefused, Registered, Status, Verdict
from protocol import cbor, merkle, receipt, statement, tiles
from protocol.errors import NotFound

STATEMENT_TYPE, BATCH_TYPE = "application/cose", "application/cbor"
BODY_MAX = 65_536  # bytes of most answers: a statement, or a checkpoint with all its cosignatures
BATCH_MAX = 256  # statements in one request; more are sent in several
BATCH_SIZE_MAX = 4 * 1024 * 1024  # bytes of one request; a batch that is larger is sent in several
BATCH_ANSWER_MAX = BATCH_MAX * (receipt.SIZE_MAX + 1024)  # bytes of the verdicts; a longer answer is malformed
CONTRACT_ENTRIES_MAX = (
    1024 * 1024 + BODY_MAX
)  # bytes of what a contract was told, in one answer: a ledger's MiB, and its frame
BUNDLE_MAX = tiles.WIDTH * (2 + tiles.ENTRY_SIZE_MAX)  # bytes of a bundle of the longest entries that there are
POLLS_MAX = 60  # questions after one running statement; then its caller is told to come back
POLLING_MAX_S = 30.0  # of pauses between them, likewise
PAUSE_S = 0.5  # between two of them when the ledger does not say

_STATEMENT_HEAD_MAX = 5  # bytes before a statement in a batch
_ARRAY_HEAD_MAX = 3  # bytes before a batch

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. path: under the ledger's address; after_s: the pause before it; answer_max: bytes of the answer."""

    path: str
    method: str = "GET"
    content: bytes | None = None
    media: str = STATEMENT_TYPE
    after_s: float = 0.0
    answer_max: int = BODY_MAX


Exchange: TypeAlias = Generator[Request, Answer, T]


def register(raw: bytes) -> Exchange[Registered]:
    """A statement's place and receipt, waiting for them within bounds when the ledger says that it still runs.

    Raises LedgerRefused; LedgerBusy, also when it runs for longer: registered again, it is found; Malformed.
    """
    answer = yield Request(method="POST", path="/entries", content=raw)
    if answer.status != 303:
        return answers.registered(answer)
    waited_s = 0.0
    for _ in range(POLLS_MAX):
        asked_s = answers.retry_after_s(answer)
        pause_s = asked_s or PAUSE_S
        waited_s += pause_s
        if waited_s > POLLING_MAX_S:
            break
        answer = yield Request(path=f"/entries/{answers.named(answer)}", after_s=pause_s)
        if answer.status == 404:  # it lost count of what runs, as by a restart: no verdict on the statement
            raise LedgerBusy("ledger_busy", "the ledger no longer knows of the statement that it was registering")
        if answer.status != 302:
            return answers.registered(answer)
    raise LedgerBusy(
        "ledger_busy", "the ledger is still registering the statement", retry_after_s=answers.retry_after_s(answer)
    )


def register_many(raws: Sequence[bytes]) -> Exchange[list[Verdict]]:
    """Each statement's verdict, in the order of `raws`, many of them in one request.

    Raises LedgerBusy, when the ledger cannot judge a request of them now, and Malformed: what was registered until then is found
    when all are sent again.
    """
    found: list[Verdict] = []
    for some in _batches(raws):
        fit = [raw for raw in some if len(raw) <= statement.SIZE_MAX]
        verdicts: Iterator[Verdict] = iter(())
        if fit:
            request = Request(
                method="POST",
                path="/batches",
                content=cbor.encode(fit),
                media=BATCH_TYPE,
                answer_max=BATCH_ANSWER_MAX,
            )
            verdicts = iter(answers.batch((yield request), len(fit)))
        found += [next(verdicts) if len(raw) <= statement.SIZE_MAX else _too_long() for raw in some]
    return found


def receipt_of(entry_id: str) -> Exchange[bytes]:
    """An entry's receipt for the newest tree. Raises NotFound: entry_unknown, for what is no name of an entry."""
    return answers.content((yield Request(path=_entry_path(entry_id))))


def statement_of(entry_id: str) -> Exchange[bytes]:
    """An entry's statement, as the log keeps it. Raises as `receipt_of`; LedgerRefused, when it is not for the caller."""
    return answers.content((yield Request(path=f"{_entry_path(entry_id)}/statement")))


def transparent(entry_id: str) -> Exchange[bytes]:
    """An entry's statement with its receipt for the newest tree in it. Raises as `statement_of`."""
    raw = yield from statement_of(entry_id)
    proof = yield from receipt_of(entry_id)
    return receipt.attach(raw, [proof])


def contract_entries(name: str, first: int) -> Exchange[ContractEntries]:
    """What a contract was told from index `first` on, as far as one answer goes. Raises LedgerRefused: contract_unknown."""
    if not answers.is_name(name):
        raise NotFound("contract_unknown", "no contract is named so")
    answer = yield Request(path=f"/contracts/{name}/entries?from={first:d}", answer_max=CONTRACT_ENTRIES_MAX)
    return answers.contract_entries(answer, name, first)


def checkpoint() -> Exchange[str]:
    """The newest checkpoint, a signed note that the caller verifies."""
    return answers.content((yield Request(path="/checkpoint"))).decode("utf-8", "replace")


def status() -> Exchange[Status]:
    """What the ledger says about itself, unsigned."""
    return answers.status((yield Request(path="/status")))


def keys() -> Exchange[bytes]:
    """The COSE key set."""
    return answers.content((yield Request(path="/.well-known/scitt-keys")))


def key(kid: bytes) -> Exchange[bytes]:
    """One COSE key by its thumbprint. Raises LedgerRefused: key_unknown."""
    name = base64.urlsafe_b64encode(kid).rstrip(b"=").decode()
    if not name:
        raise NotFound("key_unknown", "no key has an empty name")
    return answers.content((yield Request(path=f"/.well-known/scitt-keys/{name}")))


def consistency_receipt(size1: int) -> Exchange[bytes]:
    """The log's receipt that its newest tree is that of `size1` grown. Raises LedgerRefused: size_unknown."""
    return answers.content((yield Request(path=f"/consistency/{size1:d}")))


def proof(index: int, size: int) -> Exchange[list[bytes]]:
    """The inclusion path of an entry in the tree of `size`, from tiles; not checked."""
    return (yield from _walked(lambda read: merkle.inclusion_path(read, index, size), size))


def consistency(size1: int, size2: int) -> Exchange[list[bytes]]:
    """The path that the tree of `size1` is a prefix of that of `size2`, from tiles; not checked."""
    return (yield from _walked(lambda read: merkle.consistency_path(read, size1, size2), size2))


def beginning(size1: int, size2: int) -> Exchange[list[bytes]]:
    """The path that shows what the tree of `size2` began as (`merkle.prefix_roots`), from tiles; sizes ascend; not checked."""
    return (yield from _walked(lambda read: merkle.prefix_path(read, size1, size2), size2))


def nodes(wanted: Sequence[merkle.Node], size: int) -> Exchange[list[bytes]]:
    """The hashes of nodes of the tree of `size`, from tiles; not checked."""
    return (yield from _walked(lambda read: [read(*node) for node in wanted], size))


def entries(first: int, count: int, size: int) -> Exchange[list[bytes]]:
    """The entries from index `first` of the tree of `size`, from bundles; not checked."""
    if not 0 <= first <= first + count <= size:
        raise IndexError(f"no entries {first} to {first + count} in a tree of {size}")
    found: list[bytes] = []
    for index in range(first // tiles.WIDTH, -(-(first + count) // tiles.WIDTH) if count else 0):
        begin = index * tiles.WIDTH
        tile = tiles.Tile(level=None, index=index, width=min(tiles.WIDTH, size - begin))
        bundle = yield from _part(tile, tiles.unbundle, BUNDLE_MAX)
        found += bundle[max(0, first - begin) : first + count - begin]
    return found


def _walked(walk: Callable[[merkle.Reader], list[bytes]], size: int) -> Exchange[list[bytes]]:
    hashes: dict[tiles.Tile, list[bytes]] = {}
    for tile in _tiles_of(walk, size):
        hashes[tile] = yield from _part(tile, tiles.split, BODY_MAX)
    return walk(tiles.reader(lambda tile: hashes[tile], size))


def _part(tile: tiles.Tile, read: Callable[[bytes, int], list[bytes]], answer_max: int) -> Exchange[list[bytes]]:
    """What is in a tile or bundle, by `read`; of a partial one that is gone because it is full by now, from the full one.

    Source: tlog-tiles, "Partial Tiles".
    """
    answer = yield Request(path=f"/{tile.path()}", answer_max=answer_max)
    if answer.status in (404, 410) and tile.width < tiles.WIDTH:
        whole = tiles.Tile(level=tile.level, index=tile.index)
        again = yield Request(path=f"/{whole.path()}", answer_max=answer_max)
        if again.status == 200:
            return read(again.body, tiles.WIDTH)[: tile.width]
    return read(answers.content(answer), tile.width)


def _tiles_of(walk: Callable[[merkle.Reader], list[bytes]], size: int) -> list[tiles.Tile]:
    """The tiles of a log of `size` entries that `walk` reads from, each once."""
    wanted: dict[tiles.Tile, None] = {}

    def note(level: int, index: int) -> bytes:
        wanted[tiles.tile_for(level, index, size)] = None
        return bytes(merkle.HASH_SIZE)

    walk(note)
    return list(wanted)


def _batches(raws: Sequence[bytes]) -> Iterator[list[bytes]]:
    """`raws` in runs that fit one request each; what is too long for any statement takes no room, as it is not sent."""
    some: list[bytes] = []
    taken = _ARRAY_HEAD_MAX
    for raw in raws:
        room = _STATEMENT_HEAD_MAX + len(raw) if len(raw) <= statement.SIZE_MAX else 0
        if len(some) == BATCH_MAX or taken + room > BATCH_SIZE_MAX:
            yield some
            some, taken = [], _ARRAY_HEAD_MAX
        some.append(raw)
        taken += room
    if some:
        yield some


def _too_long() -> LedgerRefused:
    return LedgerRefused("statement_size", f"a statement has at most {statement.SIZE_MAX} bytes")


def _entry_path(entry_id: str) -> str:
    if not answers.is_name(entry_id):
        raise NotFound("entry_unknown", "no ledger names an entry so")
    return f"/entries/{entry_id}"
