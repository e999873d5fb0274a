"""The keys that a log signs with: which of them sign now, and all that ever did.

A key that takes over signs checkpoints beside the one before until that one's end, so that nobody who knows only one of them is
left without a checkpoint; receipts stay with the older of the two. An ES256 key signs receipts for those who ask for that.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from ledger import keyfile
from ledger.log.store import Head
from ledger.registry.records import LogKey
from protocol import cose, notes
from protocol.errors import Malformed, NotFound, Unavailable
from protocol.keys import PublicKey, SigningKey
from protocol.p256 import ES256, P256SigningKey

Secret = SigningKey | P256SigningKey


class Signer:
    """The secrets of one log. folder: where they are, a file each; first: the key of its genesis."""

    def __init__(self, folder: Path, first: SigningKey) -> None:
        self.folder, self.first = folder, first
        self._secrets: dict[bytes, Secret] = {first.thumbprint: first}
        self.keys: tuple[LogKey, ...] = ()
        """Every key that signs or signed, oldest first."""
        self.now_ms = 0
        """The log's time: of its newest entry."""

    def take_up(self, keys: Sequence[LogKey], now_ms: int) -> None:
        """What the state says of the log's keys now. Raises NotFound: key_missing; Unavailable: key_unreadable."""
        self.keys, self.now_ms = tuple(keys), now_ms
        for each in keys:
            if each.signs(now_ms):
                self._secret(each.key.thumbprint)

    def note(self, head: Head, *, origin: str, keys: Sequence[LogKey]) -> str:
        """The checkpoint of a head, signed by each Ed25519 key that signs at its time. keys: after its newest entry.

        Raises Unavailable: key_missing, key_unreadable.
        """
        text = notes.Checkpoint(origin=origin, size=head.size, root=head.root).text()
        lines = []
        for each in keys:
            if each.signs(head.at_ms):
                secret = self._secret(each.key.thumbprint)
                if isinstance(secret, SigningKey):
                    lines.append(notes.sign(text, name=origin, key=secret))
        return notes.Note(text=text, lines=tuple(lines)).whole()

    def newest(self) -> SigningKey:
        """The key that speaks for the log: the last that took over."""
        found = [secret for each in self.keys if isinstance(secret := self._held(each), SigningKey)]
        return found[-1] if found else self.first

    def for_receipts(self, alg: int | None = None) -> cose.Signer:
        """The key that signs receipts now. alg: ES256 for those who ask for it. Raises NotFound: alg_not_offered."""
        kind = P256SigningKey if alg == ES256 else SigningKey
        for each in self.keys:
            secret = self._held(each)
            if isinstance(secret, kind) and each.signs(self.now_ms) and (alg is None or secret.alg == alg):
                return secret
        if alg is not None:
            raise NotFound("alg_not_offered", "this log signs no receipts with that algorithm")
        return self.first

    def _held(self, each: LogKey) -> Secret | None:
        return self._secrets.get(each.key.thumbprint)

    def _secret(self, thumbprint: bytes) -> Secret:
        if thumbprint not in self._secrets:
            path = self.folder / name_of(thumbprint)
            try:
                self._secrets[thumbprint] = _read(path.read_text())
            except FileNotFoundError as error:
                raise Unavailable(
                    "key_missing", f"there is no {path}, with which this log signs: bring it back"
                ) from error
            except (OSError, UnicodeDecodeError, Malformed) as error:
                raise Unavailable("key_unreadable", f"cannot use {path}") from error
            if self._secrets[thumbprint].thumbprint != thumbprint:
                del self._secrets[thumbprint]
                raise Unavailable("key_unreadable", f"{path} is another key than its name says")
        return self._secrets[thumbprint]


def vkeys(origin: str, keys: Sequence[LogKey], now_ms: int) -> list[str]:
    """The verifier keys of a log's checkpoints: of each Ed25519 key that signs now, oldest first."""
    return [
        notes.NoteKey(name=origin, kind=notes.SIGNATURE, key=each.key).vkey()
        for each in keys
        if each.signs(now_ms) and isinstance(each.key, PublicKey)
    ]


def trust_of(vkeys: Sequence[str], registry_root: bytes) -> dict[str, object]:
    """The trust file's object for logs with these verifier keys, without witnesses."""
    lines = "".join(f"log {vkey}\n" for vkey in vkeys)
    return {"v": 1, "policy": f"{lines}quorum none\n", "registry_root": registry_root.hex()}


def make(folder: Path, *, alg: int) -> Secret:
    """A new key for the log in `folder`, in a file of its own and on disk before this returns."""
    secret: Secret = P256SigningKey(os.urandom(32)) if alg == ES256 else SigningKey.from_seed(os.urandom(32))
    keyfile.put(folder / name_of(secret.thumbprint), secret.pem())
    # Stop here: a key that nobody declared and that signs nothing. It may be deleted.
    return secret


def name_of(thumbprint: bytes) -> str:
    """The file of a key that is not the first."""
    return f"log-{thumbprint[:8].hex()}.key"


def _read(pem: str) -> Secret:
    try:
        return SigningKey.from_pem(pem)
    except Malformed:
        return P256SigningKey.from_pem(pem)
