"""One witness: a key, what it cosigned, and the steps from a request to a cosignature."""

import contextlib
import math
import os
import re
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ledger import keyfile
from ledger.witness import judging
from ledger.witness.rationing import Ration
from ledger.witness.store import FILE, Store
from protocol import notes, witnessing
from protocol.errors import ConfigError, Malformed, NotFound
from protocol.keys import SigningKey
from protocol.notes import Note, NoteKey
from protocol.witnessing import Request

KEY = "witness.key"
BURST_S = 4  # a ration saves up what it would get in this time: a log that comes back sends a few at once

_NAME = re.compile(r"[!-*,-~]{1,128}")  # visible ASCII without "+", which separates the parts of a verifier key


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """code: a key of `judging.STATUS`; body: of the answer when the protocol says what it is, else empty.

    retry_after_s: for too_many, else 0.
    """

    code: str
    body: bytes = b""
    retry_after_s: int = 0


def make(state: Path, *, name: str) -> NoteKey:
    """A new witness in the folder `state`, or the one that is there when it has that name.

    Raises ConfigError: witness_name, database_lost, state_in_use; Unavailable: state_unreadable, key_unreadable.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "witness_name", "a witness has a name like witness.example.org/1, without spaces and plus signs"
        )
    with contextlib.ExitStack() as held:
        held.callback(os.close, keyfile.hold(state, program="witness"))
        _refuse_lost_database(state)
        # Stop after the database and before the key: the next run makes the key. The other way round it would look as if
        # the witness had forgotten what it cosigned.
        store = held.enter_context(contextlib.closing(Store.make(state, name=name)))
        if store.name() != name:
            raise ConfigError("witness_name", f"this witness is called {store.name()}, and that cannot change")
        keyfile.make(state / KEY)
        return _note_key(name, _key(state))


def key_of(state: Path) -> NoteKey:
    """The verifier key of the witness in `state`, which may be at work. Raises as `Witness.open` does."""
    with contextlib.closing(Store.open(state)) as store:
        return _note_key(store.name(), _key(state))


class Witness:
    """For any number of threads of one process."""

    def __init__(
        self,
        *,
        key: SigningKey,
        store: Store,
        now_s: Callable[[], float],
        monotonic_s: Callable[[], float],
        rate_per_s: float,
    ) -> None:
        self._key, self._store, self._name = key, store, store.name()
        self._now_s, self._monotonic_s, self._rate_per_s = now_s, monotonic_s, rate_per_s
        self._rations: dict[str, Ration] = {}  # of known logs only, so that it stays small
        self._working = threading.Lock()
        self._held = contextlib.ExitStack()
        self.healthy = True
        """Whether the newest transaction could be written."""

    @classmethod
    def open(
        cls, state: Path, *, now_s: Callable[[], float], monotonic_s: Callable[[], float], rate_per_s: float
    ) -> Self:
        """The witness in the folder `state`. now_s: Unix time; rate_per_s: new checkpoints of one log.

        Raises NotFound: witness_missing, key_missing; ConfigError: database_lost, state_in_use;
        Unavailable: state_unreadable, key_unreadable.
        """
        if not state.is_dir():
            raise NotFound("witness_missing", f"there is no {state}: make a witness with `vigil ledger witness init`")
        with contextlib.ExitStack() as held:
            held.callback(os.close, keyfile.hold(state, program="witness"))
            _refuse_lost_database(state)
            store = held.enter_context(contextlib.closing(Store.open(state)))
            found = cls(key=_key(state), store=store, now_s=now_s, monotonic_s=monotonic_s, rate_per_s=rate_per_s)
            found._held = held.pop_all()
        return found

    @property
    def key(self) -> NoteKey:
        """What verifiers know it by."""
        return _note_key(self._name, self._key)

    def add(self, body: bytes) -> Answer:
        """The answer to an add-checkpoint request. Blocks: call it in a thread."""
        try:
            request = Request.parse(body)
        except Malformed:
            return Answer(code="request_bad")
        with self._working:
            try:
                with self._store.writing():
                    answer = self._add(request)
                # Stop here: the checkpoint is the newest, and nobody has the cosignature. Whoever asks again gets one.
                self.healthy = True
            except sqlite3.Error:
                self.healthy = False
                answer = Answer(code="storage_failed")
        return answer

    def newest(self, path: str) -> str:
        """The newest cosigned checkpoint of the log that is asked for at `path`. Raises NotFound: log_unknown."""
        with self._working:
            found = self._store.note_at(path)
        if found is None:
            raise NotFound("log_unknown", "this witness has cosigned nothing for such a log")
        return found

    def counts(self) -> dict[str, int]:
        """How much evidence of each kind is kept."""
        with self._working:
            return self._store.counts()

    def close(self) -> None:
        """Let go of files and lock, after whoever is writing."""
        with self._working:
            self._held.close()

    def _add(self, request: Request) -> Answer:
        asked = request.checkpoint
        keys, newest = self._store.keys(asked.origin), self._store.newest(asked.origin)
        verdict = judging.judge(request, keys=keys, newest=newest)
        at_s = max(
            int(self._now_s()), 1, 0 if newest is None else newest.at_s
        )  # a clock that went back takes nothing back
        if verdict.code == "cosigned":
            if newest is None or newest.size < asked.size:
                wait_s = self._wait_s(asked.origin)
                if wait_s:
                    return Answer(code="too_many", retry_after_s=math.ceil(wait_s))
            return self._cosigned(request, keys, at_s, newest)
        if (
            verdict.evidence and newest is not None
        ):  # costs the log nothing: anybody can send what it signed with a wrong proof
            refused = _kept(request.note, keys)
            self._store.keep_evidence(asked, kind=verdict.evidence, cosigned=newest.note, refused=refused, at_s=at_s)
        stands = 0 if newest is None else newest.size
        return Answer(code=verdict.code, body=witnessing.size_body(stands) if verdict.code == "old_differs" else b"")

    def _cosigned(self, request: Request, keys: list[NoteKey], at_s: int, newest: judging.Cosigned | None) -> Answer:
        """Sign, and write down what was signed; the answer leaves when that is on disk."""
        text = request.checkpoint.text()
        line = notes.cosign(text, name=self._name, key=self._key, at_s=at_s)
        answer = Answer(code="cosigned", body=witnessing.cosignatures_body((line,)))
        if newest is not None and (newest.size, newest.at_s) == (request.checkpoint.size, at_s):
            return answer  # the same words in the same second: they are written down already
        self._store.keep(request.checkpoint, note=_kept(request.note, keys) + line.text(), at_s=at_s)
        return answer

    def _wait_s(self, origin: str) -> float:
        """Takes one from the log's ration: only a tree that its own key signed, and that grew, costs it anything."""
        ration = self._rations.setdefault(
            origin, Ration(rate_per_s=self._rate_per_s, burst=max(1.0, self._rate_per_s * BURST_S))
        )
        return ration.take(self._monotonic_s())


def _kept(note: str, keys: list[NoteKey]) -> str:
    """The note with the log's own signatures alone: what others wrote below it is not ours to keep or to repeat."""
    found = notes.parse(note)
    known = {(key.name, key.key_id) for key in keys}
    lines = {(line.name, line.key_id): line for line in found.lines if (line.name, line.key_id) in known}
    return Note(text=found.text, lines=tuple(lines.values())).whole()


def _key(state: Path) -> SigningKey:
    return keyfile.load(state / KEY, fix="make the witness with `vigil ledger witness init`, or bring the file here")


def _note_key(name: str, key: SigningKey) -> NoteKey:
    return NoteKey(name=name, kind=notes.COSIGNATURE, key=key.public)


def _refuse_lost_database(state: Path) -> None:
    """A key without its database has cosigned trees that nobody here knows any more: it could cosign others beside them."""
    if (state / KEY).exists() and not (state / FILE).exists():
        raise ConfigError(
            "database_lost",
            f"{FILE} is gone, and {KEY} may have cosigned what it knew: bring it back, or retire the key and make another",
        )
