"""Rotation of a device's key: both keys sign the change over a nonce of the gateway. wire.md, "Identity".

The body is signed by the new key, which proves that the device has it, and that whole is signed by the old key, which hands
over. The nonce makes the change fresh; the boot says from when on: messages of earlier boots are still the old key's. A device
keeps its name, which is that of its first key. Against a stolen key this is no help: then the device is revoked, paired anew.
"""

from dataclasses import dataclass

from protocol import cbor, cose
from protocol.errors import BadSignature, Malformed
from protocol.keys import EDDSA, KEY_SIZE, PublicKey, SigningKey
from protocol.message import BOOT_MAX
from protocol.topics import DEVICE

CONTENT_TYPE = "application/vigil-rotation+cbor"
NONCE_SIZE = 16
SIZE_MAX = 1024  # bytes of a rotation; about 390 are needed, and a larger one is malformed

_NEW_INFO, _OLD_INFO = b"vigil/1/rotate/new", b"vigil/1/rotate/old"
_HEADERS = {cose.ALG, cose.CONTENT_TYPE, cose.KID}
_FIELDS = {"v", "device", "key", "nonce", "boot"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A change of keys. device: its name for life; key: the new one; nonce: the gateway's; boot: the new key's first."""

    device: str
    key: PublicKey
    nonce: bytes
    boot: int

    def key_at(self, boot: int, old: PublicKey) -> PublicKey:
        """Whose signature counts in messages of `boot`."""
        return self.key if boot >= self.boot else old


def sign(*, old: SigningKey, new: SigningKey, device: str, nonce: bytes, boot: int) -> bytes:
    """The rotation of `device` from `old` to `new`. nonce: 16 bytes from the gateway; boot: 1 or more, the new key's first."""
    body = {"v": 1, "device": device, "key": new.public.x, "nonce": nonce, "boot": boot}
    inner = cose.sign1(new, protected=_protected(new.public), payload=cbor.encode(body), aad=_NEW_INFO)
    return cose.sign1(old, protected=_protected(old.public), payload=inner, aad=_OLD_INFO)


def read(raw: bytes, *, old: PublicKey, device: str, nonce: bytes) -> Rotation:
    """The rotation in `raw` of `device`, whose key is `old`, over the `nonce` that the gateway gave it.

    Raises Malformed: cbor_*, cose_*, rotation_shape; BadSignature: kid_mismatch, signature_*, rotation_nonce, rotation_device.
    """
    inner = _opened(raw, old, _OLD_INFO)
    signed = cose.parse_sign1(inner, size_max=SIZE_MAX)
    body = cbor.decode(signed.payload or b"", size_max=SIZE_MAX)
    if not isinstance(body, dict) or body.keys() != _FIELDS or body["v"] != 1 or type(body["v"]) is not int:
        raise Malformed("rotation_shape", "not this version's fields")
    x, boot = body["key"], body["boot"]
    if not isinstance(x, bytes) or len(x) != KEY_SIZE or x == old.x:
        raise Malformed("rotation_shape", "the key is another one, of 32 bytes")
    if type(boot) is not int or not 0 < boot <= BOOT_MAX:
        raise Malformed("rotation_shape", "the boot is one that can follow another")
    found = Rotation(device=_device(body["device"]), key=PublicKey(x), nonce=_nonce(body["nonce"]), boot=boot)
    _opened(inner, found.key, _NEW_INFO)
    if found.nonce != nonce:
        raise BadSignature("rotation_nonce", "not over the nonce that was given")
    if found.device != device:
        raise BadSignature("rotation_device", "the rotation of another device")
    return found


def _protected(key: PublicKey) -> dict[int, object]:
    return {cose.ALG: EDDSA, cose.CONTENT_TYPE: CONTENT_TYPE, cose.KID: key.thumbprint}


def _opened(raw: bytes, key: PublicKey, info: bytes) -> bytes:
    signed = cose.parse_sign1(raw, size_max=SIZE_MAX)
    if signed.unprotected or signed.payload is None or signed.protected.keys() != _HEADERS:
        raise Malformed("rotation_shape", "not a rotation's header")
    if signed.protected[cose.CONTENT_TYPE] != CONTENT_TYPE:
        raise Malformed("rotation_shape", "not a rotation")
    if signed.protected[cose.KID] != key.thumbprint:
        raise BadSignature("kid_mismatch", "signed under the name of another key")
    cose.verify_sign1(signed, key, aad=info)
    return signed.payload


def _device(value: object) -> str:
    if not isinstance(value, str) or not DEVICE.fullmatch(value):
        raise Malformed("rotation_shape", "a device is 16 hex digits")
    return value


def _nonce(value: object) -> bytes:
    if not isinstance(value, bytes) or len(value) != NONCE_SIZE:
        raise Malformed("rotation_shape", f"the nonce has {NONCE_SIZE} bytes")
    return value
