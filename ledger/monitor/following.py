"""Following one log: each round takes its newest checkpoint, sees that it continues the last, and reads every entry up to it.

The order makes a kill cost a repetition and never a silence: what is said is said before it counts, so that each event is told
at least once, and after a kill perhaps twice.

    tell(checkpoint)       # Stop here: told, not counted. The next start takes it up again, or a newer one.
    folder.save(newest)    # Stop here: the checkpoint counts, nothing of it is read. The next start reads on.
    tell(events)           # Stop here: told, not counted. The next start tells the bundle's events again.
    folder.save(edge)      # Stop here: the bundle is read. The next start goes on after it.
    tell(followed)         # Stop here: the root was right. The next start says so again.
    folder.save(proven)    # Stop here: done. The next start asks for a newer checkpoint.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, TypeVar

from ledger.client import AsyncClient, LedgerBusy, LedgerRefused, Status
from ledger.monitor import judging
from ledger.monitor.edge import EMPTY, Edge
from ledger.monitor.judging import Event, Watch
from ledger.monitor.kept import Folder, Followed
from protocol import conflict, growth, merkle, receipt, statement, tiles
from protocol.conflict import Conflict, Seen
from protocol.documents import Genesis
from protocol.errors import BadSignature, Malformed, ProtocolError, Unavailable, VerificationFailed
from protocol.keys import PublicKey
from protocol.notes import Checkpoint
from protocol.policy import Policy

UNKNOWN, FIRST = 0, 1  # epochs: of a log that names none, and the first one of a log that does
AT_ONCE = 4  # statements that are asked for at the same time, and in memory; more cost httpx more than they win
TRIES_MAX = 8  # at one question to a ledger that is busy; then the round ends, and the next one goes on there
PAUSE_S, PAUSE_MAX_S = 1.0, 30.0  # between them: longer each time, at least as the ledger asks for, within this

T = TypeVar("T")


class Contradiction(VerificationFailed):
    """The log shrank, forked or lied. The evidence is in the monitor's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Statements of what this process read since it last read a log to its end; unread: nobody to ask, or not for us."""

    read: int = 0
    unread: int = 0


class Monitor:
    """One log's follower. tell: is done with an event when it returns; pause: waits so many seconds."""

    def __init__(
        self,
        *,
        client: AsyncClient,
        policy: Policy,
        folder: Folder,
        watch: Watch,
        tell: Callable[[Event], None],
        now_ms: Callable[[], int],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client, self._policy, self._folder, self._watch = client, policy, folder, watch
        self._tell, self._now_ms, self._pause = tell, now_ms, pause
        self._followed = folder.load()
        self._source = client
        self._tally = Tally()

    async def round(self) -> None:
        """Follow the log up to its newest checkpoint, from one epoch to the next.

        Raises Contradiction; VerificationFailed, for a checkpoint that the policy does not let through; Unavailable.
        """
        try:
            status = await self._status()
            if (kept := self._followed) is not None:
                if status is not None and status.origin == kept.head.origin and status.epoch != kept.epoch:
                    # Unknown until now, or said wrongly once, by whoever was on the way: a status is not signed.
                    kept = self._save(replace(kept, epoch=status.epoch))
                self._turn_to(kept.epoch, status)
                await self._read_up(kept, status)  # what the last round did not come to
            await self._step(await self._patiently(self._source.checkpoint), status)
            while status is not None and self._followed and UNKNOWN < self._followed.epoch < status.epoch:
                await self._begin_next(self._followed, status)
        except BadSignature as error:
            if error.code == "quorum_missed":
                raise Unavailable(error.code, "too few witnesses have signed the newest checkpoint") from error
            raise VerificationFailed(error.code, error.detail) from error
        except ProtocolError as error:
            raise Unavailable(error.code, f"the ledger's answer is none: {error.detail}") from error

    async def _step(self, note: str, status: Status | None) -> None:
        """Take up a checkpoint. Raises Malformed; BadSignature; Contradiction; VerificationFailed: log_other; Unavailable."""
        head, kept = self._policy.signed(note)[0], self._followed
        if kept is None:
            self._policy.check(note)
            if status is not None and status.origin != head.origin:
                raise Unavailable("status_other", "the ledger's status and checkpoint are of two epochs: ask again")
            epoch = status.epoch if status else UNKNOWN
            if epoch > FIRST:
                text = f"the epochs before {epoch} have ended: nobody looked at them here"
                self._tell(Event(kind="gap", text=text, facts={"epochs": epoch - FIRST}))
            await self._take_up(_fresh(note, epoch, self._now_ms()), status)
            return
        if head.origin != kept.head.origin:
            if status is not None and status.origin == kept.head.origin:
                raise Unavailable("status_other", "the ledger's status and checkpoint are of two epochs: ask again")
            raise VerificationFailed(
                "log_other", f"the address serves {judging.told(head.origin)}, not the log followed here"
            )
        await self._compare(kept, head, note)
        if head.size > kept.head.size:
            self._policy.check(note)
            await self._take_up(replace(kept, newest=note, newest_ms=self._now_ms()), status)

    async def _take_up(self, followed: Followed, status: Status | None) -> None:
        """`followed` has a newer checkpoint: tell of it and read up to it."""
        head, cosigned = self._policy.signed(followed.newest)
        facts = {"origin": head.origin, "epoch": followed.epoch, "size": head.size, "root": head.root.hex()}
        facts["cosigned_by"] = [name for name, _ in cosigned]
        self._tell(Event(kind="checkpoint", text=f"{head.origin} has {head.size} entries", facts=facts))
        await self._read_up(self._save(followed), status)

    async def _begin_next(self, kept: Followed, status: Status) -> None:
        """Go from an epoch that ended to the next, whose genesis says how it ended: no entry may be lost between the two."""
        ended, epoch = self._source, kept.epoch + 1
        self._turn_to(epoch, status)
        begun = self._source
        note = await self._patiently(begun.checkpoint)
        head, _ = self._policy.check(note)
        raw = await self._patiently(lambda: self._client.statement(f"{epoch}.0"))
        path = await self._patiently(lambda: begun.proof(0, head.size))
        leaf = merkle.leaf_hash(statement.entry(raw))
        merkle.verify_inclusion(leaf=leaf, index=0, size=head.size, path=path, root=head.root)
        prior = Genesis.decode(statement.parse(raw).payload).prior
        last = self._policy.signed(prior)[0] if prior else None
        if prior is None or last is None or last.origin != kept.head.origin or last.size < kept.head.size:
            self._accuse("prior_other", kept, note, "the next epoch does not begin where this one was seen to be")
        self._source = ended
        await self._compare(kept, last, prior)
        if last.size > kept.head.size:
            await self._take_up(replace(kept, newest=prior, newest_ms=self._now_ms()), status)
        self._source = begun
        await self._take_up(_fresh(note, epoch, self._now_ms()), status)

    def _turn_to(self, epoch: int, status: Status | None) -> None:
        """Ask for checkpoints, nodes and entries of this epoch from now on."""
        newest = status is None or epoch in (UNKNOWN, status.epoch)
        self._source = self._client if newest else self._client.of_epoch(epoch)

    async def _compare(self, kept: Followed, head: Checkpoint, note: str) -> None:
        """Raises Contradiction, unless `head` is the newest checkpoint grown, or the same; it may then lack witnesses."""
        last = kept.head
        if head.size == last.size:
            if head.root != last.root:
                self._accuse("two_roots", kept, note, conflict.SAYS["two_roots"], proof=())
            return
        if head.size < last.size:
            await self._accuse_smaller(kept, head, note)
        try:
            path = await self._patiently(lambda: self._source.beginning(last.size, head.size))
            kind = conflict.contradiction(last, head, path)
        except LedgerRefused:  # those tiles are pruned, or it denies what it has signed
            await self._compare_signed(kept, head, note)
            return
        except VerificationFailed as error:
            self._accuse("unproven", kept, note, f"the log does not show that its tree only grew: {error.detail}")
        if kind is not None:
            self._accuse(kind, kept, note, conflict.SAYS[kind], proof=path)

    async def _accuse_smaller(self, kept: Followed, head: Checkpoint, note: str) -> NoReturn:
        """Raises Contradiction: as a proof for anybody, where the larger tree began otherwise than the smaller one says."""
        try:
            path = await self._patiently(lambda: self._source.beginning(head.size, kept.head.size))
            kind = conflict.contradiction(kept.head, head, path)
        except (ProtocolError, VerificationFailed, Unavailable):
            kind = None  # it does not even show the tree that it had
        if kind is not None:
            self._accuse(kind, kept, note, conflict.SAYS[kind], proof=path)
        self._accuse("shrank", kept, note, "the log shows fewer entries than it had, or an old checkpoint")

    async def _compare_signed(self, kept: Followed, head: Checkpoint, note: str) -> None:
        """The same by the log's own receipt, for a tree whose tiles are pruned. Raises Contradiction; Malformed; BadSignature."""
        found = receipt.read_consistency(
            await self._patiently(lambda: self._client.consistency_receipt(kept.head.size))
        )
        if found.size1 != kept.head.size or found.size2 < head.size:
            raise Malformed("receipt_proof", "the receipt is for other trees than was asked")
        try:
            receipt.verify_consistency(found, root1=kept.head.root, key=self._receipts_key(found.kid, head.origin))
            path = []
            if head.size < found.size2:
                path = await self._patiently(lambda: self._source.consistency(head.size, found.size2))
            newest = Checkpoint(origin=head.origin, size=found.size2, root=found.root)
            growth.verify(head.size, head.root, newest, path)
        except VerificationFailed as error:
            self._accuse("unproven", kept, note, f"the log does not show that its tree only grew: {error.detail}")

    async def _read_up(self, followed: Followed, status: Status | None) -> None:
        """Read every entry up to the newest checkpoint. Raises Contradiction; ProtocolError; Unavailable."""
        head, gap = followed.head, 0
        if followed.edge.size < head.size:
            newest = status is not None and followed.epoch == status.epoch
            followed, gap = await self._skip(followed, status.minimum if status and newest else 0)
            while followed.edge.size < head.size:
                followed = await self._read_bundle(followed, head)
        if followed.edge.root() != head.root:
            self._give_up(followed)
        if followed.proven != followed.newest:
            facts = {"origin": head.origin, "size": head.size, "skipped": gap}
            facts |= {"statements": self._tally.read, "unread": self._tally.unread}
            unread = f"; {self._tally.unread} statements were not read" if self._tally.unread else ""
            self._tell(Event(kind="followed", text=f"{head.origin} is read up to {head.size}{unread}", facts=facts))
            self._save(replace(followed, proven=followed.newest, proven_edge=followed.edge))
            self._tally = Tally()

    async def _read_bundle(self, followed: Followed, head: Checkpoint) -> Followed:
        """Read one bundle, and only then tell of its entries: one that cannot be read now is not told of in each round.

        Raises ProtocolError; Unavailable.
        """
        first = followed.edge.size
        count = min(tiles.WIDTH - first % tiles.WIDTH, head.size - first)
        entries = await self._patiently(lambda: self._source.entries(first, count, head.size))
        tally, events = self._tally, list[Event]()
        for begin in range(0, count, AT_ONCE):
            some = range(begin, min(begin + AT_ONCE, count))
            asked = [self._judge(first + place, entries[place], followed.epoch) for place in some]
            for found in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(found, BaseException):
                    raise found
                event, read, unread = found
                tally = Tally(read=tally.read + read, unread=tally.unread + unread)
                events += [event] if event else []
        for event in events:
            self._tell(event)
        self._tally = tally
        return self._save(replace(followed, edge=followed.edge.grown(entries)))

    async def _judge(self, index: int, entry: bytes, epoch: int) -> tuple[Event | None, int, int]:
        """What there is to say of an entry, how many statements were read for it, and how many were not."""
        name = f"{epoch}.{index}" if epoch != UNKNOWN else str(index)
        if epoch == UNKNOWN or len(entry) != merkle.HASH_SIZE:
            return judging.judge(name, entry, None, self._watch), 0, 1
        try:
            raw = await self._patiently(lambda: self._client.statement(name))
        except LedgerRefused as error:
            event = judging.missing(name, error.code)
            return event, 0, int(event is None)
        return judging.judge(name, entry, raw, self._watch), 1, 0

    async def _skip(self, followed: Followed, minimum: int) -> tuple[Followed, int]:
        """Go to the first entry that the log still serves; how many were left out.

        The hashes of what is left out are not checked here: if they are wrong, the root in the end is.
        """
        head, first = followed.head, followed.edge.size
        begin = min(minimum, head.size)
        if begin <= first:
            return followed, 0
        nodes = await self._patiently(lambda: self._source.nodes(merkle.range_nodes(0, begin), head.size))
        text = f"the log no longer serves {begin - first} entries from {first} on: nobody looked at them here"
        self._tell(Event(kind="gap", text=text, facts={"first": first, "count": begin - first}))
        return self._save(replace(followed, edge=Edge(size=begin, nodes=tuple(nodes)))), begin - first

    async def _status(self) -> Status | None:
        """What the ledger says about itself; None for a log that says nothing, whose statements nobody can ask for.

        Raises Unavailable: status_missing, when statements are needed.
        """
        try:
            return await self._patiently(self._client.status)
        except (LedgerRefused, Malformed) as error:
            if self._watch:
                raise Unavailable(
                    "status_missing", "the log names no epoch, so that no statement can be asked for"
                ) from error
            return None

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        for tried in range(TRIES_MAX - 1):
            try:
                return await ask()
            except LedgerBusy as error:
                await self._pause(min(max(error.retry_after_s or 0.0, PAUSE_S * 2**tried), PAUSE_MAX_S))
        return await ask()

    def _save(self, followed: Followed) -> Followed:
        self._folder.save(followed)
        self._followed = followed
        return followed

    def _give_up(self, followed: Followed) -> NoReturn:
        """The entries give another root than the log signed: say so, and read again from what was right."""
        detail = f"the log's entries give the root {followed.edge.root().hex()}, which is not the one that it signed"
        checkpoints = {"proven.checkpoint": followed.proven, "newest.checkpoint": followed.newest}
        try:
            self._tell_on("entries_other", detail, {name: note.encode() for name, note in checkpoints.items() if note})
        finally:
            self._save(replace(followed, edge=followed.proven_edge))

    def _receipts_key(self, thumbprint: bytes, origin: str) -> PublicKey:
        log = self._policy.receipts_by(thumbprint)
        if log is None or log[0] != origin:
            raise BadSignature("kid_mismatch", "a receipt by a key that the policy does not name for this log")
        return log[1]

    def _accuse(
        self, kind: str, kept: Followed, note: str, detail: str, *, proof: Sequence[bytes] | None = None
    ) -> NoReturn:
        """Raises Contradiction between the newest checkpoint and `note`. proof: when these two alone prove it, to anybody."""
        files = {"earlier.checkpoint": kept.newest.encode(), "later.checkpoint": note.encode()}
        if proof is not None:
            earlier = Seen(note=kept.newest, at_ms=kept.newest_ms)
            later = Seen(note=note, at_ms=self._now_ms())
            files["conflict.json"] = Conflict(earlier=earlier, later=later, path=tuple(proof)).encode()
        self._tell_on(kind, detail, files)

    def _tell_on(self, kind: str, detail: str, files: Mapping[str, bytes]) -> NoReturn:
        """Raises Contradiction, once the evidence is on disk."""
        where = self._folder.keep_evidence(kind, {**files, "finding.txt": f"{kind}: {detail}\n".encode()})
        facts = {"contradiction": kind, "detail": detail, "evidence": str(where)}
        self._tell(Event(kind="contradiction", text=f"{detail}; the evidence is in {where}", facts=facts))
        raise Contradiction(f"log_{kind}", f"{detail}; the evidence is in {where}")


async def follow(
    monitor: Monitor,
    *,
    every_s: float,
    tell: Callable[[Event], None],
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """Rounds until cancelled; trouble is told once when it begins, and once when it is over. Raises Contradiction."""
    trouble = ""
    while True:
        try:
            await monitor.round()
        except Contradiction:
            raise
        except (Unavailable, VerificationFailed) as error:
            if error.code != trouble:
                facts = {"code": error.code, "detail": error.detail}
                tell(Event(kind="unchecked", text=f"{error.detail} [{error.code}]", facts=facts))
            trouble = error.code
        else:
            if trouble:
                tell(Event(kind="checked", text="the log is checked again"))
            trouble = ""
        await pause(every_s)


def _fresh(note: str, epoch: int, now_ms: int) -> Followed:
    return Followed(epoch=epoch, proven="", proven_edge=EMPTY, newest=note, newest_ms=now_ms, edge=EMPTY)
