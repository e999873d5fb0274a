"""A log without a ledger: a tree in memory, its key, and a client's methods, so that tests can let it lie."""

from dataclasses import dataclass, field

from ledger.client import LedgerRefused, Registered
from protocol import merkle, notes, policy, receipt, statement
from protocol.errors import Unavailable
from protocol.keys import SigningKey
from protocol.notes import Checkpoint

ORIGIN = "paper.example/1"
KEY = SigningKey.from_seed(bytes([7]) * 32)


def trusted(key: SigningKey = KEY, origin: str = ORIGIN) -> policy.Policy:
    """The policy that trusts the log with this key."""
    return policy.parse(f"log {notes.NoteKey(name=origin, kind=notes.SIGNATURE, key=key.public).vkey()}\nquorum none\n")


@dataclass
class Paper:
    """What `AsyncClient` does, by a log that is right unless a test changes it. entries: begin with one of its own.

    away: raised by everything; refusals: codes by digest; failing: raised for a statement, by digest; sent: digests in the
    order in which they came; ended: logs of epochs that have ended, by epoch.
    """

    key: SigningKey = KEY
    origin: str = ORIGIN
    entries: list[bytes] = field(default_factory=lambda: [bytes(32)])
    away: Exception | None = None
    refusals: dict[bytes, str] = field(default_factory=dict)
    failing: dict[bytes, Exception] = field(default_factory=dict)
    ended: "dict[int, Paper]" = field(default_factory=dict)
    epoch: int = 1
    sent: list[bytes] = field(default_factory=list)

    @property
    def tree(self) -> merkle.Tree:
        """Of all entries."""
        return merkle.Tree([merkle.leaf_hash(entry) for entry in self.entries])

    def grow(self, count: int, salt: bytes = b"") -> None:
        """Let others register statements."""
        first = len(self.entries)
        self.entries += [statement.entry(salt + b"%d" % number) for number in range(first, first + count)]

    async def register(self, raw: bytes) -> Registered:
        """The receipt of a statement, which is in the log then."""
        self._answering()
        digest = statement.entry(raw)
        self.sent.append(digest)
        if digest in self.failing:
            raise self.failing[digest]
        if digest in self.refusals:
            raise LedgerRefused(self.refusals[digest], "no")
        for old in self.ended.values():
            if digest in old.entries:
                return old.receipted(old.entries.index(digest))
        if digest not in self.entries:
            self.entries.append(digest)
        return self.receipted(self.entries.index(digest))

    def receipted(self, index: int, *, key: SigningKey | None = None, sub: str | None = None) -> Registered:
        """The receipt of an entry for the newest tree."""
        size, name = len(self.entries), f"{self.epoch}.{index}"
        raw = receipt.issue(
            key or self.key,
            iss=self.origin,
            sub=sub or name,
            root=self.tree.root(),
            size=size,
            index=index,
            path=self.tree.path(index),
        )
        return Registered(entry_id=name, receipt=raw, index=index, size=size)

    def of_epoch(self, epoch: int) -> "Paper":
        """The log of an epoch that has ended."""
        return self.ended[epoch]

    async def checkpoint(self) -> str:
        """The newest one."""
        self._answering()
        return self.note(len(self.entries))

    def note(self, size: int) -> str:
        """A signed checkpoint."""
        text = Checkpoint(origin=self.origin, size=size, root=self.tree.root(size)).text()
        return notes.Note(text=text, lines=(notes.sign(text, name=self.origin, key=self.key),)).whole()

    async def consistency(self, size1: int, size2: int) -> list[bytes]:
        """Between two sizes."""
        self._answering()
        return self.tree.consistency(size1, size2)

    async def beginning(self, size1: int, size2: int) -> list[bytes]:
        """What the larger tree began as."""
        self._answering()
        return merkle.prefix_path(
            merkle.Tree([merkle.leaf_hash(each) for each in self.entries[:size2]]).node, size1, size2
        )

    def _answering(self) -> None:
        if self.away is not None:
            raise self.away


def unreachable() -> Unavailable:
    """What a client raises when nobody answers."""
    return Unavailable("ledger_unreachable", "the ledger cannot be reached")
