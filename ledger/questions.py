"""What one contract may ask of another: a short list of questions with typed answers, each answered by one contract.

Contracts import no other contract, only this list. An answer is read from the state as it is when the question is asked, and
so the same in a replay. Who adds a question adds the contract's answer to it and a line here.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

A = TypeVar("A", covariant=True)


class Question(Generic[A]):
    """Something that one contract knows. A: the type of the answer."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """An admitted party. thumbprint: of its first key, its name for life; acting: whether one of its keys may sign now."""

    thumbprint: bytes
    name: str
    role: str
    acting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogName(Question[str]):
    """What is this log called (its origin)? Answered by `registry`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEpoch(Question[int]):
    """Which epoch of the log is this, from 1? Answered by `registry`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyOf(Question[Party | None]):
    """Whose key has this thumbprint? None: no party's. Answered by `registry`."""

    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class IsAdmitted(Question[bool]):
    """May the key with this thumbprint sign now: admitted, not revoked, not past its end? Answered by `registry`."""

    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class IsTrusted(Question[bool]):
    """Does the signature by the key with this thumbprint, under the entry at `index`, still count? Answered by `registry`.

    False when the key or its party was revoked from that entry or an earlier one on, even if that was said later.
    """

    key: bytes
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HasRole(Question[bool]):
    """Does the party with this name act in this role now? Answered by `registry`."""

    party: bytes
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorsOf(Question[int]):
    """How many anchors has the gateway with this thumbprint registered? Answered by `anchors`."""

    gateway: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentsOf(Question[int]):
    """How many enrolments has the gateway with this thumbprint registered? Answered by `devices`."""

    gateway: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class IsAccredited(Question[bool]):
    """May the party with this name vouch for a type of credential in a jurisdiction now? Answered by `credentials`."""

    party: bytes
    type: str
    jurisdiction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A credential as the log knows it. party: its issuer's name; counts: False when its key was stolen before it was logged."""

    party: bytes
    type: str
    jurisdiction: str
    commitment: bytes
    at_ms: int
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentOf(Question[Logged | None]):
    """What was committed to under this id? Whether it was revoked stands in a list, not here. Answered by `credentials`."""

    id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HasLicence(Question[bool]):
    """Does the institution with this name hold a licence of a type in a jurisdiction now? Answered by `credentials`."""

    party: bytes
    type: str
    jurisdiction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether somebody may do something now. code: stable, why; until_ms: how long the answer holds by itself, None: no answer
    but another question changes it."""

    allowed: bool
    code: str
    until_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MayAct(Question[Standing]):
    """May the holder of this DID act here in a capability now: "trading-partner", "break-glass", "prescriber" or "sign"?

    Answered by a party's `credentials`, from its hiring files, through `Node.ask`; the log knows nobody.
    """

    holder: str
    capability: str
