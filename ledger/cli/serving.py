"""`vigil ledger run`: the service itself."""

import asyncio
import contextlib
import json
from pathlib import Path

import click

from ledger.cli import common
from ledger.log.engine import Engine
from protocol.answer import Host


@click.command()
@common.STATE
@click.option("--host", "address", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (8090); 0 for any free one.")
@click.option("--metrics-port", type=int, help="Port of counters and health (9103); 0 for any free one.")
@click.option("--origin", help="The log's name, for the first run.")
@click.option("--witness-policy", metavar="FILE", help="A tlog-policy with the witnesses to ask; none by default.")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="A settings file; else VIGIL_CONFIG, else ./vigil.toml."
)
@click.pass_obj
def run(
    host: Host,
    state: Path | None,
    address: str | None,
    port: int | None,
    metrics_port: int | None,
    origin: str | None,
    witness_policy: str | None,
    file: Path | None,
) -> None:
    """Serve the ledger until SIGTERM or SIGINT; the first run makes its keys and its first entries."""
    flags = {"state": state, "host": address, "port": port, "metrics_port": metrics_port, "origin": origin}
    flags |= {"witness_policy": witness_policy}
    chosen = common.chosen(host.env, flags, file)
    import uvloop

    from ledger import service  # the other commands work without an HTTP server

    def ready(found: service.Addresses) -> None:
        told = {"event": "ready", "url": found.url, "metrics": found.metrics, "origin": log.origin, "size": log.size}
        click.echo(json.dumps(told) if host.json else f"the ledger {log.origin} serves {found.url}")
        host.ready()

    opened = Engine.open(
        chosen.state,
        now_ms=common.now_ms,
        origin=chosen.origin or None,
        verify_process=chosen.verify_process,
    )
    with contextlib.closing(opened) as log, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(service.serve(log, chosen, ready=ready))
