"""Child processes: the programs as commands, their lines of JSON, and an end that reaches only what was started
here."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from protocol.errors import VigilError

READY_S = 30.0  # a program that does not serve by then has failed
COMMAND_S = 30.0  # so has a command that has not ended
LINE_BYTES_MAX = 1 << 20  # a longer line on a program's standard output ends its reading
TOLD_BYTES = 2_000  # of a program's errors, so much is shown when it fails
Line = dict[str, object]


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """The environment of the children: ours without settings of ours, so that the demo is the same everywhere."""
    return {key: value for key, value in base.items() if not key.startswith("VIGIL_") and key != "NOTIFY_SOCKET"}


@dataclass(slots=True)
class Crew:
    """Starts `vigil ...` processes in `folder` and knows each of them. Ctrl-C in a terminal does not reach them (they
    have a session of their own): they are stopped in order instead."""

    folder: Path
    env: Mapping[str, str]
    running: "dict[str, Program]" = field(default_factory=dict)

    async def command(self, *words: str) -> Line:
        """Run one command with --json to its end; its answer. Raises VigilError when it fails."""
        process = await self._spawn(words, asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(COMMAND_S):
                output, errors = await process.communicate()
        except TimeoutError as error:
            raise VigilError("demo_command", f"`vigil {' '.join(words[:2])}` has not ended in time") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            told = errors.decode(errors="replace").strip()[-TOLD_BYTES:]
            raise VigilError("demo_command", f"`vigil {' '.join(words[:2])}` failed ({process.returncode}): {told}")
        answer = json.loads(output)
        return dict(answer)

    async def start(self, name: str, *words: str, heard: Callable[[Line], None] | None = None) -> "Program":
        """Start a program that goes on; its standard error goes to <name>.log, its lines of JSON to `heard`."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as errors:
            process = await self._spawn(words, errors)
        program = Program(name=name, process=process, log=log, heard=heard or _nobody)
        program.listen()
        self.running[name] = program
        return program

    async def stop(self, name: str, *, grace_s: float) -> int | None:
        """Ask one program to end (SIGTERM) and wait; after grace_s, end it. Its exit code; None when there is none so
        named."""
        program = self.running.pop(name, None)
        return None if program is None else await program.stop(grace_s=grace_s)

    def check(self, *names: str) -> None:
        """Raises VigilError when one of these programs has ended."""
        for name in names:
            program = self.running.get(name)
            if program is not None and program.process.returncode is not None:
                code = program.process.returncode
                raise VigilError("demo_ended", f"{name} has ended with {code}: {program.told()}")

    async def stop_all(self, *, grace_s: float) -> None:
        """End whatever still runs, all at once."""
        await asyncio.gather(*(self.stop(name, grace_s=grace_s) for name in list(self.running)))

    async def _spawn(self, words: Sequence[str], errors: object) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "vigil", *words, "--json",
            cwd=self.folder, env=dict(self.env), start_new_session=True, limit=LINE_BYTES_MAX,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=errors,  # type: ignore[arg-type]
        )  # fmt: skip


@dataclass(slots=True)
class Program:
    """One running program; its standard output is read all the time, so that it never waits for us."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    heard: Callable[[Line], None]
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _said: Line = field(default_factory=dict)
    _reader: "asyncio.Task[None] | None" = None

    async def ready(self) -> Line:
        """Its `ready` line. Raises VigilError, with the end of its log, when it does not come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                await self._ready.wait()
        if not self._said:
            raise VigilError("demo_start", f"{self.name} did not start: {self.told() or 'it says nothing'}")
        return self._said

    async def ended(self) -> int:
        """Wait until it ends by itself; its exit code."""
        return await self.process.wait()

    async def stop(self, *, grace_s: float) -> int:
        """SIGTERM, then after grace_s SIGKILL, to this process only. Its exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                code = await self.process.wait()
        except TimeoutError:
            self.process.kill()
            code = await self.process.wait()
        if self._reader is not None:
            await self._reader
        return code

    def told(self) -> str:
        """The end of what it wrote to its log."""
        return self.log.read_bytes()[-TOLD_BYTES:].decode(errors="replace").strip()

    def listen(self) -> None:
        """Begin to read its standard output."""
        self._reader = asyncio.create_task(self._read(), name=f"{self.name} output")

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            try:
                line = json.loads(raw)
            except ValueError:
                line = None
            if not isinstance(line, dict):
                with self.log.open("ab") as log:
                    log.write(b"not a line of JSON: " + raw)
                continue
            if line.get("event") == "ready":
                self._said = line
                self._ready.set()
            self.heard(line)
        self._ready.set()  # closed: who waits need wait no longer


def _nobody(line: Line) -> None:
    """Hears nothing."""
