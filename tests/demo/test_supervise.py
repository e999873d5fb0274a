"""The demo's children: their lines are heard, they end in order, and only they are ended."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from deploy.demo import supervise
from deploy.demo.supervise import Crew, environment
from protocol.errors import VigilError

OBEDIENT = """
import signal, sys, time
def leave(*_): print('{"event": "finished"}', flush=True); sys.exit(3)
signal.signal(signal.SIGTERM, leave)
print('noise', flush=True)
print('a secret', file=sys.stderr, flush=True)
print('{"event": "ready", "url": "here"}', flush=True)
time.sleep(60)
"""
STUBBORN = 'import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(\'{"event": "ready"}\', flush=True)\ntime.sleep(60)'


class Scripts(Crew):
    """A crew whose programs are Python texts."""

    async def _spawn(self, words, errors):  # type: ignore[no-untyped-def]
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", words[0], cwd=self.folder, start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=errors,
        )  # fmt: skip


def crew(folder: Path) -> Scripts:
    return Scripts(folder=folder, env=environment(os.environ))


def test_a_program_is_heard_and_ends_when_asked(tmp_path: Path) -> None:
    async def scene() -> tuple[object, object, list[object]]:
        lines: list[object] = []
        one = crew(tmp_path)
        program = await one.start("obedient", OBEDIENT, heard=lambda line: lines.append(line["event"]))
        said = await program.ready()
        code = await one.stop("obedient", grace_s=10)
        assert not one.running
        return said["url"], code, lines

    assert asyncio.run(scene()) == ("here", 3, ["ready", "finished"])
    log = (tmp_path / "obedient.log").read_text()
    assert "a secret" in log and "not a line of JSON: noise" in log


def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    async def scene() -> object:
        one = crew(tmp_path)
        await (await one.start("stubborn", STUBBORN)).ready()
        return await one.stop("stubborn", grace_s=0.2)

    assert asyncio.run(scene()) == -9


def test_all_are_stopped_at_once(tmp_path: Path) -> None:
    async def scene() -> None:
        one = crew(tmp_path)
        programs = [await one.start(f"p{number}", OBEDIENT) for number in range(3)]
        for program in programs:
            await program.ready()
        await one.stop_all(grace_s=10)
        assert all(program.process.returncode == 3 for program in programs)

    asyncio.run(scene())


def test_a_program_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    async def scene() -> None:
        program = await crew(tmp_path).start("broken", "raise SystemExit('no such key')")
        with pytest.raises(VigilError, match="no such key"):
            await program.ready()

    asyncio.run(scene())


def test_a_program_that_never_serves_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "READY_S", 0.3)

    async def scene() -> None:
        one = crew(tmp_path)
        program = await one.start("silent", "import time; time.sleep(60)")
        with pytest.raises(VigilError, match="it says nothing"):
            await program.ready()
        await one.stop_all(grace_s=5)

    asyncio.run(scene())


def test_a_command_gives_its_answer_or_its_complaint(tmp_path: Path) -> None:
    async def scene() -> None:
        one = crew(tmp_path)
        assert await one.command('print(\'{"key": "ab"}\')') == {"key": "ab"}
        with pytest.raises(VigilError, match="wrong key"):
            await one.command("raise SystemExit('wrong key')")

    asyncio.run(scene())


def test_children_do_not_inherit_settings() -> None:
    assert environment({"VIGIL_GATEWAY_PAGE_PORT": "1", "PATH": "/bin", "NOTIFY_SOCKET": "x"}) == {"PATH": "/bin"}
