"""Decoded readings of the last weeks, sealed under a key of each enrolment: for warming detectors and drawing curves.

A row holds what one commit brought of one device. It is derived from the record, so it is written after the record's commit
and a lost row costs a piece of curve, never a reading.
"""

import sqlite3
from collections.abc import Sequence

import nacl.bindings
import nacl.exceptions
import nacl.utils

from protocol import cbor, content
from protocol.errors import BadSignature

NONCE_SIZE = 24
SIZE_MAX = 64 * 1024 * 1024  # bytes of one opened row: 500 messages of 8 KiB are far below

Kept = tuple[int, str, bytes]
"""(received_ms, content type, content)"""


def seal(store_key: bytes, device: str, contents: Sequence[Kept]) -> bytes:
    """XChaCha20-Poly1305 over the contents, bound to the device. nonce first."""
    nonce = nacl.utils.random(NONCE_SIZE)
    plain = cbor.encode_text([list(kept) for kept in contents])
    return nonce + nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, device.encode(), nonce, store_key)


def unseal(store_key: bytes, device: str, sealed: bytes) -> list[Kept]:
    """What `seal` sealed. Raises BadSignature: value_tag."""
    try:
        plain = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed[NONCE_SIZE:], device.encode(), sealed[:NONCE_SIZE], store_key
        )
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise BadSignature("value_tag", "a stored row of readings was changed") from error
    rows = cbor.decode_loosely(plain)
    assert isinstance(rows, list)
    return [(received_ms, content_type, data) for received_ms, content_type, data in rows]


def insert(conn: sqlite3.Connection, device: int, first_ms: int, last_ms: int, sealed: bytes) -> None:
    """Keep one sealed row. device: row id."""
    conn.execute(
        "INSERT INTO value (device, first_ms, last_ms, sealed) VALUES (?, ?, ?, ?)", (device, first_ms, last_ms, sealed)
    )


def since(
    conn: sqlite3.Connection, device: int, name: str, store_key: bytes, *, from_ms: int
) -> list[tuple[int, content.Content]]:
    """(received_ms, content) of a device from `from_ms` of receiving time on, in the order of receiving."""
    found: list[tuple[int, content.Content]] = []
    rows = conn.execute("SELECT sealed FROM value WHERE device = ? AND last_ms >= ? ORDER BY id", (device, from_ms))
    for (sealed,) in rows:
        for received_ms, content_type, data in unseal(store_key, name, sealed):
            if received_ms >= from_ms:
                found.append((received_ms, content.decode(data, content_type=content_type)))
    return found


def prune(conn: sqlite3.Connection, *, before_ms: int) -> int:
    """Forget rows that ended before `before_ms`. The number of rows."""
    return conn.execute("DELETE FROM value WHERE last_ms < ?", (before_ms,)).rowcount


def erase(conn: sqlite3.Connection, device: int) -> int:
    """Forget a device's rows; their key is destroyed elsewhere. The number of rows."""
    return conn.execute("DELETE FROM value WHERE device = ?", (device,)).rowcount
