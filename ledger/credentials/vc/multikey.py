"""Keys and bytes as Multibase and Multikey texts. W3C Controlled Identifiers 1.0 §2.2.2 and §2.4."""

from protocol.errors import Malformed
from protocol.keys import PublicKey
from protocol.p256 import P256PublicKey

VerifyingKey = PublicKey | P256PublicKey

TEXT_MAX = (
    128  # characters of a key or a signature; a longer text is refused, for base 58 costs the square of its length
)

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}
_ED25519, _P256 = b"\xed\x01", b"\x80\x24"  # multicodec varints


def base58(data: bytes) -> str:
    """base58btc with its Multibase letter."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "z" + "1" * (len(data) - len(data.lstrip(b"\x00"))) + text


def unbase58(text: str) -> bytes:
    """Reads what `base58` writes. Raises Malformed: multibase_bad."""
    if not text.startswith("z") or len(text) > TEXT_MAX:
        raise Malformed("multibase_bad", "not base58btc with its letter z")
    number = 0
    for character in text[1:]:
        digit = _DIGITS.get(character)
        if digit is None:
            raise Malformed("multibase_bad", "not a letter of base58btc")
        number = number * 58 + digit
    zeros = len(text) - 1 - len(text[1:].lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def encode(key: VerifyingKey) -> str:
    """The key's Multikey: z6Mk... for Ed25519, zDn... for P-256."""
    if isinstance(key, PublicKey):
        return base58(_ED25519 + key.x)
    return base58(_P256 + bytes([2 + (key.y[-1] & 1)]) + key.x)


def decode(text: str) -> VerifyingKey:
    """Reads what `encode` writes, and nothing else. Raises Malformed: multibase_bad, multikey_unknown, key_*."""
    data = unbase58(text)
    if data[:2] == _ED25519:
        return PublicKey(data[2:])
    if data[:2] == _P256 and len(data) == 35 and data[2] in (2, 3):
        return P256PublicKey.from_compressed(data[2:])
    raise Malformed("multikey_unknown", "a key is Ed25519 or P-256")
