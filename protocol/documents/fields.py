"""What all documents are made of: a CBOR map of one version, with short texts, byte strings and whole numbers by name."""

from collections.abc import Mapping

from protocol import cbor
from protocol.errors import Malformed

SIZE_MAX = 8192  # bytes of a document; a larger one is malformed
NAME_MAX = 128  # characters of a name
TIME_MAX_MS = 1 << 53

Body = Mapping[object, object]


def mapped(data: bytes, names: set[str], *, perhaps: frozenset[str] = frozenset()) -> Body:
    """The fields of a document, version 1: all `names`, and `perhaps` others. Raises Malformed: cbor_*, document_bad."""
    body = cbor.decode(data, size_max=SIZE_MAX)
    fits = isinstance(body, dict) and names <= body.keys() <= names | perhaps
    if not isinstance(body, dict) or not fits or body["v"] != 1 or type(body["v"]) is not int:
        raise Malformed("document_bad", "not this version's fields")
    return body


def text(body: Body, name: str) -> str:
    """A text of 1 to NAME_MAX characters. Raises Malformed: document_bad."""
    value = body[name]
    if not isinstance(value, str) or not 0 < len(value) <= NAME_MAX:
        raise Malformed("document_bad", f"{name} is a short text")
    return value


def octets(body: Body, name: str, size: int) -> bytes:
    """A byte string of `size`. Raises Malformed: document_bad."""
    value = body[name]
    if not isinstance(value, bytes) or len(value) != size:
        raise Malformed("document_bad", f"{name} has {size} bytes")
    return value


def number(body: Body, name: str) -> int:
    """A whole number from 0. Raises Malformed: document_bad."""
    value = body[name]
    if type(value) is not int or not 0 <= value < TIME_MAX_MS:
        raise Malformed("document_bad", f"{name} is a whole number")
    return value
