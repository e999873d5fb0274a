"""What a monitor says about one entry: that somebody wants to know of it, or that it is not what it should be.

Pure. Texts of statements are foreign: `told` shows them so that they can do nothing to a terminal.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol import merkle, statement
from protocol.errors import Malformed, Unavailable

NOT_FOR_US = (
    "statement_not_for_you",
    "signature_missing",
)  # codes of a statement that the policy keeps from the caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What somebody wants to know of. subjects: how subjects begin; issuers: whole names."""

    subjects: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.subjects or self.issuers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that a monitor says. kind: one of KINDS; facts: its fields, which JSON can carry; text: for people."""

    kind: str
    text: str
    facts: Mapping[str, object] = field(default_factory=dict)


KINDS = {
    "checkpoint": "a newer checkpoint that is as the policy asks, and that continues the one before",
    "alert": "an entry by a subject or an issuer that is watched",
    "unparsable": "an entry or a statement that is in no form that we know",
    "mismatch": "the ledger serves a statement that is not the one that was logged",
    "missing": "the ledger has no statement for an entry",
    "gap": "entries that the log no longer serves, and that this monitor has not seen",
    "followed": "all entries up to this size are read, and give the root that the log signed",
    "unchecked": "the log could not be checked, or its answer was not as it should be; the monitor tries again",
    "checked": "the log could be checked again",
    "contradiction": "the log contradicted itself: evidence is in the state folder",
}


def judge(name: str, entry: bytes, raw: bytes | None, watch: Watch) -> Event | None:
    """What there is to say of an entry; None for nothing. raw: the statement that the ledger serves for it, None for none."""
    if len(entry) != merkle.HASH_SIZE:
        facts = {"entry": name, "code": "entry_size", "size": len(entry)}
        return Event(kind="unparsable", text=f"{name}: an entry of {len(entry)} bytes is no digest", facts=facts)
    if raw is None:
        return None
    if statement.entry(raw) != entry:
        facts = {"entry": name, "logged": entry.hex(), "served": statement.entry(raw).hex()}
        return Event(kind="mismatch", text=f"{name}: the ledger serves another statement than was logged", facts=facts)
    try:
        found = statement.parse(raw)
    except Malformed as error:
        facts = {"entry": name, "digest": entry.hex(), "code": error.code}
        return Event(kind="unparsable", text=f"{name}: its statement cannot be read: {error.code}", facts=facts)
    matched = [
        *(prefix for prefix in watch.subjects if found.sub.startswith(prefix)),
        *(issuer for issuer in watch.issuers if found.iss == issuer),
    ]
    if not matched:
        return None
    facts = {"entry": name, "digest": entry.hex(), "iss": found.iss, "sub": found.sub, "matched": matched}
    text = f"{name}: issuer {told(found.iss)}, subject {told(found.sub)}, {told(found.content_type)}"
    return Event(kind="alert", text=text, facts={**facts, "content_type": found.content_type})


def missing(name: str, code: str) -> Event | None:
    """What there is to say of an entry whose statement the ledger does not give; None when it is not for the caller.

    Raises Unavailable: when it is the caller's own signature that the ledger does not take.
    """
    if code in NOT_FOR_US:
        return None
    if code.startswith("signature_"):
        raise Unavailable(code, "the ledger does not take this monitor's signature: look at --key and at the clock")
    return Event(kind="missing", text=f"{name}: no statement: {code}", facts={"entry": name, "code": code})


def told(text: str) -> str:
    """A foreign text for people, within quotes, without anything that a terminal would obey."""
    return json.dumps(text)
