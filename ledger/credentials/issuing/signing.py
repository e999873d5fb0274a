"""What an issuer signs: a draft with a holder, a period, its places in the lists and its anchor, in one of three forms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.credentials import model, types
from ledger.credentials.model import Commitment
from ledger.credentials.vc import anchor, cose_vc, did, integrity, jcs, sdjwt, secured, times
from ledger.credentials.vc.anchor import Anchor
from ledger.credentials.vc.multikey import VerifyingKey
from ledger.credentials.vc.secured import Secured
from ledger.credentials.vc.status import Entry
from protocol.errors import Malformed
from protocol.keys import SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """All that a credential says but who signs it. draft: of `types.draft`; holder: whose key it is bound to."""

    draft: Mapping[str, Any]
    holder: VerifyingKey
    anchor: Anchor
    entries: Sequence[Entry]
    from_ms: int
    until_ms: int

    @property
    def type(self) -> str:
        """The last and most specific of its types."""
        return str(self.draft["type"][-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """An issuer key. method: its verification method, under the issuer's DID."""

    key: SigningKey
    method: str

    @property
    def did(self) -> str:
        """The issuer's."""
        return self.method.partition("#")[0]

    def sign(self, said: Said, form: str, *, random_bytes: Callable[[int], bytes]) -> bytes:
        """The credential, as its holder gets it. form: one of `secured.FORMATS`.

        Raises Malformed: format_unknown; and what a verifier would say of it, which then is not handed out.
        """
        if form not in secured.FORMATS:
            raise Malformed("format_unknown", f"a credential is one of: {', '.join(secured.FORMATS)}")
        if form == secured.SD_JWT:
            raw = self._token(said, random_bytes)
        elif form == secured.COSE:
            raw = cose_vc.sign(self._document(said), self.key, method=self.method)
        else:
            made = integrity.sign(self._document(said), self.key, method=self.method, created_s=said.from_ms // 1000)
            raw = jcs.canonical(made)
        found = secured.read(raw)
        found.check(self.key.public, now_ms=said.from_ms)
        problems = types.problems(found)
        if problems:
            raise Malformed(problems[0], "a verifier would not take what this credential says")
        return raw

    def commit(self, said: Said, raw: bytes, *, log: str) -> Commitment:
        """What the log hears of it. log: its origin. Raises Malformed: time_bad, when a source was asked on no day."""
        found: Secured = secured.read(raw)
        checked = said.draft["credentialSubject"].get("checkedAt") if said.type == model.CHECKED_TYPE else None
        return Commitment(
            log=log,
            id=said.anchor.id,
            commitment=said.anchor.commitment(found.signed),
            type=said.type,
            jurisdiction=found.jurisdiction,
            key=self.key.public.thumbprint,
            checked_ms=None if checked is None else times.read(f"{checked}T00:00:00Z"),
        )

    def _document(self, said: Said) -> dict[str, Any]:
        badge = "OpenBadgeCredential" in said.draft["type"]
        return {
            **said.draft,
            "id": said.anchor.said()["id"],
            "issuer": {"id": self.did, "type": ["Profile"]} if badge else self.did,  # Open Badges 3.0 §B.1.21
            "validFrom": times.write(said.from_ms),
            "validUntil": times.write(said.until_ms),
            "credentialSubject": {**said.draft["credentialSubject"], "id": did.did_key(said.holder)},
            "credentialStatus": [each.said() for each in said.entries],
            "evidence": [said.anchor.evidence()],
        }

    def _token(self, said: Said, random_bytes: Callable[[int], bytes]) -> bytes:
        subject = said.draft["credentialSubject"]
        plain = {name: value for name, value in subject.items() if name not in ("type", "achievement", "id")}
        claims = {
            **plain,
            "iss": self.did,
            "vct": secured.VCT + said.type,
            "iat": said.from_ms // 1000,
            "nbf": said.from_ms // 1000,
            "exp": said.until_ms // 1000,
            "credentialStatus": [each.said() for each in said.entries],
            anchor.CLAIM: said.anchor.said(),
        }
        made = sdjwt.issue(
            claims,
            key=self.key,
            kid=self.method,
            disclosable=types.CATALOGUE[said.type].hidden & plain.keys(),
            holder=said.holder,
            random_bytes=random_bytes,
        )
        return made.encode()
