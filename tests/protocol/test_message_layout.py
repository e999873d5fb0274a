"""Messages whose signature and tag hold but of which one length or number is written longer than it needs to be.

The reader of messages is written by hand, layout and all: here each head in a message is made longer in each way there is.
"""

from collections.abc import Iterator

import nacl.bindings
import pytest

from protocol import content, cose, keys, message, topics
from protocol.errors import Malformed
from protocol.message import Position
from tests.support import chain, damage

SIZE = 8192
KIND = content.CONTENT_TYPES[topics.DATA]
AAD = chain.TOPIC.encode()
PLACES = [
    Position(1, 0, 0),
    Position(1, 23, 24),
    Position(1, 24, 255),
    Position(1, 256, 65_535),
    Position(1, 65_536, 1 << 32),
    Position(1, (1 << 32) - 1, (1 << 48) - 1),
]

Pairs = list[tuple[object, object]]


class Layout:
    """CBOR of ints, byte strings, texts, arrays and maps (as tuples of pairs), one head of which may be made longer.

    chosen: the number of that head; longer: how many forms longer it is. count: heads laid so far.
    """

    def __init__(self, chosen: int = -1, longer: int = 0) -> None:
        self.chosen, self.longer, self.count = chosen, longer, 0

    def head(self, major: int, number: int) -> bytes:
        form = 0 if number < 24 else 1 if number < 1 << 8 else 2 if number < 1 << 16 else 3 if number < 1 << 32 else 4
        if self.count == self.chosen:
            form += self.longer
        self.count += 1
        if form > 4:
            raise OverflowError
        if form == 0:
            return bytes((major << 5 | number,))
        return bytes((major << 5 | 23 + form,)) + number.to_bytes(1 << form - 1, "big")

    def lay(self, value: object) -> bytes:
        match value:
            case int():
                return self.head(0, value) if value >= 0 else self.head(1, -1 - value)
            case bytes():
                return self.head(2, len(value)) + value
            case str():
                return self.head(3, len(value)) + value.encode()
            case list():
                return self.head(4, len(value)) + b"".join(map(self.lay, value))
            case tuple():
                return self.head(5, len(value)) + b"".join(self.lay(key) + self.lay(item) for key, item in value)
        raise AssertionError("nothing else is in a message")


def laid(layout: Layout, place: Position, said: bytes, kind: str = KIND) -> bytes:
    """A message of the chain's device in `layout`, inside first."""
    cek = keys.content_key(chain.LK, *place)
    inner_head = layout.lay(((1, 24), (3, kind)))
    sealed = nacl.bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
        said, cose.encryption_input(inner_head, AAD), bytes(12), cek
    )
    inner = layout.head(6, 16) + layout.lay([inner_head, ((4, chain.LINK_ID), (5, bytes(12))), sealed])
    head = layout.lay(
        ((1, -8), (3, 16), (4, chain.DEVICE.public.kid), (-70001, list(place)), (-70002, keys.commitment(cek)))
    )
    signature = chain.DEVICE.sign(cose.signature_input(head, AAD, inner))
    return layout.head(6, 18) + layout.lay([head, (), inner, signature])


def read(raw: bytes) -> message.Opened:
    found = message.parse(raw, topic=chain.TOPIC, size_max=SIZE)
    message.verify(found, chain.DEVICE.public)
    return message.open_content(found, lk=chain.LK, link_id=chain.LINK_ID)


def longer(place: Position, said: bytes, kind: str) -> Iterator[tuple[int, int, bytes]]:
    plain = Layout()
    laid(plain, place, said, kind)
    for chosen in range(plain.count):
        for more in range(1, 5):
            try:
                yield chosen, more, laid(Layout(chosen, more), place, said, kind)
            except OverflowError:
                break


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [0, 1, 7, 8, 200, 239, 240, 5000])
def test_the_one_layout_is_read(place: Position, size: int) -> None:
    raw = laid(Layout(), place, bytes(size))
    assert read(raw).content == bytes(size)
    assert raw == message.seal(
        key=chain.DEVICE,
        lk=chain.LK,
        link_id=chain.LINK_ID,
        topic=chain.TOPIC,
        position=place,
        content=bytes(size),
        iv=bytes(12),
        content_type=KIND,
    )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("size", "kind"), [(0, KIND), (1, "x" * 23), (7, ""), (240, "x" * 24), (600, KIND)])
def test_no_head_is_longer_than_it_needs_to_be(place: Position, size: int, kind: str) -> None:
    heads = set()
    for chosen, more, raw in longer(place, bytes(size), kind):
        heads.add(chosen)
        with pytest.raises(Malformed):
            print(chosen, more, read(raw))
    assert len(heads) >= 30


def test_every_cut_inside_a_layer_is_refused() -> None:
    """Each layer cut short by itself, with everything around it in order."""
    place, said = PLACES[3], b"said"
    cek = keys.content_key(chain.LK, *place)
    whole = message.parse(laid(Layout(), place, said), topic=chain.TOPIC, size_max=SIZE)

    def signed(head: bytes, inner: bytes) -> bytes:
        signature = chain.DEVICE.sign(cose.signature_input(head, AAD, inner))
        return b"\xd2\x84" + cose.bstr(head) + b"\xa0" + cose.bstr(inner) + b"\x58\x40" + signature

    head, inner = whole.protected_bytes, whole.payload
    assert read(signed(head, inner)).content == said
    for end in range(len(head)):
        with pytest.raises(Malformed):
            read(signed(head[:end], inner))
    for end in range(len(inner)):
        with pytest.raises(Malformed):
            read(signed(head, inner[:end]))
    for more in (b"\x00", b"\xa0", inner):
        with pytest.raises(Malformed):
            read(signed(head + more, inner))
        with pytest.raises(Malformed):
            read(signed(head, inner + more))
    inner_head = Layout().lay(((1, 24), (3, KIND)))
    for cut in (*(inner_head[:end] for end in range(len(inner_head))), inner_head + b"\x00"):
        sealed = nacl.bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
            said, cose.encryption_input(cut, AAD), bytes(12), cek
        )
        body = Layout().lay([cut, ((4, chain.LINK_ID), (5, bytes(12))), sealed])
        with pytest.raises(Malformed):
            read(signed(head, b"\xd0" + body))


def test_every_flipped_bit_of_a_header_is_refused_even_when_signed_and_sealed_so() -> None:
    """But for letters of the content type, which the content's reader compares."""
    place, said = PLACES[3], b"said"
    cek = keys.content_key(chain.LK, *place)
    whole = message.parse(laid(Layout(), place, said), topic=chain.TOPIC, size_max=SIZE)

    def signed(head: bytes, inner: bytes) -> bytes:
        signature = chain.DEVICE.sign(cose.signature_input(head, AAD, inner))
        return b"\xd2\x84" + cose.bstr(head) + b"\xa0" + cose.bstr(inner) + b"\x58\x40" + signature

    flips = damage.every_bit_flip(whole.protected_bytes)
    assert damage.accepted(lambda head: read(signed(head, whole.payload)), flips) == []
    for inner_head in damage.every_bit_flip(Layout().lay(((1, 24), (3, KIND)))):
        sealed = nacl.bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
            said, cose.encryption_input(inner_head, AAD), bytes(12), cek
        )
        body = Layout().lay([inner_head, ((4, chain.LINK_ID), (5, bytes(12))), sealed])
        found = damage.read_or_refuse(lambda inner: read(signed(whole.protected_bytes, inner)), b"\xd0" + body)
        assert found is None or (isinstance(found, message.Opened) and found.content_type not in content.CONTENT_TYPES)
