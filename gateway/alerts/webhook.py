"""A signed webhook: HTTP message signatures (RFC 9421) by the gateway's key over a body with its digest (RFC 9530)."""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from typing import Literal

import httpx

from protocol import config
from protocol.errors import ConfigError
from protocol.keys import SigningKey

TIMEOUT_S = 5.0  # from the first byte sent to the last header read, however slowly they come; then it is tried again
LABEL = "vigil"
COMPONENTS = ("@method", "@target-uri", "content-type", "content-digest", "idempotency-key")
AGAIN = frozenset({408, 409, 425, 429})  # answers below 500 that another try may better

Outcome = Literal["sent", "later", "dead"]


def target(url: str) -> str:
    """The target of a request to `url`, as its receiver sees it: an empty path is "/", no fragment. Raises ConfigError:
    webhook_url for one that cannot be called, or that has a password in it."""
    try:
        read = httpx.URL(str(httpx.URL(url)))  # once more: a port is only left out of a scheme in lower case
        host = read.host
    except (httpx.InvalidURL, UnicodeError) as error:  # also a host that is no internationalised name
        raise ConfigError("webhook_url", "the address of a webhook is not a URL") from error
    if read.scheme not in ("http", "https") or not host:
        raise ConfigError("webhook_url", "the address of a webhook must begin with https:// or http:// and a host")
    if not config.callable_at(host, read.port):
        raise ConfigError("webhook_url", "the address of a webhook has a host or a port that cannot be")
    if read.userinfo:
        raise ConfigError("webhook_url", "the address of a webhook must not have a name or a password in it")
    return f"{read.scheme}://{read.netloc.decode()}{read.raw_path.decode()}"


def signed_headers(
    key: SigningKey, *, url: str, body: bytes, idempotency_key: str, created_s: int
) -> Mapping[str, str]:
    """The headers of a POST of `body` to `url`, as `target` gives it. created_s: Unix time. Source: RFC 9421 §2.5, §3.1;
    RFC 9530 §2."""
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
        self._url, self._key = target(url), key
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, transport=transport)

    async def send(self, body: bytes, *, idempotency_key: str, now_s: int) -> tuple[Outcome, str]:
        """(what became of it, a code for the record). What the answer says beside its status is not read."""
        headers = signed_headers(self._key, url=self._url, body=body, idempotency_key=idempotency_key, created_s=now_s)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async with self._http.stream("POST", self._url, content=body, headers=dict(headers)) as response:
                    status = response.status_code
        except TimeoutError:
            return "later", "Timeout"
        except httpx.HTTPError as error:
            return "later", type(error).__name__
        if 200 <= status < 300:
            return "sent", str(status)
        if status in AGAIN or status >= 500:
            return "later", str(status)
        return "dead", str(status)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()
