"""What a message is when it comes in, and whom it is handed to: the same for our own listener and for a broker."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from gateway.ingress.session import Lane


class Arrival(NamedTuple):
    """One message, not yet checked. `device` is the authenticated connection's (behind a broker the topic's: there the
    broker's access list vouches); lane_connection: the connection it came on; received_ms: Unix time.

    `answer(reason)` acknowledges it: 0x00 durable, 0x99 malformed, 0x87 not yours, 0x97 quota. Call it on the event
    loop; a second call, or one after the connection closed, does nothing."""

    device: str
    lane_connection: Lane
    topic: str
    payload: bytes
    received_ms: int
    answer: Callable[[int], None]


class Sink(Protocol):
    """The part of the gateway that takes messages in. Its methods are called on the event loop and must not block."""

    def device_of(self, public_key: bytes) -> str | None:
        """The device whose active key is this 32-byte Ed25519 key; None refuses the connection."""

    def device_known(self, device: str) -> bool:
        """Whether `device` may connect without a certificate: asked by the plain listener of benchmarks only."""

    def arrived(self, arrival: Arrival) -> None:
        """Takes one message; `arrival.answer` is called when its fate is on disk."""
