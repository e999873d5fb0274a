"""Commands from a gateway to a device, signed, numbered, with an end of life. wire.md, "Command"."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol import cbor, cose
from protocol.errors import BadSignature, Malformed
from protocol.keys import EDDSA, PublicKey, SigningKey

CONTENT_TYPE = "application/vigil-command+cbor"
SIZE_MAX = 8192  # bytes of a command; a larger one is malformed
ARGS_MAX = 16  # entries of args; more is malformed
KINDS = frozenset({"erase", "rotate", "settings", "gateway_key", "ping"})

Number = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One order. n: (epoch, count), ever growing on a device; expires_ms: Unix time after which it is refused."""

    n: Number
    expires_ms: int
    kind: str
    args: Mapping[str, str | int | bytes | bool] = field(default_factory=dict)


def sign(key: SigningKey, topic: str, command: Command) -> bytes:
    """`command` as a COSE_Sign1 by the gateway's `key`, bound to the device's command topic."""
    body = {
        "n": list(command.n),
        "expires": command.expires_ms,
        "kind": command.kind,
        "args": dict(command.args),
    }
    protected = {cose.ALG: EDDSA, cose.CONTENT_TYPE: CONTENT_TYPE, cose.KID: key.public.kid}
    return cose.sign1(key, protected=protected, payload=cbor.encode_text(body), aad=topic.encode())


def read(raw: bytes, topic: str, key: PublicKey) -> Command:
    """The command in `raw`, which came on `topic`, by the pinned `key`. Raises Malformed, BadSignature."""
    signed = cose.parse_sign1(raw, size_max=SIZE_MAX)
    cose.verify_sign1(signed, key, aad=topic.encode())
    expected = {cose.ALG, cose.CONTENT_TYPE, cose.KID}
    if signed.unprotected or signed.protected.keys() != expected or signed.protected[cose.CONTENT_TYPE] != CONTENT_TYPE:
        raise Malformed("command_shape", "not a command's header")
    if signed.protected[cose.KID] != key.kid:
        raise BadSignature("kid_mismatch", "signed under the name of another key")
    body = cbor.decode(signed.payload or b"", size_max=SIZE_MAX)
    if not isinstance(body, dict) or body.keys() != {"n", "expires", "kind", "args"}:
        raise Malformed("command_shape", "not a command")
    n, expires, kind, args = body["n"], body["expires"], body["kind"], body["args"]
    if not isinstance(n, list) or len(n) != 2 or any(type(part) is not int or not 0 <= part < 1 << 53 for part in n):
        raise Malformed("command_shape", "n is [epoch, count]")
    if type(expires) is not int or not 0 <= expires < 1 << 53:
        raise Malformed("command_shape", "expires is a time")
    if not isinstance(kind, str) or kind not in KINDS:
        raise Malformed("command_kind", "not a kind of command")
    if not isinstance(args, dict) or len(args) > ARGS_MAX or any(not isinstance(key, str) for key in args):
        raise Malformed("command_shape", "args is a small map with text keys")
    if any(type(value) not in (str, int, bytes, bool) for value in args.values()):
        raise Malformed("command_shape", "values of args are texts, bytes, whole numbers and truths")
    return Command(n=(n[0], n[1]), expires_ms=expires, kind=kind, args=args)


def accept(command: Command, *, last: Number, now_ms: int) -> None:
    """Raises BadSignature: command_replayed, command_expired, unless a device that carried out `last` may obey."""
    if command.n <= last:
        raise BadSignature("command_replayed", "a command with this number or a later one was carried out")
    if command.expires_ms < now_ms:
        raise BadSignature("command_expired", "the command came too late")
