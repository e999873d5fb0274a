"""Commitments that a holder brings along with their receipts, for a verifier whose copy of the ledger is older than they are.

The receipt is the log's signed word that its contract took the commitment, at that place; when, it does not say. Everything else
about the issuer is as old as the copy, and the verdict says how old that is.
"""

from collections.abc import Sequence

from ledger.credentials import model
from ledger.credentials.model import Commitment
from ledger.credentials.rules.records import Committed, Place
from ledger.credentials.verdict.known import Held, Key, Known, Version
from protocol import growth, receipt, statement
from protocol.errors import Malformed
from protocol.policy import Policy

BROUGHT_MAX = 64  # commitments beside one presentation; more are refused
_SUBJECT = model.credential_subject(b"")


class Brought:
    """What is known, and what was brought: nothing of a place that was read, for there it would be known."""

    def __init__(self, known: Known, transparent: Sequence[bytes], *, policy: Policy) -> None:
        """Raises Malformed: brought_*; as `read` does."""
        if len(transparent) > BROUGHT_MAX:
            raise Malformed("brought_many", f"at most {BROUGHT_MAX} commitments are brought along")
        self._known, self._found = known, dict[bytes, Committed]()
        for raw in transparent:
            identity, found = read(raw, policy=policy, at_ms=known.as_of_ms)
            if found.place >= known.next:
                self._found[identity] = found

    @property
    def as_of_ms(self) -> int:
        """When the ledger was last seen whole, by our clock."""
        return self._known.as_of_ms

    @property
    def next(self) -> Place:
        """The first entry that was not read."""
        return self._known.next

    def names(self, log: str) -> bool:
        """Whether this is the origin of an epoch of the log that is known."""
        return self._known.names(log)

    def key(self, method: str) -> Key | None:
        """The issuer key of a verification method."""
        return self._known.key(method)

    def committed(self, identity: bytes) -> Committed | None:
        """A credential as the ledger knows it, or as the log's receipt says."""
        return self._known.committed(identity) or self._found.get(identity)

    def stands(self, identity: bytes, said: Committed) -> bool:
        """Whether a commitment stands. The log takes none of who is revoked already."""
        return identity in self._found or self._known.stands(identity, said)

    def acts(self, party: bytes, *, known_ms: int) -> bool:
        """Whether an institution was not revoked, by what was on the ledger at a time of the log."""
        return self._known.acts(party, known_ms=known_ms)

    def accredited(self, party: bytes, kind: str, jurisdiction: str, *, at_ms: int, known: Place | int) -> bool:
        """Whether an institution might vouch for a type there at a time. known: logged up to a place, or a time."""
        return self._known.accredited(party, kind, jurisdiction, at_ms=at_ms, known=known)

    def version(self, url: str, *, party: bytes, at_ms: int) -> tuple[Version | None, Held | None]:
        """The version of an institution's list that was the newest at a time of the log, and its bits when held."""
        return self._known.version(url, party=party, at_ms=at_ms)


def read(transparent: bytes, *, policy: Policy, at_ms: int) -> tuple[bytes, Committed]:
    """(id, the commitment) in a transparent statement that a log of the policy has signed for. at_ms: taken for the log's time.

    Raises Malformed: brought_other, document_bad, transparent_*, receipt_*; BadSignature; VerificationFailed: log_unknown,
    inclusion_bad.
    """
    raw, receipts = receipt.detach(transparent)
    placed = growth.placed(policy, receipts[0], digest=statement.entry(raw))
    said = statement.parse(raw)
    if said.content_type != model.CREDENTIAL or said.hashed or not said.sub.startswith(_SUBJECT):
        raise Malformed("brought_other", "what is brought along are commitments of credentials")
    document = Commitment.decode(said.payload)
    if document.log != placed.origin:
        raise Malformed("brought_other", "a commitment for another log")
    try:
        party = bytes.fromhex(said.sub.removeprefix(_SUBJECT))  # the contract took it: the subject names the issuer
    except ValueError as error:
        raise Malformed("brought_other", "the subject of a commitment names its issuer") from error
    return document.id, Committed(
        party=party,
        key=document.key,
        type=document.type,
        jurisdiction=document.jurisdiction,
        commitment=document.commitment,
        place=(placed.epoch, placed.index),
        at_ms=at_ms,
        checked_ms=document.checked_ms,
    )
