"""What is said of one entry."""

import pytest

from ledger.monitor import judging
from ledger.monitor.judging import KINDS, Event, Watch
from protocol import statement
from protocol.errors import Unavailable
from protocol.keys import SigningKey
from tests.support import ledgers

KEY = SigningKey.from_seed(bytes([7]) * 32)
RAW = statement.sign(KEY, iss="https://maker.example", sub="device:17\x1b[31m", payload=b"x", content_type="text/plain")
ENTRY = statement.entry(RAW)


def said(raw: bytes | None = RAW, entry: bytes = ENTRY, **watch: tuple[str, ...]) -> Event | None:
    event = judging.judge("1.5", entry, raw, Watch(**watch))
    assert event is None or (event.kind in KINDS and event.facts["entry"] == "1.5")
    return event


@pytest.mark.parametrize(
    "watch",
    [
        {"subjects": ("device:",)},
        {"subjects": ("",)},
        {"subjects": ("other", "device:17")},
        {"issuers": ("https://maker.example",)},
        {"subjects": ("other",), "issuers": ("https://maker.example",)},
    ],
)
def test_an_entry_that_is_watched_is_told(watch: dict[str, tuple[str, ...]]) -> None:
    event = said(**watch)
    assert event is not None and event.kind == "alert"
    assert (event.facts["iss"], event.facts["sub"]) == ("https://maker.example", "device:17\x1b[31m")
    assert event.text.isprintable()


@pytest.mark.parametrize(
    "watch",
    [{}, {"subjects": ("evice",)}, {"issuers": ("https://maker.exampl", "https://maker.example/")}, {"issuers": ("",)}],
)
def test_an_entry_that_nobody_watches_is_not_told(watch: dict[str, tuple[str, ...]]) -> None:
    assert said(**watch) is None


def test_an_alert_names_everything_that_matched() -> None:
    event = said(subjects=("device", "d", "x"), issuers=("https://maker.example",))
    assert event is not None
    assert event.facts["matched"] == ["device", "d", "https://maker.example"]


def test_another_statement_than_the_one_that_was_logged_is_told_whoever_watches() -> None:
    event = said(ledgers.anchor(1), subjects=("device",))
    assert event is not None and event.kind == "mismatch"
    assert (event.facts["logged"], event.facts["served"]) == (ENTRY.hex(), statement.entry(ledgers.anchor(1)).hex())


@pytest.mark.parametrize("raw", [b"", b"no statement", RAW[:-1], b"\xd2\x84\x40\xa0\x40\x40"])
def test_a_statement_that_cannot_be_read_is_told(raw: bytes) -> None:
    event = said(raw, statement.entry(raw))
    assert event is not None and event.kind == "unparsable"


@pytest.mark.parametrize("entry", [b"", bytes(31), bytes(33), bytes(65_535)])
def test_an_entry_that_is_no_digest_is_told(entry: bytes) -> None:
    event = said(None, entry)
    assert event is not None and (event.kind, event.facts["code"]) == ("unparsable", "entry_size")


def test_a_statement_that_is_not_for_the_monitor_is_no_event_and_one_that_is_gone_is() -> None:
    assert said(None) is None
    for code in judging.NOT_FOR_US:
        assert judging.missing("1.5", code) is None
    with pytest.raises(Unavailable):
        judging.missing("1.5", "signature_key_unknown")
    event = judging.missing("1.5", "statement_redacted")
    assert event is not None and (event.kind, event.facts["code"]) == ("missing", "statement_redacted")
