"""MQTT 5 packets between the bytes of a stream and the codec: framing, a check of all text, and the answers we send.

The codec panics (and prints) on text that is not UTF-8, so no packet reaches it before `decode` has walked its text.
"""

from typing import Final

import mqtt5

from protocol.errors import Malformed

CONNECT: Final = 1
PUBLISH: Final = 3
SUBSCRIBE: Final = 8
UNSUBSCRIBE: Final = 10
PINGREQ: Final = 12
DISCONNECT: Final = 14

PINGRESP: Final = b"\xd0\x00"
# CONNACK of MQTT 3.1 and 3.1.1 with return code 1, "unacceptable protocol version": older clients can read only this.
CONNACK_3_1_1_REFUSED: Final = b"\x20\x02\x00\x01"

_LENGTH_BYTES_MAX = 4  # MQTT 5, section 1.5.5: a variable byte integer has at most four bytes
_OLDER_PROTOCOLS = {(b"MQTT", 4), (b"MQIsdp", 3)}
_PROTOCOL = (b"MQTT", 5)

# Property identifier -> how its value lies in the packet (MQTT 5, table 2-4): a number of bytes, "v" a variable byte
# integer, "b" binary with a length, "s" text with a length, "ss" a pair of texts.
_PROPERTIES: Final[dict[int, int | str]] = {
    0x01: 1,
    0x02: 4,
    0x03: "s",
    0x08: "s",
    0x09: "b",
    0x0B: "v",
    0x11: 4,
    0x12: "s",
    0x13: 2,
    0x15: "s",
    0x16: "b",
    0x17: 1,
    0x18: 4,
    0x19: 1,
    0x1A: "s",
    0x1C: "s",
    0x1F: "s",
    0x21: 2,
    0x22: 2,
    0x23: 2,
    0x24: 1,
    0x25: 1,
    0x26: "ss",
    0x27: 4,
    0x28: 1,
    0x29: 1,
    0x2A: 1,
}


def frame_end(data: bytes, start: int) -> tuple[int, int]:
    """(first byte after the fixed header, first byte after the packet) of the packet at `start`; (0, 0) when the
    header is not complete. The end may lie beyond `data`. Raises Malformed: mqtt_length."""
    length = shift = 0
    for at in range(start + 1, start + 1 + _LENGTH_BYTES_MAX):
        if at >= len(data):
            return 0, 0
        byte = data[at]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise Malformed("mqtt_length", "a length is written in the fewest bytes")
            return at + 1, at + 1 + length
        shift += 7
    raise Malformed("mqtt_length", "a length has at most four bytes")


class _Walk:
    """A position in the body of one packet; every step beyond its end raises Malformed: mqtt_short."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def skip(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self.at + count
        if end > len(self.data):
            raise Malformed("mqtt_short", "a field runs over the end of its packet")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def binary(self) -> bytes:
        """Bytes behind a two-byte length."""
        return self.skip(int.from_bytes(self.skip(2), "big"))

    def text(self) -> None:
        """Text behind a two-byte length: UTF-8 without U+0000 (MQTT 5, section 1.5.4)."""
        raw = self.binary()
        try:
            raw.decode()
        except UnicodeDecodeError:
            raise Malformed("mqtt_text", "text is not UTF-8") from None
        if 0 in raw:
            raise Malformed("mqtt_text", "text holds U+0000")

    def number(self) -> int:
        """A variable byte integer."""
        value = 0
        for shift in range(0, 7 * _LENGTH_BYTES_MAX, 7):
            byte = self.skip(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise Malformed("mqtt_length", "a number has at most four bytes")

    def properties(self) -> None:
        """A block of properties, all its text checked."""
        length = self.number()
        end = self.at + length
        while self.at < end:
            kind = _PROPERTIES.get(self.skip(1)[0])
            if kind is None:
                raise Malformed("mqtt_property", "unknown property")
            if isinstance(kind, int):
                self.skip(kind)
            elif kind == "v":
                self.number()
            elif kind == "b":
                self.binary()
            else:
                for _ in kind:
                    self.text()
        if self.at != end:
            raise Malformed("mqtt_property", "properties run over their length")


def older_protocol(packet: bytes, body: int) -> bool | None:
    """Whether a CONNECT is of MQTT 3.1 or 3.1.1 (True), of MQTT 5 (False) or of something else (None).
    Raises Malformed: mqtt_short."""
    walk = _Walk(packet, body)
    version = (walk.binary(), walk.skip(1)[0])
    if version in _OLDER_PROTOCOLS:
        return True
    return False if version == _PROTOCOL else None


def _check_text(packet: bytes, body: int) -> None:
    walk = _Walk(packet, body)
    kind = packet[0] >> 4
    if kind == CONNECT:
        walk.binary()
        flags = walk.skip(4)[1]
        walk.properties()
        walk.text()
        if flags & 0x04:  # a will: properties, topic, payload
            walk.properties()
            walk.text()
            walk.binary()
        if flags & 0x80:
            walk.text()
    elif kind == PUBLISH:
        walk.text()
        if packet[0] & 0x06:
            walk.skip(2)
        walk.properties()
    else:
        walk.skip(2)
        walk.properties()
        while walk.at < len(packet):
            walk.text()
            if kind == SUBSCRIBE:
                walk.skip(1)


def decode(packet: bytes, body: int) -> mqtt5.Packet:
    """One whole CONNECT, PUBLISH, SUBSCRIBE or UNSUBSCRIBE, its body at `body`. Raises Malformed: mqtt_*."""
    _check_text(packet, body)
    try:
        decoded, used = mqtt5.read(memoryview(packet))
    except (ValueError, IndexError):
        raise Malformed("mqtt_packet", "the codec refuses it") from None
    if used != len(packet):
        raise Malformed("mqtt_packet", "bytes are left over")
    return decoded


def puback(packet_id: int, reason: int) -> bytes:
    """A PUBACK; reason 0 is left out, as the standard allows."""
    if reason == 0:
        return b"\x40\x02" + packet_id.to_bytes(2, "big")
    return b"\x40\x03" + packet_id.to_bytes(2, "big") + bytes([reason])


def disconnect(reason: int) -> bytes:
    """A DISCONNECT with a reason and nothing else."""
    return bytes([0xE0, 0x01, reason])


def connack_refused(reason: int) -> bytes:
    """A CONNACK of MQTT 5 that says no."""
    return bytes([0x20, 0x03, 0x00, reason, 0x00])
