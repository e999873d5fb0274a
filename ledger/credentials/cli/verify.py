"""`vigil credentials verify` and `pack`: a verdict without a network, from what a party keeps or from a copy of it."""

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from ledger.credentials.cli import common
from protocol.answer import Answer, Host
from protocol.errors import ConfigError, Unavailable, VerificationFailed

_MARKS = {"pass": "+", "fail": "-", "unknown": "?"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@common.STATE
@click.option(
    "--pack",
    type=click.Path(path_type=Path),
    help="What is known, from `vigil credentials pack`; else the party's own.",
)
@click.option(
    "--at", "day", type=click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), help="As it was then, UTC."
)
@click.option("--nonce", help="Of a presentation: the question that it has to answer.")
@click.option("--audience", help="Of a presentation: the name that it has to be made for.")
@click.option(
    "--paper-only", is_flag=True, help="Judge what it says alone, not who brings it: leave the step holder out."
)
@click.option(
    "--age-hours", type=click.FloatRange(0), default=24.0, show_default=True, help="How old may be what is known."
)
@click.pass_obj
def verify(
    host: Host,
    file: Path,
    state: Path | None,
    pack: Path | None,
    day: datetime.datetime | None,
    nonce: str | None,
    audience: str | None,
    paper_only: bool,
    age_hours: float,
) -> Answer:
    """Check a presentation, a credential, or a photo of a printed code; it works offline.

    Exit code 4 when a step fails, 5 when one is not known: what is not known is not valid. A credential alone does not say who
    brings it: its step holder stays unknown, unless --paper-only leaves that out.
    """
    from ledger.credentials import judging, paper  # `pack` needs no reader of photos
    from ledger.credentials.verdict import Ages
    from ledger.credentials.verifying import Verifier

    if (nonce is None) is not (audience is None) or (nonce is not None and day is not None):
        raise ConfigError(
            "question_half", "give --nonce with --audience, and neither with --at: a question is about now"
        )
    raw = common.read(file, size_max=paper.PHOTO_MAX)
    with _known(host, state, pack) as known:
        verifier = Verifier(
            known,
            audience="",
            now_ms=common.now_ms,
            random_bytes=common.random_bytes,
            ages=Ages(facts_ms=round(age_hours * 3_600_000)),
        )
        if nonce is not None and audience is not None:
            answer = verifier.shown(paper.opened(raw), nonce=nonce, audience=audience)
        else:
            answer = verifier.check(paper.opened(raw), at_ms=None if day is None else _ms(day))
    found = judging.described(answer)
    if paper_only:
        found = judging.without(found, "holder")
    text = "\n".join(line for each in found["credentials"] for line in _lines(each))
    if found["outcome"] == "pass":
        return Answer(data=found, text=text)
    if not host.json:
        click.echo(text)
    if found["outcome"] == "fail":
        raise VerificationFailed(_code(found, "fail"), "at least one step failed")
    raise Unavailable(_code(found, "unknown"), "at least one step could not be made, so it is not valid")


@click.command()
@common.STATE
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new file.")
@click.pass_obj
def pack(host: Host, state: Path | None, out: Path) -> Answer:
    """Copy what the party knows of issuers into one file, for `verify --pack` where there is no network."""
    with _known(host, state, None) as known:
        known.pack(out)
        as_of_ms = known.as_of_ms
    when = datetime.datetime.fromtimestamp(as_of_ms / 1000, datetime.UTC).isoformat(timespec="minutes")
    return Answer(data={"out": str(out), "as_of_ms": as_of_ms}, text=f"{out} has what was known at {when}")


@contextlib.contextmanager
def _known(host: Host, state: Path | None, file: Path | None) -> Iterator[Any]:
    from ledger.credentials.registry import Registry

    if file is not None and state is not None:
        raise ConfigError("known_twice", "give --state or --pack, not both")
    with contextlib.closing(Registry.reader(file or common.chosen(host.env, state).state)) as known:
        yield known


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['type'] or 'no credential'}: {found['outcome']}, issued by {found['issuer'] or 'nobody known'}"
    for step in found["steps"]:
        age = "" if step["age_ms"] is None else f", as known {step['age_ms'] // 1000} s before"
        yield f"  {_MARKS[step['outcome']]} {step['name']:<11} {step['outcome']:<8} {step['code']}{age}"


def _code(found: Mapping[str, Any], outcome: str) -> str:
    return next(
        str(step["code"]) for each in found["credentials"] for step in each["steps"] if step["outcome"] == outcome
    )


def _ms(day: datetime.datetime) -> int:
    return round(day.replace(tzinfo=datetime.UTC).timestamp() * 1000)
