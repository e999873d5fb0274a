"""Certificates for tests: an authority, a server on loopback, devices with Ed25519 keys. Made anew in each run."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and its key as PEM files; public_key: the raw 32 bytes when it is an Ed25519 key."""

    certificate: Path
    key: Path
    public_key: bytes


class Authority:
    """A certificate authority that writes what it issues into a folder."""

    def __init__(self, folder: Path, name: str = "gateway") -> None:
        self._folder = folder
        self._key = Ed25519PrivateKey.generate()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} authority")])
        self.ca = folder / f"{name}-ca.pem"
        usage = x509.KeyUsage(
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
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, None)
        )
        self.ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self) -> Issued:
        """A server's certificate for 127.0.0.1."""
        return self._issue("127.0.0.1", Ed25519PrivateKey.generate(), ExtendedKeyUsageOID.SERVER_AUTH)

    def device(self, device: str, *, elliptic: bool = False) -> Issued:
        """A device's certificate; elliptic: with a P-256 key, which no device has."""
        key = ec.generate_private_key(ec.SECP256R1()) if elliptic else Ed25519PrivateKey.generate()
        return self._issue(device, key, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _builder(self, subject: x509.Name, key: PrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def _issue(self, name: str, key: PrivateKey, usage: x509.ObjectIdentifier) -> Issued:
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if usage == ExtendedKeyUsageOID.SERVER_AUTH:
            address = x509.IPAddress(ipaddress.ip_address(name))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        certificate_path, key_path = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate = builder.sign(self._key, None)
        certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        public = key.public_key().public_bytes_raw() if isinstance(key, Ed25519PrivateKey) else b""
        return Issued(certificate=certificate_path, key=key_path, public_key=public)


def client_context(authority: Authority, issued: Issued | None) -> ssl.SSLContext:
    """A client's TLS context that trusts `authority` and shows `issued`, or nothing."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    if issued is not None:
        context.load_cert_chain(issued.certificate, issued.key)
    return context
