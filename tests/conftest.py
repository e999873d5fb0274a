"""Fixtures that every room's tests share: where recorded signals and published vectors lie."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("vigil", deadline=None)  # a busy machine makes no property false; the rest is as it was
settings.load_profile("vigil")


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable, "")
    path = Path(value) if value else None
    if path is not None and path.is_dir():
        return path
    reason = f"{what} are not here: set {variable} to their folder"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded signals."""
    return _folder("VIGIL_DATA", "recorded signals")


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    """The folder of published test vectors."""
    return _folder("VIGIL_VECTORS", "published test vectors")
