"""The device's folder: its key, and what pairing gave it. Files are whole or absent, and only their owner reads them."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
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
LOCK_FILE = "device.lock"
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
    """Raises NotFound: key_missing; ConfigError: key_bad; Unavailable: state_unreadable."""
    try:
        return SigningKey.from_pem((state / KEY_FILE).read_text())
    except FileNotFoundError as error:
        raise NotFound("key_missing", f"{state} has no key; make one with `vigil device keygen`") from error
    except (Malformed, UnicodeDecodeError) as error:
        raise ConfigError("key_bad", f"{state / KEY_FILE} is damaged") from error
    except OSError as error:
        raise Unavailable("state_unreadable", f"cannot read {state / KEY_FILE}: {error.strerror}") from error


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
    """Raises NotFound: not_enrolled; ConfigError: enrolment_bad, enrolment_other; Unavailable: state_unreadable."""
    try:
        found = _read((state / ENROLMENT_FILE).read_bytes())
    except FileNotFoundError as error:
        raise NotFound(
            "not_enrolled", f"{state} is not paired; run `vigil device pair` with a gateway's code"
        ) from error
    except Malformed as error:
        raise ConfigError("enrolment_bad", f"{state / ENROLMENT_FILE} is damaged; pair again") from error
    except OSError as error:
        raise Unavailable("state_unreadable", f"cannot read {state / ENROLMENT_FILE}: {error.strerror}") from error
    if found.device != device_id(key.public):
        raise ConfigError("enrolment_other", "the enrolment belongs to another key; pair again")
    return found


def _read(raw: bytes) -> Enrolment:
    body = cbor.decode(raw, size_max=SIZE_MAX)
    if not isinstance(body, dict) or body.keys() != {"v", "device", "gateway", "lk", "link", "mqtt"} or body["v"] != 1:
        raise Malformed("enrolment_shape", "not an enrolment")
    for name, size in (("gateway", 32), ("lk", 32), ("link", 4)):
        if not isinstance(body[name], bytes) or len(body[name]) != size:
            raise Malformed("enrolment_shape", f"{name} has {size} bytes")
    check_address(body["mqtt"])
    return Enrolment(
        device=str(body["device"]),
        gateway_key=body["gateway"],
        lk=body["lk"],
        link_id=body["link"],
        mqtt=body["mqtt"],
    )


def check_address(address: object) -> None:
    """Raises Malformed: address_bad, unless it is host:port."""
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise Malformed("address_bad", "an address is host:port")
    try:
        host.encode("idna")  # as a look-up does, which fails then and there on a name that cannot be
    except UnicodeError as error:
        raise Malformed("address_bad", f"{host[:99]!r} cannot be the name of a host") from error


@contextlib.contextmanager
def sole(state: Path) -> Iterator[None]:
    """Hold the folder for one running device: two would share a boot number. Raises ConfigError: state_in_use."""
    descriptor = os.open(state / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                "state_in_use", f"a device is running on {state}; stop it, or name another folder with --state"
            ) from error
        yield
    finally:
        os.close(descriptor)


def erase(state: Path) -> None:
    """Destroy the link key: overwritten, then removed. Raises Unavailable: state_unwritable."""
    path = state / ENROLMENT_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.write(descriptor, bytes(path.stat().st_size))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.unlink()
        _sync_folder(state)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unavailable("state_unwritable", f"cannot erase {path}: {error.strerror}") from error


def keep(path: Path, data: bytes) -> None:
    """Write a file that only its owner reads, all of it or nothing, on the disk when this returns."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise Unavailable("state_unwritable", f"cannot write {path}: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Until its folder is on the disk, a new or removed name is not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
