"""Erasure: an enrolment's keys are in no byte that is left, a restored backup opens for nobody, and every proof still holds."""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import nacl.bindings
import nacl.exceptions
import pytest

from gateway import commands
from gateway.anchor import Stored, entry_of, tree_of
from gateway.directory import ERASED_KEY
from gateway.store import keys, schema, values
from gateway.store.writer import KEYS_FILE, RECORD_FILE, VALUES_FILE, Writer
from protocol import content, documents, merkle, message, statement, topics
from protocol import keys as wire_keys
from protocol.content import Alarm, State
from protocol.errors import BadSignature, Malformed, ProtocolError, Unavailable
from protocol.keys import PublicKey
from tests.support.gatehouse import House, enrol, open_house, rows, said_of, until
from tests.support.sealed import LINK_ID, Sender, clock, reading
from tests.support.signals import START_MS, simulated

ADA, BO = Sender("Ada"), Sender("Bo")
SECONDS = 3
SECRET = "beside the bed"  # what Ada's alarm says besides
SAMPLES = [simulated("simulated:seed=1").read(START_MS + n * 1000, START_MS + n * 1000 + 1000) for n in range(SECONDS)]
SAID = [said_of(sample, at_ms=START_MS + number * 1000) for number, sample in enumerate(SAMPLES)]
PRESSED = Alarm(
    id=bytes(range(16)), kind="button", at_ms=START_MS, clock=clock(START_MS), simulated=False, detail={"where": SECRET}
)
NOT_YOURS = 0x87


async def fill(house: House) -> None:
    """Both devices send; it is in a batch; the keys have reached the file itself, not only its journal."""
    for sender in (ADA, BO):
        for seq, said in enumerate(SAID):
            assert await house.sent(sender, sender.seal(said, seq)) == 0
        assert await house.sent(sender, sender.seal(PRESSED), lane=topics.ALARM) == 0
    await house.gateway.duties._batch()
    await house.gateway.writer.run(lambda _: None, file=VALUES_FILE)


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """The folder of a gateway that has readings of two homes."""
    state = tmp_path / "hub"
    enrol(state, ADA, BO)

    async def live() -> None:
        async with open_house(state) as house:
            await fill(house)

    asyncio.run(live())
    return state


def backed_up(state: Path, folder: Path) -> Path:
    """A backup of what is backed up for long: everything but the keys."""
    folder.mkdir()
    for file in (RECORD_FILE, VALUES_FILE):
        source, copy = sqlite3.connect(state / file), sqlite3.connect(folder / file)
        source.backup(copy)
        source.close()
        copy.close()
    return folder


def secrets_of(state: Path) -> dict[str, keys.EnrolmentKeys]:
    """The keys that keys.db has."""
    connection = schema.reader(state / KEYS_FILE)
    found = keys.load(connection)
    connection.close()
    return found


def bytes_of(*folders: Path) -> dict[str, bytes]:
    """Every file of some folders, whole."""
    return {str(path): path.read_bytes() for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()}


def erase(state: Path) -> None:
    """`vigil gateway erase` without a running gateway."""
    commands.ask(state, "erase", ADA.device, by="", now_ms=START_MS)


def windows(files: dict[str, bytes]) -> Iterator[bytes]:
    """Every 32 bytes in a row that occur anywhere, and the keys of people who guess."""
    yield from (bytes(32), ERASED_KEY, BO.lk, b"\xff" * 32)
    seen: set[bytes] = set()
    for data in files.values():
        for at in range(len(data) - 31):
            piece = data[at : at + 32]
            if piece not in seen:
                seen.add(piece)
                yield piece


def opened_by(folder: Path, candidates: Iterator[bytes]) -> set[str]:
    """What any of the candidates opens of Ada's: messages (as a link key or as the message's own), stored readings."""
    raw = rows(folder / RECORD_FILE, "SELECT raw FROM message ORDER BY LENGTH(raw)")
    messages = [seen for (data,) in raw if (seen := parsed(data)) is not None]
    sealed = rows(folder / VALUES_FILE, "SELECT sealed FROM value WHERE device = 1 ORDER BY LENGTH(sealed)")
    wanted = {seen.commitment: seen.position for seen in messages}
    assert len(wanted) == SECONDS + 1 and len(sealed) >= SECONDS
    first, position = messages[0].commitment, messages[0].position
    box, found = sealed[0][0], set[str]()
    for candidate in candidates:
        if wire_keys.commitment(candidate) in wanted:
            found.add("one message")
        if wire_keys.commitment(wire_keys.content_key(candidate, *position)) == first:
            found.add("messages")
        try:
            nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(box[24:], ADA.device.encode(), box[:24], candidate)
        except nacl.exceptions.CryptoError:
            continue
        found.add("readings")
    return found


def parsed(raw: bytes) -> message.Message | None:
    """A message of Ada's; None for one of another device."""
    for lane in (topics.ALARM, topics.DATA):
        try:
            seen = message.parse(raw, topic=ADA.up(lane), size_max=message.SIZE_MAX[lane])
            message.verify(seen, ADA.key.public)
        except ProtocolError:
            continue
        return seen
    return None


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_no_key_is_left_in_any_byte_and_a_restored_backup_opens_for_nobody(
    hub: Path, tmp_path: Path, running: bool
) -> None:
    before = secrets_of(hub)[ADA.device]
    backup = backed_up(hub, tmp_path / "backup")
    assert any(before.lk in data for data in bytes_of(hub).values())
    assert opened_by(backup, iter([before.lk, before.store_key])) == {
        "messages",
        "readings",
    }  # the attempt is a good one

    async def live() -> None:
        with commands.sole(hub):
            async with open_house(hub, duties=True) as house:
                await asyncio.to_thread(erase, hub)
                assert house.send(ADA, ADA.seal(reading(9), 9)) == [NOT_YOURS]
                assert await house.sent(BO, BO.seal(reading(9), 9)) == 0

    if running:
        asyncio.run(live())
    else:
        erase(hub)
    assert set(secrets_of(hub)) == {BO.device}
    restored = tmp_path / "restored"
    shutil.copytree(hub, restored)
    for file in (RECORD_FILE, VALUES_FILE):
        for path in restored.glob(f"{file}*"):
            path.unlink()
        shutil.copy(backup / file, restored / file)
    left = bytes_of(hub, backup, restored)
    for secret in (before.lk, before.store_key, SECRET.encode(), *plain()):
        assert not [name for name, data in left.items() if secret in data]
    assert opened_by(restored, windows(left)) == set()
    assert rows(hub / VALUES_FILE, "SELECT COUNT(*) FROM value WHERE device = 1") == [(0,)]


def plain() -> Iterator[bytes]:
    """What Ada's device said, in pieces long enough to be nobody else's."""
    for said in SAID:
        whole = content.encode(said)
        yield from (whole[at : at + 24] for at in range(0, len(whole) - 24, 24))
        yield from (wave.samples[at : at + 32] for wave in said.waves for at in range(0, len(wave.samples) - 32, 32))
    yield content.encode(PRESSED)[:48]


def test_the_search_finds_keys_where_they_are(hub: Path, tmp_path: Path) -> None:
    backup = backed_up(hub, tmp_path / "backup")
    assert opened_by(backup, windows(bytes_of(hub))) == {"messages", "readings"}


def test_the_other_home_is_readable_as_before(hub: Path) -> None:
    erase(hub)
    keys_of_bo = secrets_of(hub)[BO.device]
    connection = schema.reader(hub / VALUES_FILE)
    assert len(values.since(connection, 2, BO.device, keys_of_bo.store_key, from_ms=0)) == 2 * SECONDS + 1
    connection.close()


def test_signatures_and_proofs_of_erased_messages_still_hold(hub: Path, tmp_path: Path) -> None:
    backup = backed_up(hub, tmp_path / "backup")
    erase(hub)
    for folder in (hub, backup):
        found = rows(
            folder / RECORD_FILE,
            "SELECT d.device, d.key, m.lane, m.received_ms, m.hash, m.raw FROM message m JOIN device d ON d.id = m.device"
            " ORDER BY m.id",
        )
        assert [row[0] for row in found].count(ADA.device) == SECONDS + 1
        batch = [Stored(topic=topics.up(row[0], row[2]), received_ms=row[3], digest=row[4]) for row in found]
        ((document, digest),) = rows(folder / RECORD_FILE, "SELECT document, digest FROM anchor")
        anchor, tree = documents.Anchor.decode(document), tree_of(batch)
        for index, (device, key, lane, _, hashed, raw) in enumerate(found):
            seen = message.parse(raw, topic=topics.up(device, lane), size_max=message.SIZE_MAX[lane])
            message.verify(seen, PublicKey(key))
            assert message.message_hash(raw) == hashed
            leaf = merkle.leaf_hash(entry_of(batch[index]))
            merkle.verify_inclusion(leaf=leaf, index=index, size=anchor.size, path=tree.path(index), root=anchor.root)
        ((signed,),) = rows(folder / RECORD_FILE, "SELECT statement FROM submission WHERE digest = ?", digest)
        assert statement.parse(signed).kid == anchor.gateway


def test_a_key_among_many_is_in_no_byte_either(tmp_path: Path) -> None:
    many = [Sender(f"home {number}") for number in range(120)]
    enrol(tmp_path, *many, ADA)
    writer = Writer(tmp_path)
    writer.scrub(KEYS_FILE).result()  # everything is in the file itself
    writer.close()
    before = secrets_of(tmp_path)
    for sender in (*many[:50:7], ADA):
        commands.ask(tmp_path, "erase", sender.device, by="", now_ms=START_MS)
        left = bytes_of(tmp_path)
        for secret in (before[sender.device].lk, before[sender.device].store_key):
            assert not [name for name, data in left.items() if secret in data]
    assert len(secrets_of(tmp_path)) == 112


def test_a_journal_that_somebody_reads_is_told_and_emptied_later(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_S", 0.1)
    secret = secrets_of(hub)[ADA.device].lk
    reader = sqlite3.connect(hub / KEYS_FILE, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM enrolment").fetchone()
    with pytest.raises(Unavailable, match="store_busy"):
        erase(hub)
    reader.close()
    erase(hub)
    assert not [name for name, data in bytes_of(hub).items() if secret in data]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_an_erasure_that_a_stop_cut_short_is_finished_by_the_next_start(hub: Path, steps: int) -> None:
    secret = secrets_of(hub)[ADA.device]
    writer = Writer(hub)
    for _, (file, job) in zip(range(steps), commands.erase_steps(ADA.device, now_ms=START_MS), strict=False):
        writer.submit(job, file=file).result()
    writer.close()

    async def live() -> None:
        async with open_house(hub, duties=True) as house:
            assert house.send(ADA, ADA.seal(reading(9), 9)) == [NOT_YOURS]
            await until(lambda: traces(hub, secret) == [])
            assert house.gateway.directory.secrets[ADA.device].lk == ERASED_KEY

    asyncio.run(live())
    assert set(secrets_of(hub)) == {BO.device}


def traces(folder: Path, secret: keys.EnrolmentKeys) -> list[str]:
    """Where something is left of Ada: files with one of her keys, stored readings."""
    pieces = (secret.lk, secret.store_key)
    found = [name for name, data in bytes_of(folder).items() if any(piece in data for piece in pieces)]
    return found + [str(row) for row in rows(folder / VALUES_FILE, "SELECT id FROM value WHERE device = 1")]


def test_what_becomes_durable_during_an_erasure_is_sealed_under_no_key_that_anybody_knows(hub: Path) -> None:
    async def live() -> None:
        async with open_house(hub) as house:
            gateway, held = house.gateway, threading.Event()
            gateway.writer._thread.submit(held.wait)
            late = house.send(ADA, ADA.seal(reading(7), 7))
            try:
                await until(lambda: not gateway.committing.free)
                await asyncio.to_thread(erase, hub)
                gateway.reload()
            finally:
                held.set()
            await until(lambda: late == [0])
            await gateway.writer.run(lambda _: None, file=VALUES_FILE)

    asyncio.run(live())
    for (sealed,) in rows(hub / VALUES_FILE, "SELECT sealed FROM value WHERE device = 1"):
        with pytest.raises((BadSignature, Malformed)):
            values.unseal(ERASED_KEY, ADA.device, sealed)
    assert rows(hub / VALUES_FILE, "SELECT COUNT(*) FROM value WHERE device = 1") == [(0,)]


def test_it_is_pending_until_the_device_says_that_it_has_erased_its_key(hub: Path) -> None:
    erase(hub)

    async def live() -> None:
        async with open_house(hub, duties=True) as house:
            await until(lambda: any(topic == topics.down_command(ADA.device) for _, topic, _ in house.listener.told))
            assert house.record("SELECT state FROM device ORDER BY id") == [("erasing",), ("active",)]
            said = State(kind="answer", clock=clock(), simulated=False, detail={"kind": "erase"})
            raw = message.seal(
                key=ADA.key,
                lk=ERASED_KEY,
                link_id=LINK_ID,
                topic=ADA.up(topics.STATE),
                position=message.Position(lane=topics.STATE, boot=2, seq=0),
                content=content.encode(said),
                iv=bytes(12),
                content_type=content.CONTENT_TYPES[topics.STATE],
            )
            assert await house.sent(ADA, raw, lane=topics.STATE) == 0
            await until(lambda: house.record("SELECT state FROM device ORDER BY id") == [("erased",), ("active",)])

    asyncio.run(live())


def test_nobody_but_the_owner_reads_any_file_of_the_gateway(tmp_path: Path) -> None:
    state = tmp_path / "hub"
    state.mkdir(mode=0o755)  # somebody made it before us
    enrol(state, ADA)

    async def live() -> None:
        async with open_house(state) as house:
            assert await house.sent(ADA, ADA.seal(reading())) == 0
            modes = {path.name: path.stat().st_mode & 0o077 for path in state.iterdir() if path.is_file()}
            assert {f"{file}-wal" for file in (RECORD_FILE, VALUES_FILE, KEYS_FILE)} <= modes.keys()
            assert set(modes.values()) == {0}

    asyncio.run(live())


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_nobody_is_called_any_more_for_a_home_that_was_erased(hub: Path, running: bool) -> None:
    async def live() -> None:
        with commands.sole(hub):
            async with open_house(hub, duties=True) as house:
                await asyncio.to_thread(erase, hub)
                assert [alert.device for alert in house.gateway.ward.book.open()] == [BO.device]

    if running:
        asyncio.run(live())
    else:
        erase(hub)
    found = rows(hub / RECORD_FILE, "SELECT device, state FROM alert ORDER BY state")
    assert found == [(BO.device, "raised"), (ADA.device, "resolved")]
    assert rows(hub / RECORD_FILE, "SELECT by FROM alert_event WHERE event = 'resolve'") == [(commands.ERASURE,)]
