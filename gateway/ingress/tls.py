"""TLS 1.3 with certificates on both sides: the listener's context, and the device's key in its certificate."""

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def server_context(*, certificate: Path, key: Path, ca: Path) -> ssl.SSLContext:
    """A context that takes only clients with a certificate of the gateway's own authority `ca` (all PEM files).
    Raises OSError and ssl.SSLError for files that are missing or do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(ca)
    context.num_tickets = 0  # a resumed connection would carry an old certificate past a revocation of its authority
    return context


def ed25519_key(certificate_der: bytes) -> bytes | None:
    """The raw 32-byte Ed25519 key of a certificate; None for another kind of key or for bytes that are none."""
    try:
        key = x509.load_der_x509_certificate(certificate_der).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else None
