"""An issuer's status lists: places in them, their versions, and what the log has of these.

version, listing   # one commit. Stop after: the version is served and the log has not its digest; the next start says it.
outbox             # Stop after: it is said again, which is the same statement.

Versions follow each other on the log by one. One that the log refuses because it came too late never was: it and those after
it are dropped, and made anew under the same number.
"""

import hashlib
from collections.abc import Callable

from ledger.credentials import model
from ledger.credentials.issuing.signing import Signer
from ledger.credentials.issuing.store import Pair, Saying, Store, Version
from ledger.credentials.model import Listing
from ledger.credentials.vc import integrity, jcs, status
from ledger.credentials.vc.status import Bits, Entry
from protocol.errors import NotFound

DAY_MS = 86_400_000
LIST_LIFE_MS = 7 * DAY_MS  # a list says nothing after it: who cannot get a newer one does not go on with an old one
LIST_AGAIN_MS = (
    DAY_MS  # a list comes out so often at least, so that a new version alone does not say that something changed
)
WAIT_MAX_MS = LIST_LIFE_MS // 2  # a version that waits longer for the log is waited for, before there is another
FULL = (
    2  # a pair of which one in so many places is taken is followed by the next, so that free places are found at once
)
WAITING, RECEIPTED = "waiting", "receipted"
ENDED = "list_ended"  # the log's word for a version that came too late
LOST = frozenset({"list_version", "list_other", "list_changed"})
"""The log's words for a version that does not go on from its own: this database is older than what was said from it. Saying more
would take revocations back that it has forgotten, so nothing is said any more."""

Answer = Callable[[bytes], str]  # digest of a statement -> "waiting", "receipted", or the code of its refusal


class Lists:
    """base: the address that the lists' names are put under; size: places of a new list; say: says what is kept to be said."""

    def __init__(
        self,
        store: Store,
        *,
        base: Callable[[], str],
        log: str,
        party: bytes,
        now_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        answer: Answer,
        say: Callable[[int], bytes],
        size: int,
    ) -> None:
        self._store, self._base, self._log, self._party, self._size = store, base, log, party, size
        self._now_ms, self._random, self._answer, self._say = now_ms, random_bytes, answer, say

    def place(self) -> tuple[Pair, int]:
        """A pair of lists and a place that nobody has: a random one, so that its number says nothing."""
        open_ = [each for each in self._store.pairs() if each.taken * FULL < each.size and not each.lost]
        if not open_:
            self._store.add_pair(self._random(16), self._random(16), self._size)
            # Stop here: a pair without credentials, which the next one takes.
            open_ = self._store.pairs()
        pair = open_[-1]
        while True:
            place = int.from_bytes(self._random(8), "big") % pair.size
            if not self._store.is_taken(pair.n, place):
                return pair, place

    def entries(self, pair: Pair, place: int) -> tuple[Entry, Entry]:
        """What a credential says of its places."""
        return (
            Entry(purpose=model.REVOCATION, index=place, url=self._url(pair.revocation)),
            Entry(purpose=model.SUSPENSION, index=place, url=self._url(pair.suspension)),
        )

    def publish(self, signer: Signer, *, again: bool) -> int:
        """Bring out the lists that changed, are old or signed by another key, or all with `again`; how many."""
        made = 0
        for pair in self._store.pairs():
            for purpose, name in ((model.REVOCATION, pair.revocation), (model.SUSPENSION, pair.suspension)):
                if pair.lost or not self._goes_on(pair, name):
                    continue
                newest, change = self._store.version(name), self._store.last_change()
                if again or newest is None or not self._stands(newest, change, signer):
                    self._bring_out(pair, purpose, name, signer, newest, change)
                    made += 1
        return made

    def lost(self) -> int:
        """How many pairs the log has newer versions of than we: their credentials have to be issued anew."""
        return sum(1 for each in self._store.pairs() if each.lost)

    def find(self, name: bytes, *, at_ms: int | None, digest: bytes | None) -> Version:
        """A version of a list: the newest, that of a time, or that with a digest. Raises NotFound: list_unknown."""
        found = self._store.version(name, at_ms=at_ms) if digest is None else self._store.version_with(name, digest)
        if found is None:
            raise NotFound("list_unknown", "no such list, or none of that time")
        return found

    def _goes_on(self, pair: Pair, name: bytes) -> bool:
        """Whether the list may have another version now, by what the log made of those before."""
        waiting = self._store.unsettled(name)
        answers = [self._answered(each) for each in waiting]
        taken = [each.n for each, answer in zip(waiting, answers, strict=True) if answer == RECEIPTED]
        if taken:
            self._store.settle(name, taken[-1])
        left = [
            (each, answer) for each, answer in zip(waiting, answers, strict=True) if not taken or each.n > taken[-1]
        ]
        refused = next(((each, answer) for each, answer in left if answer != WAITING), None)
        if refused is None:
            return not left or self._now_ms() - left[0][0].at_ms < WAIT_MAX_MS
        first, code = refused
        if any(answer == WAITING for _, answer in left):
            return False  # those after it are refused too, in a moment
        if code in LOST:
            self._store.lose_pair(pair.n)
            return False
        if code != ENDED and first.until_ms - self._now_ms() > WAIT_MAX_MS:
            for each, _ in left:  # such as before the institution was accredited: the same may be taken now
                self._say(each.outgoing)
            return False
        # Stop here: the log never had these. The next start finds them as they are, or gone.
        self._store.drop_versions(name, first.n)
        return True

    def _answered(self, found: Version) -> str:
        digest = self._store.saying(found.outgoing)[1]
        return WAITING if digest is None else self._answer(digest)

    def _stands(self, found: Version, change: int, signer: Signer) -> bool:
        """Whether a version says all that is to be said, for some time."""
        fresh = self._now_ms() - found.at_ms < LIST_AGAIN_MS
        return fresh and found.last_change == change and found.key == signer.key.public.thumbprint

    def _bring_out(
        self, pair: Pair, purpose: str, name: bytes, signer: Signer, before: Version | None, change: int
    ) -> None:
        now_ms, url = self._now_ms(), self._url(name)
        bits = Bits(pair.size)
        for place in self._store.in_state(pair.n, "revoked" if purpose == model.REVOCATION else "suspended"):
            bits.set(place, True)
        until_ms = now_ms + LIST_LIFE_MS
        claims = status.credential(
            url=url, issuer=signer.did, purpose=purpose, bits=bits, from_ms=now_ms, until_ms=until_ms
        )
        raw = jcs.canonical(integrity.sign(claims, signer.key, method=signer.method, created_s=now_ms // 1000))
        n, digest = 1 if before is None else before.n + 1, hashlib.sha256(raw).digest()
        listing = Listing(
            log=self._log, list=name, purpose=purpose, n=n, digest=digest, size=pair.size, until_ms=until_ms
        )
        found = Version(
            list=name,
            n=n,
            raw=raw,
            digest=digest,
            key=signer.key.public.thumbprint,
            last_change=change,
            at_ms=now_ms,
            until_ms=until_ms,
            outgoing=0,
            settled=0,
        )
        saying = Saying(document=listing.encode(), content_type=model.STATUS_LIST, sub=model.list_subject(self._party))
        self._say(self._store.add_version(found, saying))

    def _url(self, name: bytes) -> str:
        return f"{self._base()}/status/{name.hex()}"
