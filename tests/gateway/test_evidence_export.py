"""Exported evidence: from the gateway's rows and a real ledger to a bundle that verifies, or a named reason why there is none."""

import contextlib
import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import evidence
from gateway.store import anchors, devices, messages, schema
from gateway.store.devices import DeviceRow
from gateway.store.messages import Row
from gateway.store.writer import RECORD_FILE
from ledger.log.engine import Engine
from protocol import keys, merkle, message, notes, policy, receipt, topics
from protocol.errors import NotFound, Unavailable, VerificationFailed
from protocol.evidence import Bundle, EvidenceError, Trust, describe
from tests.support import chain, ledgers

MESSAGES = 5
PLACE = (topics.DATA, 1, 2)


class Asked:
    """A ledger's client without HTTP. lines: more signatures on its checkpoint."""

    def __init__(self, engine: Engine, *lines: notes.Line) -> None:
        self._engine, self._lines = engine, lines

    def checkpoint(self) -> str:
        note = notes.parse(self._engine.checkpoint())
        return dataclasses.replace(note, lines=(*note.lines, *self._lines)).whole()

    def proof(self, index: int, size: int) -> list[bytes]:
        found = receipt.read(self._engine.receipt(index))
        assert found.size == size
        return list(found.path)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path / "ledger") as found:
        yield found


@pytest.fixture
def trust(engine: Engine) -> Trust:
    text = str(engine.trust()["policy"])
    root = keys.PublicKey(bytes.fromhex(str(engine.trust()["registry_root"])))
    return Trust(policy_text=text, policy=policy.parse(text), registry_root=root)


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A gateway's record with one device and its messages, of which none is in a batch yet."""
    document = chain.enrolment_document()
    row = DeviceRow(
        row_id=0,
        device=chain.NAME,
        key=chain.DEVICE.public.x,
        link=chain.LINK_ID,
        state="active",
        name="home",
        paired_ms=chain.NOW_MS,
        changed_ms=chain.NOW_MS,
        document=document,
        statement=chain.enrolled(document),
        certificate="",
    )
    with contextlib.closing(schema.opened(tmp_path / RECORD_FILE, schema.RECORD)) as made:
        devices.insert(made, row)
        anchors.queue(made, "enrolment", row.statement, now_ms=chain.NOW_MS)
        messages.insert(made, [stored(seq) for seq in range(MESSAGES)])
        yield made


def stored(seq: int) -> Row:
    raw = chain.sealed(seq)
    digest = message.message_hash(raw)
    return Row(device=1, lane=1, boot=1, seq=seq, received_ms=chain.NOW_MS + seq, hash=digest, raw=raw)


def anchored(conn: sqlite3.Connection) -> None:
    batch = anchors.prepare(conn, chain.GATEWAY, begun_ms=chain.NOW_MS, now_ms=chain.NOW_MS + 1000)
    anchors.keep(conn, batch, now_ms=chain.NOW_MS + 1000)


def logged(conn: sqlite3.Connection, engine: Engine, folder: Path) -> None:
    """The ledger takes all that waits for it."""
    anchors.queue(conn, "admission", ledgers.admission(folder, chain.GATEWAY), now_ms=chain.NOW_MS)
    for waiting in anchors.waiting(conn, most=100):
        found = engine.register(waiting.statement)
        placed = ledgers.placed(waiting.digest, found.index, found.size, receipt=found.receipt)
        anchors.registered(conn, placed, now_ms=chain.NOW_MS)


def exported(
    conn: sqlite3.Connection, engine: Engine, trust: Trust, *lines: notes.Line, lk: bytes | None = chain.LK
) -> Bundle:
    data, verdict = evidence.export(
        conn,
        Asked(engine, *lines),  # type: ignore[arg-type]
        trust,
        device=chain.NAME,
        position=PLACE,
        lk=lk,
    )
    assert (verdict.position, verdict.topic) == (message.Position(*PLACE), chain.TOPIC)
    assert describe(verdict)["gateway"] == "clinic"
    return Bundle.decode(data)


def test_a_message_in_a_logged_batch_is_proved_open_or_closed(
    conn: sqlite3.Connection, engine: Engine, trust: Trust, tmp_path: Path
) -> None:
    founded = engine.size
    anchored(conn)
    logged(conn, engine, tmp_path / "ledger")
    opened, closed = exported(conn, engine, trust), exported(conn, engine, trust, lk=None)
    assert opened.cek == keys.content_key(chain.LK, *PLACE) and closed == dataclasses.replace(opened, cek=None)
    assert opened.message == chain.sealed(2)
    places = [opened.registry.index, opened.enrolment.index, opened.anchor.index]
    assert places == list(range(founded, founded + 3))


def test_every_message_of_every_batch_is_proved_as_the_log_grows(
    conn: sqlite3.Connection, engine: Engine, trust: Trust, tmp_path: Path
) -> None:
    anchored(conn)
    messages.insert(conn, [stored(seq) for seq in range(MESSAGES, MESSAGES + 3)])
    anchored(conn)
    anchored(conn)
    logged(conn, engine, tmp_path / "ledger")
    before, sizes = engine.size, set()
    for seq in range(MESSAGES + 3):
        engine.register(ledgers.anchor(100 + seq, chain.GATEWAY))
        _, verdict = evidence.export(
            conn,
            Asked(engine),
            trust,
            device=chain.NAME,
            position=(topics.DATA, 1, seq),
            lk=chain.LK,  # type: ignore[arg-type]
        )
        assert (verdict.batch.n, verdict.batch.size) == ((0, MESSAGES) if seq < MESSAGES else (1, 3))
        assert verdict.opened == chain.readings()
        sizes.add(verdict.checkpoint.size)
    assert sizes == set(range(before + 1, before + 1 + MESSAGES + 3))


def test_what_is_not_there_yet_is_named(conn: sqlite3.Connection, engine: Engine, trust: Trust, tmp_path: Path) -> None:
    def code(position: tuple[int, int, int] = PLACE) -> str:
        with pytest.raises(NotFound) as missing:
            evidence.export(conn, Asked(engine), trust, device=chain.NAME, position=position, lk=None)  # type: ignore[arg-type]
        return missing.value.code

    assert code((topics.DATA, 1, 99)) == code((topics.ALARM, 1, 2)) == "message_unknown"
    assert code() == "not_anchored"
    anchored(conn)
    assert code() == "not_logged"
    logged(conn, engine, tmp_path / "ledger")
    exported(conn, engine, trust)


def test_a_checkpoint_from_before_the_batch_is_not_enough(
    conn: sqlite3.Connection, engine: Engine, trust: Trust, tmp_path: Path
) -> None:
    before = engine.checkpoint()
    anchored(conn)
    logged(conn, engine, tmp_path / "ledger")
    asked = Asked(engine)
    asked.checkpoint = lambda: before  # type: ignore[method-assign]
    with pytest.raises(Unavailable) as early:
        evidence.export(conn, asked, trust, device=chain.NAME, position=PLACE, lk=None)  # type: ignore[arg-type]
    assert early.value.code == "checkpoint_old"


def test_witnesses_that_the_trust_does_not_name_are_left_out(
    conn: sqlite3.Connection, engine: Engine, trust: Trust, tmp_path: Path
) -> None:
    anchored(conn)
    logged(conn, engine, tmp_path / "ledger")
    text = notes.parse(engine.checkpoint()).text
    line = notes.cosign(text, name="w.example", key=chain.WITNESSES[0], at_s=1_700_000_000)
    assert exported(conn, engine, trust, line) == exported(conn, engine, trust)


def test_what_would_not_hold_is_not_written(
    conn: sqlite3.Connection, engine: Engine, trust: Trust, tmp_path: Path
) -> None:
    anchored(conn)
    logged(conn, engine, tmp_path / "ledger")
    lying = Asked(engine)
    lying.proof = lambda index, size: [merkle.EMPTY_ROOT]  # type: ignore[method-assign]
    for asked, lk, check in ((lying, None, 3), (Asked(engine), bytes(32), 9)):
        with pytest.raises(EvidenceError) as failed:
            evidence.export(conn, asked, trust, device=chain.NAME, position=PLACE, lk=lk)  # type: ignore[arg-type]
        assert failed.value.check == check


def paired_again(conn: sqlite3.Connection) -> None:
    """The device has another enrolment, perhaps for somebody else."""
    document = chain.enrolment_document(link=b"else")
    other = dataclasses.replace(devices.find(conn, chain.NAME), link=b"else", document=document)
    other = dataclasses.replace(other, statement=chain.enrolled(document))
    devices.insert(conn, other)
    anchors.queue(conn, "enrolment", other.statement, now_ms=chain.NOW_MS)


def test_what_came_under_an_older_enrolment_is_proved_by_that_one_and_not_disclosed_with_the_keys_of_another(
    conn: sqlite3.Connection, engine: Engine, trust: Trust, tmp_path: Path
) -> None:
    anchored(conn)
    paired_again(conn)
    logged(conn, engine, tmp_path / "ledger")
    closed = exported(conn, engine, trust, lk=None)
    assert closed.enrolment_document == chain.enrolment_document()
    with pytest.raises(NotFound, match="keys_replaced"):
        exported(conn, engine, trust)


def test_a_gateway_that_is_admitted_again_proves_what_it_anchored_before(
    conn: sqlite3.Connection, engine: Engine, trust: Trust, tmp_path: Path
) -> None:
    founded = engine.size
    anchored(conn)
    logged(conn, engine, tmp_path / "ledger")
    again = ledgers.admission(tmp_path / "ledger", chain.GATEWAY, name="clinic of another name")
    anchors.queue(conn, "admission", again, now_ms=chain.NOW_MS)
    logged(conn, engine, tmp_path / "ledger")
    assert exported(conn, engine, trust).registry.index == founded  # not the newest, which the anchor is older than


def test_a_log_that_lost_or_changed_what_it_held_proves_nothing(
    conn: sqlite3.Connection, engine: Engine, trust: Trust, tmp_path: Path
) -> None:
    anchored(conn)
    logged(conn, engine, tmp_path / "ledger")
    checkpoint, _ = trust.policy.check(engine.checkpoint())
    head = anchors.Head(checkpoint=checkpoint, note="", at_ms=chain.NOW_MS)
    anchors.keep_head(conn, head)
    assert exported(conn, engine, trust)
    conn.execute("UPDATE head SET root = ?", (bytes(32),))
    with pytest.raises(VerificationFailed, match="consistency_bad"):
        exported(conn, engine, trust)
    larger = dataclasses.replace(checkpoint, size=checkpoint.size + 1)
    anchors.keep_head(conn, dataclasses.replace(head, checkpoint=larger))
    with pytest.raises(Unavailable, match="checkpoint_old"):
        exported(conn, engine, trust)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0123456789abcdef/data/1/42", ("0123456789abcdef", (1, 1, 42))),
        ("0123456789abcdef/alarm/4294967295/281474976710655", ("0123456789abcdef", (0, 2**32 - 1, 2**48 - 1))),
        ("", None),
        ("0123456789abcdef/data/1", None),
        ("0123456789abcdef/data/1/42/3", None),
        ("0123456789abcdef/down/1/42", None),
        ("0123456789ABCDEF/data/1/42", None),
        ("0123456789abcdef/data/-1/42", None),
        ("0123456789abcdef/data/1/\u0664\u0662", None),
        ("0123456789abcdef/data/1/" + "9" * 30, None),
    ],
)
def test_a_message_is_named_by_its_device_and_position(
    text: str, wanted: tuple[str, tuple[int, int, int]] | None
) -> None:
    if wanted is not None:
        assert evidence.position_from(text) == wanted
        return
    with pytest.raises(NotFound, match="message_unknown"):
        evidence.position_from(text)
