"""The registry root says who may vouch for what, from the command line, and the log takes it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import vigil
from ledger import founding
from ledger.contracts import STANDARD
from ledger.credentials.model import Accreditation
from ledger.log import fsck, keyring
from ledger.log.engine import Engine
from ledger.questions import IsAccredited
from protocol import declarations, statement
from tests.support import ledgers, registrants

BOARD = registrants.key(40)
NAME = BOARD.public.thumbprint.hex()
LICENCES = ("--party", NAME, "--type", "StateLicence", "--jurisdiction", "US-CA")
GRANTED = (*LICENCES, "--did", "did:web:board.example", "--from", "2023-01-01", "--until", "2100-01-01")


def ran(*words: str) -> Result:
    """A command in this process."""
    return CliRunner(env={"VIGIL_CONFIG": None, "VIGIL_STATE": None}).invoke(vigil.cli, list(words))


def told(*words: str) -> dict[str, object]:
    """The object that a command prints."""
    result = ran(*words, "--json")
    assert result.exit_code == 0, result.output
    value: dict[str, object] = json.loads(result.stdout)
    return value


def failed(*words: str) -> tuple[int, str]:
    """The exit code and the code of the error."""
    result = ran(*words, "--json")
    return result.exit_code, json.loads(result.stdout)["error"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A ledger with one institution, at rest; whole in the end."""
    state = tmp_path / "ledger"
    with ledgers.checked(state) as log:
        root = keyring.load(state, keyring.REGISTRY_KEY)
        log.register(keyring.admission(root, role="institution", key=BOARD.public.x, name="board"))
    yield state
    fsck.check(state)


def may(log: Engine) -> bool:
    """Whether the log has it that the board may license in California."""
    asked = IsAccredited(party=BOARD.public.thumbprint, type="StateLicence", jurisdiction="US-CA")
    return log.look(lambda state: STANDARD.ask(state, asked, ledgers.NOW_MS))


def registered(folder: Path, file: Path) -> bool:
    """Put it on the log; whether the board may license then."""
    with ledgers.checked(folder) as log:
        log.register(file.read_bytes())
        return may(log)


def test_an_institution_is_accredited_and_that_is_withdrawn(folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    found = told("credentials", "accredit", "--state", str(folder), *GRANTED, "--out", str(first))
    assert found["entry"] == statement.entry(first.read_bytes()).hex()
    assert (found["from_ms"], found["until_ms"]) == (1_672_531_200_000, 4_102_444_800_000)
    assert registered(folder, first)
    found = told("credentials", "withdraw", "--state", str(folder), *LICENCES, "--out", str(second))
    assert found["withdrawn"] is True and found["did"] == "did:web:board.example"
    assert not registered(folder, second)
    again = ("credentials", "withdraw", "--state", str(folder), *LICENCES, "--out", str(tmp_path / "x"))
    assert failed(*again) == (3, "accreditation_unknown")


def test_a_day_is_one_of_utc_and_without_one_it_begins_now(folder: Path, tmp_path: Path) -> None:
    words = [word for word in GRANTED if word not in ("--from", "2023-01-01")]
    out = tmp_path / "out"
    told("credentials", "accredit", "--state", str(folder), *words, "--out", str(out))
    document = Accreditation.decode(statement.parse(out.read_bytes()).payload)
    assert ledgers.NOW_MS < document.from_ms < document.until_ms == 4_102_444_800_000


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (("--party", "00"), "thumbprint_bad"),
        (("--party", "x" * 64), "thumbprint_bad"),
        (("--party", "00" * 32), "party_unknown"),
        (("--did", "board.example"), "accreditation_bad"),
        (("--jurisdiction", "California"), "accreditation_bad"),
        (("--until", "2020-01-01"), "accreditation_bad"),
    ],
)
def test_what_the_log_would_refuse_is_not_written(
    folder: Path, tmp_path: Path, changed: tuple[str, ...], code: str
) -> None:
    out = tmp_path / "out"
    assert failed("credentials", "accredit", "--state", str(folder), *GRANTED, *changed, "--out", str(out)) == (2, code)
    assert not out.exists()


def test_a_log_of_an_earlier_release_takes_it_with_the_policy_that_is_shown(folder: Path, tmp_path: Path) -> None:
    """Founded before there was this contract: its policy names none of the types."""
    old, out = founding.default_policy(ledgers.ORIGIN, STANDARD), tmp_path / "out"
    rules = {name: rule for name, rule in old.rules.items() if "vigil-accreditation" not in name}
    with ledgers.checked(folder) as log:
        root = keyring.load(folder, keyring.REGISTRY_KEY)
        log.register(declarations.policy(root, type(old)(log=old.log, n=2, rules=rules)))
    accredit = ("credentials", "accredit", "--state", str(folder), *GRANTED, "--out", str(out))
    assert failed(*accredit) == (2, "content_type_not_allowed")
    policy, raw = tmp_path / "policy.toml", tmp_path / "policy.cose"
    assert "vigil-accreditation" not in ran("ledger", "policy", "--state", str(folder)).stdout
    policy.write_text(ran("ledger", "policy", "--new-types", "--state", str(folder)).stdout)
    told("ledger", "policy", "--sign", str(policy), "--out", str(raw), "--state", str(folder))
    registered(folder, raw)
    told(*accredit)
    assert registered(folder, out)
