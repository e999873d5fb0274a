"""Pairing: who has seen the code becomes an enrolment; nobody else, nothing damaged, nothing said before."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, keys, pairing
from protocol.errors import BadSignature, Malformed, VigilError
from tests.support import damage

DEVICE = keys.SigningKey.from_seed(bytes([4]) * 32)
GATEWAY = keys.SigningKey.from_seed(bytes([3]) * 32)
OTHER = keys.SigningKey.from_seed(bytes([9]) * 32)
SECRET = bytes(range(16))
OFFER = pairing.Offer(address="gateway.example:8443", gateway_key=GATEWAY.public, secret=SECRET)
DEVICE_X, GATEWAY_X = bytes([1]) * 32, bytes([2]) * 32
SETTINGS = {"mqtt": "gateway.example:8883", "keep_s": 15}


def asked(offer: pairing.Offer = OFFER, key: keys.SigningKey = DEVICE, nonce: bytes = bytes(16)) -> bytes:
    return pairing.request(offer=offer, device_key=key, x25519_public=keys.x25519_public(DEVICE_X), nonce=nonce)


def heard(raw: bytes, secret: bytes = SECRET) -> pairing.PairRequest:
    return pairing.read_request(raw, secret=secret, gateway_key=GATEWAY.public)


def answered(to: bytes, *, secret: bytes = SECRET, key: keys.SigningKey = GATEWAY) -> bytes:
    return pairing.answer(
        to=heard(to),
        secret=secret,
        gateway_key=key,
        x25519_public=keys.x25519_public(GATEWAY_X),
        link_id=b"link",
        certificate="-----BEGIN CERTIFICATE-----\n",
        ca="-----BEGIN CERTIFICATE-----\n",
        settings=SETTINGS,
    )


def taken(raw: bytes, request_raw: bytes | None = None) -> pairing.PairAnswer:
    request = asked() if request_raw is None else request_raw
    return pairing.read_answer(raw, offer=OFFER, request_raw=request, device_key=DEVICE.public)


def test_a_whole_exchange_gives_both_sides_the_same_link() -> None:
    raw = asked(pairing.Offer.from_text(OFFER.text()))
    request = heard(raw)
    assert (request.device_key, request.device, request.nonce) == (
        DEVICE.public,
        keys.device_id(DEVICE.public),
        bytes(16),
    )
    answer = taken(answered(raw))
    assert (answer.device, answer.link_id, answer.settings) == (request.device, b"link", SETTINGS)
    both = {
        keys.link_key(
            own_secret=own,
            peer_public=peer,
            device_x25519=request.x25519,
            gateway_x25519=answer.x25519,
            device_ed25519=DEVICE.public.x,
        )
        for own, peer in ((DEVICE_X, answer.x25519), (GATEWAY_X, request.x25519))
    }
    assert len(both) == 1


def test_an_all_zero_share_makes_no_link() -> None:
    raw = pairing.request(offer=OFFER, device_key=DEVICE, x25519_public=bytes(32), nonce=bytes(16))
    request = heard(raw)
    with pytest.raises(Malformed, match="link_zero"):
        keys.link_key(
            own_secret=GATEWAY_X,
            peer_public=request.x25519,
            device_x25519=request.x25519,
            gateway_x25519=keys.x25519_public(GATEWAY_X),
            device_ed25519=request.device_key.x,
        )


def test_who_has_not_seen_the_code_is_refused() -> None:
    guess = pairing.Offer(address=OFFER.address, gateway_key=OFFER.gateway_key, secret=bytes(16))
    with pytest.raises(BadSignature, match="pair_mac"):
        heard(asked(guess))
    with pytest.raises(BadSignature, match="pair_mac"):
        taken(answered(asked(), secret=bytes(16)))


def test_a_code_of_another_gateway_is_refused() -> None:
    elsewhere = pairing.Offer(address=OFFER.address, gateway_key=OTHER.public, secret=SECRET)
    with pytest.raises(BadSignature, match="pair_mac"):
        heard(asked(elsewhere))
    with pytest.raises(BadSignature, match="signature_bad"):
        taken(answered(asked(), key=OTHER))


def test_an_answer_to_another_request_is_refused() -> None:
    first, second = asked(nonce=bytes(16)), asked(nonce=bytes([1]) * 16)
    assert pairing.request_tag(first) != pairing.request_tag(second)
    with pytest.raises(BadSignature, match="pair_mac"):
        taken(answered(first), second)


def test_an_answer_that_names_another_device_is_refused() -> None:
    raw = asked(key=OTHER)
    with pytest.raises(Malformed, match="pair_device"):
        taken(answered(raw), raw)


def test_a_request_is_no_answer_and_an_answer_no_request() -> None:
    with pytest.raises(VigilError):
        taken(asked())
    with pytest.raises(VigilError):
        heard(answered(asked()))


def test_every_cut_and_every_flipped_bit_is_refused() -> None:
    request = asked()
    answer = answered(request)
    assert heard(request).raw == request and taken(answer).device == keys.device_id(DEVICE.public)
    for read, raw in ((heard, request), (taken, answer)):
        assert damage.accepted(read, damage.every_prefix(raw)) == []
        assert damage.accepted(read, damage.every_bit_flip(raw)) == []
        assert damage.read_or_refuse(read, raw + b"\x00") is None


def closed(body: object, key: keys.SigningKey, info: bytes) -> bytes:
    """A body signed and authenticated as both sides do it, whatever it says."""
    said = cbor.encode(body)
    signature = key.sign(info + said)
    return cbor.encode([said, signature, hmac.digest(SECRET, info + said + signature, "sha256")])


REQUEST_INFO = b"vigil/1/pair/request" + GATEWAY.public.x
REQUEST = {"v": 1, "key": DEVICE.public.x, "x25519": keys.x25519_public(DEVICE_X), "nonce": bytes(16)}
ANSWER = {
    "v": 1,
    "device": keys.device_id(DEVICE.public),
    "link": b"link",
    "x25519": keys.x25519_public(GATEWAY_X),
    "certificate": "-----BEGIN CERTIFICATE-----\n",
    "ca": "-----BEGIN CERTIFICATE-----\n",
    "settings": SETTINGS,
}


def answer_info() -> bytes:
    return b"vigil/1/pair/answer" + pairing.request_tag(asked())


def test_the_forms_are_those_written_out_here() -> None:
    assert closed(REQUEST, DEVICE, REQUEST_INFO) == asked()
    assert closed(ANSWER, GATEWAY, answer_info()) == answered(asked())


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"v": 1.0},
        {"key": DEVICE.public.x[1:]},
        {"key": "x" * 32},
        {"x25519": bytes(31)},
        {"x25519": None},
        {"nonce": b""},
        {"nonce": bytes(17)},
        {"more": 1},
    ],
)
def test_another_request_is_refused_even_from_who_knows_the_code(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        heard(closed(REQUEST | change, DEVICE, REQUEST_INFO))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"device": "0" * 16},
        {"device": 7},
        {"link": b"links"},
        {"link": "link"},
        {"x25519": bytes(33)},
        {"certificate": b"DER"},
        {"ca": None},
        {"settings": []},
        {"settings": {1: 2}},
        {"settings": {"a": True}},
        {"settings": {"a": [1]}},
        {"settings": {"a": 1.5}},
        {"more": 1},
    ],
)
def test_another_answer_is_refused_even_from_who_knows_the_code(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        taken(closed(ANSWER | change, GATEWAY, answer_info()))


@given(st.binary(max_size=60))
def test_any_bytes_only_fail(data: bytes) -> None:
    for raw in (data, cbor.encode([data, data, data]), cbor.encode([data, bytes(64), bytes(32)])):
        assert damage.read_or_refuse(heard, raw) is None
        assert damage.read_or_refuse(taken, raw) is None
        assert damage.read_or_refuse(lambda raw: pairing.Offer.from_text(raw.decode("latin-1")), raw) is None


@pytest.mark.parametrize(
    "raw", [cbor.encode([1, 2, 3]), cbor.encode([b"", b""]), cbor.encode({}), cbor.encode([b""] * 4)]
)
def test_another_shape_is_malformed(raw: bytes) -> None:
    for read in (heard, taken):
        with pytest.raises(Malformed):
            read(raw)


def test_strangers_are_read_up_to_a_bound_only() -> None:
    with pytest.raises(Malformed, match="cbor_size"):
        heard(bytes(pairing.REQUEST_SIZE_MAX + 1))
    with pytest.raises(Malformed, match="cbor_size"):
        taken(bytes(pairing.ANSWER_SIZE_MAX + 1))
    assert len(asked()) < pairing.REQUEST_SIZE_MAX


@pytest.mark.parametrize("address", ["gateway.example:8443", "192.0.2.1:1", "[2001:db8::1]:65535", "localhost:443"])
def test_an_offer_comes_back_from_its_text(address: str) -> None:
    offer = pairing.Offer(address=address, gateway_key=GATEWAY.public, secret=SECRET)
    assert pairing.Offer.from_text(offer.text()) == offer
    assert pairing.Offer.from_text(f"  {offer.text()}\n") == offer
    assert len(offer.text()) < pairing.OFFER_SIZE_MAX


def test_an_offer_does_not_show_its_secret_in_a_log() -> None:
    assert "secret" not in repr(OFFER) and SECRET.hex() not in repr(OFFER)


TEXT = OFFER.text()
TEXTS = {
    "nothing": "",
    "another scheme": TEXT.replace("vigil", "https"),
    "no address": TEXT.replace("a=", "b="),
    "an address twice": TEXT + "&a=gateway.example:8443",
    "something more": TEXT + "&x=1",
    "no port": TEXT.replace(":8443", ""),
    "port zero": TEXT.replace(":8443", ":0"),
    "a port too high": TEXT.replace(":8443", ":65536"),
    "a path in the address": TEXT.replace("gateway.example", "gateway.example/x"),
    "a user in the address": TEXT.replace("gateway.example", "user@gateway.example"),
    "a line in the address": TEXT.replace("gateway.example", "gateway%0Aexample"),
    "a short secret": TEXT[:-2],
    "no secret": TEXT[: TEXT.index("&s=")],
    "a key of another size": TEXT.replace("&s=", "AA&s="),
    "an empty part": TEXT + "&",
    "an escape that is not needed": TEXT.replace("gateway", "%67ateway"),
    "parts in another order": TEXT.replace("?a=", "?s=x&a="),
    "base64 with padding": TEXT + "==",
    "too many parts": TEXT + "&x=1" * 10,
    "too long": TEXT + "&" * 512,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_another_text_is_no_offer(text: str) -> None:
    with pytest.raises(Malformed):
        pairing.Offer.from_text(text)


def test_no_part_of_the_text_can_be_changed_into_the_same_offer() -> None:
    for end in range(len(TEXT)):
        with pytest.raises(Malformed):
            pairing.Offer.from_text(TEXT[:end])
    begin = TEXT.index("&k=")
    for place in range(begin, len(TEXT)):
        changed = TEXT[:place] + ("B" if TEXT[place] != "B" else "C") + TEXT[place + 1 :]
        found = damage.read_or_refuse(lambda raw: pairing.Offer.from_text(raw.decode()), changed.encode())
        assert found != OFFER


@given(st.text(max_size=60))
def test_any_text_only_fails_as_an_offer(text: str) -> None:
    for whole in (
        text,
        "vigil://pair?" + text,
        TEXT + text if text.strip() else "",
        f"vigil://pair?a={text}&k={text}&s={text}",
    ):
        with pytest.raises(VigilError):
            pairing.Offer.from_text(whole)
