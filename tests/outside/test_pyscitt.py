"""pyscitt's `scitt submit`, which is not ours, registers a statement with our ledger and comes back with its receipt."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol import receipt, statement
from tests.support import ledgers, running
from tests.support.outside import installed, run
from tests.support.running import Running

pytestmark = pytest.mark.outside


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A ledger whose clients all ask later: pyscitt takes no receipt in answer to its POST, and says no preference."""
    state = tmp_path_factory.mktemp("pyscitt") / "ledger"
    running.filled(state, 300)
    with running.ledger(state, answer_within_s=0) as found:
        yield found


def submitted(url: str, raw: bytes, folder: Path) -> tuple[int, str, Path]:
    """(exit code, what it says, the file that it was to write)."""
    (folder / "s.cose").write_bytes(raw)
    words = ("submit", "s.cose", "--url", url, "--development", "--transparent-statement", "out.cose")
    ran = run(installed("scitt", "bin/scitt"), *words, cwd=folder)
    return ran.returncode, (ran.stdout + ran.stderr).decode(), folder / "out.cose"


def proved(ledger: Running, transparent: bytes, raw: bytes) -> int:
    """The place of a statement, once its transparent form is seen to hold."""
    bare, receipts = receipt.detach(transparent)
    key = ledgers.log_key(ledger.state)
    assert bare == raw
    (proof,) = receipts
    return receipt.check(proof, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint).index


def test_it_brings_back_a_transparent_statement(ledger: Running, tmp_path: Path) -> None:
    raw, size = ledgers.anchor(1_000_000), ledger.checkpoint().size
    code, said, out = submitted(ledger.url, raw, tmp_path)
    assert code == 0 and "Registered s.cose as transaction 0." in said
    assert proved(ledger, out.read_bytes(), raw) == size
    shown = run(installed("scitt", "bin/scitt"), "pretty-receipt", "out.cose", cwd=tmp_path)
    assert shown.returncode == 0 and ledgers.GATEWAY.public.urn in shown.stdout.decode()


def test_what_is_there_already_comes_back_from_its_place(ledger: Running, tmp_path: Path) -> None:
    raw = ledgers.anchor(0)
    code, _, out = submitted(ledger.url, raw, tmp_path)
    assert code == 0 and proved(ledger, out.read_bytes(), raw) < 10


@pytest.mark.parametrize(
    ("raw", "title"), [(b"\xd2\x84", "Malformed request"), (ledgers.anchor(1, ledgers.STRANGER), "Rejected")]
)
def test_it_says_why_a_statement_was_refused(ledger: Running, tmp_path: Path, raw: bytes, title: str) -> None:
    code, said, out = submitted(ledger.url, raw, tmp_path)
    assert code != 0 and title in said
    assert not out.exists()
