"""Who signs in: one code, once, soon, and not by guessing."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.credentials.pages import access
from ledger.credentials.pages.access import Access, NotSignedIn
from protocol.errors import ConfigError

NOW_MS = 1_800_000_000_000


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Access]:
    with contextlib.closing(Access.open(tmp_path, random_bytes=random.Random(1).randbytes)) as opened:
        yield opened


def test_a_code_signs_in_once_with_its_roles(found: Access) -> None:
    code = found.make_code(["issuer"], now_ms=NOW_MS)
    token = found.sign_in(code, now_ms=NOW_MS)
    assert found.roles(token, now_ms=NOW_MS) == {"issuer"}
    with pytest.raises(NotSignedIn, match="code_wrong"):
        found.sign_in(code, now_ms=NOW_MS)


def test_a_code_is_read_as_people_write_it(found: Access) -> None:
    code = found.make_code(access.ROLES, now_ms=NOW_MS)
    written = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert found.roles(found.sign_in(written, now_ms=NOW_MS), now_ms=NOW_MS) == set(access.ROLES)


def test_a_code_ends_after_ten_minutes(found: Access) -> None:
    code = found.make_code(["verifier"], now_ms=NOW_MS)
    with pytest.raises(NotSignedIn, match="code_wrong"):
        found.sign_in(code, now_ms=NOW_MS + access.CODE_LIFE_MS)


def test_after_twenty_wrong_codes_not_even_the_right_one_is_looked_at(found: Access) -> None:
    code = found.make_code(["verifier"], now_ms=NOW_MS)
    for attempt in range(access.WRONG_MAX):
        with pytest.raises(NotSignedIn, match="code_wrong"):
            found.sign_in(f"{attempt}", now_ms=NOW_MS + attempt)
    with pytest.raises(NotSignedIn, match="code_attempts"):
        found.sign_in(code, now_ms=NOW_MS + 1000)
    later = NOW_MS + access.CODE_LIFE_MS + 100
    assert found.sign_in(found.make_code(["verifier"], now_ms=later), now_ms=later)


def test_a_session_ends_with_the_working_day_or_when_somebody_leaves(found: Access) -> None:
    first, second = (found.sign_in(found.make_code(["issuer"], now_ms=NOW_MS), now_ms=NOW_MS) for _ in range(2))
    found.sign_out(first)
    assert not found.roles(first, now_ms=NOW_MS)
    assert found.roles(second, now_ms=NOW_MS + access.SESSION_LIFE_MS - 1)
    assert not found.roles(second, now_ms=NOW_MS + access.SESSION_LIFE_MS)


def test_the_file_holds_neither_codes_nor_tokens(found: Access, tmp_path: Path) -> None:
    code = found.make_code(["issuer"], now_ms=NOW_MS)
    token = found.sign_in(found.make_code(["issuer"], now_ms=NOW_MS), now_ms=NOW_MS)
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert code.encode() not in held and code.replace("-", "").encode() not in held
    assert token.encode() not in held and bytes.fromhex(token) not in held


def test_a_code_from_another_process_signs_in_at_once(found: Access, tmp_path: Path) -> None:
    with contextlib.closing(Access.open(tmp_path, random_bytes=random.Random(2).randbytes)) as command:
        code = command.make_code(["issuer"], now_ms=NOW_MS)
    assert found.sign_in(code, now_ms=NOW_MS)


def test_codes_and_sessions_are_bounded(found: Access) -> None:
    codes = [found.make_code(["issuer"], now_ms=NOW_MS) for _ in range(access.CODES_MAX + 1)]
    with pytest.raises(NotSignedIn):
        found.sign_in(codes[0], now_ms=NOW_MS)
    assert found.sign_in(codes[1], now_ms=NOW_MS)


@pytest.mark.parametrize("roles", [[], ["root"], ["issuer", "root"]])
def test_there_are_no_other_roles(found: Access, roles: list[str]) -> None:
    with pytest.raises(ConfigError, match="role_unknown"):
        found.make_code(roles, now_ms=NOW_MS)


def test_the_file_is_for_its_owner_alone(found: Access, tmp_path: Path) -> None:
    found.make_code(["issuer"], now_ms=NOW_MS)
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.iterdir())
