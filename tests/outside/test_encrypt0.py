"""cwt, which is not ours, opens the inside of our messages, and we open what it seals."""

import pytest

from protocol import content, cose, keys, message, topics
from tests.support import chain
from tests.support.outside import ask, python

pytestmark = pytest.mark.outside

CEK = keys.content_key(chain.LK, topics.DATA, 1, 0)
IV = b"twelve bytes"


@pytest.fixture(autouse=True)
def _installed() -> None:
    python("cose")


def case(raw: bytes, *, cek: bytes = CEK, topic: str = chain.TOPIC) -> dict[str, str]:
    return {"ask": "open", "raw": raw.hex(), "cek": cek.hex(), "kid": chain.LINK_ID.hex(), "aad": topic.encode().hex()}


def inner_of(raw: bytes) -> bytes:
    return message.parse(raw, topic=chain.TOPIC, size_max=len(raw)).payload


def test_the_inside_of_a_message_opens_with_its_content_key() -> None:
    found = ask("cose", "ask_encrypt0.py", [case(inner_of(chain.sealed()))])
    kind = content.CONTENT_TYPES[topics.DATA]
    expected = content.encode(chain.readings()).hex()
    assert found == [[expected, [cose.CHACHA20_POLY1305, kind], [chain.LINK_ID.hex(), bytes(12).hex()]]]


def test_another_key_or_topic_or_byte_does_not_open_it() -> None:
    inner = inner_of(chain.sealed())
    cases = [
        case(inner, cek=bytes(32)),
        case(inner, cek=keys.content_key(chain.LK, topics.DATA, 1, 1)),
        case(inner, topic=chain.TOPIC.replace("data", "state")),
        case(inner[:-1] + bytes((inner[-1] ^ 1,))),
    ]
    assert ask("cose", "ask_encrypt0.py", [case(inner), *cases])[1:] == [None] * len(cases)


def test_what_it_seals_is_a_message_of_ours_once_the_device_signs_it() -> None:
    said = content.encode(chain.readings(61))
    kind = content.CONTENT_TYPES[topics.DATA]
    asked = case(b"") | {"ask": "make", "content": said.hex(), "content_type": kind, "iv": IV.hex()}
    (made,) = ask("cose", "ask_encrypt0.py", [asked])
    inner = bytes.fromhex(made)
    place = message.Position(lane=topics.DATA, boot=1, seq=0)
    ours = message.seal(
        key=chain.DEVICE,
        lk=chain.LK,
        link_id=chain.LINK_ID,
        topic=chain.TOPIC,
        position=place,
        content=said,
        iv=IV,
        content_type=kind,
    )
    assert inner == inner_of(ours)
    opened = cose.open_encrypt0(cose.parse_encrypt0(inner, size_max=len(inner)), CEK, aad=chain.TOPIC.encode())
    assert opened == said
    head = message.parse(ours, topic=chain.TOPIC, size_max=len(ours)).protected_bytes
    signature = chain.DEVICE.sign(cose.signature_input(head, chain.TOPIC.encode(), inner))
    raw = b"\xd2\x84" + cose.bstr(head) + b"\xa0" + cose.bstr(inner) + cose.bstr(signature)
    parsed = message.parse(raw, topic=chain.TOPIC, size_max=len(raw))
    message.verify(parsed, chain.DEVICE.public)
    assert message.open_content(parsed, lk=chain.LK, link_id=chain.LINK_ID).content == said
