"""What a command gives back, and what the command line gives a command: two values, so that programs stay unaware of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of a command. data: what `--json` prints, as one object; text: the same for people."""

    data: Mapping[str, object]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What surrounds a command. env: the environment, read once; json: `--json` was given; ready: tell the service
    manager that the program serves (a no-op without one)."""

    env: Mapping[str, str]
    json: bool
    ready: Callable[[], None]
