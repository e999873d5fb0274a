"""The operator lets staff in."""

import contextlib
import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import vigil
from ledger.credentials.pages.access import Access


def ran(*words: str) -> Result:
    return CliRunner(env={"VIGIL_CONFIG": ""}).invoke(vigil.cli, ["credentials", *words])


def test_a_code_of_the_command_signs_in(tmp_path: Path) -> None:
    result = ran("access", "--role", "issuer", "--role", "verifier", "--state", str(tmp_path), "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    now_ms = time.time_ns() // 1_000_000
    assert 0 < found["until_ms"] - now_ms <= 600_000
    with contextlib.closing(Access.open(tmp_path, random_bytes=bytes)) as doors:
        token = doors.sign_in(found["code"], now_ms=now_ms)
        assert doors.roles(token, now_ms=now_ms) == {"issuer", "verifier"} == set(found["roles"])


@pytest.mark.parametrize(("words", "code"), [(("--role", "root"), 2), ((), 2)])
def test_a_code_has_roles_that_there_are(tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    assert ran("access", "--state", str(tmp_path), *words).exit_code == code


def test_without_a_party_the_fix_is_named(tmp_path: Path) -> None:
    result = ran("access", "--role", "issuer", "--state", str(tmp_path / "none"))
    assert result.exit_code == 3 and "vigil party init" in result.stderr
