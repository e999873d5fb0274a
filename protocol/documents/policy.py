"""The registration policy of a log: which roles may register which content types, and who may read those statements."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from protocol import cbor
from protocol.documents import fields
from protocol.documents.registry import ROLES
from protocol.errors import Malformed

POLICY = "application/vigil-policy+cbor"
ROOT, LOG = "root", "log"  # who signs with the registry root, and with the log's own key
MEMBER = "member"  # stands for every admitted party, whatever its role
REGISTRANTS = ROLES | {ROOT, LOG, MEMBER}
PUBLIC, MEMBERS, ISSUER = "public", "members", "issuer"
READERS = frozenset({PUBLIC, MEMBERS, ISSUER})
RULES_MAX = 64  # content types in a policy; one with more is malformed


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """For one content type. roles: of REGISTRANTS, perhaps none: then nobody registers any more; readers: one of READERS."""

    roles: frozenset[str]
    readers: str = PUBLIC


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All rules of a log; what no rule names is not registered. log: its name; n: grows with every policy of the log."""

    log: str
    n: int
    rules: Mapping[str, Rule]

    def encode(self) -> bytes:
        """Deterministic CBOR: `{v, log, n, rules: {content type: [roles in order, readers]}}`."""
        rules = {name: [sorted(rule.roles), rule.readers] for name, rule in self.rules.items()}
        return cbor.encode({"v": 1, "log": self.log, "n": self.n, "rules": rules})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = fields.mapped(data, {"v", "log", "n", "rules"})
        rules = body["rules"]
        if not isinstance(rules, dict) or len(rules) > RULES_MAX:
            raise Malformed("document_bad", f"at most {RULES_MAX} rules by content type")
        for name in rules:
            if not isinstance(name, str) or not 0 < len(name) <= fields.NAME_MAX:
                raise Malformed("document_bad", "a content type is a short text")
        found = {name: _rule(rule) for name, rule in rules.items()}
        return cls(log=fields.text(body, "log"), n=fields.number(body, "n"), rules=found)


def _rule(value: object) -> Rule:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], list):
        raise Malformed("document_bad", "a rule is [roles, readers]")
    roles, readers = value
    if not all(isinstance(role, str) and role in REGISTRANTS for role in roles) or roles != sorted(set(roles)):
        raise Malformed("document_bad", "the roles of a rule are known ones, each once and in order")
    if not isinstance(readers, str) or readers not in READERS:
        raise Malformed("document_bad", "the readers are public, members or issuer")
    return Rule(roles=frozenset(roles), readers=readers)


def policy_subject(log: str) -> str:
    """The one subject of all policies of the log with this name."""
    return f"vigil:policy:{log}"
