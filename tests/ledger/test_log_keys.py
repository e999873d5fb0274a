"""A log whose keys change: checkpoints by both while one takes over, receipts by the older, and retired keys served for ever."""

import contextlib
from pathlib import Path

import cbor2
import pytest

from ledger.contracts import CODES
from ledger.http import app as http
from ledger.log import custody, fsck, signer
from ledger.metrics import Metrics
from protocol import keys, notes, p256, policy, receipt, statement
from protocol.errors import ConfigError, NotFound, Unavailable
from protocol.evidence import Trust
from tests.support import ledgers
from tests.support.web import Web, problem

DAY_MS = 86_400_000


def signers(note: str, trust: dict[str, object]) -> int:
    """How many signatures are on a checkpoint that this trust file accepts."""
    found = policy.parse(str(trust["policy"]))
    found.check(note)
    return len(notes.parse(note).lines)


def rotated(folder: Path, clock: ledgers.Clock, *, alg: int = keys.EDDSA) -> bytes:
    """The thumbprint of a new key that takes over after a day."""
    with ledgers.checked(folder, clock) as log:
        return custody.add_key(log, folder, alg=alg, overlap_ms=DAY_MS)[1]


def test_both_keys_sign_checkpoints_and_the_older_receipts_until_its_end(tmp_path: Path) -> None:
    clock = ledgers.Clock()
    with ledgers.checked(tmp_path, clock) as log:
        log.register(ledgers.admission(tmp_path))
        before = log.trust()
    first = ledgers.log_key(tmp_path).thumbprint
    second = rotated(tmp_path, clock)
    with ledgers.checked(tmp_path, clock) as log:
        during = log.trust()
        note, raw = log.checkpoint(), ledgers.anchor(1)
        assert signers(note, before) == signers(note, during) == 2
        assert receipt.read(log.register(raw).receipt).kid == first
        clock.at_ms += DAY_MS
        found = log.register(ledgers.anchor(2))
        assert receipt.read(found.receipt).kid == second
        after, newest = log.trust(), log.checkpoint()
        assert signers(newest, after) == 1 and signers(newest, during) == 1
        with pytest.raises(Exception, match="log_unsigned"):
            policy.parse(str(before["policy"])).check(newest)
        assert first.hex() not in str(after) and str(after["policy"]).count("log ") == 1
        assert {key[2] for key in cbor2.loads(log.keys())} == {first, second}
        assert cbor2.loads(log.key(first))[2] == first


def test_a_log_goes_on_with_its_new_key_after_a_restart_and_not_without_it(tmp_path: Path) -> None:
    clock = ledgers.Clock()
    with ledgers.checked(tmp_path, clock):
        pass
    second = rotated(tmp_path, clock)
    file = tmp_path / signer.name_of(second)
    assert file.stat().st_mode & 0o777 == 0o600
    kept = file.read_bytes()
    file.unlink()
    with pytest.raises(Unavailable, match="key_missing"):
        ledgers.opened(tmp_path, clock)
    file.write_text(keys.SigningKey.from_seed(bytes(32)).pem())
    with pytest.raises(Unavailable, match="key_unreadable"):
        ledgers.opened(tmp_path, clock)
    file.write_bytes(kept)
    with ledgers.checked(tmp_path, clock) as log:
        log.register(ledgers.admission(tmp_path))


def test_a_third_key_waits_until_the_first_has_ended(tmp_path: Path) -> None:
    clock = ledgers.Clock()
    with ledgers.checked(tmp_path, clock):
        pass
    rotated(tmp_path, clock)
    before = sorted(path.name for path in tmp_path.glob("log-*.key"))
    with ledgers.checked(tmp_path, clock) as log, pytest.raises(ConfigError, match="key_not_taken"):
        custody.add_key(log, tmp_path, alg=keys.EDDSA, overlap_ms=DAY_MS)
    assert sorted(path.name for path in tmp_path.glob("log-*.key")) == before
    clock.at_ms += 2 * DAY_MS
    third = rotated(tmp_path, clock)
    clock.at_ms += 2 * DAY_MS
    with ledgers.checked(tmp_path, clock) as log:
        assert receipt.read(log.register(ledgers.admission(tmp_path)).receipt).kid == third
        assert len(cbor2.loads(log.keys())) == 3


def test_receipts_are_signed_with_es256_for_who_asks_for_that(tmp_path: Path) -> None:
    clock = ledgers.Clock()
    with ledgers.checked(tmp_path, clock) as log:
        raw = ledgers.admission(tmp_path)
        index = log.register(raw).index
        with pytest.raises(NotFound, match="alg_not_offered"):
            log.receipt(index, alg=p256.ES256)
    thumbprint = rotated(tmp_path, clock, alg=p256.ES256)
    with ledgers.checked(tmp_path, clock) as log:
        found = receipt.read(log.receipt(index, alg=p256.ES256))
        assert found.kid == thumbprint
        key = cbor2.loads(log.key(thumbprint))
        public = p256.P256PublicKey(x=key[-2], y=key[-3])
        root = receipt.verify(found, entry=statement.entry(raw), key=public)
        assert notes.Checkpoint.from_text(notes.parse(log.checkpoint()).text).root == root
        assert receipt.read(log.receipt(index)).kid == ledgers.log_key(tmp_path).thumbprint
        assert signers(log.checkpoint(), log.trust()) == 1
        Trust.from_json(
            Trust(
                policy_text=str(log.trust()["policy"]),
                policy=policy.parse(str(log.trust()["policy"])),
                registry_root=ledgers.log_key(tmp_path),
            ).to_json()
        )


def test_a_key_that_was_made_and_never_declared_changes_nothing(tmp_path: Path) -> None:
    """What a stop between making the key and declaring it leaves behind."""
    with contextlib.closing(ledgers.opened(tmp_path)) as log:
        keyset = log.keys()
    signer.make(tmp_path, alg=keys.EDDSA)
    with ledgers.checked(tmp_path) as log:
        assert log.keys() == keyset
    assert fsck.check(tmp_path).size == 2


def test_receipts_by_another_algorithm_are_asked_for_by_its_name(tmp_path: Path) -> None:
    clock = ledgers.Clock()
    with ledgers.checked(tmp_path, clock):
        pass
    thumbprint = rotated(tmp_path, clock, alg=p256.ES256)
    with ledgers.checked(tmp_path, clock) as log:
        web = Web(http.app(log, Metrics(CODES)))
        kids = [receipt.read(web.get(f"/entries/1.0{query}").content).kid for query in ("", "?alg=EdDSA", "?alg=ES256")]
        assert kids == [ledgers.log_key(tmp_path).thumbprint] * 2 + [thumbprint]
        for query in ("?alg=RS256", "?alg="):
            answer = web.get(f"/entries/1.0{query}")
            assert problem(answer) == (404, "alg_not_offered")
