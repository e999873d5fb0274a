"""The trust file: whose word a verifier takes. A policy of logs and witnesses, and the root key of the registry."""

import json
import re
from dataclasses import dataclass
from typing import Self

from protocol import policy
from protocol.errors import Malformed, ProtocolError, Unavailable
from protocol.keys import PublicKey

TRUST_SIZE_MAX = 131_072  # bytes of a trust file

_KEY_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a verifier brings. policy_text: C2SP tlog-policy; registry_root: the 32-byte key that admits gateways."""

    policy_text: str
    policy: policy.Policy
    registry_root: PublicKey

    def to_json(self) -> bytes:
        """The trust file."""
        value = {"v": 1, "policy": self.policy_text, "registry_root": self.registry_root.x.hex()}
        return json.dumps(value, indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Reads a trust file. Raises Unavailable: trust_bad; whoever trusts nothing can check nothing."""
        try:
            if len(data) > TRUST_SIZE_MAX:
                raise Malformed("trust_size", f"at most {TRUST_SIZE_MAX} bytes")
            value = json.loads(data.decode(), object_pairs_hook=_once)
            if not isinstance(value, dict) or value.keys() != {"v", "policy", "registry_root"}:
                raise Malformed("trust_shape", "a trust file says v, policy and registry_root, and nothing else")
            version, text, root = value["v"], value["policy"], value["registry_root"]
            if type(version) is not int or version != 1:
                raise Malformed("trust_shape", "not this version's trust file")
            if not isinstance(text, str) or not isinstance(root, str) or not _KEY_HEX.fullmatch(root):
                raise Malformed("trust_shape", "policy is a text, registry_root a key of 64 lower-case hex digits")
            return cls(policy_text=text, policy=policy.parse(text), registry_root=PublicKey(bytes.fromhex(root)))
        except (ValueError, ProtocolError, RecursionError) as error:
            raise Unavailable("trust_bad", f"the trust file cannot be used: {error}") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object whose names are there once each: the second of two would silently win."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("trust_shape", "a name is there twice")
    return found
