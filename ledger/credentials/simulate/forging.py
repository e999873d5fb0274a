"""The tools of cheats: mills and thieves run the product's own issuer and lie to it, about the log, the time and themselves.

A forger has a copy of an issuer's folder, with its key. Some can also sign statements as that institution has them logged.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from ledger.credentials import model, types
from ledger.credentials.issuing import Issued, Issuer
from ledger.credentials.model import Commitment
from ledger.credentials.simulate.town import ORIGIN, Clock, Institution, fields
from ledger.credentials.simulate.world import LASTS, Person
from ledger.credentials.vc import secured
from ledger.credentials.vc.anchor import Anchor
from ledger.credentials.vc.multikey import VerifyingKey
from ledger.credentials.wallet import Kept, Wallet
from protocol import base64text
from protocol.keys import SigningKey

LATER_S = 3650 * 86_400  # what an altered SD-JWT adds to its end


class Forger:
    """Somebody who signs as an institution. pretends: a DID to sign under with a new key, "" to have a copy of the real one's;
    since: the place in the log at which the copy was made."""

    def __init__(self, robbed: Institution, folder: Path, clock: Clock, rng: Random, *, pretends: str = "") -> None:
        if pretends:
            folder.mkdir()
        else:
            shutil.copytree(robbed.folder, folder)
        self.robbed, self.since = robbed, robbed.place
        self._clock, self._rng = clock, rng
        self._early_ms, self._anchor = 0, list[bytes]()
        self._logs: Mapping[str, Any] | None = None
        self._issuer = Issuer.open(
            folder,
            say=self._say,
            base=lambda: robbed.address,
            log=ORIGIN,
            party=robbed.name,
            now_ms=lambda: clock() - self._early_ms,
            random_bytes=self._random,
            web=pretends or robbed.house.did,
        )

    def close(self) -> None:
        """Close the copy."""
        self._issuer.close()

    def forge(
        self,
        person: Person,
        kind: str,
        where: str,
        holder: VerifyingKey,
        *,
        early_ms: int = 0,
        logs: Mapping[str, Any] | None = None,
        anchor: Anchor | None = None,
    ) -> Issued:
        """A credential that nobody earned. early_ms: how long ago it says that it was made; logs: commit to it in the
        institution's name, with these members changed, None: do not; anchor: of a real credential, taken over."""
        self._logs, self._early_ms = logs, early_ms
        self._anchor = [] if anchor is None else [anchor.id, anchor.nonce]
        draft = types.draft(kind, fields(person, kind, where, self.robbed.house.name, self._clock() - early_ms))
        return self._issuer.issue(draft, holder=holder, days=LASTS[kind])

    def _say(self, document: bytes, content_type: str, sub: str) -> bytes:
        if self._logs is None or content_type != model.CREDENTIAL:
            return bytes(32)  # as if it had been said
        told = replace(Commitment.decode(document), **self._logs).encode()
        return self.robbed.say(told, content_type, sub, honest=False)

    def _random(self, size: int) -> bytes:
        if self._anchor and len(self._anchor[0]) == size:
            return self._anchor.pop(0)
        return self._rng.randbytes(size)


def altered(raw: bytes, person: Person) -> bytes:
    """One's own credential with another family name, or what shows no name with a later end; the signature is as it was."""
    found = secured.read(raw)
    if found.format != secured.SD_JWT:
        family = person.family.encode()
        return raw.replace(family, family[::-1])
    token, *disclosures = raw.decode().split("~")
    head, body, signature = token.split(".")
    said = json.loads(base64text.decode_url(body, code="token"))
    said["exp"] += LATER_S
    changed = base64text.encode_url(json.dumps(said).encode())
    return "~".join([".".join((head, changed, signature)), *disclosures]).encode()


def kept(raw: bytes, at_ms: int) -> Kept:
    """A credential as a wallet has it."""
    form = secured.read(raw).format
    text = base64text.encode_url(raw) if form == secured.COSE else raw.decode()
    return Kept(format=form, text=text, issuer="", received_ms=at_ms)


def shown_by(key: SigningKey, raw: bytes, clock: Clock, *, nonce: str, audience: str) -> bytes:
    """A presentation of any credential by any key, for who does not ask a wallet whether it is theirs."""
    wallet = Wallet(key, now_ms=clock)
    wallet.kept.append(kept(raw, clock()))
    return wallet.presentation(0, nonce=nonce, audience=audience)
