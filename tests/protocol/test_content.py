"""What is inside a message: everything a device can say comes back, anything else is refused."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import cbor, content
from protocol.errors import Malformed
from tests.support import contents, damage

CLOCK = {"up_ms": 5, "wall_ms": 1_700_000_000_000, "synced": True}
ALARM_TYPE, DATA_TYPE, STATE_TYPE = content.CONTENT_TYPES
DATA = {"clock": CLOCK, "simulated": False}
GAP = {"lane": 1, "boot": 2, "ranges": [[0, 4], [6, 6]], "reason": "spool full"}
ALARM = DATA | {"id": bytes(16), "kind": "button", "at": 1_700_000_000_000, "detail": {}}
STATE = DATA | {"kind": "heartbeat", "detail": {"battery": 80}}


def code(body: object, kind: str) -> str:
    with pytest.raises(Malformed) as caught:
        content.decode(cbor.encode(body), content_type=kind)
    return caught.value.code


@given(contents.data | contents.alarms | contents.states)
@settings(max_examples=150)
def test_everything_said_comes_back(said: content.Content) -> None:
    raw = content.encode(said)
    kind = contents.content_type(said)
    assert content.decode(raw, content_type=kind) == said
    assert cbor.encode(cbor.decode(raw, size_max=len(raw))) == raw
    for other in content.CONTENT_TYPES:
        if other != kind:
            with pytest.raises(Malformed):
                content.decode(raw, content_type=other)


@given(contents.data | contents.alarms | contents.states)
@settings(max_examples=30)
def test_every_cut_is_refused(said: content.Content) -> None:
    kind = contents.content_type(said)
    assert (
        damage.accepted(lambda raw: content.decode(raw, content_type=kind), damage.every_prefix(content.encode(said)))
        == []
    )


@given(contents.data | contents.alarms | contents.states)
@settings(max_examples=15, deadline=None)
def test_a_flipped_bit_is_refused_or_says_something_else(said: content.Content) -> None:
    kind = contents.content_type(said)
    for flipped in damage.every_bit_flip(content.encode(said)[:600]):
        raw = flipped + content.encode(said)[600:]
        found = damage.read_or_refuse(lambda raw: content.decode(raw, content_type=kind), raw)
        if isinstance(found, content.Data | content.Alarm | content.State):
            assert found != said and content.encode(found) == raw


@given(st.binary(max_size=80), st.sampled_from([*content.CONTENT_TYPES, "text/plain", ""]))
def test_any_bytes_are_refused(data: bytes, kind: str) -> None:
    with pytest.raises(Malformed):
        content.decode(data, content_type=kind)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(-9, 9), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    values,
    st.sampled_from(["clock", "simulated", "id", "kind", "at", "detail", "vitals", "ecg", "ppg", "motion", "gaps"]),
)
def test_any_value_in_any_place_is_refused_or_comes_back(value: object, name: str) -> None:
    for body, kind in ((DATA, DATA_TYPE), (ALARM, ALARM_TYPE), (STATE, STATE_TYPE)):
        raw = cbor.encode_text(body | {name: value})
        found = damage.read_or_refuse(lambda raw, kind=kind: content.decode(raw, content_type=kind), raw)
        if isinstance(found, content.Data | content.Alarm | content.State):
            assert content.encode(found) == raw


@pytest.mark.parametrize(
    "kind", ["application/cbor", "", "APPLICATION/VIGIL-DATA+CBOR", "application/vigil-data+cbor "]
)
def test_another_content_type_is_refused(kind: str) -> None:
    assert code(DATA, kind) == "content_type"


@pytest.mark.parametrize("body", [[], 1, "text", None])
def test_content_is_a_map(body: object) -> None:
    assert code(body, DATA_TYPE) == "content_shape"


CLOCKS = [
    None,
    {},
    {"up_ms": 1, "wall_ms": 1},
    CLOCK | {"zone": "UTC"},
    CLOCK | {"up_ms": -1},
    CLOCK | {"up_ms": 1.5},
    CLOCK | {"up_ms": True},
    CLOCK | {"wall_ms": content.TIME_MAX_MS},
    CLOCK | {"synced": 1},
    CLOCK | {"synced": None},
]


@pytest.mark.parametrize("clock", CLOCKS)
def test_another_clock_is_refused(clock: object) -> None:
    for body, kind in ((DATA, DATA_TYPE), (ALARM, ALARM_TYPE), (STATE, STATE_TYPE)):
        assert code(body | {"clock": clock}, kind) == "content_clock"


@pytest.mark.parametrize("kind", ["clock", "simulated"])
def test_clock_and_simulated_are_always_there(kind: str) -> None:
    for body, content_type in ((DATA, DATA_TYPE), (ALARM, ALARM_TYPE), (STATE, STATE_TYPE)):
        code({key: value for key, value in body.items() if key != kind}, content_type)


@pytest.mark.parametrize("value", [0, 1, None, "true"])
def test_simulated_is_true_or_false(value: object) -> None:
    assert code(DATA | {"simulated": value}, DATA_TYPE) == "content_shape"


@pytest.mark.parametrize("name", ["extra", "Clock", "", "kind", "spo2"])
def test_an_unknown_name_is_refused(name: str) -> None:
    assert code(DATA | {name: 1}, DATA_TYPE) == "content_shape"
    if name != "kind":
        assert code(ALARM | {name: 1}, ALARM_TYPE) == "content_shape"
        assert code(STATE | {name: 1}, STATE_TYPE) == "content_shape"


@pytest.mark.parametrize("name", ["vitals", "ecg", "ppg", "motion", "gaps"])
def test_an_empty_part_is_left_out_and_not_sent_empty(name: str) -> None:
    for empty in ([], {}, None):
        code(DATA | {name: empty}, DATA_TYPE)


@pytest.mark.parametrize("ident", [b"", bytes(15), bytes(17), "sixteen letters!", None])
def test_an_alarm_has_an_id_of_16_bytes(ident: object) -> None:
    assert code(ALARM | {"id": ident}, ALARM_TYPE) == "content_shape"


@pytest.mark.parametrize("kind", ["", "heartbeat", "BUTTON", None, 1, b"button"])
def test_an_alarm_is_of_a_known_kind(kind: object) -> None:
    assert code(ALARM | {"kind": kind}, ALARM_TYPE) == "content_kind"


@pytest.mark.parametrize("kind", ["", "button", None, 1])
def test_a_state_is_of_a_known_kind(kind: object) -> None:
    assert code(STATE | {"kind": kind}, STATE_TYPE) == "content_kind"


@pytest.mark.parametrize("at", [-1, 1.5, True, None, content.TIME_MAX_MS + 1])
def test_an_alarm_has_a_time(at: object) -> None:
    assert code(ALARM | {"at": at}, ALARM_TYPE) == "content_number"


DETAILS = {
    "not a map": [],
    "nothing": None,
    "too many": {str(number): 1 for number in range(content.DETAIL_MAX + 1)},
    "an empty key": {"": 1},
    "a long key": {"x" * (content.TEXT_MAX + 1): 1},
    "a long text": {"a": "x" * (content.TEXT_MAX + 1)},
    "long bytes": {"a": bytes(content.TEXT_MAX + 1)},
    "a truth": {"a": True},
    "null": {"a": None},
    "an array": {"a": [1]},
    "a map": {"a": {"b": 1}},
    "a large number": {"a": 1 << 53},
    "a large number below zero": {"a": -(1 << 53)},
    "infinity": {"a": math.inf},
    "not a number": {"a": math.nan},
}


@pytest.mark.parametrize("detail", DETAILS.values(), ids=DETAILS.keys())
def test_another_detail_is_refused(detail: object) -> None:
    assert code(ALARM | {"detail": detail}, ALARM_TYPE) == "content_detail"
    assert code(STATE | {"detail": detail}, STATE_TYPE) == "content_detail"


def test_a_detail_with_numbers_as_keys_is_refused() -> None:
    assert code(STATE | {"detail": {1: 1}}, STATE_TYPE) == "content_detail"


@pytest.mark.parametrize(
    "gap",
    [
        [],
        GAP | {"more": 1},
        {key: value for key, value in GAP.items() if key != "reason"},
        GAP | {"reason": ""},
        GAP | {"reason": "x" * (content.TEXT_MAX + 1)},
        GAP | {"reason": 7},
        GAP | {"lane": 3},
        GAP | {"lane": True},
        GAP | {"boot": 1 << 32},
        GAP | {"boot": -1},
    ],
)
def test_another_gap_is_refused(gap: object) -> None:
    assert code(DATA | {"gaps": [gap]}, DATA_TYPE) in {"content_gaps", "content_number"}


@pytest.mark.parametrize(
    "ranges",
    [
        [],
        None,
        [[0]],
        [[0, 1, 2]],
        [[1, 0]],
        [[0, 1], [2, 3]],
        [[0, 1], [1, 3]],
        [[5, 6], [0, 1]],
        [[-1, 0]],
        [[0, 1 << 48]],
        [[0, True]],
        [[0.0, 1]],
        ["ab"],
        [[number * 2, number * 2] for number in range(content.RANGES_MAX + 1)],
    ],
)
def test_ranges_ascend_and_do_not_touch(ranges: object) -> None:
    assert code(DATA | {"gaps": [GAP | {"ranges": ranges}]}, DATA_TYPE) == "content_ranges"


def test_counts_are_bounded_exactly() -> None:
    ranges = [[number * 2, number * 2] for number in range(content.RANGES_MAX)]
    body = DATA | {"gaps": [GAP | {"ranges": ranges}] * content.GAPS_MAX}
    found = content.decode(cbor.encode(body), content_type=DATA_TYPE)
    assert isinstance(found, content.Data) and len(found.gaps) == content.GAPS_MAX
    assert code(DATA | {"gaps": [GAP] * (content.GAPS_MAX + 1)}, DATA_TYPE) == "content_gaps"
    detail = {f"{number:0128d}": "x" * content.TEXT_MAX for number in range(content.DETAIL_MAX)}
    state = content.decode(cbor.encode(STATE | {"detail": detail}), content_type=STATE_TYPE)
    assert isinstance(state, content.State) and state.detail == detail


def test_size_and_depth_are_bounded() -> None:
    with pytest.raises(Malformed, match="content_size"):
        content.decode(bytes(content.SIZE_MAX + 1), content_type=DATA_TYPE)
    with pytest.raises(Malformed, match="cbor_invalid"):
        content.decode(b"\x81" * 100 + b"\x01", content_type=DATA_TYPE)


@pytest.mark.parametrize(
    "text",
    [
        "bf65636c6f636b01ff",
        "b80165636c6f636b01",
        "a265636c6f636b0165636c6f636b01",
        "a0ff",
        "a16973696d756c61746564f500",
    ],
)
def test_another_encoding_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        content.decode(bytes.fromhex(text), content_type=DATA_TYPE)


def test_keys_out_of_order_are_refused() -> None:
    raw = cbor.encode(DATA)
    clock = cbor.encode("clock") + cbor.encode(CLOCK)
    simulated = cbor.encode("simulated") + cbor.encode(False)
    assert raw == b"\xa2" + clock + simulated
    with pytest.raises(Malformed, match="cbor_not_deterministic"):
        content.decode(b"\xa2" + simulated + clock, content_type=DATA_TYPE)


def test_references_inside_a_message_cannot_make_it_huge() -> None:
    marked = b"\xd8\x1c\x98\xc8" + b"\x01" * 200
    again = b"\xd8\x1c\x98\xc8" + b"\xd8\x1d\x00" * 200
    thrice = b"\xd8\x1c\x98\xc8" + b"\xd8\x1d\x01" * 200
    with pytest.raises(Malformed, match="cbor_invalid"):
        content.decode(b"\xa1\x64gaps\x83" + marked + again + thrice, content_type=DATA_TYPE)


numbers_only = st.builds(
    content.Data,
    clock=contents.clocks,
    simulated=st.booleans(),
    vitals=st.lists(contents.vitals, max_size=4).map(tuple),
    waves=st.just(()),
    gaps=st.just(()),
)


def the_long_way(raw: bytes) -> object:
    """What `decode` says of data without its short cut for vitals alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "_usual", lambda data: None)
        return damage.read_or_refuse(lambda raw: content.decode(raw, content_type=DATA_TYPE), raw)


@settings(max_examples=15)
@given(numbers_only)
def test_the_short_way_says_what_the_long_way_says(said: content.Data) -> None:
    raw = content.encode(said)
    assert content.decode(raw, content_type=DATA_TYPE) == said == the_long_way(raw)
    if said.vitals:
        assert content._usual(raw) == said, "numbers take the short way"
    for changed in (*damage.every_bit_flip(raw[:160]), *damage.every_prefix(raw), raw + b"\x00"):
        whole = changed + raw[160:] if len(changed) == len(raw[:160]) else changed
        assert damage.read_or_refuse(lambda raw: content.decode(raw, content_type=DATA_TYPE), whole) == the_long_way(
            whole
        )
