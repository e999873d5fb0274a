"""Whom a verifier trusts: logs, witnesses, and how many of them must have signed. Source: C2SP tlog-policy."""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from protocol import notes
from protocol.errors import BadSignature, Malformed
from protocol.keys import PublicKey
from protocol.notes import Checkpoint, NoteKey

SIZE_MAX = 65_536  # bytes of a policy; a larger one is malformed
LOG_KEYS_MAX = 2  # lines for one log: more is malformed; the second is that of a key that takes over from the first
NAMES_MAX = 256  # logs, witnesses and groups in one policy

_THRESHOLD = re.compile(r"[1-9][0-9]{0,3}")
_FOREIGN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # control characters other than tab and newline
_WORD = re.compile(r"[^ \t]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """At least `least` of `members` (names of witnesses or groups)."""

    least: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """logs by origin, each with the keys that it may sign with (two while one takes over from the other); witnesses and
    groups by the policy's own names; quorum: a name, or None for no witness needed.

    groups: in the order of the text, each naming only witnesses and groups above it. log_urls, witness_urls: what stands
    behind the keys of those that have an address, as it stands there; verifying does not look at them.
    """

    logs: Mapping[str, tuple[NoteKey, ...]]
    witnesses: Mapping[str, NoteKey]
    groups: Mapping[str, Group]
    quorum: str | None
    log_urls: Mapping[str, str] = field(default_factory=dict)
    witness_urls: Mapping[str, str] = field(default_factory=dict)

    def check(self, whole: str) -> tuple[Checkpoint, tuple[tuple[str, int], ...]]:
        """The checkpoint in the note `whole`, and who cosigned it when (Unix s).

        Raises Malformed; BadSignature: log_unknown, log_unsigned, quorum_missed, note_signature.
        """
        checkpoint, cosigned = self.signed(whole)
        if not self.meets({name for name, _ in cosigned}):
            raise BadSignature("quorum_missed", "too few witnesses have signed")
        return checkpoint, cosigned

    def signed(self, whole: str) -> tuple[Checkpoint, tuple[tuple[str, int], ...]]:
        """The same on the log's own word, however few witnesses have signed: what binds the log, and binds nobody to it.

        Raises as `check` does, but for quorum_missed. One of the log's keys is enough.
        """
        note = notes.parse(whole)
        checkpoint = Checkpoint.from_text(note.text)
        keys = self.logs.get(checkpoint.origin)
        if keys is None:
            raise BadSignature("log_unknown", "the policy names no such log")
        found = dict(notes.verify(note, [*keys, *self.witnesses.values()]))
        if not any(key in found for key in keys):
            raise BadSignature("log_unsigned", "the log itself has not signed")
        present = sorted(name for name, key in self.witnesses.items() if key in found)
        return checkpoint, tuple((name, found[self.witnesses[name]] or 0) for name in present)

    def meets(self, names: AbstractSet[str]) -> bool:
        """Whether cosignatures of the witnesses called so are enough."""
        return self.quorum is None or self.quorum in self._met(set(names & self.witnesses.keys()))

    def kept(self, whole: str) -> str:
        """The checkpoint `whole` with those lines alone that `check` looks at; others say nothing here. Raises Malformed."""
        note = notes.parse(whole)
        keys = self.logs.get(Checkpoint.from_text(note.text).origin, ())
        known = {(key.name, key.key_id) for key in (*keys, *self.witnesses.values())}
        lines = tuple(line for line in note.lines if (line.name, line.key_id) in known)
        return notes.Note(text=note.text, lines=lines).whole()

    def receipts_by(self, thumbprint: bytes) -> tuple[str, PublicKey] | None:
        """(origin, key) of the log whose key has this thumbprint, as receipts name it; None for no log of these."""
        for origin, keys in self.logs.items():
            for key in keys:
                if key.key.thumbprint == thumbprint:
                    return origin, key.key
        return None

    def _met(self, present: set[str]) -> set[str]:
        """The names that are satisfied when the witnesses `present` have signed; a group names only what is above it."""
        met = set(present)
        for name, group in self.groups.items():
            if sum(member in met for member in group.members) >= group.least:
                met.add(name)
        return met


def parse(text: str) -> Policy:
    """The policy in `text`, every line of which ends with a newline. Raises Malformed: policy_size, policy_bad, vkey_bad."""
    if len(text) > SIZE_MAX:
        raise Malformed("policy_size", f"at most {SIZE_MAX} characters")
    if _FOREIGN.search(text) or (text and not text.endswith("\n")):
        raise Malformed("policy_bad", "lines end with a newline, and no other control character is there but tabs")
    draft = _Draft()
    for line in text.split("\n"):
        words = _WORD.findall(line)
        if words and not words[0].startswith("#"):
            draft.add(words)
    return draft.policy()


class _Draft:
    """A policy of which some lines are read."""

    def __init__(self) -> None:
        self._logs: dict[str, tuple[NoteKey, ...]] = {}
        self._witnesses: dict[str, NoteKey] = {}
        self._groups: dict[str, Group] = {}
        self._log_urls: dict[str, str] = {}
        self._witness_urls: dict[str, str] = {}
        self._quorum: list[str] = []
        self._keys: set[PublicKey] = set()  # of logs and witnesses: who holds one key has one voice
        self._members: set[str] = set()  # names in some group: each may count in one way only

    def add(self, words: list[str]) -> None:
        """Reads one line. Raises Malformed."""
        if len(self._logs) + len(self._witnesses) + len(self._groups) >= NAMES_MAX:
            raise Malformed("policy_bad", f"at most {NAMES_MAX} names")
        taken = self._witnesses.keys() | self._groups.keys() | {"none"}
        match words:
            case ["log", vkey, *urls] if len(urls) <= 1:
                key = self._key(vkey, notes.SIGNATURE)
                if len(self._logs.get(key.name, ())) >= LOG_KEYS_MAX:
                    raise Malformed("policy_bad", f"log {key.name} has more than {LOG_KEYS_MAX} keys")
                self._logs[key.name] = (*self._logs.get(key.name, ()), key)
                self._log_urls.update((key.name, url) for url in urls)
            case ["witness", name, vkey, *urls] if len(urls) <= 1 and name not in taken:
                self._witnesses[name] = self._key(vkey, notes.COSIGNATURE)
                self._witness_urls.update((name, url) for url in urls)
            case ["group", name, threshold, *members] if members and name not in taken:
                self._groups[name] = self._group(threshold, tuple(members), taken)
            case ["quorum", name] if not self._quorum and name in taken:
                self._quorum.append(name)
            case _:
                raise Malformed("policy_bad", f"cannot read the line that starts with {words[0][:16]!r}")

    def policy(self) -> Policy:
        """What was read. Raises Malformed."""
        if not self._quorum or not self._logs:
            raise Malformed("policy_bad", "a policy has a log and exactly one quorum")
        quorum = None if self._quorum[0] == "none" else self._quorum[0]
        return Policy(
            logs=self._logs,
            witnesses=self._witnesses,
            groups=self._groups,
            quorum=quorum,
            log_urls=self._log_urls,
            witness_urls=self._witness_urls,
        )

    def _key(self, text: str, kind: int) -> NoteKey:
        found = NoteKey.from_vkey(text)
        if found.kind != kind:
            raise Malformed("policy_bad", "logs have signature keys, witnesses cosignature keys")
        if found.key in self._keys:
            raise Malformed("policy_bad", "one public key stands for two logs or witnesses")
        self._keys.add(found.key)
        return found

    def _group(self, threshold: str, members: tuple[str, ...], taken: set[str]) -> Group:
        if len(set(members)) != len(members) or not set(members) <= taken - {"none"}:
            raise Malformed("policy_bad", "a group has each member once, named above it")
        if not self._members.isdisjoint(members):
            raise Malformed("policy_bad", "a name is a member of one group only")
        self._members.update(members)
        if threshold in ("all", "any"):
            return Group(least=len(members) if threshold == "all" else 1, members=members)
        if not _THRESHOLD.fullmatch(threshold) or int(threshold) > len(members):
            raise Malformed("policy_bad", "a group asks for all, any, or a number of its members")
        return Group(least=int(threshold), members=members)
