"""Decoded readings of the last weeks, sealed under a key of each enrolment: for drawing curves.

A row holds what one commit brought of one device: stretches of samples in one row, everything else in another, because they are
kept for different times; what lies around an alarm is kept until it is erased. It is derived from the record, so it is written
after the record's commit and a lost row costs a piece of curve, never a reading.
"""

import re
import sqlite3
from collections.abc import Iterable, Sequence

import nacl.bindings
import nacl.exceptions
import nacl.utils

from protocol import cbor, content, waves
from protocol.errors import BadSignature

NONCE_SIZE = 24
SPAN_MS = 60_000  # of receiving time in one row at most, also after a commit that was tried for hours
PRUNED_AT_ONCE = 500  # rows in one transaction: commits of the record wait for it

Kept = tuple[int, str, bytes]
"""(received_ms, content type, content)"""
Span = tuple[int, int, int]
"""(device row id, from, to): Unix ms of receiving"""
_MARKS = re.compile(b"|".join(cbor.text(stream) for stream in waves.STREAMS))


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


def split(contents: Iterable[Kept]) -> tuple[list[Kept], list[Kept]]:
    """(everything else, stretches of samples): a content that has both is taken apart into two contents."""
    rest, samples = list[Kept](), list[Kept]()
    for kept in contents:
        received_ms, content_type, data = kept
        if _MARKS.search(data) is None:  # a quick look
            rest.append(kept)
            continue
        body = cbor.decode_loosely(data)
        assert isinstance(body, dict)
        streams = {stream: body.pop(stream) for stream in waves.STREAMS if stream in body}
        if streams:
            head = {"clock": body["clock"], "simulated": body["simulated"]}
            samples.append((received_ms, content_type, cbor.encode_text({**head, **streams})))
            if body == head:
                continue
            data = cbor.encode_text(body)
        rest.append((received_ms, content_type, data))
    return rest, samples


def keep(conn: sqlite3.Connection, device: int, name: str, store_key: bytes, contents: Sequence[Kept]) -> None:
    """Keep what one commit brought of a device, sealed. device: row id; name: what rows are bound to."""
    for samples, part in enumerate(split(contents)):
        for row in _spans(part):
            times = [kept[0] for kept in row]
            conn.execute(
                "INSERT INTO value (device, first_ms, last_ms, sealed, samples, strip) VALUES (?, ?, ?, ?, ?, 0)",
                (device, min(times), max(times), seal(store_key, name, row), samples),
            )


def _spans(contents: list[Kept]) -> list[list[Kept]]:
    """The contents in rows of at most SPAN_MS each, also when the gateway's clock is set back."""
    found: list[list[Kept]] = []
    for kept in contents:
        if found and abs(kept[0] - found[-1][0][0]) < SPAN_MS // 2:
            found[-1].append(kept)
        else:
            found.append([kept])
    return found


def since(
    conn: sqlite3.Connection, device: int, name: str, store_key: bytes, *, from_ms: int
) -> list[tuple[int, content.Content]]:
    """(received_ms, content) of a device from `from_ms` of receiving time on, in the order of receiving; the samples of a
    message are a content of their own."""
    found: list[tuple[int, content.Content]] = []
    rows = conn.execute("SELECT sealed FROM value WHERE device = ? AND last_ms >= ? ORDER BY id", (device, from_ms))
    for (sealed,) in rows:
        for received_ms, content_type, data in unseal(store_key, name, sealed):
            if received_ms >= from_ms:
                found.append((received_ms, content.decode(data, content_type=content_type)))
    return sorted(found, key=lambda each: each[0])


def oldest(conn: sqlite3.Connection) -> int | None:
    """When the oldest row that will be pruned ended, Unix ms; None without one."""
    least = "SELECT MIN(last_ms) AS last_ms FROM value WHERE strip = 0 AND samples ="  # each is one look into the index
    row = conn.execute(f"SELECT MIN(last_ms) FROM ({least} 0 UNION ALL {least} 1)").fetchone()
    return None if row[0] is None else int(row[0])


def hold(conn: sqlite3.Connection, spans: Iterable[Span]) -> None:
    """Keep what lies in these spans until it is erased."""
    conn.executemany(
        "UPDATE value SET strip = 1 WHERE strip = 0 AND device = ? AND last_ms BETWEEN ? AND ? AND first_ms <= ?",
        [(device, from_ms, to_ms + SPAN_MS, to_ms) for device, from_ms, to_ms in spans],
    )


def prune(conn: sqlite3.Connection, *, samples: bool, before_ms: int, most: int = PRUNED_AT_ONCE) -> int:
    """Forget some rows that ended before `before_ms` and lie around no alarm. The number of rows."""
    return conn.execute(
        "DELETE FROM value WHERE id IN (SELECT id FROM value WHERE strip = 0 AND samples = ? AND last_ms < ? LIMIT ?)",
        (int(samples), before_ms, most),
    ).rowcount


def erase(conn: sqlite3.Connection, device: int) -> int:
    """Forget a device's rows; their key is destroyed elsewhere. The number of rows."""
    return conn.execute("DELETE FROM value WHERE device = ?", (device,)).rowcount
