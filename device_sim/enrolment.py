"""The device's folder: its key, and what pairing gave it. Files are whole or absent, and only their owner reads them."""

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from device_sim.agent import Link
from protocol import cbor
from protocol.errors import ConfigError, Malformed, NotFound, Unavailable
from protocol.keys import PublicKey, SigningKey, device_id

KEY_FILE, ENROLMENT_FILE, CERTIFICATE_FILE, CA_FILE, SPOOL_FILE = (
    "device.key",
    "enrolment.cbor",
    "client.pem",
    "ca.pem",
    "spool.db",
)
SIZE_MAX = 4096  # bytes of the enrolment file


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What the device keeps of one pairing. mqtt: host:port."""

    device: str
    gateway_key: bytes
    lk: bytes = field(repr=False)
    link_id: bytes
    mqtt: str

    def link(self, key: SigningKey) -> Link:
        """For the agent."""
        return Link(
            device=self.device, key=key, gateway_key=PublicKey(self.gateway_key), lk=self.lk, link_id=self.link_id
        )


def make_key(state: Path) -> SigningKey:
    """A new key, or the one that is there. Raises Unavailable: state_unwritable."""
    path = state / KEY_FILE
    if path.exists():
        return load_key(state)
    key = SigningKey(os.urandom(32))
    keep(path, key.pem().encode())
    return key


def load_key(state: Path) -> SigningKey:
    """Raises NotFound: key_missing; ConfigError: key_bad."""
    try:
        return SigningKey.from_pem((state / KEY_FILE).read_text())
    except FileNotFoundError as error:
        raise NotFound("key_missing", f"{state} has no key; make one with `vigil device keygen`") from error
    except (Malformed, UnicodeDecodeError) as error:
        raise ConfigError("key_bad", f"{state / KEY_FILE} is damaged") from error


def save(state: Path, enrolment: Enrolment, *, certificate: str, ca: str) -> None:
    """Keep an enrolment. The enrolment file comes last: while it is missing, nothing is enrolled."""
    keep(state / CERTIFICATE_FILE, certificate.encode())
    keep(state / CA_FILE, ca.encode())
    body = {
        "v": 1,
        "device": enrolment.device,
        "gateway": enrolment.gateway_key,
        "lk": enrolment.lk,
        "link": enrolment.link_id,
        "mqtt": enrolment.mqtt,
    }
    keep(state / ENROLMENT_FILE, cbor.encode(body))


def load(state: Path, key: SigningKey) -> Enrolment:
    """Raises NotFound: not_enrolled; ConfigError: enrolment_bad."""
    try:
        body = cbor.decode((state / ENROLMENT_FILE).read_bytes(), size_max=SIZE_MAX)
        assert isinstance(body, dict)
        found = Enrolment(
            device=body["device"],
            gateway_key=body["gateway"],
            lk=body["lk"],
            link_id=body["link"],
            mqtt=body["mqtt"],
        )
    except FileNotFoundError as error:
        raise NotFound(
            "not_enrolled", f"{state} is not paired; run `vigil device pair` with a gateway's code"
        ) from error
    except (Malformed, AssertionError, KeyError) as error:
        raise ConfigError("enrolment_bad", f"{state / ENROLMENT_FILE} is damaged; pair again") from error
    if found.device != device_id(key.public):
        raise ConfigError("enrolment_other", "the enrolment belongs to another key; pair again")
    return found


def erase(state: Path) -> None:
    """Destroy the link key: overwritten, then removed."""
    path = state / ENROLMENT_FILE
    with contextlib.suppress(FileNotFoundError):
        size = path.stat().st_size
        keep_open = os.open(path, os.O_WRONLY)
        try:
            os.write(keep_open, bytes(size))
            os.fsync(keep_open)
        finally:
            os.close(keep_open)
        path.unlink()


def keep(path: Path, data: bytes) -> None:
    """Write a file that only its owner reads, all of it or nothing, on the disk when this returns."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        holder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(holder)
        finally:
            os.close(holder)
    except OSError as error:
        raise Unavailable("state_unwritable", f"cannot write {path}: {error.strerror}") from error
