"""Issues credentials and takes them back. What it hands out is on disk with its places in the lists, and waits for the log.

Each document for the log is made and kept before it is said, so that what is said again after a stop is the same statement.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ledger import keyfile
from ledger.credentials import model, types
from ledger.credentials.issuing.store import Kept, Pair, Row, Store
from ledger.credentials.model import Commitment, IssuerKey, IssuerKeyEnd, Listing
from ledger.credentials.vc import anchor, cose_vc, did, integrity, jcs, sdjwt, secured, status, times
from ledger.credentials.vc.anchor import Anchor
from ledger.credentials.vc.multikey import VerifyingKey
from ledger.credentials.vc.status import Bits, Entry
from protocol.errors import ConfigError, Malformed, NotFound, ProtocolError
from protocol.keys import SigningKey

DAY_MS = 86_400_000
LIST_LIFE_MS = (
    7 * DAY_MS
)  # a list says nothing after it: verifiers that cannot get a newer one do not go on with an old one
LIST_AGAIN_MS = (
    DAY_MS  # a list comes out so often at least, so that a new version alone does not say that something changed
)
FULL = (
    2  # a list of which one in so many places is taken is followed by the next, so that free places are found at once
)
REASON_MAX = 512  # characters
VALID, SUSPENDED, REVOKED = "valid", "suspended", "revoked"
LIFE: Mapping[tuple[str, str], str] = {
    (VALID, "suspend"): SUSPENDED,
    (SUSPENDED, "reinstate"): VALID,
    (VALID, "revoke"): REVOKED,
    (SUSPENDED, "revoke"): REVOKED,
}

Say = Callable[[bytes, str, str], bytes]  # (document, content type, subject) -> digest; on disk when it returns


class Conflict(ProtocolError):
    """What is asked for does not fit where the credential stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A credential that was handed out. raw: for the holder; until_ms: when it ends by itself."""

    id: bytes
    type: str
    format: str
    raw: bytes
    until_ms: int


class Issuer:
    """One institution. log: its origin; party: the institution's name on it; base: where its lists are found, as an address."""

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
    ) -> None:
        self._folder, self._store, self._say, self._base = folder, store, say, base
        self._log, self._party, self._now_ms, self._random = log, party, now_ms, random_bytes
        self._key, self.did, self.method = self._newest(web)

    @classmethod
    def open(cls, folder: Path, **more: Any) -> Self:
        """The issuer in a folder; its first key and its file are made when they are not there.

        Raises Unavailable: credentials_unreadable, key_unreadable; ConfigError: key_lost.
        """
        return cls(folder, Store.open(folder), **more)

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def begin(self) -> None:
        """Say what a stop kept from being said: the key, commitments, versions of lists. Raises Unavailable: outbox_full."""
        for method, thumbprint, said in self._store.named_keys():
            if not said:
                self._say_key(method, self._load(thumbprint))
        for row in self._store.unsaid():
            self._say_row(row)
        for version in self._store.unsaid_versions():
            self._say_version(version)

    def issue(
        self,
        draft: Mapping[str, Any],
        *,
        holder: VerifyingKey,
        format: str = secured.DATA_INTEGRITY,  # noqa: A002 - the standards' own word
        days: int | None = None,
    ) -> Issued:
        """A credential about the holder of a key. draft: of `types.draft`; days: how long it is valid.

        Raises Malformed: type_unknown, format_unknown, period_bad; Unavailable: credentials_failing, outbox_full.
        """
        kind = types.CATALOGUE.get(str(draft["type"][-1]))
        if kind is None:
            raise Malformed("type_unknown", "there is no such type of credential")
        lasts = kind.days if days is None else days
        if not 0 < lasts <= 36_525:
            raise Malformed("period_bad", "a credential is valid for 1 to 36,525 days")
        now_ms = self._now_ms() // 1000 * 1000
        until_ms = now_ms + lasts * DAY_MS
        pair, place = self._place()
        named = Anchor(id=self._random(anchor.ID_SIZE), log=self._log, nonce=self._random(anchor.NONCE_SIZE))
        entries = [each.said() for each in self._entries(pair, place)]
        raw = self._signed(draft, holder, format, named, entries, kind.hidden, from_ms=now_ms, until_ms=until_ms)
        document = self._committed(draft, kind.name, named, raw)
        row = Row(
            id=named.id,
            pair=pair.n,
            place=place,
            type=kind.name,
            format=format,
            draft=json.dumps(draft),
            holder=did.did_key(holder),
            raw=raw,
            document=document,
            state=VALID,
            made_ms=now_ms,
            until_ms=until_ms,
        )
        self._store.add(row)
        # Stop here: the credential has its place and nobody has seen it; the next start says it to the log.
        self._say_row(row)
        return Issued(id=row.id, type=row.type, format=format, raw=raw, until_ms=until_ms)

    def change(self, identity: bytes, event: str, *, reason: str) -> None:
        """Suspend, reinstate or revoke; it bites with the next `publish`. reason: stays here.

        Raises NotFound: credential_unknown; Conflict: status_conflict; Malformed: reason_bad.
        """
        if not 0 < len(reason) <= REASON_MAX:
            raise Malformed("reason_bad", f"say why, in at most {REASON_MAX} characters")
        before = self._store.find(identity).state
        after = LIFE.get((before, event))
        if after is None or not self._store.change(
            identity, before=before, after=after, event=event, reason=reason, at_ms=self._now_ms()
        ):
            raise Conflict("status_conflict", f"a credential that is {before} cannot be changed so: {event[:20]}")

    def refresh(self, identity: bytes, *, days: int | None = None) -> Issued:
        """The same again with a new period, in place of one that is valid, which is revoked. Raises as `issue` and `change`."""
        row = self._store.find(identity)
        if row.state != VALID:
            raise Conflict("status_conflict", f"a credential that is {row.state} is not renewed")
        made = self.issue(json.loads(row.draft), holder=did.key_of(row.holder), format=row.format, days=days)
        # Stop here: both are valid, and say the same; the old one ends by itself.
        self.change(identity, "revoke", reason="renewed")
        return made

    def publish(self, *, again: bool = False) -> int:
        """Bring out the lists that changed, are old, or all with `again`; how many. Raises Unavailable."""
        made = 0
        for pair in self._store.pairs():
            for purpose in (model.REVOCATION, model.SUSPENSION):
                name = pair.revocation if purpose == model.REVOCATION else pair.suspension
                newest, change, now_ms = self._store.version(name), self._store.last_change(), self._now_ms()
                fresh = newest is not None and now_ms - newest.at_ms < LIST_AGAIN_MS
                if again or newest is None or not fresh or newest.last_change != change:
                    self._say_version(self._version(pair, purpose, name, newest, change))
                    made += 1
        return made

    def status_list(self, name: bytes, *, at_ms: int | None = None) -> bytes:
        """A signed list, the newest or the one of a time. Raises NotFound: list_unknown."""
        found = self._store.version(name, at_ms=at_ms)
        if found is None:
            raise NotFound("list_unknown", "no such list, or none of that time")
        return found.raw

    def rotate(self) -> None:
        """Sign with a new key from now on; what the old one signed stays. Raises ConfigError: did_key."""
        if self.did.startswith("did:key:"):
            raise ConfigError("did_key", "a did:key is one key for good: issue under a did:web to change keys")
        old = self._key
        self._key, self.method = self._made(self.did)
        self.begin()
        self._end(old, compromised=None)

    def stolen(self, *, since: tuple[int, int], key: bytes | None = None) -> None:
        """Say that a key was stolen, since an entry of the log. key: its thumbprint; the newest one when None."""
        thumbprint = self._key.public.thumbprint if key is None else key
        self._end(self._load(thumbprint), compromised=since)
        if thumbprint == self._key.public.thumbprint and not self.did.startswith("did:key:"):
            self._key, self.method = self._made(self.did)
            self.begin()

    def find(self, identity: bytes) -> Row:
        """A credential that was issued. Raises NotFound: credential_unknown."""
        return self._store.find(identity)

    def issued(self, *, most: int = 100) -> list[Row]:
        """The newest credentials."""
        return self._store.every(most=most)

    def document(self) -> did.DidDocument:
        """The DID document with the keys that the issuer has had."""
        methods = {method: self._load(thumbprint).public for method, thumbprint, _ in self._store.named_keys()}
        names = frozenset(methods)
        return did.DidDocument(id=self.did, methods=methods, assertion=names, authentication=frozenset())

    # -- keys

    def _newest(self, web: str) -> tuple[SigningKey, str, str]:
        held = self._store.named_keys()
        if held:
            method, thumbprint, _ = held[-1]
            return self._load(thumbprint), method.partition("#")[0], method
        key, method = self._made(web)
        return key, method.partition("#")[0], method

    def _made(self, web: str) -> tuple[SigningKey, str]:
        key = SigningKey.from_seed(self._random(32))
        name = key.public.thumbprint
        method = f"{web}#{name.hex()[:16]}" if web else did.key_method(key.public)
        keyfile.put(self._path(name), key.pem())
        # Stop here: a key file that nothing names, and another key is made.
        self._store.add_key(method, name)
        return key, method

    def _load(self, thumbprint: bytes) -> SigningKey:
        return keyfile.load(self._path(thumbprint), fix="bring back the key file from its copy")

    def _path(self, thumbprint: bytes) -> Path:
        return self._folder / f"issuer-{thumbprint.hex()[:16]}.key"

    def _say_key(self, method: str, key: SigningKey) -> None:
        bare = IssuerKey(log=self._log, did=method.partition("#")[0], method=method, key=key.public.x, proof=bytes(64))
        whole = IssuerKey(log=bare.log, did=bare.did, method=method, key=bare.key, proof=key.sign(bare.signed_over()))
        self._say(whole.encode(), model.ISSUER_KEY, model.issuer_subject(self._party))
        self._store.key_said(method)

    def _end(self, key: SigningKey, *, compromised: tuple[int, int] | None) -> None:
        epoch, index = compromised or (0, 0)
        document = IssuerKeyEnd(
            log=self._log,
            party=self._party,
            key=key.public.thumbprint,
            compromised=compromised is not None,
            epoch=epoch,
            index=index,
        )
        self._say(document.encode(), model.ISSUER_KEY_END, model.issuer_subject(self._party))

    # -- credentials

    def _place(self) -> tuple[Pair, int]:
        """A pair of lists and a place that nobody has: a random one, so that its number says nothing."""
        pair = self._store.pair()
        if pair is None or self._store.places(pair.n) * FULL >= pair.size:
            self._store.add_pair(self._random(16), self._random(16), model.LIST_SIZE_MIN)
            pair = self._store.pair()
            assert pair is not None
        while True:
            place = int.from_bytes(self._random(8), "big") % pair.size
            if not self._store.taken(pair.n, place):
                return pair, place

    def _entries(self, pair: Pair, place: int) -> tuple[Entry, Entry]:
        return (
            Entry(purpose=model.REVOCATION, index=place, url=self._url(pair.revocation)),
            Entry(purpose=model.SUSPENSION, index=place, url=self._url(pair.suspension)),
        )

    def _url(self, name: bytes) -> str:
        return f"{self._base()}/status/{name.hex()}"

    def _signed(
        self,
        draft: Mapping[str, Any],
        holder: VerifyingKey,
        format: str,  # noqa: A002
        named: Anchor,
        entries: list[dict[str, str]],
        hidden: frozenset[str],
        *,
        from_ms: int,
        until_ms: int,
    ) -> bytes:
        subject = dict(draft["credentialSubject"])
        if format == secured.SD_JWT:
            plain = {name: value for name, value in subject.items() if name not in ("type", "achievement", "id")}
            claims = {"iss": self.did, "vct": secured.VCT + draft["type"][-1], "iat": from_ms // 1000, **plain}
            claims |= {"nbf": from_ms // 1000, "exp": until_ms // 1000}
            claims |= {"credentialStatus": entries, anchor.CLAIM: named.said()}
            shown = sdjwt.issue(
                claims,
                key=self._key,
                kid=self.method,
                disclosable=hidden & plain.keys(),
                holder=holder,
                random_bytes=self._random,
            )
            return shown.encode()
        document = {
            **draft,
            "issuer": self.did,
            "validFrom": times.write(from_ms),
            "validUntil": times.write(until_ms),
            "credentialSubject": {"id": did.did_key(holder), **subject},
            "credentialStatus": entries,
            "evidence": [named.evidence()],
        }
        if format == secured.COSE:
            return cose_vc.sign(document, self._key, method=self.method)
        if format != secured.DATA_INTEGRITY:
            raise Malformed("format_unknown", f"a credential is one of: {', '.join(secured.FORMATS)}")
        return jcs.canonical(integrity.sign(document, self._key, method=self.method, created_s=from_ms // 1000))

    def _committed(self, draft: Mapping[str, Any], kind: str, named: Anchor, raw: bytes) -> bytes:
        found = secured.read(raw)
        checked = draft["credentialSubject"].get("checkedAt") if kind == model.CHECKED_TYPE else None
        document = Commitment(
            log=self._log,
            id=named.id,
            commitment=named.commitment(found.signed),
            type=kind,
            jurisdiction=found.jurisdiction,
            key=self._key.public.thumbprint,
            checked_ms=None if checked is None else times.read(f"{checked}T00:00:00Z"),
        )
        return document.encode()

    def _say_row(self, row: Row) -> None:
        self._say(row.document, model.CREDENTIAL, model.credential_subject(self._party))
        self._store.said(row.id)

    # -- lists

    def _version(self, pair: Pair, purpose: str, name: bytes, before: Kept | None, change: int) -> Kept:
        """The next version of a list, signed and on disk."""
        now_ms = self._now_ms()
        bits = Bits(pair.size)
        for place in self._store.in_state(pair.n, (REVOKED,) if purpose == model.REVOCATION else (SUSPENDED,)):
            bits.set(place, True)
        until_ms = now_ms + LIST_LIFE_MS
        url = self._url(name)
        made = status.credential(
            url=url, issuer=self.did, purpose=purpose, bits=bits, from_ms=now_ms, until_ms=until_ms
        )
        raw = jcs.canonical(integrity.sign(made, self._key, method=self.method, created_s=now_ms // 1000))
        document = Listing(
            log=self._log,
            list=name,
            purpose=purpose,
            n=1 if before is None else before.n + 1,
            digest=hashlib.sha256(raw).digest(),
            size=pair.size,
            until_ms=until_ms,
        )
        found = Kept(
            list=name,
            n=document.n,
            raw=raw,
            document=document.encode(),
            last_change=change,
            at_ms=now_ms,
            until_ms=until_ms,
        )
        self._store.add_version(found)
        # Stop here: the version is served and the log has not its digest; the next start says it, before another is made.
        return found

    def _say_version(self, found: Kept) -> None:
        self._say(found.document, model.STATUS_LIST, model.list_subject(self._party))
        self._store.version_said(found.list, found.n)
