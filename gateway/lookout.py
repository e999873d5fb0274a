"""What the gateway remembers of a log: its newest checkpoint, which every later one has to hold, and what contradicts it.

A checkpoint counts only with the quorum of the trust file. Against the log its own signature is enough: witnesses do not sign
two histories, so the second one comes without them. What proves nothing, because somebody on the way could have made it so (an
older checkpoint, tiles that lead nowhere), is waited over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

from gateway.store import anchors
from gateway.store.anchors import Head, Submission
from gateway.store.writer import Writer
from ledger.client import AsyncClient
from protocol import conflict, growth, merkle, notes, statement
from protocol.conflict import Conflict, Kind, Seen, Taken
from protocol.documents import Genesis
from protocol.errors import ProtocolError, Unavailable, VerificationFailed
from protocol.growth import Placed
from protocol.notes import Checkpoint
from protocol.policy import Policy

CUT_SHORT = "an epoch of the log is said to have ended before what it had signed"
LOOK_EVERY_S = 60.0  # at the ledger's checkpoint, also when nothing waits: a log that changed its past is seen so soon


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A statement and its place, by a receipt that holds."""

    submission: Submission
    placed: Placed


class Contradicted(VerificationFailed):
    """The log's own signatures contradict each other."""


class Lookout:
    """policy: whose checkpoints count; report: is handed what contradicts the log, and keeps it before it returns."""

    def __init__(
        self,
        *,
        writer: Writer,
        client: AsyncClient,
        policy: Policy,
        now_ms: Callable[[], int],
        report: Callable[[Conflict, Kind, str], Awaitable[None]],
    ) -> None:
        self._writer, self._client, self._policy, self._now_ms = writer, client, policy, now_ms
        self._report = report
        self._next_s = 0.0  # on the loop's clock
        self.doubted = False
        """Whether the log contradicted itself and has not shown since that it holds what it held."""
        self.held_ms: int | None = None
        """When the log was last seen to hold all that it held, Unix ms."""

    async def on_time(self) -> None:
        """`look`, when its time has come; one that fails has to wait for its time again."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._next_s:
            self._next_s = now_s + LOOK_EVERY_S
            await self.look()

    async def look(self) -> None:
        """See the ledger's checkpoint, and keep it. Raises as `see` does."""
        head = await self.see()
        await self._writer.run(lambda conn: anchors.keep_head(conn, head))

    async def see(self, sent: Sequence[Sent] = ()) -> Head:
        """The log's newest checkpoint with its quorum, once it is seen to hold the tree that is kept and those of the receipts.
        sent: what one log has answered and is not settled yet; when that log has ended, it is its last checkpoint.
        A log that another was seen to go on from has ended, whatever it and its witnesses still sign.

        Raises Contradicted: log_contradicts, once that is reported; what says nothing yet: Unavailable: checkpoint_old,
        BadSignature: quorum_missed, log_unknown, log_unsigned, VerificationFailed: consistency_bad, epoch_cut_short; and as the
        client does.
        """
        client, note = self._client, await self._client.checkpoint()
        checkpoint, _ = self._policy.signed(note)
        newest = checkpoint
        if sent and checkpoint.origin != sent[0].placed.origin:
            self._policy.check(note)
            client = client.of_epoch(sent[0].placed.epoch)
            note = await client.checkpoint()
            checkpoint, _ = self._policy.signed(note)
        head = Head(checkpoint=checkpoint, note=self._policy.kept(note), at_ms=self._now_ms())
        digests = [each.submission.digest for each in sent]
        known, younger = await self._writer.run(lambda conn: (anchors.heads(conn), anchors.younger(conn, digests)))
        kept, last = known.get(checkpoint.origin), None
        if kept is not None:
            await self._compare(client, kept, head, [each for each in sent if each.submission.digest in younger])
            if kept.ended is not None and checkpoint.size > kept.ended:
                raise VerificationFailed("epoch_cut_short", CUT_SHORT)
        elif known and client is self._client:
            last = await self._follow(head, known)
        self._policy.check(note)
        if last is not None:
            await self._writer.run(partial(anchors.end, last=last))
        if client is not self._client and (kept is None or kept.ended is None):
            await self._ended(newest, checkpoint)
        for origin, size, root in {(each.placed.origin, each.placed.size, each.placed.root) for each in sent}:
            if origin != checkpoint.origin:
                raise VerificationFailed("log_unknown", "the checkpoint is of another log than the receipts")
            span = growth.span(size, checkpoint)
            growth.verify(size, root, checkpoint, await client.consistency(*span) if span else [])
        self.doubted, self.held_ms = False, head.at_ms
        return head

    async def _follow(self, head: Head, known: Mapping[str, Head]) -> Checkpoint | None:
        """The last checkpoint of the nearest known log, from where one that is new here goes on; None when it goes on from none
        of those, which is the trust file's word. Raises what `see` does.
        """
        found = await self._end_of(known.keys() & self._policy.logs.keys(), head.checkpoint)
        if found is None:
            return None
        epoch, prior = found
        last, _ = self._policy.signed(prior)
        kept = known[last.origin]
        if last.size < kept.checkpoint.size:
            raise VerificationFailed("epoch_cut_short", CUT_SHORT)
        ended = Head(checkpoint=last, note=self._policy.kept(prior), at_ms=head.at_ms)
        await self._compare(self._client.of_epoch(epoch), kept, ended, ())
        return last

    async def _ended(self, newest: Checkpoint, shown: Checkpoint) -> None:
        """Raises what `see` does, and VerificationFailed: log_unknown, epoch_cut_short, unless `shown` is of a log that ended
        before the newest and did not grow on after that: witnesses sign for each epoch, and do not know which one has ended.
        """
        found = await self._end_of({shown.origin}, newest)
        if found is None:
            raise VerificationFailed("log_unknown", "the receipts are of a log that the newest one does not go on from")
        if Checkpoint.from_text(notes.parse(found[1]).text).size < shown.size:
            raise VerificationFailed("epoch_cut_short", CUT_SHORT)

    async def _end_of(self, origins: AbstractSet[str], newest: Checkpoint) -> tuple[int, str] | None:
        """(epoch, last checkpoint) of the nearest log of these before the newest; None when there is none.

        Each epoch's first entry names the last checkpoint of the one before, so that the newest root vouches for all of them.
        Raises Unavailable: checkpoint_old; VerificationFailed: inclusion_bad; Malformed; and as the client does.
        """
        client, tree, epoch = self._client, newest, (await self._client.status()).epoch
        while origins:
            if tree.size == 0:
                raise Unavailable("checkpoint_old", "the ledger's log has no entry yet")
            first = statement.parse(await self._client.statement(f"{epoch}.0"))
            path = await client.proof(0, tree.size)
            leaf = merkle.leaf_hash(first.entry)
            merkle.verify_inclusion(leaf=leaf, index=0, size=tree.size, path=path, root=tree.root)
            prior = Genesis.decode(first.payload).prior
            if prior is None:
                return None
            tree, epoch = Checkpoint.from_text(notes.parse(prior).text), epoch - 1
            if tree.origin in origins:
                return epoch, prior
            client = self._client.of_epoch(epoch)
        return None

    async def _compare(self, client: AsyncClient, kept: Head, later: Head, young: Sequence[Sent]) -> None:
        """Report what contradicts the log, and raise Contradicted; else raises what `see` does."""
        path: list[bytes] = []
        taken: Taken | None = None
        try:
            path = await _beginning(client, kept.checkpoint, later.checkpoint)
            kind = conflict.contradiction(kept.checkpoint, later.checkpoint, path)
        except (Unavailable, VerificationFailed, ProtocolError):
            taken = _taken(kept.checkpoint, young)
            if taken is None:
                raise
            kind, path = "place_taken", []
        if kind is None:
            return
        found = Conflict(
            earlier=Seen(note=kept.note, at_ms=kept.at_ms),
            later=Seen(note=later.note, at_ms=later.at_ms),
            path=tuple(path),
            taken=taken,
        )
        await self._report(found, kind, kept.checkpoint.origin)
        self.doubted = True  # Stop before this: the ledger is asked again after the restart, and says the same.
        raise Contradicted("log_contradicts", conflict.SAYS[kind])


async def _beginning(client: AsyncClient, kept: Checkpoint, later: Checkpoint) -> list[bytes]:
    """The path from which the beginning of the later tree can be read. Raises Unavailable: checkpoint_old."""
    span = growth.span(kept.size, later)
    if span is None:
        return []
    path = await client.consistency(*span)
    if kept.size & (kept.size - 1):
        return path
    first = await client.nodes([(kept.size.bit_length() - 1, 0)], later.size)
    return [*first, *path]


def _taken(kept: Checkpoint, young: Sequence[Sent]) -> Taken | None:
    """A statement that was made after the kept tree and has a place in it: nobody but the log can have signed that."""
    for each in young:
        if each.placed.origin == kept.origin and each.placed.index < kept.size:
            return Taken(statement=each.submission.statement, receipt=each.placed.receipt)
    return None
