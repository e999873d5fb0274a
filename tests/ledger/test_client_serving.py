"""The clients against our own server whole: slow registrations, batches, statements for members, epochs, and what else it serves."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import contracts
from ledger.client import BATCH_MAX, AsyncClient, Client, LedgerRefused, Registered
from ledger.http import app as http
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from ledger.signing import Signed
from protocol import cbor, notes, receipt, statement
from protocol.documents import MEMBERS
from protocol.keys import SigningKey
from protocol.notes import Checkpoint
from tests.support import ledgers
from tests.support.clients import Opened
from tests.support.policies import read_by
from tests.support.serving import served


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path) as found:
        found.register(ledgers.admission(tmp_path))
        yield found


@pytest.fixture
def url(engine: Engine) -> Iterator[str]:
    with served(http.app(engine, Metrics(contracts.CODES))) as found:
        yield found


def signed(key: SigningKey) -> Signed:
    """What signs requests with `key`."""
    return Signed(key, now_s=lambda: int(time.time()))


def test_a_registration_that_the_server_does_not_wait_for_still_ends_in_its_receipt(
    tmp_path: Path, engine: Engine, opened: Opened
) -> None:
    with served(http.app(engine, Metrics(contracts.CODES), answer_within_s=0)) as url:
        raw, key, waited = ledgers.anchor(1), ledgers.log_key(tmp_path), list[float]()
        client = opened(url, pause=lambda pause_s: (waited.append(pause_s), time.sleep(0.01)))
        found = client.register(raw)
        assert waited
        receipt.check(found.receipt, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
        assert found.entry_id == engine.entry_id(engine.size - 1)
        with pytest.raises(LedgerRefused) as refused:
            client.register(ledgers.anchor(1, ledgers.STRANGER))
        assert refused.value.code == "issuer_unknown"


def test_a_batch_is_registered_with_a_verdict_for_each(
    tmp_path: Path, engine: Engine, url: str, opened: Opened
) -> None:
    raws = [ledgers.anchor(n) for n in range(BATCH_MAX + 10)]
    raws[3:3] = [ledgers.anchor(0, ledgers.STRANGER), b"no statement", bytes(statement.SIZE_MAX + 1)]
    found = opened(url).register_many(raws)
    assert [each.code for each in found[3:6] if isinstance(each, LedgerRefused)] == [
        "issuer_unknown", "cose_tag", "statement_size",
    ]  # fmt: skip
    key = ledgers.log_key(tmp_path)
    for raw, each in zip(raws[:3] + raws[6:], found[:3] + found[6:], strict=True):
        assert isinstance(each, Registered)
        assert engine.statement(each.index) == raw
        receipt.check(each.receipt, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)


def test_statements_are_for_those_whom_the_policy_lets_read_them(
    tmp_path: Path, engine: Engine, url: str, opened: Opened
) -> None:
    engine.register(read_by(tmp_path, engine, MEMBERS))
    raw = ledgers.anchor(1)
    name = engine.register(raw).entry_id
    member = opened(url, auth=signed(ledgers.GATEWAY))
    assert member.statement(name) == raw
    bare, (proof,) = receipt.detach(member.transparent(name))
    key = ledgers.log_key(tmp_path)
    receipt.check(proof, entry=statement.entry(bare), key=key, thumbprint=key.thumbprint)
    with pytest.raises(LedgerRefused) as unsigned:
        opened(url).statement(name)
    assert unsigned.value.code == "signature_missing"
    with pytest.raises(LedgerRefused) as stranger:
        opened(url, auth=signed(ledgers.STRANGER)).statement(name)
    assert stranger.value.code == "signature_key_unknown"
    assert statement.parse(opened(url).statement("1.0")).sub == f"vigil:log:{ledgers.ORIGIN}"


def test_what_a_log_says_of_itself_is_what_it_is(tmp_path: Path, engine: Engine, url: str, opened: Opened) -> None:
    client, key = opened(url), ledgers.log_key(tmp_path)
    status = client.status()
    assert (status.origin, status.epoch, status.size, status.minimum) == (ledgers.ORIGIN, 1, engine.size, 0)
    assert cbor.decode(client.key(key.thumbprint), size_max=1000) == key.cose_key()
    with pytest.raises(LedgerRefused) as unknown:
        client.key(bytes(32))
    assert unknown.value.code == "key_unknown"
    size1, root1 = engine.size, Checkpoint.from_text(notes.parse(engine.checkpoint()).text).root
    engine.register_many([ledgers.anchor(n) for n in range(300)])
    found = receipt.read_consistency(client.consistency_receipt(size1))
    receipt.verify_consistency(found, root1=root1, key=key)
    assert (found.size1, found.size2) == (size1, engine.size)
    digests = [statement.entry(engine.statement(index)) for index in range(engine.size)]
    assert client.entries(250, 20, engine.size) == digests[250:270]
    for size in (0, engine.size + 1):
        with pytest.raises(LedgerRefused):
            client.consistency_receipt(size)


def test_one_epoch_is_asked_for_by_its_number(engine: Engine, url: str) -> None:
    note = engine.checkpoint()
    with Client(url) as client:
        assert client.of_epoch(1).checkpoint() == client.checkpoint() == note
        assert client.of_epoch(1).entries(0, 2, engine.size) == client.entries(0, 2, engine.size)
        with pytest.raises(LedgerRefused) as unknown:
            client.of_epoch(2).checkpoint()
        assert unknown.value.code == "epoch_unknown"

    async def ask() -> tuple[str, str]:
        async with AsyncClient(url) as other:
            return await other.of_epoch(1).checkpoint(), await other.checkpoint()

    assert asyncio.run(ask()) == (note, note)
