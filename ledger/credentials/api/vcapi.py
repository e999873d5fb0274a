"""The W3C VC-API (w3c-ccg.github.io/vc-api) as test suites call it: issues and verifies Data Integrity proofs, and nothing more.

It signs with a key that is made when the party starts and is in no ledger, so that what it issues is nobody's word. It resolves
did:key alone, and asks neither the ledger nor a status list.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ledger.credentials.api import bodies
from ledger.credentials.vc import cose_vc, datamodel, did, integrity, presentation, times
from ledger.credentials.vc.did import DidTable
from ledger.party import api
from protocol import base64text
from protocol.errors import BadSignature, Malformed, NotFound, VigilError
from protocol.keys import SigningKey

PREFIX = "/vc-api"
OPTIONS = frozenset(
    "created challenge domain type cryptosuite checks credentialId mandatoryPointers verificationMethod proofPurpose "
    "expectedProofPurpose returnCredential returnPresentation returnProblemDetails returnResults".split()
)
_WARNED = "https://www.w3.org/TR/vc-data-model#"
_TYPES = {BadSignature: "CRYPTOGRAPHIC_SECURITY_ERROR", Malformed: "MALFORMED_VALUE_ERROR"}


class VcApi:
    """The four addresses. key: for this run alone; now_ms: a clock; authorities: the names under which it is asked."""

    def __init__(
        self, key: SigningKey, *, now_ms: Callable[[], int], authorities: Callable[[], Collection[str]]
    ) -> None:
        self._key, self._now_ms, self._authorities = key, now_ms, authorities
        self._did, self._method = did.did_key(key.public), did.key_method(key.public)
        self._known = DidTable()

    def routes(self) -> list[BaseRoute]:
        """POST, each with a JSON object."""
        each = {
            "/credentials/issue": self._issue,
            "/credentials/verify": self._verify_credential,
            "/presentations/create": self._create,
            "/presentations/verify": self._verify_presentation,
        }
        return [Route(PREFIX + path, self._guarded(answer), methods=["POST"]) for path, answer in each.items()]

    async def _issue(self, request: Request) -> Response:
        asked, options = await _asked(request, "credential")
        datamodel.check_credential(asked, issued=False)
        said = {**asked, "issuer": self._issuer(asked.get("issuer"))}
        made = integrity.sign(said, self._key, method=self._method, created_s=self._created_s(options))
        return JSONResponse({"verifiableCredential": made}, status_code=201)

    async def _create(self, request: Request) -> Response:
        asked, options = await _asked(request, "presentation")
        said = {"holder": self._did, **asked}
        datamodel.check_presentation(said)
        made = integrity.sign(
            said,
            self._key,
            method=self._method,
            created_s=self._created_s(options),
            purpose=did.AUTHENTICATION,
            challenge=_text(options, "challenge"),
            domain=_text(options, "domain"),
        )
        return JSONResponse({"verifiablePresentation": made}, status_code=201)

    async def _verify_credential(self, request: Request) -> Response:
        found, _ = await _asked(request, "verifiableCredential")
        return _verdict(lambda: self._check_credential(found))

    async def _verify_presentation(self, request: Request) -> Response:
        found, options = await _asked(request, "verifiablePresentation")

        def check() -> None:
            datamodel.check_presentation(found)
            if "proof" in found or options.get("checks") != []:
                self._check_proofs(
                    found,
                    datamodel.holder_of(found),
                    purpose=did.AUTHENTICATION,
                    challenge=_text(options, "challenge"),
                    domain=_text(options, "domain"),
                )
            for each in datamodel.listed(found, "verifiableCredential"):
                self._check_credential(each)

        return _verdict(check)

    def _check_credential(self, found: Mapping[str, Any]) -> None:
        """Raises Malformed, BadSignature, NotFound."""
        name = found.get("id")
        if datamodel.enveloped(found):
            self._check_envelope(str(name))
            return
        datamodel.check_credential(found)
        first, last = datamodel.period(found)
        now_ms = self._now_ms()
        if (first is not None and now_ms < first) or (last is not None and now_ms > last):
            raise Malformed("vc_not_now", "the credential is not valid now")
        self._check_proofs(found, datamodel.issuer_of(found), purpose=did.ASSERTION)

    def _check_envelope(self, name: str) -> None:
        if not name.startswith(presentation.DATA_COSE):
            raise Malformed("vp_credential", "a credential in an envelope is application/vc+cose in base64")
        envelope = cose_vc.read(base64text.decode(name.removeprefix(presentation.DATA_COSE), code="vp_credential"))
        datamodel.check_credential(envelope.document)
        issuer = datamodel.issuer_of(envelope.document)
        cose_vc.check(envelope, self._known.resolve(issuer).key(envelope.method, did.ASSERTION))

    def _check_proofs(
        self,
        found: Mapping[str, Any],
        controller: str | None,
        *,
        purpose: str,
        challenge: str | None = None,
        domain: str | None = None,
    ) -> None:
        """Each proof of a document holds, and is by who is meant to make it."""
        for proof in integrity.proofs(found):
            owner = proof.method.partition("#")[0]
            if controller is not None and owner != controller:
                raise Malformed("proof_issuer", "a proof is by a method of the one who issues or holds")
            integrity.check_use(proof, purpose=purpose, now_ms=self._now_ms(), challenge=challenge, domain=domain)
            integrity.check(found, proof, self._known.resolve(owner).key(proof.method, purpose))

    def _issuer(self, asked: object) -> object:
        return {**asked, "id": self._did} if isinstance(asked, Mapping) else self._did

    def _created_s(self, options: Mapping[str, Any]) -> int:
        return (times.read(options["created"]) if "created" in options else self._now_ms()) // 1000

    def _guarded(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """The handler for who asks under our own name: no page of another site that calls this host by a name of its own."""

        async def answer(request: Request) -> Response:
            if request.headers.get("host", "").lower() not in self._authorities():
                return api.problem(403, "host_wrong", "the VC-API is asked under the address that the party prints")
            try:
                return await handler(request)
            except VigilError as error:
                return api.refusal(error)

        return answer


async def _asked(request: Request, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a call is about, and its options. Raises Malformed: vcapi_body, vcapi_options."""
    body = await bodies.read_object(request)
    found, options = body.get(name), body.get("options", {})
    if not isinstance(found, dict) or not body.keys() <= {name, "options"}:
        raise Malformed("vcapi_body", f"send {{{name}, options}}")
    if not isinstance(options, dict) or not options.keys() <= OPTIONS:
        raise Malformed("vcapi_options", "an option that is not known here would be skipped, and is refused instead")
    return found, options


def _verdict(check: Callable[[], None]) -> Response:
    """200 when the checks pass, 400 with what was found when one does not, as the suites ask."""
    try:
        check()
    except (Malformed, BadSignature, NotFound) as error:
        kind = next((name for of, name in _TYPES.items() if isinstance(error, of)), "CRYPTOGRAPHIC_SECURITY_ERROR")
        problem = {"type": _WARNED + kind, "title": error.code, "detail": error.detail}
        return JSONResponse({"verified": False, "problemDetails": [problem]}, status_code=400)
    return JSONResponse({"verified": True, "problemDetails": []})


def _text(options: Mapping[str, Any], name: str) -> str | None:
    found = options.get(name)
    if found is not None and not isinstance(found, str):
        raise Malformed("vcapi_options", f"{name} is a text")
    return found
