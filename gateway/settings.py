"""The gateway's settings: one frozen value, made once. deploy/vigil.example.toml explains each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import ConfigError

PORT_MAX = 65_535
BOUNDS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("mqtt_port", "pair_port", "page_port", "metrics_port"), (0, PORT_MAX)),
    "plain_port": (-1, PORT_MAX),
    "verify_processes": (0, 64),
    **dict.fromkeys(("data_rate_per_s", "data_burst", "alarm_rate_per_s", "alarm_burst"), (0.001, 1e9)),
    "keep_waves_hours": (0, 876_000),  # a hundred years, and their milliseconds fit an integer
    "keep_vitals_days": (0, 36_500),
    "anchor_every_s": (0.01, 86_400),
    **dict.fromkeys(("escalate_after_s", "ends_after_s"), (0.01, 86_400)),
}  # least and most; what is not a number is outside
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - hosts to bind to, which are no places to call
_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]{1,253}):([0-9]{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """[gateway] of the settings file. Ports: 0 = any free one; empty texts and paths: not used."""

    state: Path = Path("~/.local/state/vigil/gateway")
    """Folder of keys and databases."""
    mqtt_host: str = "127.0.0.1"
    mqtt_port: int = 8883
    """Where devices connect."""
    mqtt_address: str = ""
    """host:port that devices are told; empty: mqtt_host and the bound port."""
    pair_host: str = "127.0.0.1"
    pair_port: int = 8444
    """Where devices are paired, over HTTPS."""
    pair_address: str = ""
    """host:port in pairing codes; empty: pair_host and pair_port."""
    page_host: str = "127.0.0.1"
    page_port: int = 8443
    """The caregivers' page; loopback only."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9101
    plain_port: int = -1
    """A listener without TLS for benchmarks, on loopback; -1: none."""
    broker_url: str = ""
    """mqtts://host:port of a broker to subscribe to beside the own listener (mqtt:// on loopback only); empty: none."""
    broker_ca: str = ""
    broker_certificate: str = ""
    broker_key: str = ""
    """Files: who signed the broker's certificate, and what the gateway shows to it."""
    verify_processes: int = 1
    """Processes beside the gateway's own for signatures when many messages wait; 0: none."""
    data_rate_per_s: float = 50.0
    data_burst: float = 500.0
    alarm_rate_per_s: float = 1.0
    alarm_burst: float = 10.0
    """Token buckets of each device."""
    keep_waves_hours: float = 72.0
    """How long decoded stretches of samples (ECG, pulse wave, motion) are kept, except around an alarm."""
    keep_vitals_days: float = 90.0
    """How long decoded vital signs are kept for curves."""
    ledger_url: str = ""
    """The ledger's address; empty: batches wait."""
    trust: str = ""
    """File with the ledger's keys; without it the ledger's answers are not checked and evidence cannot be exported."""
    admission: str = ""
    """File with the registry's admission of this gateway's key."""
    anchor_every_s: float = 60.0
    webhook_first: str = ""
    webhook_second: str = ""
    """Addresses that alerts are posted to, at once and when nobody acknowledges."""
    escalate_after_s: float = 60.0
    ends_after_s: float = 240.0
    """When the second step begins, and when the policy ends after it; so often is its end repeated."""
    demo: bool = False
    """Simulated data raises alarms."""

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigError("settings_bad_value", f"[gateway] {name} lies between {least:g} and {most:g}")
        for name in ("mqtt_address", "pair_address"):
            address = getattr(self, name)
            found = _ADDRESS.fullmatch(address)
            if address and (found is None or not 0 < int(found[1]) <= PORT_MAX):
                raise ConfigError("settings_bad_value", f"[gateway] {name} is host:port")
        if self.mqtt_host in EVERYWHERE and not self.mqtt_address:
            raise ConfigError(
                "settings_bad_value",
                f"with mqtt_host {self.mqtt_host}, set mqtt_address: the host:port that devices are told",
            )
