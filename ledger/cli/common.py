"""What the ledger's commands share: the option for its folder, settings, files read within a bound and written whole."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from ledger import files, settings
from ledger.contracts import STANDARD
from ledger.log import epochs
from ledger.log.store import Store
from protocol import statement
from protocol.errors import ConfigError, NotFound, ProtocolError, Unavailable

FILE_SIZE_MAX = 1024 * 1024  # bytes of a file given to a command; a larger one is not what it is said to be
CONFIG_VARIABLE, CONFIG_NAME = "VIGIL_CONFIG", "vigil.toml"

write = files.write

STATE = click.option("--state", type=click.Path(path_type=Path), help="The ledger's folder.")


def chosen(env: Mapping[str, str], flags: Mapping[str, object], file: Path | None = None) -> settings.Settings:
    """The ledger's settings. file: given by name, else the one of the environment, else that of this folder.

    Raises ConfigError; Unavailable: file_unreadable, file_too_large.
    """
    return settings.read(text=settings_text(env, file), env=env, flags=flags)


def settings_text(env: Mapping[str, str], file: Path | None = None) -> str:
    """The text of the settings file, empty when there is none. file, raises: as of `chosen`."""
    named = file or (Path(env[CONFIG_VARIABLE]) if env.get(CONFIG_VARIABLE) else None)
    path = named or (Path(CONFIG_NAME) if Path(CONFIG_NAME).is_file() else None)
    return "" if path is None else _text(path)


def read(path: Path, *, size_max: int = FILE_SIZE_MAX) -> bytes:
    """The bytes of a file. Raises Unavailable: file_unreadable, file_too_large."""
    try:
        with path.open("rb") as file:
            data = file.read(size_max + 1)
    except OSError as error:
        raise Unavailable("file_unreadable", f"cannot read {path}: {error.strerror}") from error
    if len(data) > size_max:
        raise Unavailable("file_too_large", f"{path} is larger than {size_max} bytes")
    return data


@contextlib.contextmanager
def newest(folder: Path) -> Iterator[Store]:
    """The log that grows in a ledger's folder, for reading while the ledger may be at work.

    Raises NotFound: state_missing; Unavailable: state_unreadable.
    """
    file = epochs.file_of(epochs.newest(folder))
    if not (folder / file).exists():
        raise NotFound("state_missing", f"there is no ledger in {folder}: run it once")
    with contextlib.closing(Store.reader(folder, file)) as store, store.reading():
        if not store.head().size:
            raise NotFound("state_missing", f"the ledger in {folder} has no genesis yet: run it once")
        yield store


def check_registrable(store: Store, raw: bytes) -> None:
    """Raises ConfigError, with the log's own code, for a statement that the log in `store` would refuse now."""
    head = store.head()
    try:
        STANDARD.judge(store.state, statement.parse(raw), max(now_ms(), head.at_ms), index=head.size)
    except ProtocolError as error:
        raise ConfigError(error.code, f"the log would refuse it: {error.detail}") from error


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def _text(path: Path) -> str:
    try:
        return read(path).decode()
    except UnicodeDecodeError as error:
        raise ConfigError("settings_not_toml", f"the settings file {path} is not text") from error
