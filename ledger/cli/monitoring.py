"""`vigil ledger monitor`: follow a log that others run, and say what is wrong or of interest in it."""

import asyncio
import contextlib
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger import keyfile
from ledger.cli import common
from protocol import evidence
from protocol.answer import Host
from protocol.errors import Unavailable

if TYPE_CHECKING:
    from ledger.monitor.judging import Event

EVERY_S = 60.0


@click.command()
@click.argument("url")
@click.option("--trust", "trust_file", required=True, type=click.Path(path_type=Path), help="The logs you trust.")
@click.option("--state", required=True, type=click.Path(path_type=Path), help="The monitor's folder, one for each log.")
@click.option("--subject", "subjects", multiple=True, metavar="PREFIX", help="Tell of entries whose subject begins so.")
@click.option("--issuer", "issuers", multiple=True, metavar="NAME", help="Tell of entries by this issuer.")
@click.option("--key", type=click.Path(path_type=Path), help="A member's key in PEM, for statements kept for members.")
@click.option("--every", "every_s", type=click.FloatRange(min=1), default=EVERY_S, help="Seconds between rounds (60).")
@click.option("--once", is_flag=True, help="One round only.")
@click.pass_obj
def monitor(
    host: Host,
    url: str,
    trust_file: Path,
    state: Path,
    subjects: tuple[str, ...],
    issuers: tuple[str, ...],
    key: Path | None,
    every_s: float,
    once: bool,
) -> None:
    """Follow the log at URL: check each checkpoint, read every entry, tell of what is watched; until SIGTERM or SIGINT.

    Each event is told at least once; after a kill some are told again. Exits with 4 when the log shrank, forked or lied, and
    leaves both checkpoints in the folder; with --once also 5 when it could not be checked.
    """
    trusted = evidence.Trust.from_json(common.read(trust_file))
    from ledger.client import AsyncClient
    from ledger.monitor import following, judging, kept

    def tell(event: "Event") -> None:
        line = json.dumps({"event": event.kind, **event.facts}) if host.json else f"{event.kind}: {event.text}"
        click.echo(line)

    async def followed() -> None:
        auth = None
        if key is not None:
            from ledger.signing import Signed

            secret = keyfile.load(key, fix="--key names a member's private key")
            auth = Signed(secret, now_s=lambda: common.now_ms() // 1000)
        async with AsyncClient(url, auth=auth) as client:
            one = following.Monitor(
                client=client,
                policy=trusted.policy,
                folder=folder,
                watch=judging.Watch(subjects=subjects, issuers=issuers),
                tell=tell,
                now_ms=common.now_ms,
            )
            await (one.round() if once else following.follow(one, every_s=every_s, tell=tell))

    async def until_stopped() -> None:
        task = asyncio.create_task(followed(), name="monitor")
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError as error:
            if once:
                raise Unavailable("stopped", "stopped before the log was checked") from error

    with contextlib.closing(kept.Folder(state)) as folder:
        asyncio.run(until_stopped())
