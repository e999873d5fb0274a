"""Settings of a party: the table `[party]` of the settings file, `VIGIL_PARTY_*`, and flags."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from protocol import config
from protocol.errors import ConfigError
from protocol.keys import PublicKey

TABLE = "party"
PORT_MAX = 65_535
NAME_MAX = 128  # characters, as in an admission
KEEP_DAYS_MAX = 36_525  # a hundred years
SOURCES_MAX = 1024  # addresses of status lists; more are not one organisation's acquaintances
LOOPBACK = ("127.0.0.1", "::1", "localhost")
KEYS_MAX = 1024  # writers or peers; more are not one organisation's acquaintances
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - hosts to bind to, which are no places to call

_KEY = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"https?://(?:\[[0-9a-f:]+\]|[0-9a-z.-]{1,253})(?::[1-9][0-9]{0,4})?")
_SOURCE = re.compile(r"https?://(?:\[[0-9a-f:]+\]|[0-9a-z.-]{1,253})(?::[1-9][0-9]{0,4})?/[\x21-\x7e]{0,1024}\Z")
_DID_WEB = re.compile(r"did:web:[0-9A-Za-z.-]{1,253}(?:%3A[1-9][0-9]{0,4})?(?::[0-9A-Za-z._-]{1,64}){0,4}")
_ADDRESS = re.compile(r"(?:\[[0-9a-f:]+\]|[0-9a-z.-]{1,253})(?::[1-9][0-9]{0,4})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """[party] of the settings file. Ports: 0 = any free one; empty texts: not used."""

    state: Path = Path("~/.local/state/vigil/party")
    """Folder of the key and the outbox."""
    name: str = ""
    """Of the institution, never of a person: what others read at this party's address."""
    host: str = "127.0.0.1"
    port: int = 8091
    addresses: tuple[str, ...] = ()
    """host:port, or a host alone, under which others call: requests that were signed for another are refused. Empty: host
    and port."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9104
    ledger_url: str = ""
    """The ledger's address; empty: statements wait."""
    trust: str = ""
    """File with the ledger's keys; with a ledger_url it has to be there."""
    admission: str = ""
    """File with the registry's admission of this party's key; it is sent to the ledger before anything else."""
    writers: tuple[str, ...] = ()
    """Public keys (64 hex digits) that may queue statements here, which this party then signs; its own key always may."""
    peers: tuple[str, ...] = ()
    """Public keys of other parties that may call this one; with_ledger, those that its log has admitted may too."""
    with_ledger: bool = False
    """Run the ledger of the table [ledger] in the same process, and send to it."""
    url: str = ""
    """Address under which others reach this party, such as https://clinic.example; it stands in credentials, status lists and
    QR codes. Empty: the bound address, which holds on this machine alone."""
    did: str = ""
    """did:web under which this party issues credentials, of the host in url; empty: the did:key of its first issuer key."""
    did_documents: str = ""
    """Folder with DID documents (*.json) of others that are believed; nothing that a credential names is ever fetched."""
    credential_sources: tuple[str, ...] = ()
    """Addresses of others' status lists begin with one of these, or are not fetched."""
    hiring_webhook: str = ""
    """Address that alerts about hiring files are sent to, signed with the party's key; they name no person. Empty: nothing is
    sent."""
    hiring_keep_days: int = 730
    """After so many days the personal data of a hiring file that is over are erased."""
    vc_api: bool = False
    """Answer the W3C VC-API to anybody on loopback, for test suites. It signs with a key that is in no ledger."""

    def __post_init__(self) -> None:
        for name in ("port", "metrics_port"):
            if not 0 <= getattr(self, name) <= PORT_MAX:
                raise ConfigError("settings_bad_value", f"[party] {name} must be between 0 and {PORT_MAX}")
        if len(self.name) > NAME_MAX or not self.name.isprintable():
            raise ConfigError("settings_bad_value", f"[party] name has at most {NAME_MAX} printable characters")
        for name in ("writers", "peers"):
            _check_keys(name, getattr(self, name))
        for address in self.addresses:
            if not _ADDRESS.fullmatch(address):
                raise ConfigError("settings_bad_value", "[party] addresses are host:port in lower case")
        if self.host in EVERYWHERE and not self.addresses:
            raise ConfigError("settings_bad_value", f"with host {self.host}, set addresses: under which others call")
        _check_addresses(self)
        if self.with_ledger and self.ledger_url:
            raise ConfigError("settings_bad_value", "[party] with_ledger runs a ledger here: leave ledger_url empty")
        if self.ledger_url and not self.trust:
            raise ConfigError(
                "trust_missing",
                "with a ledger_url, set trust: the file from `vigil ledger trust`, to check what it says",
            )


def read(
    *, text: str = "", env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> Settings:
    """The settings from the text of a file, the environment and flags, the last one winning. Raises ConfigError."""
    return config.resolve(Settings, TABLE, text=text, env=env, flags=flags)


def keys(listed: tuple[str, ...]) -> dict[bytes, PublicKey]:
    """Public keys of the settings by their thumbprints."""
    found = [PublicKey(bytes.fromhex(each)) for each in listed]
    return {key.thumbprint: key for key in found}


def _check_addresses(chosen: Settings) -> None:
    if chosen.url and not _URL.fullmatch(chosen.url):
        raise ConfigError(
            "settings_bad_value", "[party] url is http(s)://host:port in lower case, and no slash at its end"
        )
    if chosen.did and not _DID_WEB.fullmatch(chosen.did):
        raise ConfigError("settings_bad_value", "[party] did is a did:web, such as did:web:clinic.example")
    if len(chosen.credential_sources) > SOURCES_MAX or not all(_SOURCE.match(one) for one in chosen.credential_sources):
        raise ConfigError(
            "settings_bad_value",
            f"[party] credential_sources are at most {SOURCES_MAX} addresses http(s)://host/ with a slash after the host",
        )
    if chosen.hiring_webhook and not _SOURCE.match(chosen.hiring_webhook):
        raise ConfigError("settings_bad_value", "[party] hiring_webhook is an address http(s)://host/, and so on")
    if not 0 < chosen.hiring_keep_days <= KEEP_DAYS_MAX:
        raise ConfigError("settings_bad_value", f"[party] hiring_keep_days is between 1 and {KEEP_DAYS_MAX}")
    if chosen.vc_api and chosen.host not in LOOPBACK:
        raise ConfigError(
            "settings_bad_value", "[party] vc_api is for tests on this machine: it needs host 127.0.0.1 or ::1"
        )


def _check_keys(name: str, listed: tuple[str, ...]) -> None:
    if len(listed) > KEYS_MAX:
        raise ConfigError("settings_bad_value", f"[party] {name} are at most {KEYS_MAX} keys")
    if not all(_KEY.fullmatch(each) for each in listed):
        raise ConfigError("settings_bad_value", f"[party] {name} are public keys as 64 hex digits in lower case")
