"""Which contract judges a statement: the one for its content type, once the policy lets its issuer register it.

A content type that the policy names and no contract claims is kept as it is, so that any party can use the log as a plain
transparency service (RFC 9943). Pure. Also the head of the state: a chain of hashes over every entry and what it changed, so
that two logs (or a log and its replay) with the same head have the same history.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ledger import anchors, devices, policy, registry, retention
from ledger.credentials import rules as credentials
from ledger.questions import Question
from ledger.rules import Changes, Contract, Issuer, Kind, Refused, State, View, check_signer
from protocol import cbor, cose, documents, receipt
from protocol.errors import Malformed
from protocol.statement import Statement

_A = TypeVar("_A")

FORM_CODES = frozenset(
    "cbor_size cbor_invalid cbor_not_deterministic cose_tag cose_shape statement_unprotected statement_payload "
    "statement_headers statement_kid statement_claims statement_content_type statement_hash statement_location "
    "kid_mismatch alg_unsupported crit_unsupported signature_size signature_bad key_size document_bad "
    "content_type_not_allowed issuer_unknown issuer_not_allowed issuer_mismatch form_not_allowed "
    "location_not_allowed subject_wrong policy_missing storage_failed too_many".split()
)  # why a statement is not registered whatever its contract: with the contracts' own codes, every reason there is
GENERIC = "statements"  # the name of the contract for what no contract claims
FIRST_HEAD = bytes(32)
_HEAD_LABEL = b"vigil-ledger-head/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What one contract sees of the state."""

    part: "_Part"
    contracts: "Contracts"
    now_ms: int
    index: int
    issuer: Issuer

    def get(self, key: bytes, /) -> bytes | None:
        return self.part.get(key)

    def ask(self, question: Question[_A]) -> _A:
        return self.contracts.ask(self.part.state, question, self.now_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The part of the state that one contract owns."""

    state: State
    contract: Contract

    def get(self, key: bytes, /) -> bytes | None:
        if not self.contract.owns(key):
            raise AssertionError(f"{self.contract.name} reads the state of another contract")
        return self.state.get(key)


class Contracts:
    """The contracts of a log: each content type, state key and question belongs to one of them.

    codes: every reason why a log with these contracts does not register a statement.
    """

    def __init__(self, contracts: Sequence[Contract]) -> None:
        self.all = tuple(contracts)
        self.codes = FORM_CODES.union(*(contract.codes for contract in self.all))
        self.lasting = frozenset(contract.name for contract in self.all if contract.lasting)
        self._by_type = {kind: contract for contract in self.all for kind in contract.kinds}
        self._by_question = {question: contract for contract in self.all for question in contract.answers}
        names = [contract.name for contract in self.all]
        types = [kind for contract in self.all for kind in contract.kinds]
        questions = [question for contract in self.all for question in contract.answers]
        for found in (names, types, questions):
            if len(set(found)) < len(found):
                raise AssertionError(f"two contracts share one of {found}")
        for contract in self.all:
            for other in self.all:
                if other is not contract and any(other.owns(key) for key in contract.keys):
                    raise AssertionError(f"{contract.name} and {other.name} share a part of the state")

    def with_added(self, *contracts: Contract) -> "Contracts":
        """These contracts and more."""
        return Contracts((*self.all, *contracts))

    def carried(self, state: State) -> dict[bytes, bytes]:
        """What an epoch begins with, from the state at the end of the one before."""
        found: dict[bytes, bytes] = {}
        for contract in self.all:
            found.update(contract.carry({key: value for key, value in state.items() if contract.owns(key)}))
        return found

    def kind(self, content_type: str) -> Kind | None:
        """What is said about a content type. None: no contract claims it."""
        contract = self._by_type.get(content_type)
        return None if contract is None else contract.kinds[content_type]

    def redactable(self, content_type: str) -> bool:
        """Whether the body of such a statement may be taken away: no later rule reads it."""
        kind = self.kind(content_type)
        return kind is None or kind.redactable

    def judge(self, state: State, found: Statement, now_ms: int, *, index: int) -> tuple[str, Changes]:
        """The name of the contract for `found`, which would be at `index`, and what it changes.

        Raises Refused: content_type_not_allowed, issuer_*, key_ended, genesis_missing, policy_missing and the contract's;
        Malformed; BadSignature.
        """
        contract = self._by_type.get(found.content_type, _GENERIC)
        issuer = self._issuer(state, found, now_ms)
        apply = _keep if contract is _GENERIC else contract.kinds[found.content_type].apply
        part = _Part(state=state, contract=contract)
        changes = apply(_View(part=part, contracts=self, now_ms=now_ms, index=index, issuer=issuer), found, now_ms)
        for key in changes.puts:
            if not contract.owns(key):
                raise AssertionError(f"{contract.name} writes the state of another contract")
        return contract.name, changes

    def ask(self, state: State, question: Question[_A], now_ms: int) -> _A:
        """The answer of the contract that knows it, from `state` as it is. now_ms: the log's time."""
        contract = self._by_question.get(type(question))
        if contract is None:
            raise AssertionError(f"no contract answers {type(question).__name__}")
        answer: Any = contract.answers[type(question)](_Part(state=state, contract=contract), question, now_ms)
        found: _A = answer
        return found

    def _issuer(self, state: State, found: Statement, now_ms: int) -> Issuer:
        """Whoever signed, once that is sure and the policy lets them register: no contract is called before."""
        rule = policy.rule_for(state, found.content_type)
        if found.content_type == documents.GENESIS:
            issuer = registry.beginner(state, found)
        else:
            issuer = registry.issuer(state, found.kid, now_ms)
        if not registry.in_roles(issuer, rule.roles):
            raise Refused("issuer_not_allowed", f"a key in the role {issuer.role} does not register this type")
        check_signer(found, issuer.key)
        return issuer


def _keep(view: View, found: Statement, now_ms: int) -> Changes:
    """A statement that no contract claims: kept, and nothing follows from it."""
    return Changes(puts={})


_GENERIC = Contract(name=GENERIC, kinds={}, keys=())
STANDARD = Contracts(
    (
        registry.CONTRACT,
        policy.CONTRACT,
        retention.CONTRACT,
        devices.CONTRACT,
        anchors.CONTRACT,
        credentials.CONTRACT,
    )
)
CODES = STANDARD.codes


def bare(raw: bytes) -> bytes:
    """The statement in `raw` with an empty unprotected header, as the log keeps it. Source: RFC 9943 §6.3.

    Raises Malformed: cbor_*, cose_*, statement_payload.
    """
    signed = cose.parse_sign1(raw, size_max=receipt.TRANSPARENT_SIZE_MAX)
    if not signed.unprotected:
        return raw
    if signed.payload is None:
        raise Malformed("statement_payload", "the payload is attached")
    return cose.laid(signed.protected_bytes, signed.payload, signed.signature)


def next_head(head: bytes, *, entry: bytes, contract: str, at_ms: int, changes: Changes) -> bytes:
    """32 bytes: the head of the state after an entry, from the head before it."""
    puts = sorted([cose.bstr(key) + cose.bstr(value) for key, value in changes.puts.items()])
    said = b"\x84" + cose.bstr(entry) + cbor.text(contract) + cbor.uint(at_ms) + cbor.map_head(len(puts))
    return hashlib.sha256(_HEAD_LABEL + head + said + b"".join(puts)).digest()
