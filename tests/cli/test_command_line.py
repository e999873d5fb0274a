"""The one command line: lazy, honest about exit codes, JSON or nothing on standard output."""

import json
import subprocess
import sys
from pathlib import Path


def run(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`vigil` with `words` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "vigil", *words], capture_output=True, text=True, check=False, timeout=60, env=env
    )


def test_help_imports_no_program() -> None:
    probe = "import sys, vigil\ntry:\n    vigil.main(['--help'])\nexcept SystemExit: pass\n"
    probe += "print([m for m in sys.modules if m.split('.')[0] in ('gateway', 'ledger', 'device_sim', 'deploy')])"
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert shown.stdout.strip().endswith("[]")


def test_an_unknown_command_is_a_usage_error() -> None:
    shown = run("fly")
    assert shown.returncode == 2
    assert "fly" in shown.stderr


def test_evidence_that_cannot_be_read_could_not_be_checked(tmp_path: Path) -> None:
    shown = run("verify", str(tmp_path / "none"), "--trust", str(tmp_path / "none"), "--json")
    assert shown.returncode == 5
    assert json.loads(shown.stdout)["error"] == "file_unreadable"
    assert "cannot read" in shown.stderr


def test_evidence_that_is_not_evidence_fails_verification(tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    trust.write_text("{}")
    bundle = tmp_path / "bundle.cbor"
    bundle.write_bytes(b"\xa0")
    assert run("verify", str(bundle), "--trust", str(trust)).returncode == 5, "trust that says nothing checks nothing"


def test_nobody_listens_for_readiness_and_that_is_fine(tmp_path: Path) -> None:
    import vigil

    vigil._sd_notify({}, b"READY=1")


def test_readiness_reaches_the_service_manager(tmp_path: Path) -> None:
    import socket

    import vigil

    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(5)
        vigil._sd_notify({"NOTIFY_SOCKET": str(path)}, b"READY=1")
        assert manager.recv(64) == b"READY=1"
