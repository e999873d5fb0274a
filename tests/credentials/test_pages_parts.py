"""A verdict in words, and a credential on paper."""

import io
import random
import re

import pytest
import segno

from ledger.credentials import paper
from ledger.credentials.pages import certificate, verdict
from ledger.credentials.pages.certificate import Certificate
from ledger.credentials.pages.verdict import Shown
from ledger.credentials.verdict import Step, Verdict, steps
from ledger.credentials.verdict.steps import FAIL, PASS, UNKNOWN

NOW_MS = 1_800_000_000_000


def alone(step: Step) -> Shown:
    return Shown(title="x", facts={}, verdict=Verdict(steps=(step,), at_ms=NOW_MS))


def shown(*outcomes: str, title: str = "State licence") -> Shown:
    found = [Step(name=name, outcome=outcome, code="x") for name, outcome in zip(verdict.STEPS, outcomes, strict=False)]
    return Shown(title=title, facts={"Number": "<b>1"}, verdict=Verdict(steps=tuple(found), at_ms=NOW_MS))


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        ([PASS] * 10, PASS),
        ([PASS] * 9 + [UNKNOWN], UNKNOWN),
        ([UNKNOWN, FAIL, PASS], FAIL),
        ([FAIL], FAIL),
        ([], UNKNOWN),
    ],
)
def test_only_passed_steps_make_a_credential_valid(outcomes: list[str], whole: str) -> None:
    found = shown(*outcomes)
    assert found.verdict.outcome == whole
    assert ("Valid." in verdict.shown(found)) is (whole == PASS)


def test_every_step_is_asked_and_answered_in_words() -> None:
    for outcome, answer in ((PASS, "Yes"), (FAIL, "No"), (UNKNOWN, "Not known")):
        text = verdict.shown(shown(*[outcome] * len(verdict.STEPS)))
        assert text.count(f">{answer}</strong>") == len(verdict.STEPS)
        for asked, *_ in verdict.STEPS.values():
            assert asked in text
    assert list(verdict.STEPS) == steps.NAMES


def test_how_old_the_grounds_are_is_said() -> None:
    step = Step(name="revocation", outcome=PASS, code="list_fresh", age_ms=3_600_000)
    assert "As known 1 hour ago." in verdict.shown(alone(step))


def test_a_step_without_words_is_said_by_its_code() -> None:
    step = Step(name="<new>", outcome=FAIL, code="<code>")
    text = verdict.shown(alone(step))
    assert "&lt;code&gt;" in text and "<new>" not in text


def test_what_a_credential_says_is_text() -> None:
    assert "<b>" not in verdict.shown(shown(PASS, title="<b>"))


def sheet(raw: bytes) -> str:
    return certificate.sheet(
        Certificate(title="Degree <1>", issuer="College & Co", issued_ms=NOW_MS, facts={"Name": "<i>"}, raw=raw)
    )


def test_the_whole_credential_is_in_the_code_of_its_certificate() -> None:
    raw = random.Random(1).randbytes(400)
    kept = io.BytesIO()
    segno.make(paper.text(raw), error="l").save(kept, kind="png", scale=3)
    drawn = paper.drawn(paper.text(raw), label="The whole credential as a QR code")
    assert drawn in sheet(raw)
    assert paper.carried(paper.read(kept.getvalue())) == raw


def test_a_certificate_names_no_address() -> None:
    text = sheet(b"{}")
    assert re.findall(r"""(?:href|src|action)=["']?""", text) == []
    assert "Degree &lt;1&gt;" in text and "College &amp; Co" in text and "2027-01-15" in text


def test_what_no_code_holds_is_said_on_the_sheet() -> None:
    assert "too large" in sheet(random.Random(1).randbytes(5000))
