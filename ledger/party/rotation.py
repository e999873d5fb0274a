"""A party's next key: on disk before anybody hears of it, declared by the key before it, used once the log's receipt holds.

next.key        # Stop after: a key that nobody has declared; the next try takes the same one.
rotation.cose   # Stop after: a declaration that nobody sends; the next try makes another for the same key.
queue           # Stop after: it is sent until the log answers; the old key signs meanwhile.
receipt         # Stop after: both keys count; the next start puts the new one in the old one's place.
party.key       # Stop after: done. What the old key signed before is still sent, and counts until its end.
"""

from dataclasses import dataclass
from pathlib import Path

from ledger import files, keyfile
from ledger.party.store import Store
from protocol import declarations, statement
from protocol.documents import PartyKey
from protocol.errors import Malformed, NotFound, Unavailable
from protocol.keys import PublicKey, SigningKey

KEY, NEXT = "party.key", "next.key"
DECLARED = (
    "rotation.cose"  # the newest declaration; it stays, because it says under which name the log knows this party
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """The newest declaration of a party's next key. by: thumbprint of the key that signed it."""

    raw: bytes
    by: bytes
    document: PartyKey

    @property
    def digest(self) -> bytes:
        """Of the statement."""
        return statement.entry(self.raw)


def name_of(folder: Path, key: PublicKey) -> bytes:
    """The thumbprint under which logs know the party whose key this is: that of its first key, for life.

    Raises Unavailable: key_unreadable.
    """
    found = _newest(folder)
    ours = found is not None and (found.by == key.thumbprint or found.document.key == key.x)
    return found.document.party if found is not None and ours else key.thumbprint


def pending(folder: Path, key: PublicKey) -> Rotation | None:
    """The declaration by the key that signs now, which has not handed over yet. Raises Unavailable: key_unreadable."""
    found = _newest(folder)
    return found if found is not None and found.by == key.thumbprint else None


def begin(folder: Path, key: SigningKey, store: Store, *, log: str, until_ms: int, now_ms: int) -> Rotation:
    """Make the next key, and queue the declaration; one that waits already stays as it is, one that was refused is made anew.

    log: its name; until_ms: how long the old key counts too.
    Raises Unavailable: key_unreadable, file_unwritable, store_failing.
    """
    found = pending(folder, key.public)
    if found is not None and _state(store, found) == "waiting":
        return found
    try:
        keyfile.make(folder / NEXT)
    except OSError as error:
        raise Unavailable("file_unwritable", f"cannot write {folder / NEXT}: {error.strerror}") from error
    following = keyfile.load(folder / NEXT, fix="run `vigil party rotate` again")
    raw = declarations.party_key(key, following, log=log, party=name_of(folder, key.public), until_ms=until_ms)
    files.write(folder / DECLARED, raw)
    keyfile.sync(folder)
    made = _read(raw)
    store.queue(made.digest, raw, now_ms=now_ms, first=True)
    return made


def settle(folder: Path, key: SigningKey, store: Store) -> SigningKey:
    """The key that signs from now on: the next one, when the log's receipt for its declaration is held.

    Raises Unavailable: key_unreadable, file_unwritable, store_failing; NotFound: key_missing, when the next one is gone.
    """
    found = pending(folder, key.public)
    if found is None or _state(store, found) != "receipted":
        return key
    following = keyfile.load(folder / NEXT, fix=f"bring it back: the log has it as {found.document.key.hex()}")
    if following.public.x != found.document.key:
        raise Unavailable("key_unreadable", f"{folder / NEXT} is not the key that was declared: bring that back")
    try:
        _put_in_place(folder)
    except OSError as error:
        raise Unavailable("file_unwritable", f"cannot write {folder / KEY}: {error.strerror}") from error
    return following


def _put_in_place(folder: Path) -> None:
    (folder / NEXT).replace(folder / KEY)
    keyfile.sync(folder)


def _state(store: Store, found: Rotation) -> str:
    """Where a declaration stands; "" when it was never queued."""
    try:
        return store.find(found.digest).state
    except NotFound:
        return ""


def _newest(folder: Path) -> Rotation | None:
    try:
        return _read((folder / DECLARED).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, Malformed) as error:
        raise Unavailable("key_unreadable", f"cannot use {folder / DECLARED}") from error


def _read(raw: bytes) -> Rotation:
    found = statement.parse(raw)
    return Rotation(raw=raw, by=found.kid, document=PartyKey.decode(found.payload))
