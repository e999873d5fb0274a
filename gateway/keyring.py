"""The gateway's own keys and certificates in its state folder: made on first use, then only read.

`gateway.key` signs receipts, commands, enrolments and anchors. `ca.key` signs the certificates of devices and of the servers; it
never leaves the folder. Server certificates use P-256, because some TLS stacks know no other; devices use their own Ed25519 keys.
"""

import contextlib
import datetime
import fcntl
import ipaddress
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.errors import ConfigError, Malformed, Unavailable
from protocol.keys import SigningKey

FOLDER, SERVER_FILE = "keys", "server.pem"
CA_DAYS, SERVER_DAYS, DEVICE_DAYS = 3650, 825, 3650
SERVER_RENEW_DAYS = 30  # a server certificate that ends sooner is made anew at the start
BACKDATED = datetime.timedelta(days=1)  # clocks of homes are not always right


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """key: the gateway's identity; ca_pem: certificate of its own CA; folder: where server.pem and server.key are."""

    key: SigningKey = field(repr=False)
    ca_pem: str
    folder: Path
    _ca_key: ec.EllipticCurvePrivateKey = field(repr=False)

    def device_certificate(self, device: str, public_key: bytes) -> str:
        """PEM: this device's name and Ed25519 key (32 bytes), for TLS clients."""
        key = Ed25519PublicKey.from_public_bytes(public_key)
        builder = _certificate(device, key, days=DEVICE_DAYS).issuer_name(_name("Vigil gateway CA"))
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        return _pem(builder.sign(self._ca_key, hashes.SHA256()))

    def device_context(self) -> ssl.SSLContext:
        """TLS 1.3 for devices: a certificate of our CA is required."""
        context = self.server_context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.ca_pem)
        return context

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.3 with our server certificate, for those that do not have one of ours yet."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.folder / SERVER_FILE, self.folder / "server.key")
        context.num_tickets = 0  # no session resumption: every connection shows its certificate
        return context


def opened(state: Path, *, names: tuple[str, ...] | None, now: datetime.datetime) -> Keyring:
    """The keys in `state`, made where they are missing. names: host names and addresses of the server certificate; None: it
    is not looked at, and neither made nor changed.

    Raises Unavailable: keys_unreadable; ConfigError: keys_bad.
    """
    folder = state / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(folder):
            key = _signing_key(folder / "gateway.key")
            ca_key, ca = _authority(folder, now=now)
            if names is not None:
                _server(folder, ca_key, ca, names=names, now=now)
    except OSError as error:
        raise Unavailable("keys_unreadable", f"cannot use the keys in {folder}: {error.strerror}") from error
    except (ValueError, TypeError, Malformed) as error:
        raise ConfigError("keys_bad", f"a key file in {folder} is damaged; restore the folder: {error}") from error
    return Keyring(key=key, ca_pem=_pem(ca), folder=folder, _ca_key=ca_key)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time makes what is missing: two would each go on with a key of its own, and one of them is lost."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def keep(path: Path, data: bytes) -> None:
    """Write a file that only its owner reads, all of it or nothing, and not before it is on the disk."""
    fresh = path.with_suffix(f"{path.suffix}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        raise
    holder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(holder)
    finally:
        os.close(holder)


def _signing_key(path: Path) -> SigningKey:
    if not path.exists():
        keep(path, SigningKey(os.urandom(32)).pem().encode())
    return SigningKey.from_pem(path.read_text())


def _authority(folder: Path, *, now: datetime.datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    path, certificate = folder / "ca.key", folder / "ca.pem"
    if not path.exists():
        keep(path, _private_pem(ec.generate_private_key(ec.SECP256R1())))
    key = _private(path)
    if not certificate.exists():
        builder = _certificate("Vigil gateway CA", key.public_key(), days=CA_DAYS, now=now)
        builder = builder.issuer_name(_name("Vigil gateway CA"))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_ca_usage(), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        keep(certificate, _pem(builder.sign(key, hashes.SHA256())).encode())
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    if found.public_key() != key.public_key():
        raise ValueError("ca.pem is not the certificate of ca.key")
    return key, found


def _server(
    folder: Path,
    ca_key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    *,
    names: tuple[str, ...],
    now: datetime.datetime,
) -> None:
    path, certificate = folder / "server.key", folder / SERVER_FILE
    wanted = _alternatives(names)
    if path.exists() and certificate.exists() and _serves(path, certificate, ca, wanted=wanted, now=now):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _certificate("Vigil gateway", key.public_key(), days=SERVER_DAYS, now=now)
    builder = builder.issuer_name(_name("Vigil gateway CA"))
    builder = builder.add_extension(wanted, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = builder.add_extension(issuer, critical=False)
    keep(path, _private_pem(key))  # Stop here: the certificate is of another key. The next start makes both anew.
    keep(certificate, _pem(builder.sign(ca_key, hashes.SHA256())).encode())


def _serves(
    path: Path,
    certificate: Path,
    ca: x509.Certificate,
    *,
    wanted: x509.SubjectAlternativeName,
    now: datetime.datetime,
) -> bool:
    """Whether the server certificate is of this key, by our authority, for these names, and good for a while."""
    try:
        found, key = x509.load_pem_x509_certificate(certificate.read_bytes()), _private(path)
        found.verify_directly_issued_by(ca)
        named = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False  # nothing hangs on these two files: they can be made anew
    left = found.not_valid_after_utc - now
    return (
        found.public_key() == key.public_key() and named == wanted and left > datetime.timedelta(days=SERVER_RENEW_DAYS)
    )


def _alternatives(names: tuple[str, ...]) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(("localhost", "127.0.0.1", "::1", *names)):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(found)


def _certificate(
    name: str, key: ec.EllipticCurvePublicKey | Ed25519PublicKey, *, days: int, now: datetime.datetime | None = None
) -> x509.CertificateBuilder:
    begin = (now or datetime.datetime.now(datetime.UTC)) - BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=days))
    )


def _ca_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _private(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path.name} is not a P-256 key")
    return key


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
