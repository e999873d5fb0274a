"""Pairing from the device's side: one HTTPS POST. The exchange authenticates itself; TLS only hides it. wire.md, "Pairing"."""

import contextlib
import http.client
import os
import ssl
from pathlib import Path

from device_sim import enrolment
from device_sim.enrolment import Enrolment
from protocol import pairing
from protocol.errors import Unavailable, VigilError
from protocol.keys import SigningKey, link_key, x25519_public

TIMEOUT_S = 15.0
TRIES = 2  # a lost answer is asked for once more, with the same bytes: to these the gateway gives the same answer


def pair(state: Path, key: SigningKey, text: str) -> Enrolment:
    """Join the gateway that showed `text`. Raises Malformed: offer_shape, address_bad; BadSignature; Unavailable: pair_*."""
    offer = pairing.Offer.from_text(text)
    enrolment.check_address(offer.address)
    secret = os.urandom(32)
    own = x25519_public(secret)
    request = pairing.request(offer=offer, device_key=key, x25519_public=own, nonce=os.urandom(pairing.NONCE_SIZE))
    raw = _post(offer.address, request)
    answer = pairing.read_answer(raw, offer=offer, request_raw=request, device_key=key.public)
    mqtt = str(answer.settings.get("mqtt", ""))
    enrolment.check_address(mqtt)
    lk = link_key(
        own_secret=secret,
        peer_public=answer.x25519,
        device_x25519=own,
        gateway_x25519=answer.x25519,
        device_ed25519=key.public.x,
    )
    del secret
    found = Enrolment(
        device=answer.device,
        gateway_key=offer.gateway_key.x,
        lk=lk,
        link_id=answer.link_id,
        mqtt=mqtt,
    )
    enrolment.save(state, found, certificate=answer.certificate, ca=answer.ca)
    return found


def _post(address: str, body: bytes) -> bytes:
    for _ in range(TRIES - 1):
        with contextlib.suppress(Unavailable):
            return _exchange(address, body)
    return _exchange(address, body)


def _exchange(address: str, body: bytes) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the answer is signed by the key in the code, and bound to its secret
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPSConnection(host.strip("[]"), int(port), timeout=TIMEOUT_S, context=context)
    try:
        connection.request("POST", "/pair", body=body, headers={"content-type": pairing.CONTENT_TYPE})
        response = connection.getresponse()
        raw = response.read(pairing.ANSWER_SIZE_MAX + 1)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable("pair_unreachable", f"cannot reach the gateway at {address}: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        said = raw[:300].decode("utf-8", "replace")
        kind = Unavailable if response.status >= 429 else VigilError
        raise kind("pair_refused", f"the gateway refused ({response.status}): {said}")
    return raw
