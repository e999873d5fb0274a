"""Settings of a witness: the table `[witness]` of the settings file, `VIGIL_WITNESS_*`, and flags."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from protocol import config
from protocol.errors import ConfigError

TABLE = "witness"
PORT_MAX = 65_535
RATE_MAX_PER_S = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """state: the witness's folder; port 0: any free one; rates: requests of all, new checkpoints of one log.

    metrics_host, metrics_port: counters and health, apart from what the world may see.
    """

    state: Path = Path("~/.local/state/vigil/witness")
    host: str = "127.0.0.1"
    port: int = 8092
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9105
    rate_per_s: float = 50.0
    log_rate_per_s: float = 5.0

    def __post_init__(self) -> None:
        for name in ("port", "metrics_port"):
            if not 0 <= getattr(self, name) <= PORT_MAX:
                raise ConfigError("settings_bad_value", f"{name} must be between 0 and {PORT_MAX}")
        for name in ("rate_per_s", "log_rate_per_s"):
            if not 0.01 <= getattr(self, name) <= RATE_MAX_PER_S:
                raise ConfigError("settings_bad_value", f"{name} must be between 0.01 and {RATE_MAX_PER_S}")


def read(
    *, text: str = "", env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> Settings:
    """The settings from the text of a file, the environment and flags, the last one winning. Raises ConfigError."""
    return config.resolve(Settings, TABLE, text=text, env=env, flags=flags)
