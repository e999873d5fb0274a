"""Monitors in this process, a round at a time."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from ledger.client import AsyncClient
from ledger.monitor.following import Monitor
from ledger.monitor.judging import Event, Watch
from ledger.monitor.kept import Folder
from protocol import policy
from tests.support import ledgers

NOTHING = Watch()


class Watcher:
    """A monitor's folder, and what was told by all the monitors that used it. waited: pauses, in s."""

    def __init__(self, folder: Path, trusted: policy.Policy) -> None:
        self._folder, self.policy = folder, trusted
        self.told: list[Event] = []
        self.waited: list[float] = []
        self.keep: Callable[[Event], None] = self.told.append

    def round(self, face: Callable[[httpx.Request], httpx.Response], *, watch: Watch = NOTHING) -> list[Event]:
        """A monitor that starts, makes one round and ends; what it told. Raises as `Monitor.round` does."""
        before = len(self.told)
        asyncio.run(self._round(face, watch))
        return self.told[before:]

    def kinds(self, face: Callable[[httpx.Request], httpx.Response], *, watch: Watch = NOTHING) -> list[str]:
        """The kinds of what one round told."""
        return [event.kind for event in self.round(face, watch=watch)]

    def evidence(self) -> Sequence[Path]:
        """The folders of evidence."""
        return sorted((self._folder / "evidence").glob("*"))

    async def _round(self, face: Callable[[httpx.Request], httpx.Response], watch: Watch) -> None:
        async def wait(pause_s: float) -> None:
            self.waited.append(pause_s)

        with contextlib.closing(Folder(self._folder)) as folder:
            async with AsyncClient("http://ledger.example", transport=httpx.MockTransport(face), pause=wait) as client:
                monitor = Monitor(
                    client=client,
                    policy=self.policy,
                    folder=folder,
                    watch=watch,
                    tell=lambda event: self.keep(event),
                    now_ms=ledgers.Clock(),
                    pause=wait,
                )
                await monitor.round()
