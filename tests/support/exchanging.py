"""An issuer and a verifier without a ledger, for tests of the exchange alone: who issues and who judges is simple and named so."""

import asyncio
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount

from ledger.credentials.exchange import dcql
from ledger.credentials.exchange.asking import Asking, Judged
from ledger.credentials.exchange.offering import Offering
from ledger.credentials.exchange.oid4vci import Configuration
from ledger.credentials.exchange.routes import Exchange
from ledger.credentials.exchange.store import Store
from ledger.credentials.vc import contexts, cose_vc, did, integrity, jcs, jws, sdjwt
from ledger.credentials.vc.multikey import VerifyingKey
from ledger.credentials.wallet import Kept
from protocol import base64text
from protocol.errors import ProtocolError, Unavailable
from protocol.keys import SigningKey

BASE = "http://party.test/credentials"
ISSUER, PARTY = SigningKey.from_seed(bytes([41]) * 32), SigningKey.from_seed(bytes([42]) * 32)
START_MS = 1_800_000_000_000


@dataclass
class Clock:
    """Time as the test says."""

    ms: int = START_MS

    def __call__(self) -> int:
        return self.ms


@dataclass
class World:
    """One party that issues and asks."""

    store: Store
    clock: Clock
    base: str = BASE
    issued: list[Any] = field(default_factory=list)
    judged: list[tuple[bytes, str, str]] = field(default_factory=list)
    failing: list[ProtocolError] = field(default_factory=list)
    """Raised by the next issuing."""
    away: bool = False
    """Whether nothing can be judged."""

    def __post_init__(self) -> None:
        source = random.Random(4)
        shared: dict[str, Any] = {"random_bytes": source.randbytes, "now_ms": self.clock}
        kinds = [
            Configuration(type=kind, format=form, name=kind)
            for kind, form in itertools.product(("Degree", "StateLicence"), dcql.FORMATS)
        ]
        self.offering = Offering(self.store, self.issue, kinds, base=lambda: self.base, name="A clinic", **shared)
        self.asking = Asking(self.store, self.judge, acknowledge, base=lambda: self.base, name="B clinic", **shared)
        self.exchange = Exchange(self.offering, self.asking)

    def app(self, others: tuple[BaseRoute, ...] = ()) -> Starlette:
        """Its addresses, where a party has them."""
        return Starlette(
            routes=[
                Mount("/.well-known", routes=self.exchange.well_known("/credentials")),
                Mount("/credentials", routes=[*self.exchange.routes(), *others]),
            ]
        )

    def issue(self, draft: Mapping[str, Any], form: str, holder: VerifyingKey) -> str | dict[str, Any]:
        if self.failing:
            raise self.failing.pop()
        made = issued(draft, form, holder, now_ms=self.clock.ms)
        self.issued.append(made)
        return made

    def judge(self, raw: bytes, nonce: str, audience: str) -> Judged:
        """The holder's proof alone: the steps about the ledger are tested where they are."""
        self.judged.append((raw, nonce, audience))
        try:
            if self.away:
                raise Unavailable("registry_failing", "not now")
            holder = check_holder(raw, nonce, audience, now_ms=self.clock.ms)
        except ProtocolError as error:
            return Judged(outcome="refused", verdict={"code": error.code}, holder=None)
        return Judged(outcome="valid", verdict={"code": "ok"}, holder=holder)


class Direct(httpx.BaseTransport):
    """An application, called without a network by a client that blocks."""

    def __init__(self, app: Starlette) -> None:
        self._inner = httpx.ASGITransport(app=app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def asked() -> httpx.Response:
            given = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
            answer = await self._inner.handle_async_request(given)
            return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

        return asyncio.run(asked())


def opened(folder: Path, clock: Clock | None = None) -> World:
    """A world over the file in `folder`."""
    return World(store=Store.open(folder, random_bytes=random.Random(5).randbytes), clock=clock or Clock())


def issued(
    draft: Mapping[str, Any], form: str, holder: VerifyingKey, *, now_ms: int = START_MS
) -> str | dict[str, Any]:
    """A credential by ISSUER. draft: type and claims."""
    name, method = did.did_key(ISSUER.public), did.key_method(ISSUER.public)
    if form == dcql.SD_JWT:
        claims = {"iss": name, "vct": dcql.vct_of(draft["type"]), **draft["claims"]}
        return sdjwt.issue(
            claims,
            key=ISSUER,
            kid=method,
            disclosable=list(draft["claims"]),
            holder=holder,
            random_bytes=random.Random(6).randbytes,
        )
    document = {
        "@context": [contexts.V2, contexts.OURS],
        "type": ["VerifiableCredential", draft["type"]],
        "issuer": name,
        "credentialSubject": {"id": did.did_key(holder), **draft["claims"]},
    }
    if form == dcql.VC_COSE:
        return base64text.encode_url(cose_vc.sign(document, ISSUER, method=method))
    return integrity.sign(document, ISSUER, method=method, created_s=now_ms // 1000)


def kept(form: str, text: object) -> Kept:
    """A credential as a wallet keeps it."""
    said = text if isinstance(text, str) else jcs.canonical(text).decode()
    return Kept(format=form, text=said, issuer="", received_ms=START_MS)


def check_holder(raw: bytes, nonce: str, audience: str, *, now_ms: int) -> str:
    """The holder. Raises ProtocolError unless they made this for that request."""
    if not raw.startswith(b"{"):
        found = sdjwt.read(raw.decode())
        sdjwt.check_binding(found, nonce=nonce, aud=audience, now_s=now_ms // 1000)
        assert found.holder is not None
        return did.did_key(found.holder)
    document = jcs.parse(raw, size_max=1 << 20)
    (proof,) = integrity.proofs(document)
    integrity.check(document, proof, did.key_of(proof.method.partition("#")[0]))
    integrity.check_use(proof, purpose=did.AUTHENTICATION, now_ms=now_ms, challenge=nonce, domain=audience)
    return proof.method.partition("#")[0]


def acknowledge(typ: str, claims: Mapping[str, Any]) -> str:
    """Signed by PARTY."""
    head = {"typ": typ, "jwk": did.to_jwk(PARTY.public)}
    return jws.sign(head, {**claims, "iss": PARTY.public.urn}, PARTY)
