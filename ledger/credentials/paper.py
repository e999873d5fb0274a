"""A credential or presentation as a QR code on paper or a screen, without a network: deflated, in base45 (RFC 9285).

The code has the whole of it, never an address: nobody who prints, posts or photographs it tells a server whom it is about.
"""

import io
import zlib

import segno
import zxingcpp
from PIL import Image, UnidentifiedImageError

from protocol.errors import Malformed

PREFIX = "VIGIL1:"  # what our codes begin with; everything else in a code is taken as it stands
CARRIED_MAX = 65_536  # bytes of what a code has in it, deflated or not; more is refused, so that no code is a bomb
CODE_MAX = 4296  # characters of the largest QR code that holds letters and digits. ISO/IEC 18004 table 7
PHOTO_MAX = 8_388_608  # bytes of a photo; a larger one is not opened
PIXELS_MAX = 40_000_000  # of a photo, by its header; a larger one is not unpacked
CODES_MAX = 8  # codes in one photo; more are not looked at

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_KINDS = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode])
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def text(raw: bytes) -> str:
    """What a QR code says for a credential. Raises Malformed: code_size, when no code holds it."""
    found = PREFIX + base45(zlib.compress(raw, 9))
    if len(raw) > CARRIED_MAX or len(found) > CODE_MAX:
        raise Malformed("code_size", "no QR code holds so much: hand it over as a file")
    return found


def carried(said: str) -> bytes:
    """The credential in what a QR code says. Raises Malformed: code_bad."""
    if not said.startswith(PREFIX):
        return said.encode()
    unpacked = zlib.decompressobj()
    try:
        found = unpacked.decompress(from_base45(said[len(PREFIX) :]), CARRIED_MAX)
    except zlib.error as error:
        raise Malformed("code_bad", "this QR code holds no credential of ours") from error
    if not unpacked.eof or unpacked.unused_data:
        raise Malformed("code_bad", f"a QR code of ours holds at most {CARRIED_MAX} bytes, and nothing after them")
    return found


def opened(content: bytes) -> bytes:
    """The credential in a file: as it stands, of a code as text, or of the code in a photo. Raises Malformed: photo_*, code_*."""
    if content.startswith(PREFIX.encode()):
        return carried(content.decode("ascii", "replace").strip())
    if content[:1] in (b"{", b"\xd2") or content[:2] == b"ey" or content[:1].isspace():  # JSON, COSE, SD-JWT
        return content
    return carried(read(content))


def drawn(said: str, *, label: str) -> str:
    """A QR code as SVG to put into a page, black on white also where the page is dark. label: what it is, for who hears it."""
    code = segno.make(said, error="l", micro=False, boost_error=True)
    return str(code.svg_inline(scale=4, border=4, dark="#000", light="#fff", omitsize=True, title=label))


def read(photo: bytes) -> str:
    """What the one QR code in a photo says. Raises Malformed: photo_size, photo_bad, photo_without_code, photo_many_codes."""
    if len(photo) > PHOTO_MAX:
        raise Malformed("photo_size", f"a photo has at most {PHOTO_MAX} bytes")
    try:
        with Image.open(io.BytesIO(photo), formats=_FORMATS) as found:
            if found.width * found.height > PIXELS_MAX:
                raise Malformed("photo_size", f"a photo has at most {PIXELS_MAX} pixels")
            grey = found.convert("L")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Malformed("photo_bad", "this is no photo that can be read: PNG and JPEG can") from error
    codes = {code.text for code in zxingcpp.read_barcodes(grey, formats=_KINDS)[:CODES_MAX]}
    if not codes:
        raise Malformed("photo_without_code", "no QR code is found: go nearer, with more light, the whole code in view")
    if len(codes) > 1:
        raise Malformed("photo_many_codes", "there are several QR codes: take one alone")
    return codes.pop()


def base45(data: bytes) -> str:
    """Source: RFC 9285 §4."""
    found = []
    for at in range(0, len(data) - 1, 2):
        high, rest = divmod(data[at] << 8 | data[at + 1], 45 * 45)
        found += [rest % 45, rest // 45, high]
    if len(data) % 2:
        found += [data[-1] % 45, data[-1] // 45]
    return "".join(_ALPHABET[value] for value in found)


def from_base45(said: str) -> bytes:
    """What `base45` wrote. Raises Malformed: code_bad. Source: RFC 9285 §4."""
    try:
        values = [_VALUES[letter] for letter in said]
    except KeyError as error:
        raise Malformed("code_bad", "a letter that base45 does not have") from error
    found = bytearray()
    for at in range(0, len(values), 3):
        group = values[at : at + 3]
        number, size = sum(value * 45**place for place, value in enumerate(group)), len(group) - 1
        if size == 0 or number >= 1 << 8 * size:
            raise Malformed("code_bad", "three letters of base45 are two bytes, and two letters the last one")
        found += number.to_bytes(size, "big")
    return bytes(found)
