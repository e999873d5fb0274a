"""What the gateway remembers of a log: its newest checkpoint, which every later one has to hold, and what contradicts it.

A checkpoint counts only with the quorum of the trust file. Against the log its own signature is enough: witnesses do not sign
two histories, so the second one comes without them. What proves nothing, because somebody on the way could have made it so (an
older checkpoint, tiles that lead nowhere), is waited over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

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

        Raises Contradicted: log_contradicts, once that is reported; what says nothing yet: Unavailable: checkpoint_old,
        BadSignature: quorum_missed, log_unknown, log_unsigned, VerificationFailed: consistency_bad; and as the client does.
        """
        client, note = self._client, await self._client.checkpoint()
        checkpoint, _ = self._policy.signed(note)
        if sent and checkpoint.origin != sent[0].placed.origin:
            client = client.of_epoch(sent[0].placed.epoch)
            note = await client.checkpoint()
            checkpoint, _ = self._policy.signed(note)
        head = Head(checkpoint=checkpoint, note=self._policy.kept(note), at_ms=self._now_ms())
        digests = [each.submission.digest for each in sent]
        known, younger = await self._writer.run(lambda conn: (anchors.heads(conn), anchors.younger(conn, digests)))
        kept = known.get(checkpoint.origin)
        if kept is not None:
            await self._compare(client, kept, head, [each for each in sent if each.submission.digest in younger])
        elif known and client is self._client:
            await self._follow(head, known)
        self._policy.check(note)
        for origin, size, root in {(each.placed.origin, each.placed.size, each.placed.root) for each in sent}:
            if origin != checkpoint.origin:
                raise VerificationFailed("log_unknown", "the checkpoint is of another log than the receipts")
            span = growth.span(size, checkpoint)
            growth.verify(size, root, checkpoint, await client.consistency(*span) if span else [])
        self.doubted, self.held_ms = False, head.at_ms
        return head

    async def _follow(self, head: Head, known: Mapping[str, Head]) -> None:
        """Raises what `see` does, and VerificationFailed: epoch_cut_short, unless a log that is new here began where one that is
        known ended: its first entry names that one's last checkpoint. One that says so of no known log is the trust file's word.
        """
        epoch, size = (await self._client.status()).epoch, head.checkpoint.size
        if size == 0:
            raise Unavailable("checkpoint_old", "the ledger's log has no entry yet")
        first = statement.parse(await self._client.statement(f"{epoch}.0"))
        path = await self._client.proof(0, size)
        leaf = merkle.leaf_hash(first.entry)
        merkle.verify_inclusion(leaf=leaf, index=0, size=size, path=path, root=head.checkpoint.root)
        prior = Genesis.decode(first.payload).prior
        if prior is None or Checkpoint.from_text(notes.parse(prior).text).origin not in self._policy.logs:
            return
        last, _ = self._policy.signed(prior)
        kept = known.get(last.origin)
        if kept is None:
            return
        if last.size < kept.checkpoint.size:
            raise VerificationFailed(
                "epoch_cut_short", "the log's last epoch is said to have ended before what it had signed"
            )
        ended = Head(checkpoint=last, note=self._policy.kept(prior), at_ms=head.at_ms)
        await self._compare(self._client.of_epoch(epoch - 1), kept, ended, ())

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
