"""What the tests of operations share."""

import pytest

from tests.support import exposition
from tests.support.exposition import Series


@pytest.fixture(scope="session")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Series]:
    """Every series that a gateway and a ledger really expose, by name."""
    return exposition.of_both(tmp_path_factory.mktemp("exposed"))
