"""A world of parcels from a seed: what parties say, right and wrong, and what the log should make of it."""

from collections.abc import Iterator, Sequence
from random import Random

from protocol import statement
from protocol.keys import SigningKey
from tests.support.parcels.model import EVENTS, LIFE, STEP, Step, subject

PARCELS = 5  # at a time: parties meet over the same ones


def signed(key: SigningKey, step: Step, **changed: object) -> bytes:
    """A step as a party registers it."""
    values: dict[str, object] = {
        "iss": key.public.urn,
        "sub": subject(step.parcel),
        "payload": step.encode(),
        "content_type": STEP,
    }
    return statement.sign(key, **{**values, **changed})


def world(seed: int, parties: Sequence[tuple[SigningKey, str]], steps: int) -> Iterator[tuple[bytes, str]]:
    """Statements, each with the code of its refusal, empty when it is registered; by an oracle of its own."""
    rng = Random(seed)
    where: dict[int, tuple[str, int, int]] = {}  # state, holder, receiver by parcel: parties by their place
    said = set()
    for _ in range(steps):
        parcel, who, event = rng.randrange(PARCELS), rng.randrange(len(parties)), rng.choice(EVENTS)
        to = rng.randrange(len(parties)) if event == "offer" else None
        state, holder, receiver = where.get(parcel, ("", -1, -1))
        name = None if to is None else parties[to][0].public.thumbprint
        raw = signed(parties[who][0], Step(parcel=bytes([parcel]) * 16, event=event, to=name), iat_s=len(said))
        said.add(raw)
        yield raw, _verdict((state, holder, receiver), who, event, to, parties)
        if not _verdict((state, holder, receiver), who, event, to, parties):
            where[parcel] = (
                LIFE[state, event],
                who if event in ("post", "accept") else holder,
                -1 if to is None else to,
            )


def _verdict(
    where: tuple[str, int, int], who: int, event: str, to: int | None, parties: Sequence[tuple[SigningKey, str]]
) -> str:
    state, holder, receiver = where
    if (state, event) not in LIFE:
        return "parcel_step"
    if event == "post":
        return "" if parties[who][1] == "maker" else "parcel_role"
    if who != (receiver if event == "accept" else holder):
        return "parcel_holder"
    return "" if to is None or parties[to][1] in ("carrier", "pharmacy") else "parcel_receiver"
