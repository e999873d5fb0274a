"""`vigil ledger redact`, `prune` and `roll-over`: they ask first, say what they did, and leave a ledger that is whole."""

import contextlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import vigil
from ledger.cli import keeping
from ledger.log import epochs, fsck
from protocol import notes, statement
from protocol.evidence import Trust
from tests.support import ledgers


def ran(*words: str, said: str | None = None) -> Result:
    return CliRunner().invoke(
        vigil.cli, ["ledger", *words], env={"VIGIL_STATE": None, "VIGIL_CONFIG": None}, input=said
    )


def told(*words: str) -> dict[str, object]:
    """The object that a command prints."""
    result = ran(*words, "--json")
    assert result.exit_code == 0, result.output
    value: dict[str, object] = json.loads(result.stdout)
    return value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger of ten entries."""
    with ledgers.checked(tmp_path / "ledger") as engine:
        engine.register(ledgers.admission(tmp_path / "ledger"))
        while engine.size < 10:
            engine.register(ledgers.anchor(engine.size))
    return tmp_path / "ledger"


def test_redact_asks_and_takes_the_body_away(folder: Path) -> None:
    words = ("redact", "1.4", "--state", str(folder), "--reason", "court-order")
    assert ran(*words, said="n\n").exit_code == 1
    with ledgers.checked(folder) as engine:
        assert engine.size == 10 and engine.statement(4)
    assert told(*words, "--yes") == {"redacted": "1.4", "reason": "court-order", "statement": "1.10"}
    assert fsck.check(folder).redacted == (4,)
    assert ran(*words, "--yes").exit_code == 3  # gone already
    assert ran("redact", "1.0", *words[2:], "--yes").exit_code == 2
    assert ran("redact", "1.99", *words[2:], "--yes").exit_code == 3
    assert ran("redact", "1.6", *words[2:4], "--reason", "because", "--yes").exit_code == 2


def test_prune_takes_an_index_or_days(folder: Path) -> None:
    words = ("prune", "--state", str(folder), "--yes")
    assert ran(*words).exit_code == 2
    assert ran(*words, "--before", "3", "--keep-days", "4").exit_code == 2
    assert ran(*words, "--before", "11").exit_code == 2
    assert told(*words, "--before", "6") == {"minimum": 6, "statement": "1.10"}
    assert told(*words, "--keep-days", "36500") == {"minimum": 6, "statement": None}
    assert told("fsck", "--state", str(folder))["minimum"] == 6
    assert told(*words, "--keep-days", "1")["minimum"] == 10  # all but the order itself is of long ago


def test_roll_over_begins_the_next_epoch_and_the_trust_file_names_both_logs(folder: Path, tmp_path: Path) -> None:
    words = ("roll-over", "--state", str(folder))
    assert ran(*words, said="n\n").exit_code == 1
    assert fsck.check(folder).epoch == 1
    found = told(*words, "--yes")
    assert found == {"ended": ledgers.ORIGIN, "size": 10, "origin": epochs.next_origin(ledgers.ORIGIN), "epoch": 2}
    assert told(*words, "--yes", "--origin", "third.example")["epoch"] == 3
    told("trust", "--state", str(folder), "--out", str(tmp_path / "trust.json"))
    trusted = Trust.from_json((tmp_path / "trust.json").read_bytes())
    assert list(trusted.policy.logs) == [ledgers.ORIGIN, found["origin"], "third.example"]
    assert told("fsck", "--state", str(folder))["epoch"] == 3


def test_with_witnesses_an_epoch_ends_with_a_checkpoint_that_they_cosigned(folder: Path) -> None:
    with contextlib.closing(ledgers.opened(folder)) as engine:
        assert keeping._last(engine, cosigned=False) == engine.signed()
        with pytest.raises(Exception, match="epoch_not_cosigned"):
            keeping._last(engine, cosigned=True)
        note = notes.parse(engine.signed())
        line = notes.cosign(note.text, name="w.example", key=ledgers.STRANGER, at_s=1)
        engine.publish(notes.Note(text=note.text, lines=(*note.lines, line)).whole())
        assert keeping._last(engine, cosigned=True) == engine.cosigned() != engine.signed()
        engine.register(ledgers.anchor(99))
        with pytest.raises(Exception, match="epoch_not_cosigned"):
            keeping._last(engine, cosigned=True)


@pytest.mark.parametrize(
    "words", [("redact", "1.1", "--reason", "court-order"), ("prune", "--before", "2"), ("roll-over",)]
)
def test_a_running_ledger_is_left_alone(folder: Path, words: tuple[str, ...]) -> None:
    with ledgers.checked(folder):
        result = ran(*words, "--state", str(folder), "--yes")
        assert result.exit_code == 2 and "stop it" in result.stderr
    assert ran(*words, "--state", str(folder / "none"), "--yes").exit_code == 3


def test_without_the_registry_root_nothing_goes(folder: Path) -> None:
    (folder / ledgers.keyring.REGISTRY_KEY).unlink()
    assert ran("prune", "--before", "5", "--state", str(folder), "--yes").exit_code == 3
    assert fsck.check(folder).minimum == 0


def test_an_order_is_signed_by_the_registry_root(folder: Path) -> None:
    root = ledgers.keyring.load(folder, ledgers.keyring.REGISTRY_KEY).public.thumbprint
    told("redact", "1.4", "--state", str(folder), "--reason", "court-order", "--yes")
    told("prune", "--state", str(folder), "--before", "4", "--yes")
    with ledgers.checked(folder) as engine:
        assert {statement.parse(engine.statement(index)).kid for index in (10, 11)} == {root}
