"""Messages of enrolled devices at any position, good ones and such as no device of ours would make."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from protocol import content, cose, keys, message, topics
from protocol.content import Alarm, Clock, Content, Data, State
from protocol.keys import SigningKey
from protocol.message import Position
from protocol.senml import Vital

NOW_MS = 1_700_000_000_000
LINK_ID = b"link"
PULSE = "MDC_ECG_HEART_RATE"


def clock(at_ms: int = NOW_MS, *, synced: bool = True) -> Clock:
    """A device's clock at a Unix time."""
    return Clock(up_ms=60_000, wall_ms=at_ms, synced=synced)


def reading(number: int = 0, *, at_ms: int = NOW_MS, when: Clock | None = None) -> Data:
    """One heart rate, told apart by its number. when: the device's clock, if it does not agree."""
    vital = Vital(name=PULSE, value=60 + number % 30, at_ms=at_ms + number)
    return Data(clock=when or clock(at_ms), simulated=False, vitals=(vital,))


def alarm(number: int = 0, *, kind: str = "button", at_ms: int = NOW_MS, when: Clock | None = None) -> Alarm:
    """A call for help of its own id."""
    ident = hashlib.sha256(b"%d" % number).digest()[: content.ALARM_ID_SIZE]
    return Alarm(id=ident, kind=kind, at_ms=at_ms, clock=when or clock(at_ms), simulated=False)


def heartbeat(*, kind: str = "heartbeat", at_ms: int = NOW_MS, when: Clock | None = None) -> State:
    """The device lives."""
    return State(kind=kind, clock=when or clock(at_ms), simulated=False)


@dataclass(frozen=True, slots=True)
class Sender:
    """A device that seals what it is told to. name: makes its keys."""

    name: str
    key: SigningKey = field(init=False, repr=False)
    device: str = field(init=False)
    lk: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        key = SigningKey.from_seed(hashlib.sha256(b"key of " + self.name.encode()).digest())
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "device", keys.device_id(key.public))
        object.__setattr__(self, "lk", hashlib.sha256(b"link of " + self.name.encode()).digest())

    def up(self, lane: int = topics.DATA) -> str:
        """Its topic of a lane."""
        return topics.up(self.device, lane)

    def seal(self, said: Content, seq: int = 0, *, boot: int = 1, plaintext: bytes | None = None) -> bytes:
        """What it says, sealed and signed, on the lane that it belongs to; or these bytes in its place."""
        lane = (Alarm, Data, State).index(type(said))
        return message.seal(
            key=self.key,
            lk=self.lk,
            link_id=LINK_ID,
            topic=self.up(lane),
            position=Position(lane=lane, boot=boot, seq=seq),
            content=content.encode(said) if plaintext is None else plaintext,
            iv=hashlib.sha256(f"{self.name}/{lane}/{boot}/{seq}".encode()).digest()[:12],
            content_type=content.CONTENT_TYPES[lane],
        )

    def inner(self, **said: Any) -> bytes:
        """A sealed inside for position [1, 1, 0], of which anything may be otherwise: plaintext, content_type, link_id, lk, alg."""
        return cose.encrypt0(
            self.cek(said.get("lk")),
            plaintext=said.get("plaintext", content.encode(reading())),
            iv=bytes(12),
            protected={cose.CONTENT_TYPE: said.get("content_type", content.CONTENT_TYPES[topics.DATA])},
            unprotected={cose.KID: said.get("link_id", LINK_ID)},
            aad=self.up().encode(),
        )

    def cek(self, lk: bytes | None = None, *, lane: int = topics.DATA, seq: int = 0) -> bytes:
        """The content key of position [lane, 1, seq]."""
        return keys.content_key(lk or self.lk, lane, 1, seq)

    def signed(self, inner: bytes, **said: Any) -> bytes:
        """A signed message on the data topic around `inner`; otherwise may be: alg, kid, position, commitment, and the
        whole `protected`."""
        protected = said.get("protected")
        if protected is None:
            lane, seq = said.get("lane", topics.DATA), said.get("seq", 0)
            protected = message._protected(
                said.get("alg", keys.EDDSA),
                said.get("kid", self.key.public.kid),
                Position(lane=lane, boot=1, seq=seq),
                said.get("commitment", keys.commitment(self.cek(lane=lane, seq=seq))),
            )
        signature = self.key.sign(cose.signature_input(protected, self.up().encode(), inner))
        return b"\xd2\x84" + cose.bstr(protected) + b"\xa0" + cose.bstr(inner) + b"\x58\x40" + signature


def forged(raw: bytes) -> bytes:
    """The message with a signature that does not hold."""
    return raw[:-1] + bytes([raw[-1] ^ 1])
