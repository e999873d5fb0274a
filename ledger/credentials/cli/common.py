"""What the commands share: the party's folder and settings, and calls to the party that runs over them."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import click

from ledger.cli import common
from ledger.party import settings
from ledger.party.node import load_key
from ledger.party.peer import Peer
from ledger.party.settings import Settings
from protocol.answer import Host

FILE_MAX = common.FILE_SIZE_MAX
_T = TypeVar("_T")

STATE = click.option("--state", type=click.Path(path_type=Path), help="The party's folder.")
PARTY = click.option("--party", help="Where the party serves (http:// host and port of [party]).")

now_ms, read, write = common.now_ms, common.read, common.write


def random_bytes(count: int) -> bytes:
    """From the operating system."""
    return os.urandom(count)


def chosen(env: Mapping[str, str], state: Path | None, file: Path | None = None) -> Settings:
    """The party's settings. Raises ConfigError; Unavailable."""
    return settings.read(text=common.settings_text(env, file), env=env, flags={"state": state})


def called(host: Host, state: Path | None, party: str | None, ask: Callable[[Peer], Awaitable[_T]]) -> _T:
    """What the running party answers to a call signed with the key in its folder.

    Raises NotFound: key_missing; PeerRefused; Unavailable: peer_unreachable.
    """
    found = chosen(host.env, state)
    key = load_key(found.state)
    url = party or f"http://{found.host}:{found.port}"

    async def run() -> _T:
        async with Peer(url, key=key, now_s=lambda: now_ms() // 1000) as peer:
            return await ask(peer)

    return asyncio.run(run())
