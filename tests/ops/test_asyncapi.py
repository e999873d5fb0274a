"""gateway/asyncapi.json says what the code does on the wire: topics, lanes, sizes, refusals, and messages that open."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from gateway import admission
from gateway.ingress import session
from gateway.ingress.limits import ENDPOINT_CODES
from protocol import cbor, command, content, delivery, message, topics
from protocol.keys import PublicKey
from tests.support.tools import REPOSITORY

DOCUMENT: Mapping[str, Any] = json.loads((REPOSITORY / "gateway" / "asyncapi.json").read_text())
SERVER: Mapping[str, Any] = DOCUMENT["servers"]["gateway"]
MESSAGES: Mapping[str, Any] = DOCUMENT["components"]["messages"]
DEVICE = "0123456789abcdef"
UP = {name: topics.up("{device}", lane) for name, lane in topics.LANES.items()}
DOWN = {"receipt": topics.down_receipt("{device}"), "command": topics.down_command("{device}")}

every_message = pytest.mark.parametrize("name", [*UP, *DOWN])


def plain(value: object) -> object:
    """A decoded content as the document writes it: bytes in hex."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def resolved(reference: Mapping[str, str]) -> Any:
    """What a `$ref` points to."""
    found: Any = DOCUMENT
    for part in reference["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_channels_are_the_topics_of_the_protocol() -> None:
    assert {name: channel["address"] for name, channel in DOCUMENT["channels"].items()} == UP | DOWN
    for name, channel in DOCUMENT["channels"].items():
        assert resolved(channel["messages"][name]) is MESSAGES[name]
        assert all(topics.check_device(one) for one in channel["parameters"]["device"]["examples"])
    for name, address in UP.items():
        assert topics.parse_up(address.format(device=DEVICE)) == (DEVICE, topics.LANES[name])


def test_the_gateway_receives_what_devices_send_and_sends_what_they_subscribe_to() -> None:
    found = {
        resolved(operation["channel"])["address"]: (operation["action"], operation["bindings"]["mqtt"]["qos"])
        for operation in DOCUMENT["operations"].values()
    }
    wanted = dict.fromkeys(UP.values(), ("receive", 1)) | dict.fromkeys(DOWN.values(), ("send", 0))
    assert found == wanted


def test_limits_are_those_of_the_listener() -> None:
    assert SERVER["bindings"]["mqtt"] == {
        "cleanSession": True,
        "keepAlive": session.KEEP_ALIVE_S,
        "sessionExpiryInterval": 0,
        "maximumPacketSize": max(session.PACKET_BYTES_MAX.values()),
        "bindingVersion": "0.2.0",
    }
    assert SERVER["x-limits"] == {
        "receiveMaximum": session.RECEIVE_MAXIMUM,
        "connectBytes": session.CONNECT_BYTES_MAX,
        "connectWithinSeconds": session.CONNECT_WITHIN_S,
        "partialPacketSeconds": session.PARTIAL_PACKET_S,
        "silentSeconds": session.DEAD_AFTER_S,
        "alarmPacketBytes": session.PACKET_BYTES_MAX["alarm"],
        "dataPacketBytes": session.PACKET_BYTES_MAX["data"],
    }
    said = f"Receive Maximum {session.RECEIVE_MAXIMUM}, Server Keep Alive {session.KEEP_ALIVE_S} s."
    assert SERVER["description"].endswith(said)


def test_sizes_and_content_types_are_those_of_the_protocol() -> None:
    lanes = {name: (message.SIZE_MAX[lane], content.CONTENT_TYPES[lane]) for name, lane in topics.LANES.items()}
    down = {
        "receipt": (delivery.SIZE_MAX, delivery.CONTENT_TYPE),
        "command": (command.SIZE_MAX, command.CONTENT_TYPE),
    }
    found = {name: (one["x-max-bytes"], one["x-inner-content-type"]) for name, one in MESSAGES.items()}
    assert found == lanes | down
    for name, lane in topics.LANES.items():
        assert f"At most {message.SIZE_MAX[lane]:,} bytes." in DOCUMENT["channels"][name]["description"]


def test_kinds_are_those_of_the_protocol() -> None:
    for name, kinds in (("alarm", content.ALARM_KINDS), ("state", content.STATE_KINDS), ("command", command.KINDS)):
        assert MESSAGES[name]["summary"].endswith(f"kinds: {', '.join(sorted(kinds))}.")


def test_refusals_are_those_of_admission_with_their_reason_codes() -> None:
    wanted = {code: f"0x{admission.answer_for(code):02X}" for code in admission.REFUSALS}
    assert DOCUMENT["x-refusals"]["codes"] == wanted | {"duplicate": f"0x{admission.SUCCESS:02X}"}
    assert DOCUMENT["x-endings"]["codes"] == sorted(ENDPOINT_CODES)


@every_message
def test_an_example_is_a_real_message(name: str) -> None:
    example = MESSAGES[name]["x-example"]
    raw, topic, key = base64.b64decode(example["base64"]), example["topic"], PublicKey(bytes.fromhex(example["key"]))
    assert topic.split("/")[3:] == DOCUMENT["channels"][name]["address"].split("/")[3:]
    assert len(raw) <= MESSAGES[name]["x-max-bytes"]
    if name == "receipt":
        receipt = delivery.read(raw, topic, key)
        assert plain(delivered(receipt)) == example["content"]
    elif name == "command":
        order = command.read(raw, topic, key)
        body = {"n": list(order.n), "expires": order.expires_ms, "kind": order.kind, "args": dict(order.args)}
        assert plain(body) == example["content"]
    else:
        seen = message.parse(raw, topic=topic, size_max=message.SIZE_MAX[topics.LANES[name]])
        message.verify(seen, key)
        assert seen.position._asdict() == example["position"]
        lk, link_id = bytes.fromhex(example["linkKey"]), bytes.fromhex(example["linkId"])
        opened = message.open_content(seen, lk=lk, link_id=link_id)
        assert opened.content_type == MESSAGES[name]["x-inner-content-type"]
        assert plain(cbor.decode(opened.content, size_max=content.SIZE_MAX)) == example["content"]
        assert content.decode(opened.content, content_type=opened.content_type).simulated is False


def delivered(receipt: delivery.Receipt) -> dict[str, object]:
    """A receipt's body as it is on the wire."""
    return {
        "lane": receipt.lane,
        "boot": receipt.boot,
        "ranges": [list(one) for one in receipt.ranges],
        "digest": receipt.digest,
        "refused": [list(one) for one in receipt.refused],
        "floor": receipt.floor,
        "at": receipt.at_ms,
    }


def test_the_receipt_in_the_example_covers_the_data_message_in_the_example() -> None:
    data, receipt = MESSAGES["data"]["x-example"], MESSAGES["receipt"]["x-example"]
    digest = delivery.digest([message.message_hash(base64.b64decode(data["base64"]))])
    assert receipt["content"]["digest"] == {"hex": digest.hex()}
    place = data["position"]
    assert (receipt["content"]["lane"], receipt["content"]["boot"]) == (place["lane"], place["boot"])
    assert receipt["content"]["ranges"] == [[place["seq"], place["seq"]]]
