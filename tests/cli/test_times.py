"""Times that devices claim, on a command line: any number can be written, and none hides the other alarms of a list."""

import pytest

from gateway.cli import ISO_MAX_MS, _iso


@pytest.mark.parametrize(
    ("at_ms", "written"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        (ISO_MAX_MS - 1000, "9999-12-31T23:59:59.000Z"),
        (ISO_MAX_MS, "253402300800000 ms after 1970"),
        (1 << 53, "9007199254740992 ms after 1970"),
    ],
)
def test_every_time_can_be_written(at_ms: int, written: str) -> None:
    assert _iso(at_ms) == written
