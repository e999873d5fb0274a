"""The device's settings: one frozen value, made once. deploy/vigil.example.toml explains each."""

from dataclasses import dataclass
from pathlib import Path

from protocol.errors import ConfigError

SPEED_MIN, SPEED_MAX = 0.01, 10_000.0
SPOOL_BYTES_MIN = 65_536  # below it a burst of alarms alone would leave no room for readings
DRAIN_MAX_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """[device] of the settings file."""

    state: Path = Path("~/.local/state/vigil/device")
    """Folder of the key, the enrolment and the spool."""
    source: str = "simulated:seed=1"
    """Where readings come from: simulated:seed=N or replay:PATH."""
    speed: float = 1.0
    """Seconds of the source in one second."""
    spool_bytes: int = 268_435_456
    """Messages kept for an absent gateway; about a week of ECG and motion. Beyond it the oldest readings make room."""
    drain_s: float = 15.0
    """When stopping, how long to wait for receipts."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("speed", SPEED_MIN, SPEED_MAX),
            ("spool_bytes", SPOOL_BYTES_MIN, float("inf")),
            ("drain_s", 0.0, DRAIN_MAX_S),
        ):
            if not least <= getattr(self, name) <= most:
                raise ConfigError("settings_bad_value", f"[device] {name} lies between {least:g} and {most:g}")
