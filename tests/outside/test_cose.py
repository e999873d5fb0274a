"""cwt and pycose, which are not ours, read what we sign: statements, receipts and the messages of devices."""

from pathlib import Path

import pytest

from protocol import keys, message, receipt, statement
from tests.support import chain, ledgers
from tests.support.grown import Log, stored
from tests.support.outside import ask, python

pytestmark = [pytest.mark.outside, pytest.mark.parametrize("library", ["cwt", "pycose"])]

EDDSA = -8


@pytest.fixture
def log(tmp_path: Path) -> Log:
    python("cose")
    return stored(tmp_path, 5)


def case(raw: bytes, key: keys.PublicKey, kid: bytes, *, detached: bytes = b"", aad: bytes = b"") -> dict[str, str]:
    """What a library is asked about one object."""
    named = {"raw": raw, "x": key.x, "kid": kid, "detached": detached, "aad": aad}
    return {"pem": key.pem(), **{name: value.hex() for name, value in named.items()}}


def test_statements_and_receipts_are_signed_by_whom_they_say(log: Log, library: str) -> None:
    root = log.tree.root()
    statements = [case(raw, signer, signer.thumbprint) for _, raw, signer, _ in log.receipts]
    receipts = [case(proof, log.key, log.key.thumbprint, detached=root) for *_, proof in log.receipts]
    found = ask("cose", "ask_cose.py", {"library": library, "cases": statements + receipts})
    parsed = [statement.parse(raw) for _, raw, _, _ in log.receipts]
    assert found == [
        *([each.payload.hex(), each.kid.hex(), EDDSA] for each in parsed),
        *([root.hex(), log.key.thumbprint.hex(), EDDSA] for _ in log.receipts),
    ]


def test_another_root_or_key_or_byte_is_not_signed(log: Log, library: str) -> None:
    stranger = ledgers.STRANGER.public
    _, raw, signer, proof = log.receipts[-1]
    broken = raw[:-1] + bytes((raw[-1] ^ 1,))
    cases = [
        case(proof, log.key, log.key.thumbprint, detached=bytes(32)),
        case(proof, stranger, log.key.thumbprint, detached=log.tree.root()),
        case(raw, stranger, signer.thumbprint),
        case(broken, signer, signer.thumbprint),
    ]
    assert receipt.read(proof).kid == log.key.thumbprint
    assert ask("cose", "ask_cose.py", {"library": library, "cases": cases}) == [None] * len(cases)


def test_a_devices_message_is_signed_by_the_device_for_its_topic(library: str) -> None:
    python("cose")
    raw = chain.sealed()
    ours = message.parse(raw, topic=chain.TOPIC, size_max=len(raw))
    key = chain.DEVICE.public
    topic, elsewhere = chain.TOPIC.encode(), chain.TOPIC.replace("data", "urgent").encode()
    assert topic != elsewhere
    cases = [
        case(raw, key, ours.kid, aad=topic),
        case(raw, key, ours.kid, aad=elsewhere),
        case(raw, ledgers.STRANGER.public, ours.kid, aad=topic),
    ]
    found = ask("cose", "ask_cose.py", {"library": library, "cases": cases})
    assert found == [[ours.payload.hex(), ours.kid.hex(), EDDSA], None, None]
