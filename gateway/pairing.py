"""Pairing at the gateway: an offer that somebody shows becomes an enrolment, at most once. wire.md, "Pairing".

The answer is kept until the offer ends: a device that lost it on the way gets the same one for the same request.
"""

import asyncio
import hmac
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.keyring import Keyring
from gateway.store import anchors, devices, keys
from gateway.store.writer import KEYS_FILE, Writer
from protocol import documents, pairing, statement
from protocol.errors import BadSignature
from protocol.keys import link_key, x25519_public

NAME_MAX = 64  # characters of a home's name; a longer one is cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """What came of a request. answer: the bytes to answer with; fresh: there is a new enrolment."""

    answer: bytes
    device: str
    fresh: bool


def make_offer(keyring: Keyring, *, address: str) -> pairing.Offer:
    """A new offer; the caller stores it."""
    return pairing.Offer(
        address=address, gateway_key=keyring.key.public, secret=secrets.token_bytes(pairing.SECRET_SIZE)
    )


class Desk:
    """Answers pairing requests. settings: what devices are told, such as the MQTT address."""

    def __init__(self, *, keyring: Keyring, writer: Writer, settings: Mapping[str, str | int]) -> None:
        self._keyring, self._writer, self._settings = keyring, writer, settings
        self._turn = asyncio.Lock()  # two requests under one offer, of which only one may leave anything behind
        self._nobodys = keys.OfferRow(
            secret=secrets.token_bytes(32), name="", expires_ms=0, request=None, answer=None
        )  # without any offer, too, a request of a wrong form is malformed

    async def answer(self, raw: bytes, *, now_ms: int) -> Paired:
        """The answer to a request. Raises Malformed; BadSignature: pair_refused, for anything but an open offer."""
        async with self._turn:
            return await self._answer(raw, now_ms=now_ms)

    async def _answer(self, raw: bytes, *, now_ms: int) -> Paired:
        open_offers = await self._writer.run(lambda conn: keys.offers(conn, now_ms=now_ms), file=KEYS_FILE)
        for offer in (*open_offers, self._nobodys):
            try:
                request = pairing.read_request(raw, secret=offer.secret, gateway_key=self._keyring.key.public)
            except BadSignature:
                continue
            if offer.request is not None:
                if not hmac.compare_digest(offer.request, raw) or offer.answer is None:
                    break
                return Paired(answer=offer.answer, device=request.device, fresh=False)
            return await self._enrol(request, offer, now_ms=now_ms)
        raise BadSignature("pair_refused", "no such offer is open; show a new code with `vigil gateway pair`")

    async def _enrol(self, request: pairing.PairRequest, offer: keys.OfferRow, *, now_ms: int) -> Paired:
        own = secrets.token_bytes(32)
        own_public = x25519_public(own)
        lk = link_key(
            own_secret=own,
            peer_public=request.x25519,
            device_x25519=request.x25519,
            gateway_x25519=own_public,
            device_ed25519=request.device_key.x,
        )
        del own
        link_id = secrets.token_bytes(pairing.LINK_ID_SIZE)
        certificate = self._keyring.device_certificate(request.device, request.device_key.x)
        answer = pairing.answer(
            to=request,
            secret=offer.secret,
            gateway_key=self._keyring.key,
            x25519_public=own_public,
            link_id=link_id,
            certificate=certificate,
            ca=self._keyring.ca_pem,
            settings=self._settings,
        )
        row = self._row(request, link_id, name=offer.name, certificate=certificate, now_ms=now_ms)

        def keep_keys(conn: sqlite3.Connection) -> bool:
            if not keys.use(conn, offer.secret, request=request.raw, answer=answer):
                return False
            keys.put(conn, request.device, lk, now_ms=now_ms)
            return True

        def keep_device(conn: sqlite3.Connection) -> None:
            devices.insert(conn, row)
            anchors.queue(conn, "enrolment", row.statement, now_ms=now_ms)

        await self._writer.run(keep_device)
        # Stop here: an enrolment without keys, which opens and lets in nothing. The offer is good still: the device asks again.
        if not await self._writer.run(keep_keys, file=KEYS_FILE):
            raise BadSignature("pair_refused", "the offer ended meanwhile; show a new code with `vigil gateway pair`")
        # Stop here: the device has no answer, and gets this one for the same request.
        return Paired(answer=answer, device=request.device, fresh=True)

    def _row(
        self, request: pairing.PairRequest, link_id: bytes, *, name: str, certificate: str, now_ms: int
    ) -> devices.DeviceRow:
        key = self._keyring.key
        document = documents.Enrolment(
            salt=secrets.token_bytes(32),
            gateway=key.public.thumbprint,
            device=request.device,
            key=request.device_key.x,
            link=link_id,
            at_ms=now_ms,
        ).encode()
        signed = statement.sign_hash_envelope(
            key,
            iss=key.public.urn,
            sub=documents.enrolment_subject(key.public.thumbprint),
            preimage=document,
            preimage_content_type=documents.ENROLMENT,
        )
        return devices.DeviceRow(
            row_id=0,
            device=request.device,
            key=request.device_key.x,
            link=link_id,
            state="enrolled",
            name=name[:NAME_MAX],
            paired_ms=now_ms,
            changed_ms=now_ms,
            document=document,
            statement=signed,
            certificate=certificate,
        )
