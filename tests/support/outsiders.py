"""Witnesses that we did not write, as processes of their own on free ports: aics-witness and litewitness."""

import contextlib
import hashlib
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import merkle, notes
from protocol.keys import PublicKey
from protocol.notes import NoteKey
from tests.support.outside import installed, missing, run
from tests.support.serving import nobody

STARTED_WITHIN_S = 20
LOOK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Outsider:
    """A running witness. vkey: of its cosignatures; folder: where it keeps what it saw."""

    name: str
    vkey: str
    url: str
    folder: Path

    def line(self) -> str:
        """Its line in a policy."""
        return f"witness {self.name} {self.vkey} {self.url}\n"


@contextlib.contextmanager
def aics(folder: Path, *, origin: str, vkey: str) -> Iterator[Outsider]:
    """aics-witness for one log; what it keeps in `folder` stays from one time to the next."""
    program = installed("tlog", "bin/aics-witness")
    folder.mkdir(exist_ok=True)
    url = nobody()
    init = ("init", "-c", "w.json", "--name", "witness.example/aics", "--listen", "127.0.0.1:1")
    made = run(program, *init, cwd=folder)
    assert made.returncode == 0, made.stderr.decode()
    added = run(program, "add-log", "-c", "w.json", "--origin", origin, "--vkey", vkey, cwd=folder)
    assert added.returncode == 0, added.stderr.decode()
    words = [str(program), "serve", "-c", "w.json", "--listen", urlsplit(url).netloc]
    with _process(words, folder, url=url):
        yield Outsider(name="aics", vkey=made.stdout.decode().strip(), url=url, folder=folder)


@contextlib.contextmanager
def lite(folder: Path, *, origin: str, vkey: str) -> Iterator[Outsider]:
    """litewitness for one log, with its key in an ssh-agent of its own.

    witnessctl, which adds a log, cannot be built where Sigsum's modules are not served: its two rows are written here.
    """
    program = installed("litewitness", "litewitness")
    if which("ssh-agent") is None or which("ssh-add") is None:
        missing("ssh-agent is not here: install openssh-client")
    folder.mkdir(exist_ok=True)
    key = Ed25519PrivateKey.from_private_bytes(bytes([21]) * 32)
    public = PublicKey(key.public_key().public_bytes_raw())
    url = nobody()
    words = [str(program), "-db", "w.db", "-name", "witness.example/lite", "-ssh-agent", "agent"]
    words += ["-key", hashlib.sha256(public.x).hexdigest(), "-listen", urlsplit(url).netloc]
    with _process(["ssh-agent", "-D", "-a", "agent"], folder, file="agent"):
        _hand_over(key, folder)
        with _process(words, folder, url=url, number=signal.SIGINT):
            with contextlib.closing(sqlite3.connect(folder / "w.db", timeout=5)) as store, store:
                row = (origin, notes.Checkpoint(origin=origin, size=0, root=merkle.EMPTY_ROOT).text().split("\n")[2])
                store.execute("INSERT OR IGNORE INTO log VALUES (?, 0, ?)", row)
                store.execute("INSERT INTO key SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM key)", (origin, vkey))
            own = NoteKey(name="witness.example/lite", kind=notes.COSIGNATURE, key=public)
            yield Outsider(name="lite", vkey=own.vkey(), url=url, folder=folder)


def _hand_over(key: Ed25519PrivateKey, folder: Path) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    file = folder / "key"
    file.touch(mode=0o600)
    file.write_bytes(private)
    env = {**os.environ, "SSH_AUTH_SOCK": "agent"}
    added = subprocess.run(["ssh-add", "-q", "key"], cwd=folder, env=env, capture_output=True, check=False)
    assert added.returncode == 0, added.stderr.decode()


@contextlib.contextmanager
def _process(
    words: Sequence[str],
    folder: Path,
    *,
    url: str = "",
    file: str = "",
    number: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    """A process while the block runs, from when it takes connections at `url` or made `file`; `number` ends it."""
    log = folder / f"{Path(words[0]).name}.log"
    with log.open("ab") as told:
        process = subprocess.Popen(
            words, cwd=folder, stdin=subprocess.DEVNULL, stdout=told, stderr=told, start_new_session=True
        )
    try:
        ends_s = time.monotonic() + STARTED_WITHIN_S
        while not (_accepts(url) if url else (folder / file).exists()):
            assert process.poll() is None and time.monotonic() < ends_s, log.read_text()
            time.sleep(LOOK_S)
        yield
    finally:
        process.send_signal(number)
        try:
            process.wait(STARTED_WITHIN_S)
        finally:
            process.kill()
            process.wait()


def _accepts(url: str) -> bool:
    place = urlsplit(url)
    try:
        socket.create_connection((place.hostname or "", place.port or 0), timeout=1).close()
    except OSError:
        return False
    return True
