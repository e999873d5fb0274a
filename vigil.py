"""The one command line: picks the program, imports it only then, prints answers and turns errors into exit codes."""

import importlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from protocol.answer import Answer, Host
from protocol.errors import Unavailable, VigilError

PROGRAMS: Mapping[str, tuple[str, str, str]] = {
    "demo": ("deploy.demo.cli", "demo", "the whole system on this machine, from heartbeat to offline proof"),
    "device": ("device_sim.cli", "device", "the device in a home: keygen, pair, run, status"),
    "gateway": ("gateway.cli", "gateway", "the edge gateway: run, pair, devices, alerts, erase, check-config"),
    "party": ("ledger.party.cli", "ledger", "one organisation's node: init, run, status"),
    "credentials": ("ledger.credentials.cli", "ledger", "staff credentials: issue, hold, check, hire"),
    "ledger": ("ledger.cli", "ledger", "the ledger service: run, admit, trust, fsck, verify"),
}
EXIT_CODES = "Exit codes: 0 ok, 1 error, 2 usage or settings, 3 not found, 4 verification failed, 5 could not check."
FILE_SIZE_MAX = 16 * 1024 * 1024  # a larger file given to `verify` is not one of ours: refused unread


def _sd_notify(env: Mapping[str, str], state: bytes) -> None:
    """Tell systemd `state` over the datagram socket it named (sd_notify(3)); nothing without one."""
    address = env.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect("\0" + address[1:] if address.startswith("@") else address)
            notify.sendall(state)


def _host(as_json: bool) -> Host:
    env = dict(os.environ)
    return Host(env=env, json=as_json, ready=lambda: _sd_notify(env, b"READY=1"))


def _json_option(command: click.Command) -> None:
    """Give every leaf command `--json`, and print what it returns."""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            if child is not None:
                _json_option(child)
        return
    if command.callback is None or any(param.name == "as_json" for param in command.params):
        return
    command.params.append(click.Option(["--json", "as_json"], is_flag=True, help="One JSON object on standard output."))
    inner = command.callback

    def callback(*args: Any, as_json: bool, **kwargs: Any) -> None:
        context = click.get_current_context()
        context.obj = _host(as_json)
        try:
            answer = inner(*args, **kwargs)
        except VigilError as error:
            _complain(error, as_json)
            context.exit(error.exit_code)
        if isinstance(answer, Answer):
            click.echo(json.dumps(answer.data) if as_json else answer.text)

    command.callback = callback


def _complain(error: VigilError, as_json: bool) -> None:
    if as_json:
        check = getattr(error, "check", None)  # of an evidence bundle
        numbered = {} if check is None else {"verified": False, "check": check}
        click.echo(json.dumps({"error": error.code, "detail": error.detail, **numbered}))
    click.echo(f"vigil: {error.detail or error.code} [{error.code}]", err=True)


class Programs(click.Group):
    """The programs, imported when asked for, so that a device loads no gateway and an auditor neither."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*PROGRAMS, *super().list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in PROGRAMS:
            return super().get_command(ctx, cmd_name)
        module, extra, _ = PROGRAMS[cmd_name]
        try:
            command: click.Command = importlib.import_module(module).cli
        except ModuleNotFoundError as error:
            raise click.UsageError(
                f"`vigil {cmd_name}` needs {error.name}, which is not installed: pip install 'vigil[{extra}]'"
            ) from error
        _json_option(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, PROGRAMS[name][2]) for name in PROGRAMS]
        rows += [(name, command.get_short_help_str()) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows))


@click.group(cls=Programs, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vigil")
def cli() -> None:
    """Vigil: home-care monitoring that can be proved."""


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_SIZE_MAX + 1)
    except OSError as error:
        raise Unavailable("file_unreadable", f"cannot read the {what} {path}: {error.strerror}") from error
    if len(data) > FILE_SIZE_MAX:
        raise Unavailable("file_too_large", f"the {what} {path} is larger than {FILE_SIZE_MAX} bytes")
    return data


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--trust", required=True, type=click.Path(path_type=Path), help="The keys and policy you trust.")
def verify(file: Path, trust: Path) -> Answer:
    """Check evidence offline: a message's, from the device's signature to the checkpoint, or that of a log against itself."""
    from protocol import conflict, evidence

    data = _read(file, "evidence")
    keys = evidence.Trust.from_json(_read(trust, "trust file"))
    against = conflict.is_one(data)
    found = (
        conflict.describe(conflict.verify(data, keys.policy))
        if against
        else evidence.describe(evidence.verify(data, keys))
    )
    lines = [f"  {name:<14} {value}" for name, value in found.items()]
    return Answer(data={"verified": True, **found}, text="\n".join(["verified", *lines]))


_json_option(verify)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `vigil` command."""
    cli(args=list(arguments) if arguments is not None else None, prog_name="vigil")


if __name__ == "__main__":
    main()
