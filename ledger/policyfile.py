"""A registration policy as a file that people write, in TOML or JSON: a table for each content type, with roles and readers.

What a policy may not change (`ledger.policy.GIVEN`) need not be written; it is there all the same.
"""

import json
import tomllib
from collections.abc import Mapping

from ledger.policy import GIVEN
from protocol.documents import PUBLIC, READERS, Policy, Rule
from protocol.documents.policy import REGISTRANTS, RULES_MAX
from protocol.errors import ConfigError, Malformed

_FIELDS = {"roles", "readers"}


def read(text: str, *, log: str, n: int) -> Policy:
    """The policy in a file's text for the log with this name. n: its number. Raises ConfigError: policy_file_*."""
    body = _parsed(text)
    rules = body.get("rules")
    if body.keys() != {"rules"} or not isinstance(rules, dict):
        raise ConfigError("policy_file_shape", "a policy is the table `rules`, with a table for each content type")
    found = {name: Rule(roles=roles) for name, roles in GIVEN.items()}
    for name, value in rules.items():
        rule = _rule(name, value)
        if name in GIVEN and rule != found[name]:
            raise ConfigError("policy_file_given", f"the rule for {name} cannot be another one: leave it out")
        found[name] = rule
    policy = Policy(log=log, n=n, rules=found)
    try:
        Policy.decode(policy.encode())
    except Malformed as error:
        raise ConfigError("policy_file_shape", f"not a policy: {error.detail} (at most {RULES_MAX} rules)") from error
    return policy


def write(policy: Policy) -> str:
    """A policy as `read` takes it, without what is given, and with what people should know in comments."""
    lines = [f"# policy {policy.n} of {policy.log}"]
    for name, rule in sorted(policy.rules.items()):
        if name not in GIVEN:
            lines += ["", f"[rules.{_quoted(name)}]"]
            lines += [f"roles = {json.dumps(sorted(rule.roles))}", f"readers = {json.dumps(rule.readers)}"]
    if len(lines) == 1:
        lines += ["", "[rules]"]
    return "\n".join(lines) + "\n"


def _rule(name: str, value: object) -> Rule:
    if not isinstance(value, dict) or not value.keys() <= _FIELDS or "roles" not in value:
        raise ConfigError("policy_file_rule", f"rules.{name!r} has roles, and perhaps readers, and nothing else")
    roles, readers = value["roles"], value.get("readers", PUBLIC)
    if not isinstance(roles, list) or not all(isinstance(role, str) and role in REGISTRANTS for role in roles):
        raise ConfigError("policy_file_rule", f"the roles of {name!r} are a list of: {', '.join(sorted(REGISTRANTS))}")
    if not isinstance(readers, str) or readers not in READERS:
        raise ConfigError("policy_file_rule", f"the readers of {name!r} are one of: {', '.join(sorted(READERS))}")
    return Rule(roles=frozenset(roles), readers=readers)


def _quoted(name: str) -> str:
    """A string as TOML has it: JSON's, but for pairs of surrogates, and DEL."""
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object whose names are there once each, as TOML wants it: of two rules one would silently win."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _parsed(text: str) -> Mapping[str, object]:
    if text.lstrip().startswith("{"):
        try:
            value = json.loads(text, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise ConfigError("policy_file_syntax", f"not JSON: {error}") from error
        if not isinstance(value, dict):
            raise AssertionError("what begins with a brace is an object")
        return value
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError("policy_file_syntax", f"not TOML: {error}") from error
