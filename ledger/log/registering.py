"""Registering: statements as bytes in, a verdict for each out, in few transactions that overlap with verifying the next."""

import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ledger import contracts
from ledger.log.epochs import Archive
from ledger.log.shelf import Shelf
from ledger.log.signer import Signer
from ledger.log.writer import Placed, Prepared, Writer, Written
from protocol import receipt, statement
from protocol.errors import ProtocolError, Unavailable, VigilError
from protocol.statement import Statement

BATCH_MAX = 256  # statements in one transaction: one wait for the disk serves all who wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A statement in the log. entry_id: "epoch.index"; size: of the tree that `receipt` proves it in; new: not there before."""

    entry_id: str
    index: int
    size: int
    receipt: bytes
    new: bool


class Registrar:
    """For one thread at a time. archive: epochs that have ended; on_disk: told of each transaction before anybody is answered."""

    def __init__(
        self, *, writer: Writer, shelf: Shelf, signer: Signer, archive: Archive, on_disk: Callable[[Written], None]
    ) -> None:
        self._writer, self._shelf, self._signer, self._archive = writer, shelf, signer, archive
        self._on_disk = on_disk
        self.wrote = True
        """Whether the newest transaction could be written."""
        self.stopped: Unavailable | None = None
        """Why nothing is registered any more."""

    def register_many(self, raws: Sequence[bytes]) -> list[Registered | VigilError]:
        """Put statements into the log, each once and in their order; a verdict for each."""
        read = [self._earlier(_read(raw)) for raw in raws]
        whole = [found for found in read if isinstance(found, Statement)]
        batches = [whole[place : place + BATCH_MAX] for place in range(0, len(whole), BATCH_MAX)]
        verdicts = iter(list(self._commit(batches)))
        return [next(verdicts) if isinstance(found, Statement) else found for found in read]

    def _earlier(self, found: Statement | VigilError) -> Statement | Registered | VigilError:
        """What became of a statement in an epoch that has ended; else the statement, which this one is asked to take."""
        try:
            place = None if isinstance(found, VigilError) else self._archive.of(found.entry)
            if place is None:
                return found
            shelf, index = place
            proof = shelf.receipt(index)
        except VigilError as error:
            return error
        except sqlite3.Error as error:
            return Unavailable("storage_failed", f"an earlier epoch could not be read: {error}")
        name, size = shelf.entry_id(index), shelf.published.size
        return Registered(entry_id=name, index=index, size=size, receipt=proof, new=False)

    def _commit(self, batches: Sequence[Sequence[Statement]]) -> Iterator[Registered | VigilError]:
        """Each batch in one transaction, during whose wait for the disk the signatures of the next are verified."""
        waiting, ahead = deque(batches), deque[Prepared]()

        def prepare() -> None:
            if waiting:
                ahead.append(self._writer.prepare(waiting.popleft()))

        while ahead or waiting:
            if not ahead:
                prepare()
            batch = ahead.popleft()
            if self.stopped is not None:
                batch.promised.finish()
                yield from (Unavailable(self.stopped.code, self.stopped.detail) for _ in batch.statements)
                continue
            try:
                written = self._writer.write(batch, judged=prepare)
            except Unavailable as error:
                self.wrote = False
                yield from (Unavailable(error.code, error.detail) for _ in batch.statements)
                continue
            self.wrote = True
            self._on_disk(written)
            # Stop here: on disk and signed, not answered. Whoever sends it again finds it.
            yield from [self._answer(verdict, written) for verdict in written.verdicts]

    def _answer(self, verdict: Placed | VigilError, written: Written) -> Registered | VigilError:
        if isinstance(verdict, VigilError):
            return verdict
        size, name, index = written.head.size, self._shelf.entry_id(verdict.index), verdict.index
        try:
            path = written.paths.path(index)
        except Unavailable as error:
            return self._shelf.pruned(index) or error
        except sqlite3.Error as error:  # it is on disk: whoever sends it again finds it
            return Unavailable("storage_failed", f"the receipt's path could not be read: {error}")
        proof = receipt.issue(
            self._signer.for_receipts(),
            iss=self._shelf.published.origin,
            sub=name,
            root=written.head.root,
            size=size,
            index=index,
            path=path,
        )
        return Registered(entry_id=name, index=index, size=size, receipt=proof, new=verdict.new)


def _read(raw: bytes) -> Statement | VigilError:
    """The statement in `raw`; what others attached to it unsigned is left out. Source: RFC 9943 §6.3."""
    with contextlib.suppress(ProtocolError):
        return statement.parse(raw)
    try:
        return statement.parse(contracts.bare(raw))
    except ProtocolError as error:
        return error
