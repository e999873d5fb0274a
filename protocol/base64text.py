"""Bytes as text in base64, one text for each: what others wrote another way is refused. RFC 4648 §4, §3.5."""

import base64

from protocol.errors import Malformed


def encode(data: bytes) -> str:
    """The text, padded."""
    return base64.b64encode(data).decode()


def decode(text: str, *, code: str) -> bytes:
    """Reads what `encode` writes, and nothing else. code: of the error. Raises Malformed."""
    try:
        data = base64.b64decode(text.encode(), validate=True)
    except ValueError as error:  # also a text that has no bytes
        raise Malformed(code, "not base64") from error
    if encode(data) != text:
        raise Malformed(code, "not the one base64 of its bytes")
    return data


def encode_url(data: bytes) -> str:
    """The text of base64url, without padding. RFC 4648 §5, RFC 7515 §2."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_url(text: str, *, code: str) -> bytes:
    """Reads what `encode_url` writes, and nothing else. code: of the error. Raises Malformed."""
    try:
        data = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise Malformed(code, "not base64url") from error
    if encode_url(data) != text:
        raise Malformed(code, "not the one base64url of its bytes")
    return data
