"""The issuer of a running party, as people and programs use it: one deed at a time, and a change is published with it.

Every method blocks. Who has no issuer here is told how to make one.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Self

from ledger.credentials import types
from ledger.credentials.issuing import Issued, Issuer
from ledger.credentials.issuing.lists import RECEIPTED, WAITING
from ledger.credentials.issuing.store import FILE, Row
from ledger.credentials.vc import did, secured
from ledger.credentials.vc.did import DidDocument
from ledger.credentials.vc.multikey import VerifyingKey
from ledger.party import rotation
from ledger.party.node import Node
from protocol.errors import Malformed, NotFound

ID_SIZE = 16  # bytes of a credential's number on the ledger
REFRESH = "refresh"
RECENT = 100  # credentials that are looked at when a party starts, whether the log has them
WATCHED_MAX = 10_000  # credentials that the log has not taken yet; beyond it the oldest is left to the outbox
TRIES_MAX = 20  # times that one is said again soon; after that the outbox asks every hour
EARLY = frozenset({"issuer_not_accredited", "issuer_key_unknown"})  # refusals that an accreditation ends
EXPIRED = "expired"  # how a valid credential stands after its end; the issuer's own table does not have it


class Office:
    """issuer: None when the party issues nothing."""

    def __init__(self, issuer: Issuer | None, *, now_ms: Callable[[], int]) -> None:
        self._issuer, self._now_ms, self._turn = issuer, now_ms, threading.Lock()
        self._early = False  # whether the log has refused our key, as it does before an accreditation
        self._watched: dict[
            bytes, int
        ] = {}  # credentials that the log has not taken yet, with how often they were said again
        if issuer is not None:
            self._watched = {row.id: 0 for row in issuer.issued(most=RECENT)}

    @classmethod
    def open(
        cls, node: Node, *, base: Callable[[], str], now_ms: Callable[[], int], random_bytes: Callable[[int], bytes]
    ) -> Self:
        """The party's issuer, when it has one and a log to speak to.

        Raises Unavailable: credentials_unreadable, key_unreadable.
        """
        if node.log is None or not (node.folder / FILE).exists():
            return cls(None, now_ms=now_ms)
        issuer = Issuer.open(
            node.folder,
            say=lambda document, content_type, sub: node.say(document, content_type=content_type, sub=sub),
            base=base,
            log=node.log.origin,
            party=rotation.name_of(node.folder, node.public),
            now_ms=now_ms,
            random_bytes=random_bytes,
            web=node.chosen.did,
            answer=node.stands,
        )
        return cls(issuer, now_ms=now_ms)

    def close(self) -> None:
        """Close the issuer's file, after whatever is being done."""
        with self._turn:
            if self._issuer is not None:
                self._issuer.close()

    @property
    def opened(self) -> bool:
        """Whether this party issues."""
        return self._issuer is not None

    @property
    def did(self) -> str:
        """Under which it issues; empty when it does not."""
        return "" if self._issuer is None else self._issuer.did

    def begin(self) -> None:
        """Say what a stop kept from being said, and what the log refused before an accreditation; bring out what is due.

        Raises ConfigError: key_ended; Unavailable.
        """
        with self._turn, contextlib.suppress(_NoIssuer):
            self._its.begin()
            self._say_again()
            self._bring_out()

    def publish(self, *, again: bool = False) -> int:
        """Bring out lists that are due, or all; how many."""
        with self._turn:
            return self._its.publish(again=again)

    def issue(self, kind: str, fields: Mapping[str, str], *, holder: str, form: str, days: int | None = None) -> Issued:
        """Issue to the holder of a did:key.

        Raises Malformed: type_unknown, field_*, date_bad and others by the kind of field, did_bad, format_unknown, period_bad;
        NotFound: issuer_missing; Unavailable.
        """
        return self.issue_draft(types.draft(kind, fields), form, did.key_of(holder), days=days)

    def issue_draft(
        self, draft: Mapping[str, object], form: str, holder: VerifyingKey, *, days: int | None = None
    ) -> Issued:
        """Issue a draft. Raises as `issue`."""
        with self._turn:
            self.check_draft(draft)
            made = self._its.issue(draft, holder=holder, format=form, days=days)
            self._watch(made.id)
            self._bring_out()  # the first credential of a list brings the list
        return made

    def change(self, identity: bytes, event: str, *, reason: str) -> Row:
        """Suspend, reinstate or revoke, and bring the lists out with it. Raises NotFound: credential_unknown; Conflict."""
        with self._turn:
            self._its.change(identity, event, reason=reason)
            # Stop here: changed, and not published. The next start publishes.
            self._bring_out()
            return self._its.find(identity)

    def refresh(self, identity: bytes, *, days: int | None = None) -> Issued:
        """The same again with a new period, in place of the old one."""
        with self._turn:
            made = self._its.refresh(identity, days=days)
            self._watch(made.id)
            self._bring_out()
            return made

    def rotate(self) -> str:
        """Sign with a new key from now on; its verification method. Raises ConfigError: did_key."""
        with self._turn:
            self._its.rotate()
            self._its.publish(again=True)  # lists that only the old key signed would end with it
            return self._its.method

    def stolen(self, *, since: tuple[int, int], key: bytes | None = None) -> str:
        """Say that a key was stolen, since an entry of the log; the verification method from now on."""
        with self._turn:
            self._its.stolen(since=since, key=key)
            if not self._its.did.startswith("did:key:"):
                self._its.publish(again=True)
            return self._its.method

    def find(self, identity: bytes) -> Row:
        """A credential that was issued. Raises NotFound: credential_unknown."""
        return self._its.find(identity)

    def issued(self, *, most: int) -> list[Row]:
        """The newest credentials."""
        return self._its.issued(most=most)

    def status_list(self, name: bytes, *, at_ms: int | None = None) -> bytes:
        """A signed list, the newest or that of a time. Raises NotFound: list_unknown."""
        return self._its.status_list(name, at_ms=at_ms)

    def document(self) -> DidDocument:
        """The DID document. Raises NotFound: issuer_missing."""
        return self._its.document()

    def state(self, row: Row) -> str:
        """How a credential stands now: valid, suspended, revoked or expired."""
        ended = row.state == "valid" and row.until_ms <= self._now_ms()
        return EXPIRED if ended else row.state

    def standing(self, row: Row) -> str:
        """What the log made of a credential: waiting, receipted, or the code of its refusal."""
        return self._its.standing(row)

    def check_draft(self, draft: Mapping[str, object]) -> None:
        """What cannot be is not signed. Raises Malformed."""
        names, subject = draft["type"], draft["credentialSubject"]
        assert isinstance(names, list) and isinstance(subject, Mapping)
        for problem in types.check(names[-1], subject):
            raise Malformed(problem.code, f"{problem.field} cannot be as it stands")

    def _watch(self, identity: bytes) -> None:
        self._watched[identity] = 0
        if len(self._watched) > WATCHED_MAX:
            del self._watched[next(iter(self._watched))]

    def _bring_out(self) -> None:
        """The lists that are due. While the log refuses our key, none: a list that it has before the key counts for nobody."""
        standing = self._its.key_standing()
        if standing not in (WAITING, RECEIPTED):
            self._early = True
        elif standing == RECEIPTED and self._early:
            self._its.publish(again=True)  # those that went out before it was refused
            self._early = False
        else:
            self._its.publish()

    def _say_again(self) -> None:
        """What the log refused because it had not heard of us yet; the outbox asks again by itself, but only every hour."""
        for identity, tries in list(self._watched.items()):
            row = self._its.find(identity)
            standing = self._its.standing(row)
            if standing == WAITING:
                continue
            if standing not in EARLY or tries >= TRIES_MAX:
                del self._watched[identity]
                continue
            self._watched[identity] = tries + 1
            self._its.say_again(row)

    @property
    def _its(self) -> Issuer:
        if self._issuer is None:
            raise _NoIssuer(
                "issuer_missing", "this party issues nothing: run `vigil credentials issuer init` while it is at rest"
            )
        return self._issuer


class _NoIssuer(NotFound):
    pass


def facts_of(row: Row) -> dict[str, str]:
    """What a credential says, by the labels of its type."""
    kind = types.CATALOGUE[row.type]
    said = secured.said(secured.read(row.raw).claims)
    return {each.label: str(said[each.name]) for each in kind.fields if each.name in said}
