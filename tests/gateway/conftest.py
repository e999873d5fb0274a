"""Fixtures of the gateway's tests: a neighbourhood that is paired once."""

import pytest

from tests.support.street import Town


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A gateway's folder with an honest device and an attacker's, both paired."""
    return Town(tmp_path_factory.mktemp("town"))
