"""The VC-API as the W3C's suites call it."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from ledger.credentials.api import vcapi
from ledger.credentials.api.vcapi import VcApi
from ledger.credentials.vc import cose_vc, did, integrity, presentation
from protocol.keys import SigningKey

KEY, OTHER = (SigningKey.from_seed(bytes([n]) * 32) for n in (1, 2))
NOW_MS = 1_800_000_000_000
HOST = "127.0.0.1:8091"
CREDENTIAL = {
    "@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"],
    "type": ["VerifiableCredential", "ExampleAlumniCredential"],
    "issuer": "https://university.example/issuers/565049",
    "validFrom": "2023-07-01T19:23:24Z",
    "credentialSubject": {"id": "did:example:ebfeb1f712ebc6f1c276e12ec21"},
}
Call = Callable[..., Awaitable[httpx.Response]]


def told(story: Callable[[Call], Awaitable[None]]) -> None:
    face = VcApi(KEY, now_ms=lambda: NOW_MS, authorities=lambda: {HOST})

    async def run() -> None:
        transport = httpx.ASGITransport(app=Starlette(routes=face.routes()))
        async with httpx.AsyncClient(base_url=f"http://{HOST}", transport=transport) as client:

            async def call(path: str, body: object, **more: Any) -> httpx.Response:
                return await client.post(f"{vcapi.PREFIX}{path}", json=body, **more)

            await story(call)

    asyncio.run(run())


async def issued(call: Call, credential: Mapping[str, object] = CREDENTIAL) -> dict[str, Any]:
    answer = await call("/credentials/issue", {"credential": credential, "options": {}})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["verifiableCredential"]
    return found


def test_what_is_issued_verifies_and_what_was_changed_does_not() -> None:
    async def story(call: Call) -> None:
        made = await issued(call)
        assert made["issuer"] == did.did_key(KEY.public) and made["proof"]["cryptosuite"] == "eddsa-jcs-2022"
        answer = await call("/credentials/verify", {"verifiableCredential": made, "options": {"checks": ["proof"]}})
        assert (answer.status_code, answer.json()) == (200, {"verified": True, "problemDetails": []})
        changed = {**made, "credentialSubject": {"id": "did:example:else"}}
        answer = await call("/credentials/verify", {"verifiableCredential": changed})
        assert answer.status_code == 400 and answer.json()["verified"] is False
        assert answer.json()["problemDetails"][0]["type"].endswith("#CRYPTOGRAPHIC_SECURITY_ERROR")

    told(story)


def signed(document: Mapping[str, Any], key: SigningKey = KEY, **more: Any) -> dict[str, Any]:
    return integrity.sign(document, key, method=did.key_method(key.public), created_s=NOW_MS // 1000, **more)


OWN = {**CREDENTIAL, "issuer": did.did_key(KEY.public)}
BAD: Mapping[str, Mapping[str, Any]] = {
    "no proof": OWN,
    "another's proof": signed(OWN, OTHER),
    "a proof made to sign in": signed(OWN, purpose="authentication"),
    "a DID that nobody pinned": {
        **signed({**CREDENTIAL, "issuer": "did:web:a.example"}, KEY),
        "issuer": "did:web:a.example",
    },
    "ended": signed({**OWN, "validUntil": "2024-07-01T19:23:24Z"}),
    "not begun": signed({**OWN, "validFrom": "2090-07-01T19:23:24Z"}),
    "a proof without a type": {**signed(OWN), "proof": {**signed(OWN)["proof"], "type": None}},
    "a short signature": {**signed(OWN), "proof": {**signed(OWN)["proof"], "proofValue": "z11"}},
    "no context": {name: value for name, value in signed(OWN).items() if name != "@context"},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_credential_that_does_not_hold_is_told_so(bad: Mapping[str, Any]) -> None:
    async def story(call: Call) -> None:
        answer = await call("/credentials/verify", {"verifiableCredential": bad, "options": {}})
        assert answer.status_code == 400 and answer.json()["verified"] is False
        assert answer.json()["problemDetails"][0]["title"]

    told(story)


def test_a_presentation_answers_a_challenge_and_carries_credentials_that_hold() -> None:
    async def story(call: Call) -> None:
        made = await issued(call)
        enveloped = cose_vc.sign(OWN, KEY, method=did.key_method(KEY.public))
        envelope = {
            "@context": "https://www.w3.org/ns/credentials/v2",
            "type": "EnvelopedVerifiableCredential",
            "id": presentation.DATA_COSE + base64.b64encode(enveloped).decode(),
        }
        said = {
            "@context": ["https://www.w3.org/ns/credentials/v2"],
            "type": ["VerifiablePresentation"],
            "verifiableCredential": [made, envelope],
        }
        options = {"challenge": "c", "domain": "d"}
        answer = await call("/presentations/create", {"presentation": said, "options": options})
        assert answer.status_code == 201
        shown = answer.json()["verifiablePresentation"]

        async def verdict(presentation: object, options: object) -> int:
            body = {"verifiablePresentation": presentation, "options": options}
            return (await call("/presentations/verify", body)).status_code

        assert await verdict(shown, options) == 200
        assert await verdict(shown, {"challenge": "other", "domain": "d"}) == 400
        assert await verdict(shown, {"challenge": "c", "domain": "other"}) == 400
        assert await verdict({**shown, "verifiableCredential": [BAD["ended"]]}, options) == 400
        assert await verdict(said, {}) == 400
        assert await verdict(said, {"checks": []}) == 200
        broken = {**envelope, "id": str(envelope["id"])[:-8] + "AAAAAAAA"}
        assert await verdict({**said, "verifiableCredential": [broken]}, {"checks": []}) == 400

    told(story)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"credential": []},
        {"credential": CREDENTIAL, "more": 1},
        {"credential": CREDENTIAL, "options": {"unheard": 1}},
        {"credential": CREDENTIAL, "options": []},
        {"credential": CREDENTIAL, "options": {"created": "yesterday"}},
    ],
)
def test_a_call_that_is_none_is_refused(body: object) -> None:
    async def story(call: Call) -> None:
        assert (await call("/credentials/issue", body)).status_code == 400

    told(story)


def test_no_page_of_another_site_gets_something_signed() -> None:
    async def story(call: Call) -> None:
        body = {"credential": CREDENTIAL}
        assert (await call("/credentials/issue", body, headers={"host": "rebound.example"})).status_code == 403
        answer = await call("/credentials/issue", body, headers={"content-type": "text/plain"})
        assert answer.status_code == 400 and answer.json()["code"] == "body_type"

    told(story)


@pytest.mark.vectors
def test_the_inputs_of_the_data_model_suite_are_taken_or_refused_as_they_are_named(vectors_dir: Path) -> None:
    inputs = {path.stem: json.loads(path.read_text()) for path in (vectors_dir / "vcdm2-inputs").rglob("*.json")}
    wrong = []

    async def story(call: Call) -> None:
        for name, body in inputs.items():
            if "mismatch" in name or body.get("validFrom") == "FUTURE DATE":
                continue  # no input, but a pattern for one
            kind = "presentation" if name.startswith("presentation") else "credential"
            address = "/credentials/issue" if kind == "credential" else "/presentations/create"
            answer = await call(address, {kind: body, "options": {}})
            if answer.status_code != (400 if "-fail" in name else 201):
                wrong.append((name, answer.text))

    told(story)
    assert wrong == [] and len(inputs) > 60
