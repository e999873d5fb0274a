"""A small contract whose statements may be redacted, and ledgers with it: letters are counted, and no rule reads what they say."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ledger.contracts import STANDARD
from ledger.log import fsck, keyring
from ledger.log.engine import Engine
from ledger.rules import Changes, Contract, Kind, View
from protocol import statement
from protocol.keys import SigningKey
from protocol.statement import Statement
from tests.support import ledgers

TYPE = "application/x-letter"
COUNT = b"letters"


def _take(view: View, found: Statement, now_ms: int) -> Changes:
    count = int.from_bytes(view.get(COUNT) or b"", "big") + 1
    return Changes(puts={COUNT: count.to_bytes(8, "big")})


CONTRACT = Contract(
    name="letters",
    kinds={TYPE: Kind(apply=_take, roles=frozenset({"gateway"}), redactable=True)},
    keys=(COUNT,),
)
CONTRACTS = STANDARD.with_added(CONTRACT)


def letter(text: bytes) -> bytes:
    """A letter by the gateway."""
    key = ledgers.GATEWAY
    return statement.sign(key, iss=key.public.urn, sub="letter", payload=text, content_type=TYPE)


def opened(folder: Path, clock: ledgers.Clock | None = None) -> Engine:
    """The log in `folder`, which takes letters."""
    return Engine.open(folder, now_ms=clock or ledgers.Clock(), origin=ledgers.ORIGIN, contracts=CONTRACTS)


@contextlib.contextmanager
def checked(folder: Path, clock: ledgers.Clock | None = None) -> Iterator[Engine]:
    """The log in `folder`, which is closed and checked in the end."""
    with contextlib.closing(opened(folder, clock)) as engine:
        yield engine
    check(folder)


def check(folder: Path) -> fsck.Found:
    """The check of a ledger that takes letters."""
    return fsck.check(folder, contracts=CONTRACTS)


def root(folder: Path) -> SigningKey:
    """The registry root of the ledger in `folder`."""
    return keyring.load(folder, keyring.REGISTRY_KEY)
