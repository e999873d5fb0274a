"""The contract port: what a contract is, what it is given to judge a statement, and what it gives back.

A contract is judged by nobody but itself about its own part of the state: it sees the keys that it owns and no others, and
asks what it needs of another contract as a question (`ledger/questions.py`). Who signed, and that the signature holds, is
settled before a contract is called.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from ledger.questions import Question
from protocol import statement
from protocol.documents import ISSUER, LOG, MEMBER, MEMBERS, PUBLIC, READERS, ROOT
from protocol.errors import ProtocolError
from protocol.keys import PublicKey
from protocol.statement import Statement

__all__ = [
    "ISSUER",
    "LOG",
    "MEMBER",
    "MEMBERS",
    "PUBLIC",
    "READERS",
    "ROOT",
    "Answer",
    "Apply",
    "Carry",
    "Changes",
    "Contract",
    "Issuer",
    "Kind",
    "Readable",
    "Refused",
    "State",
    "View",
    "carry_nothing",
    "check_form",
    "check_signer",
]

State = Mapping[bytes, bytes]  # the whole of it: what the log keeps, and what a replay leads to

_A = TypeVar("_A")


class Refused(ProtocolError):
    """The rules of registration say no to a statement that is well formed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a statement does to the state. puts: new values by state key."""

    puts: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who signed a statement. party: its name for life, the thumbprint of its first key; role: of ROLES, or ROOT or LOG."""

    key: PublicKey
    party: bytes
    role: str
    name: str


class Readable(Protocol):
    """A state, or what a contract sees of it."""

    def get(self, key: bytes, /) -> bytes | None:
        """The value at a state key; AssertionError in a contract that does not own it."""


class View(Readable, Protocol):
    """What a contract may read to judge. index: where the statement will be in the log; issuer: who signed it."""

    @property
    def index(self) -> int: ...

    @property
    def issuer(self) -> Issuer: ...

    def ask(self, question: Question[_A]) -> _A:
        """What the contract that knows it answers."""


Apply = Callable[[View, Statement, int], Changes]  # the int: the log's time in Unix ms, which never goes back
Answer = Callable[[Readable, Any, int], object]  # of the question, at a time of the log; it asks nobody, so no circles
Carry = Callable[[State], State]  # from a contract's part of the state to that which the next epoch begins with


def carry_nothing(part: State) -> State:
    """For a contract whose part of the state is said anew in each epoch."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a contract says about one content type. apply: raises Refused or Malformed when it says no.

    roles, readers: who may register and read such statements in a log whose policy says nothing else; redactable: whether
    the body may be taken away when a court orders it, which is only for statements that no later rule reads.
    """

    apply: Apply
    roles: frozenset[str]
    readers: str = PUBLIC
    redactable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One use case's rules. kinds: by content type; keys: its part of the state, exact keys and prefixes that end in "/".

    codes: of its refusals, for the counters; answers: to questions, by their class; lasting: its statements stay when older
    ones than a minimum index are taken away, for whoever verifies needs them; carry: what of its part of the state the next
    epoch begins with, where indexes begin at 0 again.
    """

    name: str
    kinds: Mapping[str, Kind]
    keys: tuple[bytes, ...]
    codes: frozenset[str] = frozenset()
    answers: Mapping[type[Question[Any]], Answer] = field(default_factory=dict)
    lasting: bool = False
    carry: Carry = dict

    _exact: frozenset[bytes] = field(init=False, repr=False, compare=False)
    _prefixes: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_exact", frozenset(key for key in self.keys if not key.endswith(b"/")))
        object.__setattr__(self, "_prefixes", tuple(key for key in self.keys if key.endswith(b"/")))

    def owns(self, key: bytes) -> bool:
        """Whether a state key is this contract's."""
        return key.startswith(self._prefixes) or key in self._exact


def check_signer(found: Statement, key: PublicKey) -> None:
    """Raises Refused: issuer_mismatch; BadSignature, unless `key` signed `found` under its own name."""
    if found.iss != key.urn:
        raise Refused("issuer_mismatch", "the issuer is not the name of the key that signed")
    statement.verify(found, key, thumbprint=key.thumbprint)


def check_form(found: Statement, *, hashed: bool, subject: str) -> None:
    """Raises Refused: form_not_allowed, location_not_allowed, subject_wrong."""
    if found.hashed is not hashed:
        raise Refused("form_not_allowed", "registered as a hash envelope" if hashed else "registered in full")
    if statement.PAYLOAD_LOCATION in found.signed.protected:
        raise Refused("location_not_allowed", "a place where the document lies says too much for a public log")
    if found.sub != subject:
        raise Refused("subject_wrong", "statements of this type by this issuer have one subject, which this is not")
