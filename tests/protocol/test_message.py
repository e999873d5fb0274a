"""The device's message: one layout, bound to its topic, its key and its link; nothing damaged comes through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, cose, keys, message, topics
from protocol.errors import BadSignature, Malformed
from tests.support import damage

KEY = keys.SigningKey.from_seed(bytes([4]) * 32)
OTHER = keys.SigningKey.from_seed(bytes([9]) * 32)
LK, LINK = bytes([5]) * 32, b"link"
NAME = keys.device_id(KEY.public)
TOPIC = topics.up(NAME, topics.DATA)
TYPE = "application/vigil-data+cbor"
SIZE = message.SIZE_MAX[topics.DATA]
PLACE = message.Position(lane=topics.DATA, boot=3, seq=700)

positions = st.builds(
    message.Position,
    lane=st.sampled_from([0, 1, 2]),
    boot=st.integers(0, message.BOOT_MAX),
    seq=st.integers(0, message.SEQ_MAX),
)


def sealed(
    content: bytes = b"content", *, topic: str = TOPIC, place: message.Position = PLACE, kind: str = TYPE
) -> bytes:
    return message.seal(
        key=KEY,
        lk=LK,
        link_id=LINK,
        topic=topic,
        position=place,
        content=content,
        iv=b"twelve bytes",
        content_type=kind,
    )


def read(raw: bytes, *, topic: str = TOPIC) -> message.Opened:
    parsed = message.parse(raw, topic=topic, size_max=SIZE)
    message.verify(parsed, KEY.public)
    return message.open_content(parsed, lk=LK, link_id=LINK)


def code(raw: bytes) -> str:
    with pytest.raises((Malformed, BadSignature)) as caught:
        read(raw)
    return caught.value.code


@given(positions, st.binary(max_size=200), st.sampled_from([TYPE, "application/vigil-alarm+cbor", "short", "x" * 64]))
def test_a_message_comes_back(place: message.Position, content: bytes, kind: str) -> None:
    raw = sealed(content, place=place, kind=kind)
    parsed = message.parse(raw, topic=TOPIC, size_max=SIZE)
    assert (parsed.raw, parsed.topic, parsed.alg, parsed.kid) == (raw, TOPIC, keys.EDDSA, KEY.public.kid)
    assert parsed.position == place
    message.verify(parsed, KEY.public)
    opened = message.open_content(parsed, lk=LK, link_id=LINK)
    assert (opened.content, opened.content_type) == (content, kind)
    assert opened.cek == keys.content_key(LK, place.lane, place.boot, place.seq)
    assert message.open_with_key(parsed, opened.cek) == opened


@given(positions)
def test_the_layout_is_plain_cose(place: message.Position) -> None:
    raw = sealed(place=place)
    signed = cose.parse_sign1(raw, size_max=SIZE)
    cose.verify_sign1(signed, KEY.public, aad=TOPIC.encode())
    cek = keys.content_key(LK, place.lane, place.boot, place.seq)
    assert signed.protected == {
        1: -8,
        3: 16,
        4: KEY.public.kid,
        -70001: [place.lane, place.boot, place.seq],
        -70002: keys.commitment(cek),
    }
    assert signed.unprotected == {}
    inner = cose.parse_encrypt0(signed.payload or b"", size_max=SIZE)
    assert inner.protected == {1: 24, 3: TYPE}
    assert inner.unprotected == {4: LINK, 5: b"twelve bytes"}
    assert cose.open_encrypt0(inner, cek, aad=TOPIC.encode()) == b"content"


def test_a_small_message_costs_what_the_design_says() -> None:
    """wire.md: 209 bytes for a 25-byte content, under positions of a device that has run for a while."""
    place = message.Position(lane=1, boot=7, seq=70_000)
    assert 200 <= len(sealed(bytes(25), place=place)) <= 245


def test_every_cut_is_refused_as_malformed() -> None:
    raw = sealed()
    for cut in damage.every_prefix(raw):
        with pytest.raises(Malformed):
            message.parse(cut, topic=TOPIC, size_max=SIZE)
    with pytest.raises(Malformed):
        message.parse(raw + b"\x00", topic=TOPIC, size_max=SIZE)


def test_every_flipped_bit_is_refused() -> None:
    raw = sealed()
    assert read(raw).content == b"content"
    for flipped in damage.every_bit_flip(raw):
        with pytest.raises((Malformed, BadSignature)):
            read(flipped)


def test_a_flipped_bit_that_someone_signed_again_is_refused_inside() -> None:
    """A thief of the signing key alone cannot change a sealed content."""
    raw = sealed()
    parsed = message.parse(raw, topic=TOPIC, size_max=SIZE)
    for flipped in damage.every_bit_flip(parsed.payload):
        with pytest.raises((Malformed, BadSignature)):
            read(signed_again(payload=flipped))


def signed_again(**changed: object) -> bytes:
    """The usual message with fields changed, signed anew by its own key; `head` replaces the header's map."""
    parsed = message.parse(sealed(), topic=TOPIC, size_max=SIZE)
    header = cbor.decode(parsed.protected_bytes, size_max=SIZE)
    assert isinstance(header, dict)
    head = cbor.encode(changed.get("head", header | dict(changed.get("with_head", {}))))
    payload = changed.get("payload", parsed.payload)
    assert isinstance(payload, bytes)
    signature = KEY.sign(cose.signature_input(head, TOPIC.encode(), payload))
    return b"\xd2" + cbor.encode([head, {}, payload, signature])


@given(st.binary(max_size=120))
def test_any_bytes_are_malformed(data: bytes) -> None:
    for raw in (data, b"\xd2\x84" + data, b"\xd2" + cbor.encode([data, {}, data, bytes(64)])):
        with pytest.raises(Malformed):
            message.parse(raw, topic=TOPIC, size_max=SIZE)


@given(st.binary(max_size=120))
def test_any_signed_payload_is_refused(data: bytes) -> None:
    for payload in (data, b"\xd0\x83" + data, b"\xd0" + cbor.encode([data, {4: LINK, 5: bytes(12)}, bytes(16)])):
        with pytest.raises((Malformed, BadSignature)):
            read(signed_again(payload=payload))


def test_the_helper_itself_changes_nothing() -> None:
    assert signed_again() == sealed()


@pytest.mark.parametrize("lane", [0, 1, 2])
def test_another_topic_is_refused(lane: int) -> None:
    raw = sealed(topic=topics.up(NAME, lane))
    for topic in (topics.up("0" * 16, lane), topics.up(NAME, (lane + 1) % 3), topics.down_receipt(NAME), ""):
        with pytest.raises(BadSignature, match="signature_bad"):
            read(raw, topic=topic)
        parsed = message.parse(raw, topic=topic, size_max=SIZE)
        with pytest.raises(BadSignature, match="tag_bad"):
            message.open_content(parsed, lk=LK, link_id=LINK)


def test_another_key_is_refused() -> None:
    parsed = message.parse(sealed(), topic=TOPIC, size_max=SIZE)
    with pytest.raises(BadSignature, match="kid_mismatch"):
        message.verify(parsed, OTHER.public)
    with pytest.raises(BadSignature, match="signature_bad"):
        message.verify(parsed._replace(kid=OTHER.public.kid), OTHER.public)
    assert code(signed_again(with_head={4: OTHER.public.kid})) == "kid_mismatch"


def test_another_link_key_fails_the_commitment() -> None:
    parsed = message.parse(sealed(), topic=TOPIC, size_max=SIZE)
    with pytest.raises(BadSignature, match="commitment_bad"):
        message.open_content(parsed, lk=bytes(32), link_id=LINK)
    for size in (0, 31, 32, 33):
        with pytest.raises(BadSignature, match="commitment_bad"):
            message.open_with_key(parsed, bytes(size))


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_content_key_of_another_size_is_refused_even_when_committed_to(size: int) -> None:
    raw = signed_again(with_head={message.COMMITMENT: keys.commitment(bytes(size))})
    parsed = message.parse(raw, topic=TOPIC, size_max=SIZE)
    with pytest.raises(BadSignature):
        message.open_with_key(parsed, bytes(size))


def test_another_commitment_is_refused() -> None:
    assert code(signed_again(with_head={message.COMMITMENT: bytes(32)})) == "commitment_bad"


def test_a_message_at_another_position_does_not_open() -> None:
    for place in ([1, 3, 701], [1, 4, 700], [0, 3, 700]):
        assert code(signed_again(with_head={message.POSITION: place})) == "commitment_bad"


def test_another_link_id_is_refused() -> None:
    parsed = message.parse(sealed(), topic=TOPIC, size_max=SIZE)
    for link in (b"knil", b"", b"link2"):
        with pytest.raises(BadSignature, match="link_unknown"):
            message.open_content(parsed, lk=LK, link_id=link)


HEADERS = {
    "an unknown algorithm": {1: -7},
    "an algorithm that is a truth": {1: True},
    "another content type": {3: 17},
    "a short kid": {4: b"short"},
    "a long kid": {4: KEY.public.thumbprint},
    "a kid that is a text": {4: "8letters"},
    "a lane too many": {-70001: [3, 0, 0]},
    "a lane below zero": {-70001: [-1, 0, 0]},
    "a boot too large": {-70001: [1, 1 << 32, 0]},
    "a sequence too large": {-70001: [1, 0, 1 << 48]},
    "a position of two": {-70001: [1, 0]},
    "a position with a truth": {-70001: [True, 0, 0]},
    "a position with a float": {-70001: [1, 0, 0.5]},
    "a position that is bytes": {-70001: b"\x01\x00\x00"},
    "a short commitment": {-70002: bytes(31)},
    "one header more": {99: 1},
    "a critical header": {2: [-70001]},
}


@pytest.mark.parametrize("with_head", HEADERS.values(), ids=HEADERS.keys())
def test_another_header_is_malformed(with_head: dict[int, object]) -> None:
    with pytest.raises(Malformed):
        message.parse(signed_again(with_head=with_head), topic=TOPIC, size_max=SIZE)


@pytest.mark.parametrize("label", [1, 3, 4, -70001, -70002])
def test_a_missing_header_is_malformed(label: int) -> None:
    header = cbor.decode(message.parse(sealed(), topic=TOPIC, size_max=SIZE).protected_bytes, size_max=SIZE)
    assert isinstance(header, dict)
    del header[label]
    with pytest.raises(Malformed):
        message.parse(signed_again(head=header), topic=TOPIC, size_max=SIZE)


@pytest.mark.parametrize("head", [{}, [1, 2], 7, "text", None])
def test_a_header_that_is_no_such_map_is_malformed(head: object) -> None:
    with pytest.raises(Malformed):
        message.parse(signed_again(head=head), topic=TOPIC, size_max=SIZE)


def test_the_algorithm_name_of_rfc_9864_is_accepted() -> None:
    raw = signed_again(with_head={1: keys.ED25519})
    assert message.parse(raw, topic=TOPIC, size_max=SIZE).alg == keys.ED25519
    assert read(raw).content == b"content"


def layouts() -> dict[str, bytes]:
    """The same values laid out otherwise than the one way: the signature holds in each."""
    raw = sealed()
    parsed = message.parse(raw, topic=TOPIC, size_max=SIZE)
    head, payload, tail = cose.bstr(parsed.protected_bytes), cose.bstr(parsed.payload), b"\x58\x40" + parsed.signature
    longer = b"\x5a" + len(parsed.payload).to_bytes(4, "big") + parsed.payload
    chunked = b"\x5f" + payload + b"\xff"
    return {
        "an unprotected header": b"\xd2\x84" + head + b"\xa1\x04\x41\x01" + payload + tail,
        "an unprotected header that is an array": b"\xd2\x84" + head + b"\x80" + payload + tail,
        "an indefinite unprotected header": b"\xd2\x84" + head + b"\xbf\xff" + payload + tail,
        "an indefinite array": b"\xd2\x9f" + head + b"\xa0" + payload + tail + b"\xff",
        "an indefinite payload": b"\xd2\x84" + head + b"\xa0" + chunked + tail,
        "a longer length": b"\xd2\x84" + head + b"\xa0" + longer + tail,
        "a longer array": b"\xd2\x98\x04" + head + b"\xa0" + payload + tail,
        "a longer tag": b"\xd8\x12\x84" + head + b"\xa0" + payload + tail,
        "a longer empty map": b"\xd2\x84" + head + b"\xb8\x00" + payload + tail,
        "no tag": raw[1:],
        "a second tag": b"\xd2" + raw,
        "a tag around the payload": b"\xd2\x84" + head + b"\xa0\xd8\x18" + payload + tail,
        "a detached payload": b"\xd2\x84" + head + b"\xa0\xf6" + tail,
        "a short signature": b"\xd2\x84" + head + b"\xa0" + payload + b"\x58\x3f" + parsed.signature[1:],
    }


@pytest.mark.parametrize("name", layouts())
def test_the_same_message_laid_out_otherwise_is_malformed(name: str) -> None:
    with pytest.raises(Malformed):
        message.parse(layouts()[name], topic=TOPIC, size_max=SIZE)


def test_a_header_laid_out_otherwise_is_malformed() -> None:
    parsed = message.parse(sealed(), topic=TOPIC, size_max=SIZE)
    head = parsed.protected_bytes
    number = b"\x03\x10"
    assert head.count(number) == 1
    for changed in (
        head.replace(number, b"\x03\x18\x10"),
        head.replace(b"\x01\x27" + number, number + b"\x01\x27"),
        b"\xbf" + head[1:] + b"\xff",
        b"\xb8\x05" + head[1:],
        head + b"\x00",
        head[:-1],
    ):
        signature = KEY.sign(cose.signature_input(changed, TOPIC.encode(), parsed.payload))
        raw = b"\xd2" + cbor.encode([changed, {}, parsed.payload, signature])
        with pytest.raises(Malformed):
            message.parse(raw, topic=TOPIC, size_max=SIZE)


INNER = {
    "another cipher": ({1: 1, 3: TYPE}, {4: LINK, 5: bytes(12)}),
    "no content type": ({1: 24}, {4: LINK, 5: bytes(12)}),
    "a content type as a number": ({1: 24, 3: 60}, {4: LINK, 5: bytes(12)}),
    "a long content type": ({1: 24, 3: "x" * 65}, {4: LINK, 5: bytes(12)}),
    "one header more": ({1: 24, 3: TYPE, 9: 1}, {4: LINK, 5: bytes(12)}),
    "no link": ({1: 24, 3: TYPE}, {5: bytes(12)}),
    "a long link": ({1: 24, 3: TYPE}, {4: b"links", 5: bytes(12)}),
    "no IV": ({1: 24, 3: TYPE}, {4: LINK}),
    "a short IV": ({1: 24, 3: TYPE}, {4: LINK, 5: bytes(11)}),
    "one beside it more": ({1: 24, 3: TYPE}, {4: LINK, 5: bytes(12), 6: 1}),
}


@pytest.mark.parametrize(("head", "beside"), INNER.values(), ids=INNER.keys())
def test_another_inner_layer_is_malformed(head: dict[int, object], beside: dict[int, object]) -> None:
    payload = b"\xd0" + cbor.encode([cbor.encode(head), beside, bytes(20)])
    parsed = message.parse(signed_again(payload=payload), topic=TOPIC, size_max=SIZE)
    with pytest.raises(Malformed):
        message.open_content(parsed, lk=LK, link_id=LINK)


@pytest.mark.parametrize("size", [0, 1, 15])
def test_a_ciphertext_shorter_than_its_tag_is_refused(size: int) -> None:
    payload = b"\xd0" + cbor.encode([cbor.encode({1: 24, 3: TYPE}), {4: LINK, 5: bytes(12)}, bytes(size)])
    assert code(signed_again(payload=payload)) == "tag_bad"


def test_size_is_bounded_before_anything_is_read() -> None:
    raw = sealed()
    assert message.parse(raw, topic=TOPIC, size_max=len(raw)).raw == raw
    with pytest.raises(Malformed, match="message_size"):
        message.parse(raw, topic=TOPIC, size_max=len(raw) - 1)
    with pytest.raises(Malformed, match="message_size"):
        message.parse(bytes(SIZE + 1), topic=TOPIC, size_max=SIZE)


def test_the_hash_is_of_the_bytes_as_received() -> None:
    raw = sealed()
    assert message.message_hash(raw) != message.message_hash(raw[:-1]) and len(message.message_hash(raw)) == 32


@given(st.text(max_size=60))
def test_only_up_topics_of_a_device_are_read(text: str) -> None:
    for lane in (0, 1, 2):
        assert topics.parse_up(topics.up(NAME, lane)) == (NAME, lane)
    wrong = [
        text,
        f"vigil/1/{text}/up/data",
        f"vigil/1/{NAME}/up/{text}",
        TOPIC + "\n",
        TOPIC.upper(),
        topics.down_command(NAME),
    ]
    for topic in wrong:
        if topic not in {topics.up(NAME, lane) for lane in (0, 1, 2)}:
            with pytest.raises(Malformed):
                topics.parse_up(topic)
    for device in (NAME + "\n", NAME.upper().replace("0", "A"), NAME[:-1], ""):
        with pytest.raises(Malformed):
            topics.check_device(device)
    assert topics.check_device(NAME) == NAME
