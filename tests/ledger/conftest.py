"""Both clients for the ledger's tests."""

import contextlib
from collections.abc import Iterator

import pytest

from ledger.client import Client
from tests.support.clients import Blocking, Opened


@pytest.fixture(params=["Client", "AsyncClient"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Opens one of the two clients."""
    with contextlib.ExitStack() as held:
        if request.param == "Client":
            yield lambda url, **options: held.enter_context(Client(url, **options))
        else:
            yield Blocking
