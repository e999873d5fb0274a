"""`vigil device`: keygen, pair, run, status."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import click

from device_sim import enrolment, service, sources, spool
from device_sim import pair as pairing
from device_sim.settings import SPEED_MAX, SPEED_MIN, Settings
from protocol import config
from protocol.answer import Answer, Host
from protocol.errors import ConfigError
from protocol.keys import device_id

TABLE = "device"
CONFIG_NAME = "vigil.toml"
FILE_SIZE_MAX = 1 << 20  # bytes of a settings file


def _settings(host: Host, file: Path | None, flags: Mapping[str, object]) -> Settings:
    named = file or (Path(host.env["VIGIL_CONFIG"]) if host.env.get("VIGIL_CONFIG") else None)
    chosen = named or (Path(CONFIG_NAME) if Path(CONFIG_NAME).is_file() else None)
    text = ""
    if chosen is not None:
        try:
            with chosen.open("rb") as opened:
                text = opened.read(FILE_SIZE_MAX).decode("utf-8", "replace")
        except OSError as error:
            raise ConfigError("file_unreadable", f"cannot read the settings file {chosen}: {error.strerror}") from error
    return config.resolve(Settings, TABLE, text=text, env=host.env, flags=flags)


_state = click.option("--state", type=click.Path(path_type=Path), help="The device's folder.")
_config = click.option("--config", "file", type=click.Path(path_type=Path), help="Settings file.")


@click.group()
def cli() -> None:
    """The device in a home."""


@cli.command()
@_state
@_config
@click.pass_obj
def keygen(host: Host, state: Path | None, file: Path | None) -> Answer:
    """Make the device's key, once."""
    settings = _settings(host, file, {"state": state})
    public = enrolment.make_key(settings.state).public
    name = device_id(public)
    return Answer(data={"device": name, "key": public.x.hex()}, text=f"device {name}\nkey    {public.x.hex()}")


@cli.command()
@_state
@_config
@click.argument("code")
@click.pass_obj
def pair(host: Host, state: Path | None, file: Path | None, code: str) -> Answer:
    """Join the gateway that shows CODE (the text under its QR code)."""
    settings = _settings(host, file, {"state": state})
    key = enrolment.make_key(settings.state)
    found = pairing.pair(settings.state, key, code)
    return Answer(
        data={"device": found.device, "mqtt": found.mqtt, "gateway": found.gateway_key.hex()},
        text=f"paired as {found.device}; start with `vigil device run --state {settings.state}`",
    )


@cli.command()
@_state
@_config
@click.option("--source", help="simulated:seed=N[,patient=N] or replay:PATH.")
@click.option("--event", "events", multiple=True, help="Of a simulated home: fall@25, vt@30+15, arrest@40.")
@click.option(
    "--speed", type=click.FloatRange(min=SPEED_MIN, max=SPEED_MAX), help="Seconds of the source in one second."
)
@click.option("--record", help="Which record of a file with several.")
@click.option("--from-s", type=float, default=0.0, help="Where in a recording to begin.")
@click.option("--until-s", type=float, help="Where in a recording to end.")
@click.option("--for", "for_s", type=click.FloatRange(min=0.1), help="Seconds to run.")
@click.pass_obj
def run(
    host: Host,
    state: Path | None,
    file: Path | None,
    source: str | None,
    events: tuple[str, ...],
    speed: float | None,
    record: str | None,
    from_s: float,
    until_s: float | None,
    for_s: float | None,
) -> None:
    """Read, sign, keep, send; until the source ends, --for is over, or SIGTERM."""
    settings = _settings(host, file, {"state": state, "source": source, "speed": speed})
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    key = enrolment.load_key(settings.state)
    found = enrolment.load(settings.state, key)
    start_ms = time.time_ns() // 1_000_000
    opened = sources.open_source(
        settings.source,
        start_ms=start_ms,
        events=[sources.parse_event(text) for text in events],
        record=record,
        from_s=from_s,
        until_s=until_s,
    )
    course = service.Course(
        source=opened, start_ms=start_ms, speed=settings.speed, for_s=for_s, drain_s=settings.drain_s
    )
    with enrolment.sole(settings.state):
        kept = spool.Spool(settings.state / enrolment.SPOOL_FILE, bytes_max=settings.spool_bytes)
        try:
            asyncio.run(_serve(settings.state, found, kept, course, host))
        finally:
            kept.close()


async def _serve(
    state: Path, found: enrolment.Enrolment, kept: spool.Spool, course: service.Course, host: Host
) -> None:
    def tell(fact: Mapping[str, object]) -> None:
        if fact["event"] == "ready":
            host.ready()
        if host.json:
            click.echo(json.dumps(fact))
        else:
            click.echo("  ".join(str(value) for value in fact.values()))

    await service.serve(service.Service(state, found, kept, course, tell=tell))


@cli.command()
@_state
@_config
@click.pass_obj
def status(host: Host, state: Path | None, file: Path | None) -> Answer:
    """What is in the spool, what was receipted."""
    settings = _settings(host, file, {"state": state})
    key = enrolment.load_key(settings.state)
    data: dict[str, object] = {"device": device_id(key.public), "paired": False}
    if (settings.state / enrolment.ENROLMENT_FILE).exists():
        data |= {"paired": True, "mqtt": enrolment.load(settings.state, key).mqtt}
    path = settings.state / enrolment.SPOOL_FILE
    if path.exists():
        kept = spool.Spool(path, bytes_max=settings.spool_bytes)
        data |= {name: kept.counter(name) for name in ("boot", "sealed", "receipted", "refused", "evicted")}
        data["waiting"] = kept.count()
        kept.close()
    return Answer(data=data, text="\n".join(f"{name:<10} {value}" for name, value in data.items()))
