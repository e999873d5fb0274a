"""What is said of credentials over epochs of a log: it goes on, and places of an earlier epoch stay what they were."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from ledger.contracts import STANDARD
from ledger.credentials.model import Accreditation, Commitment, IssuerKey, IssuerKeyEnd
from ledger.log import custody, fsck, keyring
from ledger.log.engine import Engine
from ledger.questions import CommitmentOf, IsAccredited, Logged
from protocol import statement
from tests.support import accrediting, ledgers
from tests.support.accrediting import BOARD

NEXT = "log.example/2"


def logged(log: Engine, identity: bytes) -> Logged | None:
    """What the log answers about a credential."""
    return log.look(lambda state: STANDARD.ask(state, CommitmentOf(id=identity), ledgers.NOW_MS))


def again(raw: bytes, kind: Any, by: Any, **changed: Any) -> bytes:
    """What a helper made, said otherwise."""
    return accrediting.said(by, dataclasses.replace(kind.decode(statement.parse(raw).payload), **changed))


def test_a_theft_in_an_earlier_epoch_takes_what_was_logged_since_and_no_more(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path) as log:
        root = keyring.load(tmp_path, keyring.REGISTRY_KEY)
        log.register(keyring.admission(root, role="institution", key=BOARD.public.x, name="board"))
        log.register(again(accrediting.accreditation(), Accreditation, root))
        log.register(accrediting.issuer_key())
        before = log.register(accrediting.commitment(id=bytes([1]) * 16))
        stolen = log.register(accrediting.commitment(id=bytes([2]) * 16))
        custody.roll_over(log, tmp_path, root, origin=NEXT, note=log.signed(), now_ms=ledgers.Clock())
    with contextlib.closing(Engine.open(tmp_path, now_ms=ledgers.Clock())) as log:
        asked = IsAccredited(party=BOARD.public.thumbprint, type="StateLicence", jurisdiction="US")
        assert log.look(lambda state: STANDARD.ask(state, asked, ledgers.NOW_MS))
        log.register(again(accrediting.commitment(id=bytes([3]) * 16), Commitment, BOARD, log=NEXT))
        found = [logged(log, bytes([n]) * 16) for n in (1, 2, 3)]
        assert [each is not None and each.counts for each in found] == [True, True, True]
        assert before.index < stolen.index
        theft = accrediting.end(index=stolen.index)
        log.register(again(theft, IssuerKeyEnd, BOARD, log=NEXT, epoch=1))
        found = [logged(log, bytes([n]) * 16) for n in (1, 2, 3)]
        assert [each is not None and each.counts for each in found] == [True, False, False]
        new = IssuerKey.decode(
            statement.parse(accrediting.issuer_key(key=accrediting.NEXT, method="k2", log=NEXT)).payload
        )
        log.register(accrediting.said(BOARD, new))
        fresh = Commitment.decode(statement.parse(accrediting.commitment(id=bytes([4]) * 16)).payload)
        log.register(
            accrediting.said(BOARD, dataclasses.replace(fresh, log=NEXT, key=accrediting.NEXT.public.thumbprint))
        )
        last = logged(log, bytes([4]) * 16)
        assert last is not None and last.counts
    fsck.check(tmp_path)
