"""Hiring files, reviews and alerts as JSON for other programs. Who asks for a file may read who it is about."""

from collections.abc import Iterable, Mapping
from typing import Any

from ledger.credentials.hiring.exclusions import Person
from ledger.credentials.hiring.holdings import Held, stands
from ledger.credentials.hiring.review import Review
from ledger.credentials.hiring.store import Alert, Happened, Row
from ledger.credentials.types import fhir
from ledger.credentials.vc import secured
from protocol.errors import Malformed

TEXT_MAX = 128  # characters of a person's name or number


def line(row: Row) -> dict[str, Any]:
    """A file in a list of them."""
    person = row.person
    name = "" if person is None else f"{person.given} {person.family}"
    return {
        "id": row.file.id.hex(),
        "state": row.file.state,
        "post": row.file.post.name,
        "label": row.file.post.label,
        "name": name,
        "made_ms": row.made_ms,
        "over_ms": row.over_ms,
        "erased_ms": row.erased_ms,
    }


def whole(
    row: Row, seen: Review, permits: Mapping[str, tuple[str, str, int]], history: Iterable[Happened], *, now_ms: int
) -> dict[str, Any]:
    """A file with all that stands in it."""
    file = row.file
    return {
        **line(row),
        "person": None if row.person is None else _person(row.person),
        "holder": file.holder,
        "held": file.held,
        "hired_ms": file.hired_ms,
        "credentialled_ms": file.credentialled_ms,
        "looked_ms": file.looked_ms,
        "needs": file.post.to_json()["needs"],
        "credentials": [_held(each, now_ms) for each in file.helds],
        "matches": [{"entry": each.entry.hex(), "code": each.code, "decided": each.decided} for each in file.matches],
        "permits": {name: {"state": at[0], "code": at[1], "since_ms": at[2]} for name, at in permits.items()},
        "history": [
            {"at_ms": each.at_ms, "event": each.event, "state": each.state, "code": each.code, "by": each.by}
            for each in history
        ],
        **review(seen),
    }


def review(seen: Review) -> dict[str, Any]:
    """What is met and by what, what is missing and why, what stands against working."""
    met = {name: {"by": each.by.id.hex(), "until_ms": each.until_ms} for name, each in seen.met.items()}
    gaps = [
        {
            "need": gap.need.name,
            "label": gap.need.label,
            "outcome": gap.outcome,
            "code": gap.code,
            "sent": [
                {"credential": each.held.hex(), "outcome": each.outcome, "code": each.code} for each in gap.reasons
            ],
        }
        for gap in seen.gaps
    ]
    causes = [{"subject": each.subject, "outcome": each.outcome, "code": each.code} for each in seen.causes]
    return {"met": met, "gaps": gaps, "causes": causes}


def alert(found: Alert) -> dict[str, Any]:
    """Something that was told."""
    return {
        "n": found.n,
        "file": found.file.hex(),
        "subject": found.subject,
        "code": found.code,
        "type": found.type,
        "days": found.days,
        "end_ms": found.end_ms,
        "raised_ms": found.raised_ms,
        "resolved_ms": found.resolved_ms,
    }


def person(said: object) -> Person:
    """Reads {given, family, birth?, npi?}. Raises Malformed: person_bad."""
    if not isinstance(said, Mapping) or not {"given", "family"} <= said.keys() <= {"given", "family", "birth", "npi"}:
        raise Malformed("person_bad", "a person has given and family, and perhaps birth and npi")
    texts = {name: value.strip() for name, value in said.items() if isinstance(value, str)}
    if len(texts) < len(said) or not all(len(each) <= TEXT_MAX and each.isprintable() for each in texts.values()):
        raise Malformed("person_bad", f"what is said of a person are texts of at most {TEXT_MAX} characters")
    return Person(**texts)


def bundle(row: Row, raws: Iterable[tuple[bytes, bytes]], *, validator: str, now_ms: int) -> dict[str, Any]:
    """A file as a FHIR R4 collection: Practitioner, PractitionerRole of employments and privileges, VerificationResult of each.

    validator: the DID or the name of the institution that looked.
    """
    helds = {each.id: each for each in row.file.helds}
    read = [(helds[name], fhir.shown(secured.read(raw))) for name, raw in raws if name in helds]
    resources = [fhir.practitioner([shown for _, shown in read])] if read else []
    resources += [fhir.practitioner_role(shown, now_ms=now_ms) for _, shown in read if shown.type in fhir.ROLES]
    for held, shown in read:
        outcome, code = stands(held, now_ms=now_ms)
        sources = [
            (one, of)
            for one, of in read
            if one.checked_ms is not None and of.said.get("claim") in (shown.name, shown.type)
        ]
        latest = max(sources, key=lambda each: each[0].checked_ms or 0, default=None)
        resources.append(
            fhir.verification_result(
                shown,
                outcome=outcome,
                code=code,
                at_ms=row.file.looked_ms or row.made_ms,
                validator=validator,
                source=None if latest is None else latest[1],
                checked_ms=None if latest is None else latest[0].checked_ms,
                next_ms=held.until_ms,
            )
        )
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in resources]}


def _person(found: Person) -> dict[str, str]:
    return {"given": found.given, "family": found.family, "birth": found.birth, "npi": found.npi}


def _held(found: Held, now_ms: int) -> dict[str, Any]:
    outcome, code = stands(found, now_ms=now_ms)
    return {
        "id": found.id.hex(),
        "type": found.type,
        "jurisdiction": found.jurisdiction,
        "issuer": found.issuer,
        "from_ms": found.from_ms,
        "until_ms": found.until_ms,
        "checked_ms": found.checked_ms,
        "came_ms": found.came_ms,
        "outcome": outcome,
        "code": code,
        "says": {name: value for name, value in found.claims.items() if isinstance(value, str)},
    }
