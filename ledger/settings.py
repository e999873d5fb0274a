"""Settings of the ledger: the table `[ledger]` of the settings file, `VIGIL_LEDGER_*`, and flags."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from protocol import config
from protocol.errors import ConfigError

TABLE = "ledger"
PORT_MAX = 65_535
ADDRESS = re.compile(r"(?:\[[0-9a-f:]+\]|[0-9a-z.-]{1,253})(?::[1-9][0-9]{0,4})?")  # the port of https is left out
ANSWER_WITHIN_MAX_S = 8.0  # our own client gives up after ten seconds, and would never be told to ask later


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """state: the ledger's folder; origin: its name for the first run, later empty or the same; port 0: any free one.

    metrics_host, metrics_port: counters and health, apart from what the world may see. witness_policy: a C2SP tlog-policy
    file that names this log and its witnesses with their addresses; empty: nobody is asked to cosign. verify_process: whether
    a process beside the ledger's own helps to verify signatures when many wait.
    addresses: host:port, in lower case, under which others call, where a proxy stands in front; empty: the one they reach.
    answer_within_s: how long a client that posts a statement waits for its receipt before it is told to ask later; 0: at once.
    """

    state: Path = Path("~/.local/state/vigil/ledger")
    host: str = "127.0.0.1"
    port: int = 8090
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9103
    origin: str = ""
    addresses: tuple[str, ...] = ()
    answer_within_s: float = 5.0
    witness_policy: str = ""
    verify_process: bool = True

    def __post_init__(self) -> None:
        for name in ("port", "metrics_port"):
            if not 0 <= getattr(self, name) <= PORT_MAX:
                raise ConfigError("settings_bad_value", f"{name} must be between 0 and {PORT_MAX}")
        for address in self.addresses:
            if not ADDRESS.fullmatch(address):
                raise ConfigError("settings_bad_value", "[ledger] addresses are host:port in lower case")
        if not 0 <= self.answer_within_s <= ANSWER_WITHIN_MAX_S:
            raise ConfigError("settings_bad_value", f"answer_within_s must be between 0 and {ANSWER_WITHIN_MAX_S}")


def read(
    *, text: str = "", env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> Settings:
    """The settings from the text of a file, the environment and flags, the last one winning. Raises ConfigError."""
    return config.resolve(Settings, TABLE, text=text, env=env, flags=flags)
