"""A signed webhook: HTTP message signatures (RFC 9421) by the gateway's key over a body with its digest (RFC 9530)."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Literal

import httpx

from protocol.keys import SigningKey

TIMEOUT_S = 5.0
LABEL = "vigil"
COMPONENTS = ("@method", "@target-uri", "content-type", "content-digest", "idempotency-key")
ANSWER_MAX = 4096  # bytes of an answer that are read; what it says does not matter

Outcome = Literal["sent", "later", "dead"]


def signed_headers(
    key: SigningKey, *, url: str, body: bytes, idempotency_key: str, created_s: int
) -> Mapping[str, str]:
    """The headers of a POST of `body` to `url`. created_s: Unix time. Source: RFC 9421 §2.5, §3.1; RFC 9530 §2."""
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    values = {
        "@method": "POST",
        "@target-uri": url,
        "content-type": "application/json",
        "content-digest": digest,
        "idempotency-key": f'"{idempotency_key}"',
    }
    covered = " ".join(f'"{name}"' for name in COMPONENTS)
    keyid = base64.urlsafe_b64encode(key.public.thumbprint).rstrip(b"=").decode()
    parameters = f'({covered});created={created_s};keyid="{keyid}";alg="ed25519"'
    base = "\n".join([*(f'"{name}": {values[name]}' for name in COMPONENTS), f'"@signature-params": {parameters}'])
    signature = base64.b64encode(key.sign(base.encode())).decode()
    return {
        "content-type": values["content-type"],
        "content-digest": digest,
        "idempotency-key": values["idempotency-key"],
        "signature-input": f"{LABEL}={parameters}",
        "signature": f"{LABEL}=:{signature}:",
    }


class Webhook:
    """One address. Redirects are not followed: the address is the operator's word."""

    def __init__(self, *, url: str, key: SigningKey, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url, self._key = url, key
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, transport=transport)

    async def send(self, body: bytes, *, idempotency_key: str, now_s: int) -> tuple[Outcome, str]:
        """(what became of it, a code for the record)."""
        headers = signed_headers(self._key, url=self._url, body=body, idempotency_key=idempotency_key, created_s=now_s)
        try:
            async with self._http.stream("POST", self._url, content=body, headers=dict(headers)) as response:
                status = response.status_code
        except httpx.HTTPError as error:
            return "later", type(error).__name__
        if 200 <= status < 300:
            return "sent", str(status)
        if status in (408, 409, 425, 429) or status >= 500:
            return "later", str(status)
        return "dead", str(status)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()
