"""Logs without a ledger, for tests of witnesses: a tree, a key, and what such a log would send."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ledger.witness import witness as witnesses
from ledger.witness.store import Store
from ledger.witness.witness import Witness
from protocol import merkle, notes, witnessing
from protocol.keys import SigningKey
from protocol.notes import NoteKey
from protocol.witnessing import Request

NAME = "witness.example/1"
NOW_S = 1_700_000_000.0


class Clock:
    """A clock that tests set, in s."""

    def __init__(self, at_s: float = NOW_S) -> None:
        self.at_s = at_s

    def __call__(self) -> float:
        return self.at_s


class Log:
    """A log of `size` entries. fork: where its entries become others than those of logs with another `branch`."""

    def __init__(
        self, origin: str = "log.example/one", *, seed: int = 1, fork: int = 1 << 60, branch: str = ""
    ) -> None:
        self.key, self.origin = SigningKey.from_seed(bytes([seed]) * 32), origin
        self._fork, self._branch = fork, branch
        self.tree = merkle.Tree()

    @property
    def vkey(self) -> NoteKey:
        return NoteKey(name=self.origin, kind=notes.SIGNATURE, key=self.key.public)

    def grown(self, size: int) -> "Log":
        """The same log, now of `size` entries at least."""
        for number in range(self.tree.size, size):
            said = self._branch if number >= self._fork else ""
            self.tree.append(merkle.leaf_hash(f"{said}{number}".encode()))
        return self

    def checkpoint(self, size: int) -> notes.Checkpoint:
        return notes.Checkpoint(origin=self.origin, size=size, root=self.grown(size).tree.root(size))

    def note(self, size: int, key: SigningKey | None = None) -> str:
        text = self.checkpoint(size).text()
        return notes.Note(text=text, lines=(notes.sign(text, name=self.origin, key=key or self.key),)).whole()

    def request(self, old: int, size: int, **changed: object) -> Request:
        """What the log sends to go on from `old`."""
        note = self.note(size)
        proof = () if old == 0 or old >= size else tuple(self.tree.consistency(old, size))
        return Request.make(**{"old": old, "proof": proof, "note": note, **changed})


def made(folder: Path, *logs: Log, name: str = NAME) -> NoteKey:
    """A witness in `folder` that cosigns for `logs`."""
    key = witnesses.make(folder, name=name)
    with contextlib.closing(Store.open(folder)) as store:
        for log in logs:
            store.add_log(log.vkey, url="", path=witnessing.checkpoint_path(log.origin))
    return key


@contextlib.contextmanager
def opened(folder: Path, clock: Clock | None = None, rate_per_s: float = 1000.0) -> Iterator[Witness]:
    """The witness in `folder`."""
    clock = clock or Clock()
    found = Witness.open(folder, now_s=clock, monotonic_s=clock, rate_per_s=rate_per_s)
    with contextlib.closing(found):
        yield found


@contextlib.contextmanager
def opened_once(folder: Path) -> Iterator[Witness]:
    """A witness that has just been made."""
    made(folder)
    with opened(folder) as found:
        yield found


def evidence(folder: Path) -> list[tuple[str, str, str]]:
    """(kind, cosigned, refused) of everything that the witness in `folder` holds against logs."""
    with contextlib.closing(Store.open(folder)) as store:
        return [(each.kind, each.cosigned, each.refused) for each in store.evidence()]
