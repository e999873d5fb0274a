"""The contract: who may take which step with a parcel. State: `parcels/<number>` with where it is."""

from dataclasses import dataclass

from ledger.questions import HasRole, Question
from ledger.rules import Changes, Contract, Kind, Readable, Refused, View, check_form
from protocol import cbor
from protocol.statement import Statement
from tests.support.parcels.model import STEP, Parcel, Step, subject

PREFIX = b"parcels/"
RECEIVERS = ("carrier", "pharmacy")


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderOf(Question[bytes | None]):
    """Which party holds the parcel? None: there is no such parcel. Answered by `parcels`."""

    parcel: bytes


def found(state: Readable, parcel: bytes) -> Parcel:
    """The parcel as the state has it; a new one when it has none."""
    held = state.get(PREFIX + parcel)
    match None if held is None else cbor.decode(held, size_max=256):
        case [str(word), bytes(holder), (bytes() | None) as to]:
            return Parcel(state=word, holder=holder, to=to)
    return Parcel()


def apply(view: View, said: Statement, now_ms: int) -> Changes:
    """One step. Raises Malformed: document_bad; Refused: parcel_step, parcel_role, parcel_holder, parcel_receiver."""
    if said.hashed:
        raise Refused("form_not_allowed", "registered in full")
    step = Step.decode(said.payload)
    check_form(said, hashed=False, subject=subject(step.parcel))
    before = found(view, step.parcel)
    after = before.after(step, view.issuer.party)
    if after is None:
        raise Refused("parcel_step", "a parcel does not take this step now")
    if step.event == "post" and view.issuer.role != "maker":
        raise Refused("parcel_role", "makers post parcels")
    if step.event == "accept" and view.issuer.party != before.to:
        raise Refused("parcel_holder", "offered to somebody else")
    if step.event in ("offer", "withdraw", "deliver") and view.issuer.party != before.holder:
        raise Refused("parcel_holder", "held by somebody else")
    if step.to is not None and not any(view.ask(HasRole(party=step.to, role=role)) for role in RECEIVERS):
        raise Refused("parcel_receiver", "parcels go to carriers and pharmacies")
    return Changes(puts={PREFIX + step.parcel: cbor.encode([after.state, after.holder, after.to])})


def _holder(state: Readable, question: HolderOf, now_ms: int) -> bytes | None:
    return found(state, question.parcel).holder or None


CONTRACT = Contract(
    name="parcels",
    kinds={STEP: Kind(apply=apply, roles=frozenset({"maker", "carrier", "pharmacy"}), readers="members")},
    keys=(PREFIX,),
    codes=frozenset({"parcel_step", "parcel_role", "parcel_holder", "parcel_receiver"}),
    answers={HolderOf: _holder},
)
