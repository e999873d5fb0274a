"""The rules run again: what a stored statement does to the state and to the head, if it is what it is said to be.

What can no longer be judged, because a body has gone, is passed over up to a signed snapshot of the state after it.
"""

from collections.abc import Iterator, Mapping

from ledger import contracts
from ledger.contracts import STANDARD, Contracts
from ledger.log import snapshots
from ledger.log.keeping import GONE, MINIMUM
from ledger.log.store import EMPTY, Entry, Head, Store
from protocol import cose, merkle, statement
from protocol.documents import Genesis
from protocol.errors import Malformed, ProtocolError, VerificationFailed
from protocol.retention import Snapshot


def step(entry: Entry, head: Head, state: dict[bytes, bytes], rules: Contracts = STANDARD) -> Head:
    """The head after `entry`, judged anew by the contracts `rules`; its changes are made in `state`.

    Raises VerificationFailed: entry_missing, entry_digest, entry_time, entry_refused, entry_contract, genesis_missing.
    """
    where = f"entry {head.size}"
    _check(entry, head)
    try:
        contract, changes = rules.judge(state, statement.parse(entry.statement), entry.at_ms, index=head.size)
    except ProtocolError as error:
        if error.code == "genesis_missing":
            raise VerificationFailed(error.code, "the first entry is not a genesis") from error
        raise VerificationFailed("entry_refused", f"{where} would not be registered: {error}") from error
    if contract != entry.contract:
        raise VerificationFailed("entry_contract", f"{where} was judged by another contract")
    state.update(changes.puts)
    chain = contracts.next_head(head.chain, entry=entry.digest, contract=contract, at_ms=entry.at_ms, changes=changes)
    return Head(size=head.size + 1, root=head.root, chain=chain, at_ms=entry.at_ms)


class Replay:
    """An epoch judged anew, entry by entry. keys: of the log, by thumbprint, for snapshots.

    head, state: after the newest entry, wherever `judging`. relied: size and name of each snapshot that was gone on from.
    redacted: indexes above the minimum whose body has gone.
    """

    def __init__(self, store: Store, rules: Contracts, keys: Mapping[bytes, cose.Verifier]) -> None:
        self._store, self._rules, self._keys = store, rules, keys
        self.head, self.state = beginning(store, rules)
        self.minimum = store.keeping.mark(MINIMUM)
        self.relied: dict[int, bytes] = {}
        self.redacted: list[int] = []
        self._resumes: int | None = self.minimum or None

    @property
    def judging(self) -> bool:
        """Whether the state is that after the newest entry: not within what is passed over."""
        return self._resumes is None

    @property
    def stays(self) -> frozenset[str]:
        """The contracts whose statements no minimum index takes away."""
        return self._rules.lasting

    def add(self, entry: Entry) -> bytes | None:
        """One more entry. Returns the root that a snapshot claims for the tree after it, where there is one to go on from.

        Raises VerificationFailed: as step does; snapshot_*.
        """
        if entry.statement == GONE:
            self._passing(entry)
        if self._resumes is None:
            self.head = step(entry, self.head, self.state, self._rules)
            return None
        _check(entry, self.head)
        self.head = Head(size=self.head.size + 1, root=self.head.root, chain=self.head.chain, at_ms=entry.at_ms)
        return self._resume() if self.head.size == self._resumes else None

    def _passing(self, entry: Entry) -> None:
        """From a body that has gone, nothing is judged until the next snapshot."""
        if entry.place >= self.minimum:
            self.redacted.append(entry.place)
        elif entry.contract in self.stays:
            raise VerificationFailed(
                "entry_missing", f"the statement of entry {entry.place} is not there, and it stays"
            )
        if self._resumes is None:
            after = [size for size, _ in self._store.keeping.snapshots() if size > entry.place]
            if not after:
                raise VerificationFailed("entry_missing", f"the statement of entry {entry.place} is not there")
            self._resumes = after[0]

    def _resume(self) -> bytes:
        found, self.state, name = snapshots.load(self._store, self.head.size, self._keys)
        if found.at_ms != self.head.at_ms:
            raise VerificationFailed("snapshot_bad", f"the snapshot at {found.size} is of another time")
        self.head = Head(size=found.size, root=self.head.root, chain=found.chain, at_ms=found.at_ms)
        self.relied[found.size] = name
        self._resumes = None
        return found.root


def beginning(store: Store, rules: Contracts) -> tuple[Head, dict[bytes, bytes]]:
    """Head and state of an epoch before its first entry: empty, or what the snapshot says that its genesis names.

    Raises VerificationFailed: snapshot_missing, snapshot_bad, snapshot_unnamed.
    """
    try:
        named = Genesis.decode(statement.parse(store.statement(0) or b"").payload).state
    except Malformed:
        named = None  # judging the entry says what is wrong with it
    if named is None:
        return EMPTY, {}
    signed, items = dict(store.keeping.snapshots()).get(0), store.keeping.snapshot_state(0)
    if signed is None:
        raise VerificationFailed("snapshot_missing", "the state that this epoch begins with is not there")
    if snapshots.name_of(signed) != named:
        raise VerificationFailed("snapshot_unnamed", "the genesis names another state than that kept beside it")
    try:
        found, _ = Snapshot.parse(signed)
    except Malformed as error:
        raise VerificationFailed("snapshot_bad", f"the state that this epoch begins with: {error}") from error
    if snapshots.digest_of(items) != found.state:
        raise VerificationFailed(
            "snapshot_bad", "the snapshot that this epoch begins with is not of the state beside it"
        )
    head = Head(size=0, root=merkle.EMPTY_ROOT, chain=found.chain, at_ms=found.at_ms)
    return head, rules.carried(dict(items))


def entries(store: Store, end: int) -> Iterator[Entry]:
    """The entries below `end`."""
    for entry in store.every_entry():
        if entry.place >= end:
            return
        yield entry


def _check(entry: Entry, head: Head) -> None:
    """What holds of every entry, whether it can be judged or not."""
    where = f"entry {head.size}"
    if entry.place != head.size:
        raise VerificationFailed("entry_missing", f"{where} is not there")
    if entry.statement != GONE and entry.digest != statement.entry(entry.statement):
        raise VerificationFailed("entry_digest", f"{where} is not the hash of its statement")
    if entry.at_ms < head.at_ms:
        raise VerificationFailed("entry_time", f"{where} is older than the one before")
