"""The device's settings: one frozen value, made once. deploy/vigil.example.toml explains each."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """[device] of the settings file."""

    state: Path = Path("device")
    """Folder of the key, the enrolment and the spool."""
    source: str = "simulated:seed=1"
    """Where readings come from: simulated:seed=N or replay:PATH."""
    speed: float = 1.0
    """Seconds of the source in one second."""
    spool_bytes: int = 268_435_456
    """Messages kept for an absent gateway; about a week of ECG and motion. Beyond it the oldest readings make room."""
    drain_s: float = 15.0
    """When stopping, how long to wait for receipts."""
