"""MQTT topics between a device and its gateway, and the three lanes. wire.md, "Connection"."""

import re

from protocol.errors import Malformed

ALARM, DATA, STATE = 0, 1, 2
LANES = {"alarm": ALARM, "data": DATA, "state": STATE}
LANE_NAMES = ("alarm", "data", "state")
DEVICE = re.compile(r"[0-9a-f]{16}")

_UP = re.compile(r"vigil/1/([0-9a-f]{16})/up/(alarm|data|state)")


def check_device(device: str) -> str:
    """`device` itself, 16 lower-case hex digits. Raises Malformed: topic_device."""
    if not DEVICE.fullmatch(device):
        raise Malformed("topic_device", "a device is named by 16 lower-case hex digits")
    return device


def up(device: str, lane: int) -> str:
    """The topic on which `device` publishes its `lane` (0 alarm, 1 data, 2 state)."""
    return f"vigil/1/{device}/up/{LANE_NAMES[lane]}"


def parse_up(topic: str) -> tuple[str, int]:
    """(device, lane) of an up-topic. Raises Malformed: topic_unknown."""
    match = _UP.fullmatch(topic)
    if match is None:
        raise Malformed("topic_unknown", "not an up-topic")
    return match[1], LANES[match[2]]


def down_receipt(device: str) -> str:
    """The topic of the gateway's signed receipts to `device`."""
    return f"vigil/1/{device}/down/receipt"


def down_command(device: str) -> str:
    """The topic of the gateway's signed commands to `device`."""
    return f"vigil/1/{device}/down/command"
