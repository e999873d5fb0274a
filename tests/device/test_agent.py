"""The agent: what it seals, sends, sends again, believes, forgets and obeys. No clock, no disk, no network."""

import itertools
from collections.abc import Callable
from random import Random

import pytest

from device_sim import agent as agent_module
from device_sim import cutting
from device_sim.agent import ALARM_RESEND_MS, RESEND_AFTER_MS, RESEND_MAX_MS, UNSEALED_MAX, WINDOW, Agent, Entry
from device_sim.sources import DeviceAlarm, Sample
from protocol import content, keys, message, senml, topics
from protocol.errors import BadSignature, Unavailable
from protocol.senml import VITALS_MAX, Vital
from protocol.waves import Wave
from tests.support import devices
from tests.support.memory import DeviceMemory


class FailingMemory(DeviceMemory):
    """A store on a disk that may be full."""

    full = False

    def add(self, lane: int, seal: Callable[[int, int], Entry], *, counted: bool = True) -> Entry:
        if self.full:
            raise Unavailable("spool_failing", "the disk is full")
        return super().add(lane, seal, counted=counted)

    def wipe(self) -> None:
        if self.full:
            raise Unavailable("spool_failing", "the disk is full")
        super().wipe()


@pytest.fixture
def store() -> FailingMemory:
    return FailingMemory()


@pytest.fixture
def agent(store: FailingMemory) -> Agent:
    return Agent(devices.LINK, store, rng=Random(7))


def fill(agent: Agent, count: int, *, alarm: bool = False) -> None:
    for number in range(count):
        agent.read(devices.reading(number, alarm=alarm), clock=devices.clock(), simulated=True)


def numbers(store: DeviceMemory) -> list[int]:
    """The readings that were sealed, in order."""
    found = []
    for entry in store.sealed:
        data = content.decode(entry.content, content_type=entry.content_type)
        if isinstance(data, content.Data):
            found += [(vital.at_ms - devices.START_MS) // 1000 for vital in data.vitals]
    return found


def gaps(store: DeviceMemory) -> list[content.Gap]:
    """The gap records that are kept."""
    found: list[content.Gap] = []
    for entry in store.entries.values():
        data = content.decode(entry.content, content_type=entry.content_type)
        found += data.gaps if isinstance(data, content.Data) else ()
    return found


# -- sealing ---------------------------------------------------------------------------------------------------------


def test_a_second_of_readings_is_one_message_and_an_alarm_another(agent: Agent, store: FailingMemory) -> None:
    assert agent.read(devices.reading(alarm=True), clock=devices.clock(), simulated=True) == 2
    alarm, data = store.all()
    assert (alarm.place, alarm.keep) == ((0, 1, 0), True)
    assert (data.place, data.keep) == ((1, 1, 0), False)
    assert devices.opened(data.raw, 1) == content.Data(
        clock=devices.clock(), simulated=True, vitals=devices.reading().vitals
    )


def wave(stream: str, frames: int, rng: Random) -> Wave:
    samples = rng.randbytes(2 * frames)
    return Wave(
        stream=stream, t0_ms=devices.START_MS, rate_mhz=500_000, scale=1.0, place="I", n=frames, samples=samples
    )


def test_readings_that_pass_the_limit_are_cut_without_losing_a_sample(agent: Agent, store: FailingMemory) -> None:
    rng = Random(3)
    whole = wave("ecg", 4000, rng), wave("ppg", 4000, rng)
    agent.read(Sample(waves=whole), clock=devices.clock(), simulated=True)
    assert len(store.all()) > 2
    back: dict[str, bytes] = {"ecg": b"", "ppg": b""}
    next_ms = {"ecg": whole[0].t0_ms, "ppg": whole[1].t0_ms}
    for entry in store.all():
        assert len(entry.raw) <= message.SIZE_MAX[topics.DATA]
        data = devices.opened(entry.raw, topics.DATA)
        assert isinstance(data, content.Data)
        for piece in data.waves:
            assert piece.t0_ms == next_ms[piece.stream]
            next_ms[piece.stream] += 2 * piece.n
            back[piece.stream] += piece.samples
    assert back == {"ecg": whole[0].samples, "ppg": whole[1].samples}


def test_the_most_vitals_that_a_pack_holds_fit_a_message(agent: Agent, store: FailingMemory) -> None:
    longest = max(senml.QUANTITIES, key=len)
    vitals = tuple(Vital(name=longest, value=1.1 + n, at_ms=devices.START_MS + n) for n in range(2 * VITALS_MAX + 1))
    agent.read(Sample(vitals=vitals), clock=devices.clock(), simulated=True)
    assert [len(entry.raw) <= message.SIZE_MAX[1] for entry in store.all()] == [True, True, True]


def test_room_for_what_is_around_a_content_is_kept_at_the_largest_position() -> None:
    for lane, most in ((topics.ALARM, cutting.ALARM_MAX), (topics.DATA, cutting.CONTENT_MAX)):
        raw = message.seal(
            key=devices.KEY,
            lk=devices.LINK.lk,
            link_id=devices.LINK.link_id,
            topic=topics.up(devices.DEVICE, lane),
            position=message.Position(lane=lane, boot=message.BOOT_MAX, seq=message.SEQ_MAX),
            content=bytes(most),
            iv=bytes(12),
            content_type=content.CONTENT_TYPES[lane],
        )
        assert len(raw) <= message.SIZE_MAX[lane]


def test_an_alarm_with_too_much_detail_goes_without_it(agent: Agent, store: FailingMemory) -> None:
    detail = {f"fact {number}": "x" * 128 for number in range(16)}
    sample = Sample(alarms=(DeviceAlarm(kind="fall", at_ms=devices.START_MS, detail=detail),))
    agent.read(sample, clock=devices.clock(), simulated=True)
    (entry,) = store.all()
    assert len(entry.raw) <= message.SIZE_MAX[topics.ALARM]
    alarm = devices.opened(entry.raw, topics.ALARM)
    assert isinstance(alarm, content.Alarm)
    assert (alarm.kind, alarm.detail) == ("fall", {})


def test_while_the_disk_is_full_readings_wait_and_are_sealed_once(agent: Agent, store: FailingMemory) -> None:
    store.full = True
    for number in range(3):
        with pytest.raises(Unavailable, match="spool_failing"):
            agent.read(devices.reading(number, alarm=number == 1), clock=devices.clock(), simulated=True)
    assert (agent.unsealed, agent.waiting) == (4, 4)
    store.full = False
    assert agent.seal_waiting() == 4
    assert [entry.lane for entry in store.sealed] == [0, 1, 1, 1]
    assert numbers(store) == [0, 1, 2]
    assert agent.unsealed == 0


def test_readings_that_wait_in_memory_are_bounded_and_the_heartbeat_counts_what_was_lost(
    agent: Agent, store: FailingMemory
) -> None:
    store.full = True
    for number in range(UNSEALED_MAX + 5):
        with pytest.raises(Unavailable):
            agent.read(devices.reading(number), clock=devices.clock(), simulated=True)
    store.full = False
    agent.seal_waiting()
    assert numbers(store) == list(range(5, UNSEALED_MAX + 5))
    raw = agent.state(clock=devices.clock(), simulated=True, now_ms=0)
    assert raw is not None
    beat = devices.opened(raw, topics.STATE)
    assert isinstance(beat, content.State)
    assert beat.detail["unkept"] == 5


# -- sending ---------------------------------------------------------------------------------------------------------


def test_no_more_than_a_window_is_on_its_way_oldest_first(agent: Agent) -> None:
    fill(agent, WINDOW + 5)
    assert [entry.seq for entry in agent.due(topics.DATA, now_ms=0)] == list(range(WINDOW))
    assert agent.due(topics.DATA, now_ms=1) == []


def test_what_nobody_receipts_is_sent_again_ever_more_rarely(agent: Agent) -> None:
    fill(agent, 1)
    sent = [at_ms for at_ms in range(0, 400_000, 100) if agent.due(topics.DATA, now_ms=at_ms)]
    pauses = [after - before for before, after in itertools.pairwise(sent)]
    expected = [min(RESEND_MAX_MS, RESEND_AFTER_MS * 2**tries) for tries in range(len(pauses))]
    assert len(pauses) >= 6
    assert all(0.8 * usual <= pause <= 1.2 * usual + 100 for pause, usual in zip(pauses, expected, strict=True))


def test_over_quota_a_message_waits_a_little_and_longer_only_when_it_is_refused_again(agent: Agent) -> None:
    fill(agent, 1)
    sent = []
    for at_ms in range(0, 60_000, 100):
        for entry in agent.due(topics.DATA, now_ms=at_ms):
            sent.append(at_ms)
            agent.on_puback(entry.place, agent_module.QUOTA, now_ms=at_ms)
    pauses = [after - before for before, after in itertools.pairwise(sent)]
    expected = [min(16_000, 1_000 * 2**refusals) for refusals in range(len(pauses))]
    assert len(pauses) >= 5
    assert all(0.8 * usual <= pause <= 1.2 * usual + 100 for pause, usual in zip(pauses, expected, strict=True))


def test_refusals_for_quota_do_not_count_as_tries_without_an_answer(agent: Agent) -> None:
    fill(agent, 1)
    now_ms = 0
    (entry,) = agent.due(topics.DATA, now_ms=now_ms)
    for _ in range(4):
        agent.on_puback(entry.place, agent_module.QUOTA, now_ms=now_ms)
        now_ms += 20_000
        assert agent.due(topics.DATA, now_ms=now_ms) == [entry]
    assert agent.due(topics.DATA, now_ms=now_ms + RESEND_AFTER_MS * 12 // 10) == [entry]


def test_no_acknowledgement_by_mqtt_forgets_a_message_or_hurries_it(agent: Agent, store: FailingMemory) -> None:
    fill(agent, 1, alarm=True)
    entries = agent.due(topics.DATA, now_ms=0) + agent.due(topics.ALARM, now_ms=0)
    for entry, reason in itertools.product(entries, (0x00, 0x10, 0x87, 0x99)):
        agent.on_puback(entry.place, reason, now_ms=0)
    agent.on_puback((1, 9, 9), agent_module.QUOTA, now_ms=0)
    assert agent.due(topics.DATA, now_ms=1_000) == []
    assert len(store.all()) == 2


def test_a_refusal_for_quota_never_slows_an_alarm(agent: Agent) -> None:
    fill(agent, 1, alarm=True)
    (entry,) = agent.due(topics.ALARM, now_ms=0)
    for _ in range(9):
        agent.on_puback(entry.place, agent_module.QUOTA, now_ms=0)
    assert agent.due(topics.ALARM, now_ms=ALARM_RESEND_MS * 12 // 10) == [entry]


def test_an_alarm_is_never_let_rest(agent: Agent) -> None:
    fill(agent, 1, alarm=True)
    sent = [at_ms for at_ms in range(0, 60_000, 100) if agent.due(topics.ALARM, now_ms=at_ms)]
    assert max(after - before for before, after in itertools.pairwise(sent)) <= 1.2 * ALARM_RESEND_MS + 100


def test_an_alarm_does_not_wait_behind_readings(agent: Agent) -> None:
    fill(agent, 3 * WINDOW)
    agent.due(topics.DATA, now_ms=0)
    fill(agent, 1, alarm=True)
    assert len(agent.due(topics.ALARM, now_ms=1)) == 1


def test_after_a_new_connection_everything_on_its_way_is_sent_again(agent: Agent) -> None:
    fill(agent, 2, alarm=True)
    first = agent.due(topics.DATA, now_ms=0), agent.due(topics.ALARM, now_ms=0)
    agent.reconnected()
    assert (agent.due(topics.DATA, now_ms=1), agent.due(topics.ALARM, now_ms=1)) == first


def test_a_new_alarm_connection_sends_alarms_at_once_and_leaves_readings_alone(agent: Agent) -> None:
    fill(agent, 1, alarm=True)
    agent.state(clock=devices.clock(), simulated=True, now_ms=0)
    agent.due(topics.DATA, now_ms=0)
    agent.due(topics.ALARM, now_ms=0)
    agent.reconnected(topics.ALARM)
    assert len(agent.due(topics.ALARM, now_ms=1)) == 1
    assert agent.due(topics.DATA, now_ms=1) == []
    assert agent.state(clock=devices.clock(), simulated=True, now_ms=1) is None


def test_a_birth_comes_first_and_then_a_heartbeat_every_ten_seconds(agent: Agent) -> None:
    kinds = []
    for at_ms in range(0, 31_000, 500):
        raw = agent.state(clock=devices.clock(), simulated=True, now_ms=at_ms)
        if raw is not None:
            state = devices.opened(raw, topics.STATE)
            assert isinstance(state, content.State)
            kinds.append((at_ms, state.kind))
    assert kinds == [(0, "birth"), (10_000, "heartbeat"), (20_000, "heartbeat"), (30_000, "heartbeat")]


# -- receipts --------------------------------------------------------------------------------------------------------


def test_what_a_receipt_covers_leaves_the_store(agent: Agent, store: FailingMemory) -> None:
    fill(agent, 5)
    assert agent.on_receipt(devices.receipt(store.all()[:3])) == 3
    assert [entry.seq for entry in store.all()] == [3, 4]
    assert store.counter("receipted") == 3


def test_a_receipt_with_another_digest_deletes_nothing(agent: Agent, store: FailingMemory) -> None:
    fill(agent, 3)
    assert agent.on_receipt(devices.receipt(store.all(), digest=bytes(32))) == 0
    assert len(store.all()) == 3


def test_a_receipt_for_more_than_is_kept_deletes_nothing(agent: Agent, store: FailingMemory) -> None:
    fill(agent, 3)
    every = store.all()
    agent.on_receipt(devices.receipt(every[:1]))
    assert agent.on_receipt(devices.receipt(every)) == 0
    assert len(store.all()) == 2


def test_a_receipt_that_another_key_signed_is_not_believed(agent: Agent, store: FailingMemory) -> None:
    fill(agent, 1)
    with pytest.raises(BadSignature):
        agent.on_receipt(devices.receipt(store.all(), key=keys.SigningKey.from_seed(b"x" * 32)))
    assert len(store.all()) == 1


def test_the_same_receipt_again_changes_nothing(agent: Agent, store: FailingMemory) -> None:
    fill(agent, 2)
    raw = devices.receipt(store.all())
    assert (agent.on_receipt(raw), agent.on_receipt(raw)) == (2, 0)
    assert store.counter("receipted") == 2


def test_a_final_refusal_leaves_a_gap_record_that_gives_its_reason(agent: Agent, store: FailingMemory) -> None:
    fill(agent, 3)
    first, second, third = store.all()
    agent.on_receipt(devices.receipt([first, third], refused=[(second, "content_shape")]))
    (gap,) = gaps(store)
    assert gap == content.Gap(lane=1, boot=1, ranges=((1, 1),), reason="content_shape")
    (entry,) = store.all()
    assert entry.keep
    assert store.counter("refused") == 1


def test_evicted_readings_leave_a_gap_record_that_is_never_evicted() -> None:
    store = DeviceMemory(entries_max=20)
    fill(Agent(devices.LINK, store, rng=Random(1)), 200)
    lost = {seq for gap in gaps(store) for first, last in gap.ranges for seq in range(first, last + 1)}
    kept = {entry.seq for entry in store.entries.values()}
    assert store.counter("evicted") == len(lost)
    assert lost | kept == set(range(store.counter("seq_1")))
    assert lost & kept == set()


def test_a_power_cut_while_readings_make_room_loses_none_without_a_record() -> None:
    class Cut(DeviceMemory):
        def drop(self, *_: object, **__: object) -> None:
            raise KeyboardInterrupt

    store = Cut(entries_max=5)
    with pytest.raises(KeyboardInterrupt):
        fill(Agent(devices.LINK, store, rng=Random(1)), 10)
    assert len(gaps(store)) == 1
    assert numbers(store) == list(range(6))


# -- a lost boot counter ---------------------------------------------------------------------------------------------


def test_after_a_conflict_the_messages_are_sealed_anew_above_the_floor(agent: Agent, store: FailingMemory) -> None:
    fill(agent, 3)
    before = store.all()
    agent.on_receipt(devices.receipt([], refused=[(entry, "conflict") for entry in before], floor=41))
    after = store.all()
    assert agent.boot == 42
    assert [entry.place for entry in after] == [(1, 42, 0), (1, 42, 1), (1, 42, 2)]
    assert [entry.content for entry in after] == [entry.content for entry in before]
    assert [devices.opened(e.raw, 1) for e in after] == [devices.opened(e.raw, 1) for e in before]
    assert store.counter("boot") == 42
    assert gaps(store) == []


def test_an_alarm_keeps_its_id_when_it_is_sealed_anew(agent: Agent, store: FailingMemory) -> None:
    fill(agent, 1, alarm=True)
    (before,) = (entry for entry in store.all() if entry.lane == topics.ALARM)
    agent.on_receipt(devices.receipt([], refused=[(before, "conflict")], floor=9))
    (after,) = (entry for entry in store.all() if entry.lane == topics.ALARM)
    assert after.place == (0, 10, 0)
    assert devices.opened(after.raw, 0) == devices.opened(before.raw, 0)


def test_no_conflict_reuses_a_position(agent: Agent, store: FailingMemory) -> None:
    fill(agent, 2)
    for _ in range(5):
        agent.on_receipt(devices.receipt([], refused=[(entry, "conflict") for entry in store.all()], floor=agent.boot))
    places = [entry.place for entry in store.sealed]
    assert len(places) == len(set(places))


# -- commands --------------------------------------------------------------------------------------------------------


def answered(raw: bytes, *, lk: bytes = devices.LINK.lk) -> content.State:
    state = devices.opened(raw, topics.STATE, lk=lk)
    assert isinstance(state, content.State)
    assert state.kind == "answer"
    return state


def test_a_command_is_answered_with_its_number(agent: Agent) -> None:
    (raw,) = agent.on_command(devices.order("ping", (3, 9)), now_ms=devices.START_MS)
    assert answered(raw).detail == {"kind": "ping", "epoch": 3, "count": 9}


@pytest.mark.parametrize("kind", ["rotate", "settings", "gateway_key"])
def test_a_command_that_this_device_cannot_carry_out_is_answered_so(agent: Agent, kind: str) -> None:
    (raw,) = agent.on_command(devices.order(kind), now_ms=devices.START_MS)
    assert answered(raw).detail["refused"] == "command_unsupported"


def test_a_command_is_obeyed_once_also_after_a_start(agent: Agent, store: FailingMemory) -> None:
    agent.on_command(devices.order("ping", (2, 1)), now_ms=devices.START_MS)
    for obeying in (agent, Agent(devices.LINK, store, rng=Random(2))):
        for n in ((2, 1), (1, 99)):
            with pytest.raises(BadSignature, match="command_replayed"):
                obeying.on_command(devices.order("ping", n), now_ms=devices.START_MS)


def test_a_command_that_came_too_late_is_refused(agent: Agent) -> None:
    with pytest.raises(BadSignature, match="command_expired"):
        agent.on_command(devices.order("ping", expires_ms=5), now_ms=6)


def test_an_erased_device_keeps_nothing_sends_nothing_and_says_so(agent: Agent, store: FailingMemory) -> None:
    fill(agent, 3, alarm=True)
    (raw,) = agent.on_command(devices.order("erase"), now_ms=devices.START_MS)
    assert answered(raw, lk=agent_module.ERASED_KEY).detail["kind"] == "erase"
    assert agent.erased
    assert store.all() == []
    fill(agent, 3)
    assert (agent.due(topics.DATA, now_ms=0), agent.waiting) == ([], 0)
    assert agent.state(clock=devices.clock(), simulated=True, now_ms=0) is None


def test_an_erasure_that_the_disk_refuses_is_not_confirmed_and_may_come_again(
    agent: Agent, store: FailingMemory
) -> None:
    fill(agent, 1)
    store.full = True
    with pytest.raises(Unavailable):
        agent.on_command(devices.order("erase"), now_ms=devices.START_MS)
    assert not agent.erased
    store.full = False
    assert len(agent.on_command(devices.order("erase"), now_ms=devices.START_MS)) == 1
    assert agent.erased
