"""Status lists: one bit for each credential, in lists so large that who fetches one tells nobody which bit it looks at.

W3C Bitstring Status List v1.0. Index 0 is the left-most bit.
"""

import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.credentials import model
from ledger.credentials.vc import contexts, datamodel, times
from protocol import base64text
from protocol.errors import Malformed

LIST_TYPE, SUBJECT_TYPE, ENTRY_TYPE = "BitstringStatusListCredential", "BitstringStatusList", "BitstringStatusListEntry"
ENCODED_MAX = 4_194_304  # characters of an encoded list; a longer one is refused before it is opened
SIGNED_MAX = ENCODED_MAX + 65_536  # bytes of a list credential

_LEVEL = 6  # of the compression: 9 takes three times as long for the same size
_CHUNK = 1 << 16


class Bits:
    """The bits of one list. size: how many; a multiple of 8."""

    __slots__ = ("_data", "size")

    def __init__(self, size: int, data: bytes | None = None) -> None:
        if not model.LIST_SIZE_MIN <= size <= model.LIST_SIZE_MAX or size % 8:
            raise Malformed(
                "list_size", f"a list has {model.LIST_SIZE_MIN} to {model.LIST_SIZE_MAX} entries, in whole bytes"
            )
        self.size = size
        self._data = bytearray(size // 8) if data is None else bytearray(data)

    def __getitem__(self, index: int) -> bool:
        self._check(index)
        return bool(self._data[index >> 3] & (0x80 >> (index & 7)))

    def set(self, index: int, value: bool) -> None:
        """Raises Malformed: list_index."""
        self._check(index)
        if value:
            self._data[index >> 3] |= 0x80 >> (index & 7)
        else:
            self._data[index >> 3] &= ~(0x80 >> (index & 7)) & 0xFF

    def count(self) -> int:
        """How many bits are set."""
        return int.from_bytes(self._data, "big").bit_count()

    def copy(self) -> "Bits":
        """Another one, the same for now."""
        return Bits(self.size, bytes(self._data))

    def encoded(self) -> str:
        """GZIP in multibase base64url; the same bits are always the same text."""
        return "u" + base64text.encode_url(gzip.compress(bytes(self._data), _LEVEL, mtime=0))

    @classmethod
    def decode(cls, text: str) -> "Bits":
        """Reads what `encoded` writes, and other compressions of it. Raises Malformed: list_encoding, list_size."""
        if not text.startswith("u") or len(text) > ENCODED_MAX:
            raise Malformed("list_encoding", f"at most {ENCODED_MAX} characters of multibase base64url")
        data = _inflated(base64text.decode_url(text[1:], code="list_encoding"))
        return cls(len(data) * 8, data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bits) and other._data == self._data

    __hash__ = None  # type: ignore[assignment]

    def _check(self, index: int) -> None:
        if not 0 <= index < self.size:
            raise Malformed("list_index", "the list has no such entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where the status of a credential stands. url: of the list credential."""

    purpose: str
    index: int
    url: str

    def said(self) -> dict[str, str]:
        """The item of credentialStatus."""
        return {
            "id": f"{self.url}#{self.index}",
            "type": ENTRY_TYPE,
            "statusPurpose": self.purpose,
            "statusListIndex": str(self.index),
            "statusListCredential": self.url,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusList:
    """A list as it was read, its signature checked by nobody yet. valid_until_ms: None: it says nothing of its end."""

    url: str
    issuer: str
    purpose: str
    bits: Bits
    valid_from_ms: int | None
    valid_until_ms: int | None


def credential(*, url: str, issuer: str, purpose: str, bits: Bits, from_ms: int, until_ms: int) -> dict[str, Any]:
    """The list as a credential that is to be signed."""
    return {
        "@context": [contexts.V2],
        "id": url,
        "type": [datamodel.CREDENTIAL, LIST_TYPE],
        "issuer": issuer,
        "validFrom": times.write(from_ms),
        "validUntil": times.write(until_ms),
        "credentialSubject": {
            "id": f"{url}#list",
            "type": SUBJECT_TYPE,
            "statusPurpose": purpose,
            "encodedList": bits.encoded(),
        },
    }


def read_list(claims: Mapping[str, Any]) -> StatusList:
    """The list in a list credential. Raises Malformed: list_*, vc_*."""
    datamodel.check_credential(claims)
    subjects = datamodel.subjects_of(claims)
    if LIST_TYPE not in datamodel.types_of(claims) or len(subjects) != 1:
        raise Malformed("list_type", f"a status list is a {LIST_TYPE}")
    subject = subjects[0]
    url, purpose, encoded = claims.get("id"), subject.get("statusPurpose"), subject.get("encodedList")
    if subject.get("type") != SUBJECT_TYPE or purpose not in model.PURPOSES or not isinstance(encoded, str):
        raise Malformed("list_type", f"a {SUBJECT_TYPE} has a purpose and its bits")
    if not isinstance(url, str):
        raise Malformed("list_type", "a status list has its address as its id")
    first, last = datamodel.period(claims)
    return StatusList(
        url=url,
        issuer=datamodel.issuer_of(claims),
        purpose=str(purpose),
        bits=Bits.decode(encoded),
        valid_from_ms=first,
        valid_until_ms=last,
    )


def entries_of(claims: Mapping[str, Any]) -> dict[str, Entry]:
    """The status entries of a credential, by purpose. Raises Malformed: status_entry."""
    found: dict[str, Entry] = {}
    for each in datamodel.listed(claims, "credentialStatus"):
        match each:
            case {
                "type": "BitstringStatusListEntry",
                "statusPurpose": str(purpose),
                "statusListIndex": str(index),
                "statusListCredential": str(url),
            } if purpose in model.PURPOSES and index.isascii() and index.isdigit() and len(index) <= 10:
                if purpose in found:
                    raise Malformed("status_entry", "one entry for each purpose")
                found[purpose] = Entry(purpose=purpose, index=int(index), url=url)
            case _:
                raise Malformed("status_entry", f"a status is a {ENTRY_TYPE} for revocation or suspension")
    return found


def free_index(bits_taken: Bits, count: int, random_below: Callable[[int], int]) -> int:
    """A random entry that nobody has. count: how many are taken. Raises Malformed: list_full."""
    free = bits_taken.size - count
    if free <= 0:
        raise Malformed("list_full", "every entry of the list is taken")
    for _ in range(64):  # on a list that is half full, this fails once in 2^64
        index = random_below(bits_taken.size)
        if not bits_taken[index]:
            return index
    wanted = random_below(free)
    return next(index for n, index in enumerate(i for i in range(bits_taken.size) if not bits_taken[i]) if n == wanted)


def _inflated(data: bytes) -> bytes:
    """One GZIP member and nothing behind it, never more than a list may have."""
    size_max = model.LIST_SIZE_MAX // 8
    engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
    found = bytearray()
    try:
        for at in range(0, len(data), _CHUNK):
            found += engine.decompress(data[at : at + _CHUNK], size_max + 1 - len(found))
            if len(found) > size_max or engine.unconsumed_tail:
                raise Malformed("list_size", f"at most {model.LIST_SIZE_MAX} entries")
    except zlib.error as error:
        raise Malformed("list_encoding", "not GZIP") from error
    if not engine.eof or engine.unused_data:
        raise Malformed("list_encoding", "one whole GZIP member and nothing else")
    return bytes(found)
