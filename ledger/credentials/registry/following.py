"""Reading the ledger up to its newest checkpoint, epoch by epoch: nothing is believed before it is seen in a tree that only grew.

The hash of every entry is read, of our contracts also the statements: chunk by chunk, each proved to be the beginning of the
tree under a checkpoint that meets the trust file, judged by the contracts again, and then on disk with how far it goes. A stop
anywhere leaves a whole number of chunks. What a ledger leaves out of its answers, though it is in the tree, is not noticed here
but for versions of lists, which are numbered: that is a monitor's work.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol

from ledger.client import AsyncClient, ContractEntries
from ledger.credentials.registry.reading import NAMES, Entry, Registry
from protocol import growth, merkle, statement
from protocol.documents import Genesis
from protocol.errors import ProtocolError, Unavailable, VerificationFailed
from protocol.notes import Checkpoint
from protocol.trust import Trust

CHUNK = 4096  # entries that are checked and judged at once, and on disk together
EVERY_S = 5.0  # between two looks at the ledger: so late at most a revocation is known that nobody tells us of
FIRST_REGISTRY = NAMES[0]
STRANGER = frozenset({"signature_key_unknown", "party_not_admitted"})  # no trouble: our admission is on its way

Failure = (Unavailable, VerificationFailed, ProtocolError)

log = logging.getLogger(__name__)


class Source(Protocol):
    """What is asked of one epoch of a ledger: `AsyncClient` does it."""

    async def checkpoint(self) -> str: ...

    async def contract_entries(self, name: str, first: int = 0) -> ContractEntries: ...

    async def entries(self, first: int, count: int, size: int) -> list[bytes]: ...

    async def proof(self, index: int, size: int) -> list[bytes]: ...

    async def consistency(self, size1: int, size2: int) -> list[bytes]: ...


class Follower:
    """client: whose requests our key signs, for commitments are told to members alone; me: that key's thumbprint."""

    def __init__(
        self,
        registry: Registry,
        *,
        client: AsyncClient,
        trust: Trust,
        me: Callable[[], bytes],
        now_ms: Callable[[], int],
    ) -> None:
        self._registry, self._client, self._trust, self._me, self._now_ms = registry, client, trust, me, now_ms
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at the ledger soon. In the event loop."""
        self._wake.set()

    async def run(self, *, caught_up: Callable[[], Awaitable[None]], every_s: float = EVERY_S) -> NoReturn:
        """Rounds until cancelled; caught_up: told after each that came to the end. Trouble is logged when it begins and ends."""
        trouble = ""
        while True:
            self._wake.clear()
            try:
                await self.round()
                await caught_up()
            except Failure as error:
                code = "" if error.code in STRANGER else error.code
                if code and code != trouble:
                    log.warning("the ledger cannot be read on: %s", code)
                trouble = code or trouble
            else:
                if trouble:
                    log.warning("the ledger is read again")
                trouble = ""
            try:
                await asyncio.wait_for(self._wake.wait(), every_s)
            except TimeoutError:
                continue

    async def round(self) -> None:
        """Read up to the newest checkpoint.

        Raises VerificationFailed: tree_other, consistency_bad, entry_other, log_misjudged, log_other, root_other, prior_other;
        Malformed; BadSignature; Unavailable.
        """
        async with self._turn:
            as_of_ms = self._now_ms()  # before it is asked: what the log says later is not known
            newest = (await self._client.status()).epoch
            if newest < self._registry.followed.epoch:
                raise Unavailable("checkpoint_old", "the ledger speaks of an epoch before one that it has shown")
            while self._registry.followed.epoch < newest:
                await self._end(self._registry.followed.epoch)
            source = self._client.of_epoch(newest)
            note = await source.checkpoint()
            head, _ = self._trust.policy.check(note)
            await self._read_up(source, head)
            await asyncio.to_thread(self._settle, head, note, as_of_ms)

    async def _end(self, epoch: int) -> None:
        """Read an epoch that has ended to its end, as the next one's genesis names it, and begin the next."""
        following = self._client.of_epoch(epoch + 1)
        head, _ = self._trust.policy.check(await following.checkpoint())
        page = await following.contract_entries(FIRST_REGISTRY, 0)
        if not page.entries or page.entries[0].index != 0:
            raise Unavailable("genesis_missing", "the ledger does not show how its next epoch began")
        raw = page.entries[0].statement
        path = await following.proof(0, head.size)
        leaf = merkle.leaf_hash(statement.entry(raw))
        merkle.verify_inclusion(leaf=leaf, index=0, size=head.size, path=path, root=head.root)
        prior = Genesis.decode(statement.parse(raw).payload).prior
        if prior is None:
            raise VerificationFailed("prior_other", "the next epoch does not say how this one ended")
        last, _ = self._trust.policy.signed(prior)
        await self._read_up(self._client.of_epoch(epoch), last)
        await asyncio.to_thread(self._registry.begin_next)
        # Stop here: all of the epoch is read, and nothing of the next.

    async def _read_up(self, source: Source, head: Checkpoint) -> None:
        """Read every entry under a checkpoint, chunk by chunk."""
        while True:
            edge = self._registry.followed.edge
            if head.size < edge.size:
                raise Unavailable("checkpoint_old", "the ledger's checkpoint is older than what it has shown before")
            if head.size == edge.size:
                if edge.root() != head.root:
                    raise VerificationFailed("tree_other", "the ledger shows another tree than it did before")
                return
            end = min(head.size, (edge.size // CHUNK + 1) * CHUNK)
            digests = await source.entries(edge.size, end - edge.size, head.size)
            grown = edge.grown(digests)
            path = [] if end == head.size else await source.consistency(end, head.size)
            growth.verify(end, grown.root(), head, path)
            entries = await self._told(source, edge.size, digests)
            root = self._trust.registry_root
            await asyncio.to_thread(self._registry.take, entries, grown, origin=head.origin, root=root)
            # Stop here: a chunk more is on disk.

    async def _told(self, source: Source, first: int, digests: list[bytes]) -> list[Entry]:
        """The entries of our contracts among those with these hashes, in order."""
        found: list[Entry] = []
        end = first + len(digests)
        for name in NAMES:
            place = first
            while place < end:
                page = await source.contract_entries(name, place)
                if page.epoch != self._registry.followed.epoch or page.next <= place:
                    raise Unavailable("feed_behind", "the ledger does not tell what its checkpoint has")
                for each in page.entries:
                    if each.index < end:
                        if statement.entry(each.statement) != digests[each.index - first]:
                            raise VerificationFailed("entry_other", "the ledger told another statement than it has")
                        found.append(Entry(index=each.index, at_ms=each.at_ms, statement=each.statement))
                place = page.next
        return sorted(found, key=lambda each: each.index)

    def _settle(self, head: Checkpoint, note: str, as_of_ms: int) -> None:
        """All is read: whether it may be relied on."""
        if not self._registry.may_read(self._me(), now_ms=as_of_ms):
            # It may have left out commitments: what is here is no basis for a no.
            self._registry.forget()
            raise Unavailable("party_not_admitted", "the ledger tells commitments to its members alone")
        self._registry.check_begun(head.origin, self._trust.registry_root)
        self._registry.seen(note, as_of_ms=as_of_ms)
