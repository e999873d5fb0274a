"""Commands: read from the pinned key only, on their topic only, once only and in time."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, command, cose, keys, topics
from protocol.errors import BadSignature, Malformed
from tests.support import damage

KEY = keys.SigningKey.from_seed(bytes([3]) * 32)
OTHER = keys.SigningKey.from_seed(bytes([9]) * 32)
TOPIC = topics.down_command("0123456789abcdef")
ORDER = command.Command(
    n=(1, 7), expires_ms=1_700_000_060_000, kind="settings", args={"rate": 1, "on": True, "k": b"x"}
)
BODY = {"n": [1, 7], "expires": 1_700_000_060_000, "kind": "settings", "args": {"rate": 1, "on": True, "k": b"x"}}
HEAD: dict[int, object] = {1: -8, 3: command.CONTENT_TYPE, 4: KEY.public.kid}

numbers = st.tuples(st.integers(0, (1 << 53) - 1), st.integers(0, (1 << 53) - 1))
orders = st.builds(
    command.Command,
    n=numbers,
    expires_ms=st.integers(0, (1 << 53) - 1),
    kind=st.sampled_from(sorted(command.KINDS)),
    args=st.dictionaries(
        st.text(max_size=10),
        st.text(max_size=10) | st.binary(max_size=10) | st.booleans() | st.integers(-(1 << 60), 1 << 60),
        max_size=4,
    ),
)


def read(raw: bytes) -> command.Command:
    return command.read(raw, TOPIC, KEY.public)


def signed(body: object, head: dict[int, object] = HEAD, **more: dict[int, object]) -> bytes:
    return cose.sign1(KEY, protected=head, payload=cbor.encode(body), aad=TOPIC.encode(), **more)


@given(orders)
def test_a_command_comes_back(order: command.Command) -> None:
    assert read(command.sign(KEY, TOPIC, order)) == order


def test_every_cut_and_every_flipped_bit_is_refused() -> None:
    raw = command.sign(KEY, TOPIC, ORDER)
    assert raw == signed(BODY)
    assert damage.accepted(read, damage.every_prefix(raw)) == []
    assert damage.accepted(read, damage.every_bit_flip(raw)) == []
    assert damage.read_or_refuse(read, raw + b"\x00") is None


@given(st.binary(max_size=80))
def test_any_bytes_and_any_signed_bytes_are_refused(data: bytes) -> None:
    assert damage.read_or_refuse(read, data) is None
    assert damage.read_or_refuse(read, cose.sign1(KEY, protected=HEAD, payload=data, aad=TOPIC.encode())) is None


def test_another_key_or_topic_is_refused() -> None:
    for raw in (
        command.sign(OTHER, TOPIC, ORDER),
        command.sign(KEY, topics.down_command("f" * 16), ORDER),
        command.sign(KEY, topics.down_receipt("0123456789abcdef"), ORDER),
    ):
        with pytest.raises(BadSignature):
            read(raw)


@pytest.mark.parametrize(
    "change",
    [
        {"n": [1]},
        {"n": [1, 2, 3]},
        {"n": [1, True]},
        {"n": [1, -1]},
        {"n": [1, 1 << 53]},
        {"n": 7},
        {"expires": -1},
        {"expires": 1 << 53},
        {"expires": 1.5},
        {"expires": None},
        {"kind": "explode"},
        {"kind": 1},
        {"kind": ["ping"]},
        {"kind": b"ping"},
        {"args": []},
        {"args": None},
        {"args": {1: 2}},
        {"args": {"a": 1.5}},
        {"args": {"a": None}},
        {"args": {"a": [1]}},
        {"args": {"a": {}}},
        {"args": {str(number): 1 for number in range(command.ARGS_MAX + 1)}},
        {"more": 1},
    ],
)
def test_another_command_is_malformed_even_when_signed(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        read(signed(BODY | change))


@pytest.mark.parametrize("name", sorted(BODY))
def test_no_part_may_be_missing(name: str) -> None:
    with pytest.raises(Malformed):
        read(signed({key: value for key, value in BODY.items() if key != name}))


def test_it_is_signed_under_the_name_of_its_key() -> None:
    for kid in (OTHER.public.kid, KEY.public.thumbprint, b"", "text", 7):
        with pytest.raises(BadSignature, match="kid_mismatch"):
            read(signed(BODY, HEAD | {4: kid}))


def test_another_header_is_malformed() -> None:
    for head in (HEAD | {3: "application/vigil-receipt+cbor"}, HEAD | {9: 1}, {1: -8, 4: b"kid"}):
        with pytest.raises(Malformed):
            read(signed(BODY, head))
    with pytest.raises(Malformed):
        read(signed(BODY, unprotected={9: 1}))
    with pytest.raises(Malformed, match="cbor_size"):
        read(b"\xd2" + bytes(command.SIZE_MAX))


def test_a_command_is_carried_out_once_and_in_order() -> None:
    command.accept(ORDER, last=(1, 6), now_ms=0)
    command.accept(dataclasses.replace(ORDER, n=(2, 0)), last=(1, 99), now_ms=0)
    for last in ((1, 7), (1, 8), (2, 0)):
        with pytest.raises(BadSignature, match="command_replayed"):
            command.accept(ORDER, last=last, now_ms=0)


def test_a_command_has_an_end() -> None:
    command.accept(ORDER, last=(0, 0), now_ms=ORDER.expires_ms)
    with pytest.raises(BadSignature, match="command_expired"):
        command.accept(ORDER, last=(0, 0), now_ms=ORDER.expires_ms + 1)


@given(numbers, numbers)
def test_of_two_commands_only_the_later_follows_the_other(one: command.Number, two: command.Number) -> None:
    followed = []
    for first, second in ((one, two), (two, one)):
        try:
            command.accept(dataclasses.replace(ORDER, n=second), last=first, now_ms=0)
        except BadSignature:
            continue
        followed.append(second)
    assert followed == ([] if one == two else [max(one, two)])
