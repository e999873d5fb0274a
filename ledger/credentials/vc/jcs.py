"""JSON as one text: read strictly, and written canonically. RFC 8259, RFC 7493 (I-JSON), RFC 8785 (JCS)."""

import json
from typing import Any

import rfc8785

from protocol.errors import Malformed

SIZE_MAX = 262_144  # bytes of a document; a larger one is refused unread
DEPTH_MAX = 32  # of objects and lists within each other; a deeper document is refused
NUMBER_MAX = (1 << 53) - 1  # numbers beyond are not the same everywhere; they are refused. RFC 7493 §2.2


def parse(data: bytes | str, *, size_max: int = SIZE_MAX) -> dict[str, Any]:
    """The object in a JSON text. Raises Malformed: json_size, json_syntax, json_member_twice, json_depth, json_number,
    json_object."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > size_max:
        raise Malformed("json_size", f"at most {size_max} bytes")
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        if "\\u" in text:  # an escape can name half a character, which nobody could write again
            json.dumps(value, ensure_ascii=False).encode()
    except Malformed:
        raise
    except (ValueError, RecursionError) as error:
        raise Malformed("json_syntax", "not a JSON text in UTF-8") from error
    if not isinstance(value, dict):
        raise Malformed("json_object", "not an object")
    check(value)
    return value


def canonical(value: object) -> bytes:
    """The one text of a value. Raises Malformed: json_depth, json_number, json_canonical."""
    plain = check(value)
    try:
        if plain:  # then RFC 8785 asks for what the standard library writes, which is ten times as fast
            text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False)
            return text.encode()
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # what it does not take, it refuses
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise Malformed("json_canonical", "a value that has no canonical text") from error


def check(value: object, depth: int = 1) -> bool:
    """Raises Malformed: json_depth, json_number; what a value may be that travels.

    Whether it is of texts, whole numbers, truths and nulls alone, under names in ASCII.
    """
    if depth > DEPTH_MAX:
        raise Malformed("json_depth", f"at most {DEPTH_MAX} objects and lists within each other")
    if isinstance(value, str) or value is None:
        return True
    plain = True
    if isinstance(value, dict):
        for name, each in value.items():
            if (
                type(each) is not str or depth == DEPTH_MAX
            ):  # most are texts, and a call for each of them costs more than it
                plain = check(each, depth + 1) and plain
            plain = plain and isinstance(name, str) and name.isascii()
        return plain
    if isinstance(value, list):
        for each in value:
            if type(each) is not str or depth == DEPTH_MAX:
                plain = check(each, depth + 1) and plain
        return plain
    if isinstance(value, int | float) and not abs(value) <= NUMBER_MAX:  # also what is no number, and what has no end
        raise Malformed("json_number", "a number that not every reader can hold")
    return isinstance(value, int)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("json_member_twice", "a member stands twice in one object")
    return found


def _no_constant(name: str) -> None:
    raise Malformed("json_number", f"{name} is no JSON number")
