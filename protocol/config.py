"""Settings text to one frozen object: a TOML table, then the environment, then flags; an unknown key is an error.

Pure: the caller reads the file and the environment. A settings class is a frozen dataclass whose fields are
`str`, `int`, `float`, `bool`, `Path` or tuples of `str`, each with a default.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, get_args, get_origin, get_type_hints

from protocol.errors import ConfigError

Settings = TypeVar("Settings")

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
HOST_MAX, LABEL_MAX, PORT_MAX = 253, 63, 65_535


def resolve(
    cls: type[Settings],
    table: str,
    *,
    text: str = "",
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """One `cls` from TOML `text` (its `[table]`), then `env` (`VIGIL_<TABLE>_<KEY>`), then `flags` (None = not given).

    A setting `state` that nobody names is the program's folder in VIGIL_STATE, else in ~/.local/state/vigil.

    Raises ConfigError, which names the key and the fix.
    """
    if not dataclasses.is_dataclass(cls):
        raise AssertionError(f"{cls} is not a dataclass")
    hints = get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]
    chosen: dict[str, object] = {}
    for key, value in _table(text, table).items():
        _known(key, known, f"[{table}] {key}")
        chosen[key] = _typed(value, hints[key], f"[{table}] {key}")
    if env is not None and "state" in known:
        chosen.setdefault("state", state_folder(table, env))
    prefix = f"VIGIL_{table.upper()}_"
    for name, raw in sorted((env or {}).items()):
        if name.startswith(prefix):
            key = name.removeprefix(prefix).lower()
            _known(key, known, name)
            chosen[key] = _from_text(raw, hints[key], name)
    for key, value in (flags or {}).items():
        if value is not None:
            _known(key, known, f"--{key.replace('_', '-')}")
            chosen[key] = _typed(value, hints[key], f"--{key.replace('_', '-')}")
    return cls(**chosen)


def state_folder(program: str, env: Mapping[str, str]) -> Path:
    """Where a program keeps its state when nobody says: in VIGIL_STATE, else where the XDG base directories have it."""
    base = env.get("VIGIL_STATE") or f"{env.get('XDG_STATE_HOME') or '~/.local/state'}/vigil"
    return Path(base).expanduser() / program


def callable_at(host: str, port: int | None) -> bool:
    """Whether a connection to there can be tried at all: 1 to 63 characters between dots, 253 in all, a port above 0.

    Libraries raise something else at each of the others, and only when the connection is made.
    """
    labels = host.removesuffix(".").split(".")
    return (
        len(host) <= HOST_MAX
        and all(0 < len(label) <= LABEL_MAX for label in labels)
        and (port is None or 0 < port <= PORT_MAX)
    )


def _table(text: str, table: str) -> Mapping[str, object]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("settings_not_toml", f"the settings file is not TOML: {error}") from error
    found = document.get(table, {})
    if not isinstance(found, dict):
        raise ConfigError("settings_not_table", f"write [{table}] as a table of keys")
    return found


def _known(key: str, known: list[str], where: str) -> None:
    if key not in known:
        raise ConfigError("settings_unknown_key", f"{where} is not a setting; the settings are: {', '.join(known)}")


def _from_text(raw: str, hint: object, where: str) -> object:
    if hint is bool:
        if raw.lower() in TRUE | FALSE:
            return raw.lower() in TRUE
        raise ConfigError("settings_bad_value", f"{where} must be true or false, not {raw!r}")
    if hint is int or hint is float:
        try:
            return int(raw) if hint is int else float(raw)
        except ValueError as error:
            raise ConfigError("settings_bad_value", f"{where} must be a number, not {raw!r}") from error
    if get_origin(hint) is tuple:
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    return _typed(raw, hint, where)


def _typed(value: object, hint: object, where: str) -> object:
    members = [member for member in get_args(hint) if member is not type(None)]
    if get_origin(hint) is tuple:
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise ConfigError("settings_bad_value", f"{where} must be a list of texts")
    if members:
        return _typed(value, members[0], where)
    if hint is Path and isinstance(value, str | Path):
        return Path(value).expanduser()
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    name = getattr(hint, "__name__", str(hint))
    raise ConfigError("settings_bad_value", f"{where} must be of type {name}, not {type(value).__name__}")
