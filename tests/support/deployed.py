"""What files of `deploy/` say, read without a YAML library or systemd: units, the compose file, words of commands."""

import re
import shlex
from collections.abc import Mapping, Sequence

import click

import vigil
from tests.support.tools import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
SERVICE_VARIABLES = {"VIGIL_CONFIG"}  # read by every program; all others are settings of one


def taken(words: Sequence[str]) -> click.Command:
    """The leaf command that `words` after `vigil` call, once its options were read. Raises click.UsageError."""
    command: click.Command = vigil.cli
    rest = list(words)
    while isinstance(command, click.Group):
        with click.Context(command) as context:
            found = command.get_command(context, rest[0]) if rest else None
        if found is None:
            raise click.UsageError(f"there is no command {rest[:1]}")
        command, rest = found, rest[1:]
    with command.make_context(command.name, rest):
        return command


def unit(name: str) -> Mapping[str, Mapping[str, list[str]]]:
    """A unit file: for each section, the values of each key in order."""
    found: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd" / f"vigil-{name}.service").read_text().splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = found.setdefault(match[1], {})
        elif line and not line.startswith(("#", ";")):
            key, separator, value = line.partition("=")
            assert separator and re.fullmatch(r"[A-Z]\w+", key), line
            section.setdefault(key, []).append(value)
    return found


def environment(section: Mapping[str, list[str]]) -> dict[str, str]:
    """The variables that a unit sets."""
    pairs = [one for value in section.get("Environment", []) for one in shlex.split(value)]
    return dict(pair.split("=", 1) for pair in pairs)


def services() -> Mapping[str, Mapping[str, str]]:
    """The services of the compose file: for each, the text of each key with what is below it."""
    text = re.sub(r"\s+#.*$", "", (DEPLOY / "compose.yaml").read_text(), flags=re.MULTILINE)
    blocks = re.split(r"^  (\w+):$", text.split("\nservices:\n", 1)[1].split("\nvolumes:", 1)[0], flags=re.MULTILINE)
    assert blocks[0].strip() == "" and len(blocks) > 3
    found = {}
    for name, block in zip(blocks[1::2], blocks[2::2], strict=True):
        keys = re.split(r"^    (\w+):", block, flags=re.MULTILINE)
        found[name] = {key: value.strip() for key, value in zip(keys[1::2], keys[2::2], strict=True)}
    return found
