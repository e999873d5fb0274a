"""A gateway over epochs of its log: evidence reaches back to where the gateway was admitted, and nobody can leave an epoch out."""

import dataclasses
import itertools
import json
import sqlite3
from pathlib import Path

import pytest

from gateway import evidence
from gateway.store import anchors, messages
from ledger.log import custody, epochs, keyring
from ledger.log.engine import Engine
from protocol import documents, notes, statement, topics
from protocol.evidence import Bundle, Proof, Trust, verify
from tests.gateway.test_evidence_export import MESSAGES, anchored, conn, stored
from tests.support import chain, damage, ledgers

__all__ = ["conn"]  # a fixture


class Asked:
    """A ledger's client without HTTP, for one epoch or the newest."""

    def __init__(self, engine: Engine, epoch: int | None = None) -> None:
        self._engine, self._shelf = engine, engine.shelf(epoch or engine.epoch)

    def of_epoch(self, epoch: int) -> "Asked":
        return Asked(self._engine, epoch)

    def checkpoint(self) -> str:
        return self._shelf.checkpoint()

    def proof(self, index: int, size: int) -> list[bytes]:
        return self._shelf.inclusion(index, size)

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        return self._shelf.path(size1, size2)

    def statement(self, entry_id: str) -> bytes:
        epoch, index = entry_id.split(".")
        return self._engine.shelf(int(epoch)).statement(int(index))


def trusted(engine: Engine) -> Trust:
    return Trust.from_json(json.dumps(engine.trust()).encode())


def logged(conn: sqlite3.Connection, engine: Engine) -> None:
    """The ledger takes all that waits for it."""
    for waiting in anchors.waiting(conn, most=100):
        found = engine.register(waiting.statement)
        placed = ledgers.placed(waiting.digest, found.index, found.size, receipt=found.receipt)
        placed = dataclasses.replace(placed, entry_id=found.entry_id)
        anchors.registered(conn, placed, now_ms=chain.NOW_MS)


def roll(folder: Path) -> None:
    with ledgers.checked(folder) as engine:
        root, origin = keyring.load(folder, keyring.REGISTRY_KEY), epochs.next_origin(engine.origin)
        custody.roll_over(engine, folder, root, origin=origin, note=engine.signed(), now_ms=ledgers.Clock())


def exported(conn: sqlite3.Connection, engine: Engine, seq: int) -> Bundle:
    """The evidence of a message, which verifies."""
    data, verdict = evidence.export(
        conn,
        Asked(engine),  # type: ignore[arg-type]
        trusted(engine),
        device=chain.NAME,
        position=(topics.DATA, 1, seq),
        lk=chain.LK,
    )
    assert verdict.opened == chain.readings()
    return Bundle.decode(data)


@pytest.fixture
def bundle(conn: sqlite3.Connection, tmp_path: Path) -> tuple[Bundle, Trust]:
    """Evidence of a message that came two epochs after its gateway was admitted; one epoch before it, its device was paired."""
    folder = tmp_path / "ledger"
    with ledgers.checked(folder) as engine:
        conn.execute("UPDATE submission SET done_ms = 0 WHERE kind = 'enrolment'")
        anchors.queue(conn, "admission", ledgers.admission(folder, chain.GATEWAY), now_ms=chain.NOW_MS)
        logged(conn, engine)
    roll(folder)
    with ledgers.checked(folder) as engine:
        conn.execute("UPDATE submission SET done_ms = NULL WHERE kind = 'enrolment'")
        logged(conn, engine)
    roll(folder)
    with ledgers.checked(folder) as engine:
        anchored(conn)
        logged(conn, engine)
        return exported(conn, engine, 0), trusted(engine)


def test_evidence_reaches_back_over_epochs_to_the_gateways_admission(bundle: tuple[Bundle, Trust]) -> None:
    found, trust = bundle
    assert (found.registry.back, found.enrolment.back, found.anchor.back) == (2, 1, 0)
    assert Bundle.decode(found.encode()) == found
    verdict = verify(found.encode(), trust)
    assert verdict.checkpoint.origin == epochs.next_origin(epochs.next_origin(ledgers.ORIGIN))


def test_evidence_of_an_epoch_that_has_ended_is_as_it_was(conn: sqlite3.Connection, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    with ledgers.checked(folder) as engine:
        anchors.queue(conn, "admission", ledgers.admission(folder, chain.GATEWAY), now_ms=chain.NOW_MS)
        anchored(conn)
        logged(conn, engine)
    roll(folder)
    with ledgers.checked(folder) as engine:
        old = exported(conn, engine, 0)
        assert (
            old.geneses == () and notes.Checkpoint.from_text(notes.parse(old.checkpoint).text).origin == ledgers.ORIGIN
        )
        messages.insert(conn, [stored(MESSAGES)])
        anchored(conn)
        logged(conn, engine)
        new = exported(conn, engine, MESSAGES)
        assert (new.registry.back, new.enrolment.back, new.anchor.back, len(new.geneses)) == (1, 1, 0, 1)


def test_no_epoch_can_be_left_out_doubled_or_taken_from_elsewhere(bundle: tuple[Bundle, Trust]) -> None:
    found, trust = bundle
    first, second = found.geneses
    forged = statement.sign(
        chain.WITNESSES[0],
        iss=chain.WITNESSES[0].public.urn,
        sub="genesis",
        payload=documents.Genesis(
            origin=epochs.next_origin(epochs.next_origin(ledgers.ORIGIN)),
            epoch=3,
            log_key=chain.WITNESSES[0].public.x,
            registry_root=bytes(32),
            prior=found.checkpoint,
        ).encode(),
        content_type=documents.GENESIS,
    )
    for geneses, check in (
        ((), 1),
        ((first,), 1),
        ((first, second, second), 1),
        ((second, first), 2),
        ((first, first), 2),
        ((first, dataclasses.replace(second, back=0)), 2),
        ((dataclasses.replace(first, statement=forged), second), 2),
        ((dataclasses.replace(first, index=1), second), 2),
        ((dataclasses.replace(first, path=()), second), 2),
    ):
        assert chain.failed(dataclasses.replace(found, geneses=geneses), trust)[0] == check, geneses
    for name, back, check in (("registry", 1, 1), ("enrolment", 2, 7), ("enrolment", 0, 7), ("anchor", 1, 4)):
        proof: Proof = dataclasses.replace(getattr(found, name), back=back)
        assert chain.failed(dataclasses.replace(found, **{name: proof}), trust)[0] == check, name  # type: ignore[arg-type]


def test_every_epoch_has_to_be_trusted(bundle: tuple[Bundle, Trust]) -> None:
    found, trust = bundle
    for origin in trust.policy.logs:
        logs = {name: key for name, key in trust.policy.logs.items() if name != origin}
        fewer = dataclasses.replace(trust, policy=dataclasses.replace(trust.policy, logs=logs))
        assert chain.failed(found, fewer) == (2, "log_unknown")


def test_a_flipped_bit_fails_in_evidence_that_reaches_back(bundle: tuple[Bundle, Trust]) -> None:
    found, trust = bundle
    flips = itertools.islice(damage.every_bit_flip(found.encode()), 0, None, 131)
    assert damage.accepted(lambda raw: verify(raw, trust), flips) == []
    for cut in itertools.islice(damage.every_prefix(found.encode()), 0, None, 97):
        assert chain.failed(cut, trust)[0] == 1
