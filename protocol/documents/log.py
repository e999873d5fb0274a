"""What a log says of itself: its genesis, and the keys that it signs with after its first."""

from dataclasses import dataclass
from typing import Self

from protocol import cbor
from protocol.documents import fields
from protocol.errors import Malformed
from protocol.keys import EDDSA, PublicKey
from protocol.p256 import ES256, P256PublicKey

GENESIS = "application/vigil-genesis+cbor"
LOG_KEY = "application/vigil-log-key+cbor"

_LOG_KEY_INFO = b"vigil/1/log-key\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """The first statement of an epoch, signed by the log's key. prior: the last checkpoint of the epoch before, as a note;
    state: SHA-256 of the signed snapshot that the epoch begins with. The first epoch has neither."""

    origin: str
    epoch: int
    log_key: bytes
    registry_root: bytes
    prior: str | None = None
    state: bytes | None = None

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        body = {
            "v": 1,
            "origin": self.origin,
            "epoch": self.epoch,
            "log_key": self.log_key,
            "registry_root": self.registry_root,
            "prior": self.prior,
        }
        return cbor.encode(body if self.state is None else {**body, "state": self.state})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        names = {"v", "origin", "epoch", "log_key", "registry_root", "prior"}
        body = fields.mapped(data, names, perhaps=frozenset({"state"}))
        prior = body["prior"]
        if prior is not None and not isinstance(prior, str):
            raise Malformed("document_bad", "prior is a checkpoint or null")
        return cls(
            origin=fields.text(body, "origin"),
            epoch=fields.number(body, "epoch"),
            log_key=fields.octets(body, "log_key", 32),
            registry_root=fields.octets(body, "registry_root", 32),
            prior=prior,
            state=fields.octets(body, "state", 32) if "state" in body else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKey:
    """Another key of a log, declared by its newest Ed25519 key: an Ed25519 key takes over, an ES256 key signs receipts beside.

    log: the log's name; until_ms: when the key of the same kind that it replaces stops signing, in the log's time, and None
    when it replaces none; proof: the new key's own signature, which shows that the log has it.
    """

    log: str
    key: PublicKey | P256PublicKey
    until_ms: int | None
    proof: bytes

    def signed_over(self) -> bytes:
        """What `proof` is a signature over: a label, and the document without its proof."""
        return _LOG_KEY_INFO + cbor.encode(self._said())

    def check_proof(self) -> None:
        """Raises BadSignature unless the new key signed this."""
        self.key.verify(self.proof, self.signed_over())

    def encode(self) -> bytes:
        """Deterministic CBOR; the key as a COSE_Key."""
        return cbor.encode({**self._said(), "proof": self.proof})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad, key_size, key_point."""
        body = fields.mapped(data, {"v", "log", "key", "until", "proof"})
        return cls(
            log=fields.text(body, "log"),
            key=read_key(body["key"]),
            until_ms=None if body["until"] is None else fields.number(body, "until"),
            proof=fields.octets(body, "proof", 64),
        )

    def _said(self) -> dict[str, object]:
        return {"v": 1, "log": self.log, "key": self.key.cose_key(), "until": self.until_ms}


def read_key(value: object) -> PublicKey | P256PublicKey:
    """The key in a COSE_Key map as `cose_key` makes it. Raises Malformed: document_bad, key_size, key_point."""
    if not isinstance(value, dict):
        raise Malformed("document_bad", "a key is a COSE_Key")
    alg, x, y = value.get(3), value.get(-2), value.get(-3)
    if type(alg) is not int or not isinstance(x, bytes):
        raise Malformed("document_bad", "a key says its algorithm and its coordinates")
    key: PublicKey | P256PublicKey
    if alg == EDDSA:
        key = PublicKey(x)
    elif alg == ES256 and isinstance(y, bytes):
        key = P256PublicKey(x=x, y=y)
    else:
        raise Malformed("document_bad", "a log signs with Ed25519 and ES256")
    if cbor.encode(key.cose_key()) != cbor.encode(value):  # as Python values, True and 1.0 would be 1
        raise Malformed("document_bad", "a key under another name, or with more or less than belongs to it")
    return key


def log_subject(origin: str) -> str:
    """The subject of what the log with this name says of itself."""
    return f"vigil:log:{origin}"
