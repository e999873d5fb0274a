"""`vigil credentials hiring`: files of who is hired, asked of the party that runs."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ledger.credentials.cli import common
from ledger.party.peer import Peer
from protocol.answer import Answer, Host

STEPS = ("verify", "hire", "renew", "suspend", "reinstate", "end", "refuse", "erase")
_FILE = click.argument("file")


@click.group()
def hiring() -> None:
    """Hire: what a post needs, what is missing, and what has ended since."""


@hiring.command()
@common.STATE
@common.PARTY
@click.option("--place", default="*", show_default=True, help="Where, as US-CA.")
@click.pass_obj
def posts(host: Host, state: Path | None, party: str | None, place: str) -> Answer:
    """List the usual posts, and what each needs."""
    found = _asked(host, state, party, "GET", f"/posts?place={place}")
    lines = [f"{each['name']}: {', '.join(need['label'] for need in each['needs'])}" for each in found["posts"]]
    return Answer(data=found, text="\n".join(lines))


@hiring.command("open")
@common.STATE
@common.PARTY
@click.option("--post", required=True, help="The name of a usual post, from `posts`.")
@click.option("--place", required=True, help="Where, as US-CA.")
@click.option("--given", required=True, help="The person's given name.")
@click.option("--family", required=True, help="The person's family name.")
@click.option("--birth", help="Date of birth, for lists of who may not be hired.")
@click.option("--npi", help="National Provider Identifier.")
@click.pass_obj
def open_file(
    host: Host, /, state: Path | None, party: str | None, post: str, place: str, **person: str | None
) -> Answer:
    """Open a hiring file for a person and a post."""
    said = {name: text for name, text in person.items() if text is not None}
    found = _asked(host, state, party, "POST", "/files", {"person": said, "usual": post, "place": place})
    return Answer(data=found, text=f"{found['id']}\nnext: vigil credentials hiring ask {found['id']}")


@hiring.command("list")
@common.STATE
@common.PARTY
@click.pass_obj
def listed(host: Host, state: Path | None, party: str | None) -> Answer:
    """List the files, the newest first."""
    found = _asked(host, state, party, "GET", "/files")
    lines = [
        f"{each['id']}  {each['state']:<10} {each['label']}: {each['name'] or 'erased'}" for each in found["files"]
    ]
    return Answer(data=found, text="\n".join(lines) or "there is no file yet")


@hiring.command()
@common.STATE
@common.PARTY
@_FILE
@click.pass_obj
def show(host: Host, state: Path | None, party: str | None, file: str) -> Answer:
    """Show a file: what is missing and why, and what stands against working."""
    found = _asked(host, state, party, "GET", f"/files/{file}")
    return Answer(data=found, text=_text(found))


@hiring.command()
@common.STATE
@common.PARTY
@_FILE
@click.option("--need", "needs", multiple=True, help="Ask for this need alone; else for all that are missing.")
@click.pass_obj
def ask(host: Host, state: Path | None, party: str | None, file: str, needs: tuple[str, ...]) -> Answer:
    """Make a link that asks the person's wallet for what is missing."""
    found = _asked(host, state, party, "POST", f"/files/{file}/requests", {"needs": list(needs)})
    return Answer(data=found, text=f"{found['link']}\nfor the holder: vigil credentials wallet present LINK")


@hiring.command()
@common.STATE
@common.PARTY
@_FILE
@click.argument("event", type=click.Choice(STEPS))
@click.pass_obj
def step(host: Host, state: Path | None, party: str | None, file: str, event: str) -> Answer:
    """Take a file through a step: verify, hire, renew, suspend, reinstate, end, refuse or erase it."""
    found = _asked(host, state, party, "POST", f"/files/{file}/{event}", {})
    head = "done" if found["done"] else "not possible now: what stands against it is below"
    return Answer(data=found, text=f"{head}\n{_text(found['file'])}")


@hiring.command()
@common.STATE
@common.PARTY
@click.option("--standing", is_flag=True, help="Only what still stands.")
@click.pass_obj
def alerts(host: Host, state: Path | None, party: str | None, standing: bool) -> Answer:
    """List what was told: what ends soon, was revoked or suspended, or is on a list."""
    found = _asked(host, state, party, "GET", f"/alerts{'?standing=true' if standing else ''}")
    lines = [_told(each) for each in found["alerts"]]
    return Answer(data=found, text="\n".join(lines) or "nothing")


def _asked(
    host: Host, state: Path | None, party: str | None, method: str, path: str, body: object = None
) -> dict[str, Any]:
    """What the party answers."""

    async def said(peer: Peer) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        media = None if body is None else "application/json"
        return await peer.send(method, f"/credentials/hiring{path}", content, content_type=media)

    found: dict[str, Any] = json.loads(common.called(host, state, party, said))
    return found


def _told(each: dict[str, Any]) -> str:
    when = datetime.fromtimestamp(each["raised_ms"] / 1000, UTC).isoformat(timespec="minutes")
    return f"{when}  {each['file']}  {each['type'] or each['subject']}: {each['code']}"


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['label']}: {found['name'] or 'erased'}, {found['state']}"]
    lines += [f"  missing  {each['label']}: {each['code']}" for each in found["gaps"]]
    lines += [f"  against  {each['subject']}: {each['code']}" for each in found["causes"]]
    lines += [f"  has      {each['type']}: {each['code']}" for each in found["credentials"]]
    return "\n".join(lines)
