"""Issues credentials and takes them back. What it hands out is on disk with its places in the lists, and waits for the log.

One deed at a time: whoever shares an issuer takes turns.

issued, places, commitment   # one commit. Stop after: nobody has seen it; the next start says it to the log.
outbox                       # Stop after: it is said again, which is the same statement.
change                       # Stop after: changed, and in no list yet; the next `publish` brings it out.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ledger.credentials import model, types
from ledger.credentials.issuing.keys import Keys
from ledger.credentials.issuing.lists import DAY_MS, RECEIPTED, WAITING, Answer, Lists
from ledger.credentials.issuing.signing import Said
from ledger.credentials.issuing.store import Change, Key, Row, Saying, Store
from ledger.credentials.vc import anchor, did, secured
from ledger.credentials.vc.anchor import Anchor
from ledger.credentials.vc.did import DidDocument
from ledger.credentials.vc.multikey import VerifyingKey
from protocol.errors import Malformed, ProtocolError

DAYS_MAX = 36_525  # of a credential's period: a hundred years
REASON_MAX = 512  # characters
VALID, SUSPENDED, REVOKED = "valid", "suspended", "revoked"
LIFE: Mapping[tuple[str, str], str] = {
    (VALID, "suspend"): SUSPENDED,
    (SUSPENDED, "reinstate"): VALID,
    (VALID, "revoke"): REVOKED,
    (SUSPENDED, "revoke"): REVOKED,
}
SETTLED = frozenset(
    {"key_has_other_duty", "method_taken"}
)  # refusals of a key that the log has under another statement

Say = Callable[[bytes, str, str], bytes]  # (document, content type, subject) -> digest; on disk when it returns


class Conflict(ProtocolError):
    """What is asked for does not fit where the credential stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A credential that was handed out. raw: for the holder; until_ms: when it ends by itself; statement: digest of what says
    its commitment to the log."""

    id: bytes
    type: str
    format: str
    raw: bytes
    until_ms: int
    statement: bytes


class Issuer:
    """One institution. log: its origin; party: the institution's name on it; base: the address under which its lists are found.

    web: the did:web that it begins under, empty for a did:key. answer: what the log made of a statement; without it everything
    that was said counts as taken. size: places of a new list.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        *,
        say: Say,
        base: Callable[[], str],
        log: str,
        party: bytes,
        now_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        web: str = "",
        answer: Answer = lambda _: RECEIPTED,
        size: int = model.LIST_SIZE_MIN,
    ) -> None:
        self._store, self._say, self._answer = store, say, answer
        self._log, self._party, self._now_ms, self._random = log, party, now_ms, random_bytes
        self._keys = Keys(folder, store, web=web, random_bytes=random_bytes)
        self._lists = Lists(
            store,
            base=base,
            log=log,
            party=party,
            now_ms=now_ms,
            random_bytes=random_bytes,
            answer=answer,
            say=self._say_kept,
            size=size,
        )

    @classmethod
    def open(cls, folder: Path, **more: Any) -> Self:
        """The issuer in a folder; its first key and its file are made when they are not there.

        Raises Unavailable: credentials_unreadable, key_unreadable; ConfigError: credentials_lost.
        """
        with contextlib.ExitStack() as held:
            store = held.enter_context(contextlib.closing(Store.open(folder)))
            found = cls(folder, store, **more)
            held.pop_all()
        return found

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    @property
    def did(self) -> str:
        """Under which it issues."""
        return self._keys.did

    @property
    def method(self) -> str:
        """The verification method of the newest key."""
        return self._keys.newest.method

    def begin(self) -> None:
        """Say what a stop kept from being said, and again what the log refused of keys: their beginning, as before an
        accreditation, and their end, as when it was said to be where the log has not come yet.

        Raises Unavailable: outbox_full, credentials_failing.
        """
        for key in self._store.issuer_keys():
            answer = WAITING if key.said is None else self._answer(key.said)
            if answer not in {WAITING, RECEIPTED} | SETTLED and self._keys.has(key.thumbprint):
                self._say_key(key)
            if key.ending is not None and self._answered(key.ending) not in {WAITING, RECEIPTED} | SETTLED:
                self._say_kept(key.ending)
        self._drain()

    def issue(
        self,
        draft: Mapping[str, Any],
        *,
        holder: VerifyingKey,
        format: str = secured.DATA_INTEGRITY,  # noqa: A002 - the standards' own word
        days: int | None = None,
    ) -> Issued:
        """A credential about the holder of a key. draft: of `types.draft`; days: how long it is valid.

        Raises Malformed: type_unknown, format_unknown, period_bad, and what `types.problems` finds; ConfigError: key_ended;
        NotFound: key_missing; Unavailable: credentials_failing, outbox_full.
        """
        return self._issue(draft, holder, format, days)

    def change(self, identity: bytes, event: str, *, reason: str) -> None:
        """Suspend, reinstate or revoke; it bites with the next `publish`. reason: stays here.

        Raises NotFound: credential_unknown; Conflict: status_conflict; Malformed: reason_bad.
        """
        if not 0 < len(reason) <= REASON_MAX:
            raise Malformed("reason_bad", f"say why, in at most {REASON_MAX} characters")
        before = self._store.find(identity).state
        after, found = LIFE.get((before, event)), Change(event=event, reason=reason, at_ms=self._now_ms())
        if after is None or not self._store.change(identity, found, before=before, after=after):
            raise Conflict("status_conflict", f"a credential that is {before} cannot be changed so: {event[:20]}")

    def refresh(self, identity: bytes, *, days: int | None = None) -> Issued:
        """The same again with a new period, in place of one that is valid, which is revoked. Raises as `issue` and `change`."""
        row = self._store.find(identity)
        if row.state != VALID:
            raise Conflict("status_conflict", f"a credential that is {row.state} is not renewed")
        return self._issue(json.loads(row.draft), did.key_of(row.holder), row.format, days, instead=row.id)

    def publish(self, *, again: bool = False) -> int:
        """Bring out the lists that changed, are old, or all with `again`; how many.

        Raises ConfigError: key_ended; Unavailable.
        """
        self._drain()
        return self._lists.publish(self._keys.signer, again=again)

    def status_list(self, name: bytes, *, at_ms: int | None = None, digest: bytes | None = None) -> bytes:
        """A signed list: the newest, the one of a time, or the one with a digest. Raises NotFound: list_unknown."""
        return self._lists.find(name, at_ms=at_ms, digest=digest).raw

    def lost(self) -> int:
        """How many pairs of lists were cut off, because the log has newer versions than this database."""
        return self._lists.lost()

    def rotate(self) -> None:
        """Sign with a new key from now on; what the old one signed stays. Raises ConfigError: did_key."""
        self._drain()
        self._keys.rotate(log=self._log, party=self._party)
        self._drain()

    def stolen(self, *, since: tuple[int, int], key: bytes | None = None) -> None:
        """Say that a key was stolen, since an entry that the log has. key: its thumbprint; the newest one when None.

        Raises NotFound: issuer_key_unknown.
        """
        thumbprint = self._keys.newest.thumbprint if key is None else key
        self._keys.steal(thumbprint, since, log=self._log, party=self._party)
        self._drain()

    def signed_with(self, key: bytes, *, most: int = 100, after: int = 0) -> list[Row]:
        """Credentials that are valid and that a key has signed, those after number `after`: after a theft, those to look at.
        key: thumbprint."""
        return self._store.signed_with(key, state=VALID, most=most, after=after)

    def find(self, identity: bytes) -> Row:
        """A credential that was issued. Raises NotFound: credential_unknown."""
        return self._store.find(identity)

    def issued(self, *, most: int = 100, before: int | None = None) -> list[Row]:
        """The newest credentials, or the newest before the one with number `before`."""
        return self._store.every(most=most, before=before)

    def changes(self, identity: bytes) -> list[Change]:
        """What was done to a credential and why, the oldest first: for the issuer's own people alone."""
        return self._store.changes(identity)

    def key_standing(self) -> str:
        """What the log made of the newest key: waiting, receipted, or the code of its refusal. A list that the log has before the
        key counts for nobody."""
        said = next((key.said for key in self._store.issuer_keys() if key.method == self.method), None)
        answer = WAITING if said is None else self._answer(said)
        return RECEIPTED if answer in SETTLED else answer

    def standing(self, row: Row) -> str:
        """What the log made of a credential's commitment: waiting, receipted, or the code of its refusal."""
        return self._answered(row.outgoing)

    def say_again(self, row: Row) -> None:
        """Say a commitment again that the log refused, such as before an accreditation. Raises Unavailable: outbox_full."""
        self._say_kept(row.outgoing)

    def document(self) -> DidDocument:
        """The DID document with the keys that the issuer has had."""
        return self._keys.document()

    def _issue(
        self,
        draft: Mapping[str, Any],
        holder: VerifyingKey,
        form: str,
        days: int | None,
        instead: bytes | None = None,
    ) -> Issued:
        kind = types.CATALOGUE.get(str(draft["type"][-1]))
        if kind is None:
            raise Malformed("type_unknown", "there is no such type of credential")
        lasts = kind.days if days is None else days
        if not 0 < lasts <= DAYS_MAX:
            raise Malformed("period_bad", f"a credential is valid for 1 to {DAYS_MAX} days")
        self._drain()  # an outbox that is full refuses before anything is made
        signer, now_ms = self._keys.signer, self._now_ms() // 1000 * 1000
        pair, place = self._lists.place()
        said = Said(
            draft=draft,
            holder=holder,
            anchor=Anchor(id=self._random(anchor.ID_SIZE), log=self._log, nonce=self._random(anchor.NONCE_SIZE)),
            entries=self._lists.entries(pair, place),
            from_ms=now_ms,
            until_ms=now_ms + lasts * DAY_MS,
        )
        raw = signer.sign(said, form, random_bytes=self._random)
        document = signer.commit(said, raw, log=self._log)
        row = Row(
            n=0,
            id=said.anchor.id,
            pair=pair.n,
            place=place,
            type=kind.name,
            format=form,
            draft=json.dumps(draft),
            holder=did.did_key(holder),
            raw=raw,
            key=document.key,
            state=VALID,
            made_ms=now_ms,
            until_ms=said.until_ms,
            outgoing=0,
            renewed=None,
        )
        saying = Saying(
            document=document.encode(), content_type=model.CREDENTIAL, sub=model.credential_subject(self._party)
        )
        change = Change(event="revoke", reason="renewed", at_ms=self._now_ms())
        outgoing = self._store.add(row, saying, instead=None if instead is None else (instead, change))
        # Stop here: it is on disk with its place, and nobody has seen it. The next start says it.
        statement = self._say_kept(outgoing)
        return Issued(id=row.id, type=row.type, format=form, raw=raw, until_ms=row.until_ms, statement=statement)

    def _drain(self) -> None:
        """Say what is not in the outbox yet: keys first, for the rest needs them."""
        for key in self._store.issuer_keys():
            if key.said is None and self._keys.has(key.thumbprint):
                self._say_key(key)
        for n in self._store.unsaid():
            self._say_kept(n)

    def _answered(self, n: int) -> str:
        digest = self._store.saying(n)[1]
        return WAITING if digest is None else self._answer(digest)

    def _say_key(self, key: Key) -> None:
        saying = self._keys.declaration(key, log=self._log, party=self._party)
        self._store.key_said(key.thumbprint, self._say(saying.document, saying.content_type, saying.sub))

    def _say_kept(self, n: int) -> bytes:
        saying, _ = self._store.saying(n)
        digest = self._say(saying.document, saying.content_type, saying.sub)
        self._store.said(n, digest)
        return digest
