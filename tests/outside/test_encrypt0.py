"""cwt, which is not ours, opens what a device seals, and the gateway's code opens what cwt seals."""

import pytest

from protocol import content, cose, keys, message, topics
from protocol.errors import BadSignature
from tests.support import chain
from tests.support.outside import ask, python

pytestmark = pytest.mark.outside

AAD = chain.TOPIC.encode()
POSITION = message.Position(lane=topics.DATA, boot=1, seq=0)
CEK = keys.content_key(chain.LK, POSITION.lane, POSITION.boot, POSITION.seq)
CONTENT_TYPE = content.CONTENT_TYPES[topics.DATA]
IV = bytes(range(12))


@pytest.fixture(autouse=True)
def _installed() -> None:
    python("cose")


def answered(*cases: dict[str, str]) -> list[object]:
    """cwt's answers."""
    found = ask("cose", "ask_encrypt0.py", list(cases))
    assert isinstance(found, list) and len(found) == len(cases)
    return found


def unsealing(inner: bytes, *, cek: bytes = CEK, aad: bytes = AAD) -> dict[str, str]:
    """The question what is inside."""
    return {"ask": "unseal", "raw": inner.hex(), "cek": cek.hex(), "kid": chain.LINK_ID.hex(), "aad": aad.hex()}


def sealed_by_cwt(plain: bytes) -> bytes:
    """A COSE_Encrypt0 of cwt's under the content key of `POSITION`."""
    named = {"content": plain, "cek": CEK, "kid": chain.LINK_ID, "aad": AAD, "iv": IV}
    case = {"ask": "seal", "content_type": CONTENT_TYPE, **{name: value.hex() for name, value in named.items()}}
    (found,) = answered(case)
    assert isinstance(found, str)
    return bytes.fromhex(found)


def carrying(inner: bytes) -> message.Message:
    """A device's message around `inner`."""
    protected = {
        cose.ALG: keys.EDDSA,
        cose.CONTENT_TYPE: 16,
        cose.KID: chain.DEVICE.public.kid,
        message.POSITION: [POSITION.lane, POSITION.boot, POSITION.seq],
        message.COMMITMENT: keys.commitment(CEK),
    }
    raw = cose.sign1(chain.DEVICE, protected=protected, payload=inner, aad=AAD)
    found = message.parse(raw, topic=chain.TOPIC, size_max=len(raw))
    message.verify(found, chain.DEVICE.public)
    return found


def test_cwt_opens_what_a_device_seals() -> None:
    raw = chain.sealed()
    inner = message.parse(raw, topic=chain.TOPIC, size_max=len(raw)).payload
    plain = content.encode(chain.readings())
    assert answered(unsealing(inner)) == [[plain.hex(), CONTENT_TYPE, chain.LINK_ID.hex()]]


def test_cwt_opens_it_under_no_other_topic_or_key_and_not_when_changed() -> None:
    raw = chain.sealed()
    inner = message.parse(raw, topic=chain.TOPIC, size_max=len(raw)).payload
    next_cek = keys.content_key(chain.LK, POSITION.lane, POSITION.boot, POSITION.seq + 1)
    cases = [
        unsealing(inner, aad=AAD + b"x"),
        unsealing(inner, cek=next_cek),
        unsealing(inner[:-1] + bytes((inner[-1] ^ 1,))),
    ]
    assert answered(*cases) == [None] * len(cases)


@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 700])
def test_we_open_what_cwt_seals(size: int) -> None:
    plain = bytes(size)
    inner = sealed_by_cwt(plain)
    assert cose.open_encrypt0(cose.parse_encrypt0(inner, size_max=len(inner)), CEK, aad=AAD) == plain
    found = carrying(inner)
    expected = message.Opened(content=plain, content_type=CONTENT_TYPE, cek=CEK)
    assert message.open_content(found, lk=chain.LK, link_id=chain.LINK_ID) == expected
    assert message.open_with_key(found, CEK) == expected


def test_cwt_and_a_device_seal_the_same_content_into_the_same_bytes() -> None:
    plain = content.encode(chain.readings())
    ours = message.seal(
        key=chain.DEVICE,
        lk=chain.LK,
        link_id=chain.LINK_ID,
        topic=chain.TOPIC,
        position=POSITION,
        content=plain,
        iv=IV,
        content_type=CONTENT_TYPE,
    )
    assert carrying(sealed_by_cwt(plain)).raw == ours


def test_we_do_not_open_what_cwt_seals_when_it_was_changed() -> None:
    inner = sealed_by_cwt(b"content")
    found = carrying(inner[:-1] + bytes((inner[-1] ^ 1,)))
    with pytest.raises(BadSignature) as refused:
        message.open_content(found, lk=chain.LK, link_id=chain.LINK_ID)
    assert refused.value.code == "tag_bad"
