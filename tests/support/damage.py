"""Damage to bytes: what a parser has to refuse, and what it may raise on anything at all."""

from collections.abc import Callable, Iterator

from protocol.errors import VigilError


def every_prefix(data: bytes) -> Iterator[bytes]:
    """`data` cut off after each of its bytes but the last, beginning with nothing."""
    for end in range(len(data)):
        yield data[:end]


def every_bit_flip(data: bytes) -> Iterator[bytes]:
    """`data` with each single bit changed."""
    for place in range(len(data)):
        for bit in range(8):
            yield data[:place] + bytes((data[place] ^ 1 << bit,)) + data[place + 1 :]


def read_or_refuse(read: Callable[[bytes], object], data: bytes) -> object | None:
    """What `read` makes of `data`, or None when it refuses with one of our errors; any other exception is a bug."""
    try:
        return read(data)
    except VigilError:
        return None


def accepted(read: Callable[[bytes], object], damaged: Iterator[bytes]) -> list[str]:
    """Which of `damaged` were not refused, in hexadecimal."""
    return [data.hex() for data in damaged if read_or_refuse(read, data) is not None]
