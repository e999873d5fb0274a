"""A verdict in plain words: what was asked, what came out, and how old what it rests on is. What is not known is never valid."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from ledger.credentials.pages import page
from ledger.credentials.verdict.steps import FAIL, PASS, UNKNOWN, Step, Verdict

OUTCOMES = {PASS: ("good", "Yes"), FAIL: ("bad", "No"), UNKNOWN: ("unsure", "Not known")}

STEPS: Mapping[str, tuple[str, str, str, str]] = {
    "format": (
        "Can it be read?",
        "It is a credential in a form that we know.",
        "It is not a credential, or it is damaged.",
        "Its form could not be looked at.",
    ),
    "signature": (
        "Is it as it was signed?",
        "Nothing was changed since the issuer signed it.",
        "It was changed, or somebody else signed it.",
        "The key that should have signed it is not known here.",
    ),
    "issuer": (
        "Does the issuer stand behind the key?",
        "The issuer has said on the ledger that this key is its own.",
        "This key is not, or no longer, the issuer's.",
        "The ledger was not read far enough to say.",
    ),
    "accredited": (
        "May this issuer vouch for that?",
        "It is accredited for this kind of credential in this place.",
        "It is not accredited for this kind of credential in this place.",
        "Whether it is accredited is not known here.",
    ),
    "logged": (
        "Was it logged?",
        "The ledger has its commitment, made when it was issued.",
        "The ledger has no such commitment: it was made aside, or not by this issuer.",
        "The ledger was not read far enough to say.",
    ),
    "period": (
        "Does it hold on that day?",
        "It has begun and has not ended.",
        "It has ended, or has not begun.",
        "When it holds could not be read.",
    ),
    "revocation": (
        "Is it not revoked?",
        "The newest list of the issuer does not have it.",
        "The issuer has revoked it.",
        "The newest list of the issuer is not here.",
    ),
    "suspension": (
        "Is it not suspended?",
        "The newest list of the issuer does not have it.",
        "The issuer has suspended it for now.",
        "The newest list of the issuer is not here.",
    ),
    "holder": (
        "Does the person it is about show it?",
        "Who shows it has the key that it was issued to, and signed for this very question.",
        "Who shows it has not shown the key that it was issued to.",
        "Nobody was asked to show the key: a file or a printed code alone does not say who brings it.",
    ),
    "content": (
        "Does what it says make sense?",
        "Numbers and dates are as they can be.",
        "Numbers or dates cannot be as they stand.",
        "What it says could not be looked at.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A verdict over one credential. facts: what it says."""

    title: str
    facts: Mapping[str, str]
    verdict: Verdict


def words(step: Step) -> str:
    """What a step found, as a sentence. A step that has no words here is said by its code."""
    texts = STEPS.get(step.name)
    found = dict(zip((PASS, FAIL, UNKNOWN), texts[1:], strict=True)) if texts else {}
    return found.get(step.outcome, step.code)


def shown(found: Shown, *, name: str = "verdict") -> str:
    """A verdict as a part of a page. name: the id of its heading."""
    whole = {
        PASS: page.state("good", "Valid.", "Every step passed."),
        FAIL: page.state("bad", "Not valid.", "At least one step failed."),
        UNKNOWN: page.state("unsure", "Not known, so not valid.", "At least one step could not be made."),
    }[found.verdict.outcome]
    rows = "".join(_step(step) for step in found.verdict.steps)
    asked = f"<p>Asked about <time>{page.day(found.verdict.at_ms)}</time>.</p>"
    inside = f'{whole}{asked}{page.facts(found.facts)}<ol class="steps">{rows}</ol>'
    return page.section(name, found.title, inside)


def _step(step: Step) -> str:
    kind, answer = OUTCOMES[step.outcome]
    asked = STEPS[step.name][0] if step.name in STEPS else step.name
    age = "" if step.age_ms is None else f' <span class="soft">As known {escape(page.age(step.age_ms))}.</span>'
    return (
        f'<li><strong class="{kind}">{answer}</strong> <span>{escape(asked)}</span>'
        f"<p>{escape(words(step))}{age} <code>{escape(step.code)}</code></p></li>"
    )
