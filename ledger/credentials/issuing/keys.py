"""An issuer's keys: files of the party's folder, several over time, each named in the database and declared on the log.

issuer-*.key   # Stop after: a key that nothing names. The first one is taken up by the next start, of others another is made.
issuer_key     # Stop after: a key that the log has not heard of; the next start says it.
outbox         # Stop after: it is said again, which is the same statement.
"""

from collections.abc import Callable
from pathlib import Path

from ledger import keyfile
from ledger.credentials import model
from ledger.credentials.issuing.signing import Signer
from ledger.credentials.issuing.store import ACTING, RETIRED, STOLEN, Key, Saying, Store
from ledger.credentials.model import IssuerKey, IssuerKeyEnd
from ledger.credentials.vc import did
from ledger.credentials.vc.did import DidDocument
from protocol.errors import ConfigError, NotFound
from protocol.keys import PublicKey, SigningKey

FILES = "issuer-*.key"


class Keys:
    """web: the did:web to issue under; empty: the did:key of the first key. Where keys are there already, theirs counts."""

    def __init__(self, folder: Path, store: Store, *, web: str, random_bytes: Callable[[int], bytes]) -> None:
        self._folder, self._store, self._random = folder, store, random_bytes
        self._signer: Signer | None  # its file is read when it is to sign: lists are served without it
        held = store.issuer_keys()
        if not held:
            self._begin(web)
            held = store.issuer_keys()
        self.newest, self._signer = held[-1], None

    @property
    def signer(self) -> Signer:
        """The newest key. Raises ConfigError: key_ended, when it signs nothing any more; NotFound: key_missing."""
        if self.newest.ended != ACTING:
            raise ConfigError("key_ended", "a did:key whose key was stolen issues nothing more: begin under a did:web")
        if self._signer is None:
            self._signer = Signer(key=self.load(self.newest.thumbprint), method=self.newest.method)
        return self._signer

    @property
    def did(self) -> str:
        """Under which the issuer issues."""
        return self.newest.method.partition("#")[0]

    def load(self, thumbprint: bytes) -> SigningKey:
        """Raises NotFound: key_missing; Unavailable: key_unreadable."""
        return keyfile.load(self._path(thumbprint), fix="bring the key file back from its copy, or change keys")

    def has(self, thumbprint: bytes) -> bool:
        """Whether the file of a key is there."""
        return self._path(thumbprint).exists()

    def rotate(self, *, log: str, party: bytes) -> None:
        """Sign with a new key from now on; the one before retires. Raises ConfigError: did_key."""
        if self.did.startswith("did:key:"):
            raise ConfigError("did_key", "a did:key is one key for good: issue under a did:web to change keys")
        old = self.newest.thumbprint
        self._turn((old, RETIRED, _end(log, party, old, None)), fresh=True)

    def steal(self, thumbprint: bytes, since: tuple[int, int], *, log: str, party: bytes) -> None:
        """A key was stolen, since an entry of the log; the newest one gets a successor where the DID can have one.

        Raises NotFound: issuer_key_unknown.
        """
        if thumbprint not in {each.thumbprint for each in self._store.issuer_keys()}:
            raise NotFound("issuer_key_unknown", "this institution has had no such key")
        newest = thumbprint == self.newest.thumbprint
        fresh = newest and not self.did.startswith("did:key:")
        self._turn((thumbprint, STOLEN, _end(log, party, thumbprint, since)), fresh=fresh)

    def declaration(self, found: Key, *, log: str, party: bytes) -> Saying:
        """What declares a key on the log, with the key's own proof."""
        key, name = self.load(found.thumbprint), found.method.partition("#")[0]
        bare = IssuerKey(log=log, did=name, method=found.method, key=key.public.x, proof=bytes(64))
        proof = key.sign(bare.signed_over())
        whole = IssuerKey(log=log, did=name, method=found.method, key=key.public.x, proof=proof)
        return Saying(document=whole.encode(), content_type=model.ISSUER_KEY, sub=model.issuer_subject(party))

    def document(self) -> DidDocument:
        """The DID document with the keys that the issuer has had: what retired ones signed is still checked with them. A stolen
        one asserts nothing to who does not know the log."""
        held = self._store.issuer_keys()
        methods = {each.method: PublicKey(each.public) for each in held}
        assertion = frozenset(each.method for each in held if each.ended != STOLEN)
        return DidDocument(id=self.did, methods=methods, assertion=assertion, authentication=frozenset())

    def _begin(self, web: str) -> None:
        files = sorted(self._folder.glob(FILES))
        if len(files) > 1:
            raise ConfigError(
                "credentials_lost", f"the database is gone from {self._folder}, and keys are there: bring it back"
            )
        # One file and no row: a stop came between the two.
        key = keyfile.load(files[0], fix="bring the key file back from its copy") if files else self._fresh()
        self._store.turn_key((key.public, _method(web, key)))

    def _turn(self, end: tuple[bytes, int, Saying], *, fresh: bool) -> None:
        made = None
        if fresh:
            key = self._fresh()
            # Stop here: a key file that nothing names. The old key goes on.
            made = (key.public, _method(self.did, key))
        self._store.turn_key(made, end)
        # Stop here: the new key signs; the log has heard neither of it nor of the old one's end, and does at the next start.
        self.newest, self._signer = self._store.issuer_keys()[-1], None

    def _fresh(self) -> SigningKey:
        key = SigningKey.from_seed(self._random(32))
        keyfile.put(self._path(key.public.thumbprint), key.pem())
        return key

    def _path(self, thumbprint: bytes) -> Path:
        return self._folder / FILES.replace("*", thumbprint.hex()[:16])


def _method(web: str, key: SigningKey) -> str:
    return f"{web}#{key.public.thumbprint.hex()[:16]}" if web else did.key_method(key.public)


def _end(log: str, party: bytes, key: bytes, since: tuple[int, int] | None) -> Saying:
    epoch, index = since or (0, 0)
    document = IssuerKeyEnd(log=log, party=party, key=key, compromised=since is not None, epoch=epoch, index=index)
    return Saying(document=document.encode(), content_type=model.ISSUER_KEY_END, sub=model.issuer_subject(party))
