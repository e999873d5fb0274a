"""`vigil demo`: from a signed heartbeat to an alarm with an offline proof, on this machine, by one command."""

import asyncio
import contextlib
import json
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from deploy.demo import script, stage, view
from deploy.demo.picture import HomePicture, Picture
from deploy.demo.report import Report
from deploy.demo.supervise import Crew, environment
from protocol.answer import Answer, Host
from protocol.errors import ConfigError


@click.command()
@click.option(
    "--for",
    "for_s",
    type=click.FloatRange(min=5, max=86_400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the homes live.",
)
@click.option("--homes", type=click.IntRange(1, script.HOMES_MAX), default=3, show_default=True, help="How many homes.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed plays the same lives.")
@click.option("--no-events", is_flag=True, help="Nobody falls and no heart stops.")
@click.option("--replay", type=click.Path(path_type=Path), help="A folder of recordings that the homes play instead.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep everything in this folder: a new or an empty one.")
@click.pass_obj
def demo(
    host: Host, for_s: float, homes: int, seed: int, no_events: bool, replay: Path | None, keep: Path | None
) -> Answer:
    """The whole system on this machine: devices sign, the gateway alarms, a proof is checked offline.

    Exit code 0: everything sent was stored, anchored and verified, and nothing was missed; else 1.
    """
    if replay is not None:
        plans = script.replayed(script.recordings_in(replay.absolute()), homes=homes)
    else:
        plans = script.simulated(seed=seed, homes=homes, for_s=for_s, events=not no_events)
    with _folders(keep) as (folder, results):
        report = asyncio.run(_perform(host, folder, results, plans, for_s=for_s, known=replay is None))
    if report.good:
        return Answer(data=report.data(), text=report.text())
    click.echo(json.dumps(report.data()) if host.json else report.text())
    raise click.exceptions.Exit(1)


async def _perform(
    host: Host, folder: Path, results: Path, plans: tuple[script.HomePlan, ...], *, for_s: float, known: bool
) -> Report:
    """Run the demo with its view; the first Ctrl-C ends it early and in order, the second at once."""
    picture = Picture(homes={plan.name: HomePicture(name=plan.name, shown=plan.shown) for plan in plans})
    crew = Crew(folder=folder, env=environment(host.env))
    enough = asyncio.Event()
    task = asyncio.current_task()
    assert task is not None

    def interrupted() -> None:
        if enough.is_set():
            task.cancel()
        picture.tell("ending early; once more to stop at once")
        enough.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    try:
        async with view.shown(picture, quiet=host.json):
            return await stage.perform(
                crew, plans, picture=picture, for_s=for_s, known=known, enough=enough, results=results
            )
    finally:
        await crew.stop_all(grace_s=stage.LEAVE_S)


@contextlib.contextmanager
def _folders(keep: Path | None) -> Iterator[tuple[Path, Path]]:
    """(where everything lives, where evidence and trust file go): both the folder to keep; or a new one that goes away,
    and one that stays with these two files."""
    if keep is not None:
        folder = keep.absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            full = any(folder.iterdir())
        except OSError as error:
            raise ConfigError("demo_keep", f"--keep {keep}: {error.strerror}") from error
        if full:
            raise ConfigError("demo_keep", f"--keep {keep} is not empty; name a new folder")
        yield folder, folder
        return
    folder, results = (Path(tempfile.mkdtemp(prefix=prefix)) for prefix in ("vigil-demo-", "vigil-evidence-"))
    try:
        yield folder, results
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # it is not empty: somebody may want the evidence
            results.rmdir()


cli = demo
