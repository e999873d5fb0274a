"""Whom a verifier trusts: logs, witnesses, and how many of them must have signed. Source: C2SP tlog-policy."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from protocol import notes
from protocol.errors import BadSignature, Malformed
from protocol.notes import Checkpoint, NoteKey

SIZE_MAX = 65_536  # bytes of a policy; a larger one is malformed
NAMES_MAX = 256  # logs, witnesses and groups in one policy

_THRESHOLD = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """At least `least` of `members` (names of witnesses or groups)."""

    least: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """logs by origin; witnesses and groups by the policy's own names; quorum: a name, or None for no witness needed.

    groups: in the order of the text, each naming only witnesses and groups above it.
    """

    logs: Mapping[str, NoteKey]
    witnesses: Mapping[str, NoteKey]
    groups: Mapping[str, Group]
    quorum: str | None

    def check(self, whole: str) -> tuple[Checkpoint, tuple[tuple[str, int], ...]]:
        """The checkpoint in the note `whole`, and who cosigned it when (Unix s).

        Raises Malformed; BadSignature: log_unknown, log_unsigned, quorum_missed, note_signature.
        """
        note = notes.parse(whole)
        checkpoint = Checkpoint.from_text(note.text)
        log = self.logs.get(checkpoint.origin)
        if log is None:
            raise BadSignature("log_unknown", "the policy names no such log")
        signed = dict(notes.verify(note, [log, *self.witnesses.values()]))
        if log not in signed:
            raise BadSignature("log_unsigned", "the log itself has not signed")
        present = {name for name, key in self.witnesses.items() if key in signed}
        if self.quorum is not None and self.quorum not in self._met(present):
            raise BadSignature("quorum_missed", "too few witnesses have signed")
        return checkpoint, tuple((name, signed[self.witnesses[name]] or 0) for name in sorted(present))

    def known(self) -> set[tuple[str, bytes]]:
        """(name, key id) of every key that may appear on a note."""
        return {(key.name, key.key_id) for key in (*self.logs.values(), *self.witnesses.values())}

    def _met(self, present: set[str]) -> set[str]:
        """The names that are satisfied when the witnesses `present` have signed; a group names only what is above it."""
        met = set(present)
        for name, group in self.groups.items():
            if sum(member in met for member in group.members) >= group.least:
                met.add(name)
        return met


def parse(text: str) -> Policy:
    """The policy in `text`. Raises Malformed: policy_size, policy_bad, vkey_bad."""
    if len(text) > SIZE_MAX:
        raise Malformed("policy_size", f"at most {SIZE_MAX} characters")
    logs: dict[str, NoteKey] = {}
    witnesses: dict[str, NoteKey] = {}
    groups: dict[str, Group] = {}
    quorum: list[str] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if len(logs) + len(witnesses) + len(groups) >= NAMES_MAX:
            raise Malformed("policy_bad", f"at most {NAMES_MAX} names")
        taken = witnesses.keys() | groups.keys() | {"none"}
        if words[0] == "log" and len(words) in (2, 3):
            key = _key(words[1], notes.SIGNATURE)
            if key.name in logs:
                raise Malformed("policy_bad", f"log {key.name} is there twice")
            logs[key.name] = key
        elif words[0] == "witness" and len(words) in (3, 4) and words[1] not in taken:
            key = _key(words[2], notes.COSIGNATURE)
            if any(key == other for other in witnesses.values()):
                raise Malformed("policy_bad", "one witness key under two names")
            witnesses[words[1]] = key
        elif words[0] == "group" and len(words) >= 4 and words[1] not in taken:
            groups[words[1]] = _group(words[2], tuple(words[3:]), taken)
        elif words[0] == "quorum" and len(words) == 2 and not quorum and words[1] in taken:
            quorum.append(words[1])
        else:
            raise Malformed("policy_bad", f"cannot read the line that starts with {words[0][:16]!r}")
    if not quorum or not logs:
        raise Malformed("policy_bad", "a policy has a log and exactly one quorum")
    return Policy(logs=logs, witnesses=witnesses, groups=groups, quorum=None if quorum[0] == "none" else quorum[0])


def _key(text: str, kind: int) -> NoteKey:
    key = NoteKey.from_vkey(text)
    if key.kind != kind:
        raise Malformed("policy_bad", "logs have signature keys, witnesses cosignature keys")
    return key


def _group(threshold: str, members: tuple[str, ...], taken: set[str]) -> Group:
    if len(set(members)) != len(members) or not set(members) <= taken - {"none"}:
        raise Malformed("policy_bad", "a group has each member once, named above it")
    if threshold in ("all", "any"):
        return Group(least=len(members) if threshold == "all" else 1, members=members)
    if not _THRESHOLD.fullmatch(threshold) or not 1 <= int(threshold) <= len(members):
        raise Malformed("policy_bad", "a group asks for all, any, or a number of its members")
    return Group(least=int(threshold), members=members)
