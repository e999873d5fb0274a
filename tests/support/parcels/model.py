"""What can be said about a parcel, and the table of its life."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from protocol import cbor
from protocol.documents import fields
from protocol.errors import Malformed

STEP = "application/example-parcel+cbor"
LIFE: Mapping[tuple[str, str], str] = {
    ("", "post"): "held",
    ("held", "offer"): "offered",
    ("offered", "withdraw"): "held",
    ("offered", "accept"): "held",
    ("held", "deliver"): "delivered",
}
EVENTS = sorted({event for _, event in LIFE})
PARCEL_SIZE = 16  # bytes of a parcel's number


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a parcel. to: the party that it is offered to, by name; None for every other event."""

    parcel: bytes
    event: str
    to: bytes | None = None

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode({"v": 1, "parcel": self.parcel, "event": self.event, "to": self.to})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = fields.mapped(data, {"v", "parcel", "event", "to"})
        event = fields.text(body, "event")
        if event not in EVENTS or (event == "offer") is (body["to"] is None):
            raise Malformed("document_bad", "an event of a parcel, and a receiver for an offer alone")
        to = None if body["to"] is None else fields.octets(body, "to", 32)
        return cls(parcel=fields.octets(body, "parcel", PARCEL_SIZE), event=event, to=to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """Where a parcel is. holder, to: parties by name."""

    state: str = ""
    holder: bytes = b""
    to: bytes | None = None

    def after(self, step: Step, by: bytes) -> Self | None:
        """The parcel after a step that `by` takes; None for one that its life does not have."""
        state = LIFE.get((self.state, step.event))
        if state is None:
            return None
        holder = by if step.event in ("post", "accept") else self.holder
        return type(self)(state=state, holder=holder, to=step.to)


def subject(parcel: bytes) -> str:
    """The subject of all statements about a parcel."""
    return f"example:parcel:{parcel.hex()}"
