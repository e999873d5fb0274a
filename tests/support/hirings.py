"""Hiring without a ledger: credentials whose verdicts the test decides, in the store and the service of a party."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

from ledger.credentials.hiring.posts import DAY_MS, Post
from ledger.credentials.hiring.service import Hiring
from ledger.credentials.hiring.store import Store
from ledger.credentials.rules.records import Committed
from ledger.credentials.vc import secured
from ledger.credentials.vc.anchor import Anchor
from ledger.credentials.vc.secured import Secured
from ledger.credentials.verdict import Possession, Step, Verdict
from ledger.credentials.verdict.steps import NAMES
from ledger.credentials.verifying import Answer, Judged, Verifier

NOW_MS = 1_800_000_000_000
HOLDER, BOARD = "did:key:z6MkHolder", "did:web:board.example"
WHO = {"givenName": "Ada", "familyName": "Lovelace", "birthDate": "1990-12-10"}


@dataclass(slots=True)
class Registry:
    """What is known, as the test says: findings of steps by credential, and when a source was asked. Stands for a verifier and
    for what it knows."""

    now_ms: int = NOW_MS
    findings: dict[bytes, dict[str, tuple[str, str]]] = field(default_factory=dict)
    checked: dict[bytes, int] = field(default_factory=dict)
    changes: int = 0
    looks: int = 0

    def find(self, raw: bytes, step: str, outcome: str, code: str) -> None:
        """From now on a step over a credential ends so."""
        self.findings.setdefault(raw, {})[step] = (outcome, code)
        self.changes += 1

    def clear(self, raw: bytes) -> None:
        """Nothing is wrong with a credential any more."""
        self.findings.pop(raw, None)
        self.changes += 1

    def committed(self, identity: bytes) -> Committed | None:
        """As `Known`."""
        if identity not in self.checked:
            return None
        return Committed(
            party=b"p" * 32,
            key=b"k" * 32,
            type="PrimarySourceVerification",
            jurisdiction="*",
            commitment=b"c" * 32,
            place=(1, 0),
            at_ms=0,
            checked_ms=self.checked[identity],
        )

    def check(self, raw: bytes, *, at_ms: int | None = None) -> Answer:
        """As `Verifier`."""
        self.looks += 1
        return Answer(judged=(Judged(found=read(raw), verdict=self._verdict(raw, None)),), holder=None)

    def show(self, *raws: bytes, holder: str | None = HOLDER) -> Answer:
        """An answer by a holder."""
        possession = Possession(holder=holder)
        return Answer(
            judged=tuple(Judged(found=read(raw), verdict=self._verdict(raw, possession)) for raw in raws), holder=holder
        )

    def _verdict(self, raw: bytes, possession: Possession | None) -> Verdict:
        found = {name: ("pass", name) for name in NAMES}
        if possession is None:
            found["holder"] = ("unknown", "holder_not_asked")
        elif possession.holder != read(raw).subject:
            found["holder"] = ("fail", "holder_other")
        found |= self.findings.get(raw, {})
        steps = tuple(Step(name=name, outcome=found[name][0], code=found[name][1]) for name in NAMES)
        return Verdict(steps=steps, at_ms=self.now_ms)


def credential(
    kind: str,
    *,
    n: int = 1,
    where: str = "US-CA",
    issuer: str = BOARD,
    subject: str = HOLDER,
    from_ms: int = 0,
    until_ms: int | None = None,
    **said: Any,
) -> bytes:
    """A credential. n: makes one of the same contents another."""
    claims = {"vct": secured.VCT + kind, "jurisdiction": where, **WHO, **said}
    return json.dumps([n, issuer, subject, from_ms, until_ms, claims]).encode()


def read(raw: bytes) -> Secured:
    """What `credential` wrote."""
    n, issuer, subject, from_ms, until_ms, claims = json.loads(raw)
    identity = anchor_of(raw)
    return Secured(
        format=secured.SD_JWT,
        raw=raw,
        signed=raw,
        claims=claims,
        issuer=issuer,
        method=f"{issuer}#{n}",
        type=str(claims["vct"]).removeprefix(secured.VCT),
        subject=subject,
        anchor=Anchor(id=identity, log="log.example/1", nonce=b"n" * 32),
        status={},
        from_ms=from_ms,
        until_ms=until_ms,
        made=(),
    )


def anchor_of(raw: bytes) -> bytes:
    """The id of a credential on the ledger."""
    return Random(raw).randbytes(16)


def name_of(raw: bytes) -> str:
    """How a verification of its source names it."""
    return f"urn:vigil:credential:{anchor_of(raw).hex()}"


def sourced(registry: Registry, claim: str = "StateLicence", *, days_ago: float = 1, **changed: Any) -> bytes:
    """A verification by the primary source, so many days ago."""
    said: Mapping[str, Any] = {"claim": claim, "result": "confirmed", "source": "Board", **changed}
    raw = credential("PrimarySourceVerification", **said)
    registry.checked[anchor_of(raw)] = registry.now_ms - round(days_ago * DAY_MS)
    return raw


class Desk:
    """A party's hiring in a folder."""

    def __init__(self, folder: Path, registry: Registry, *, keep_ms: int = 730 * DAY_MS, seed: int = 1) -> None:
        self.registry, self.folder, self._keep_ms = registry, folder, keep_ms
        self._random = Random(seed)
        self.start()

    def start(self) -> None:
        """Open the database, for the first time or again."""
        self.store = Store.open(self.folder)
        self.hiring = Hiring(
            self.store,
            cast(Verifier, self.registry),
            cast(Any, self.registry),
            mark=lambda: f"{self.registry.changes}",
            now_ms=lambda: self.registry.now_ms,
            random_bytes=self._random.randbytes,
            keep_ms=self._keep_ms,
        )

    def restart(self) -> None:
        """As after a stop of the party."""
        self.store.close()
        self.start()

    def state(self, file: bytes) -> str:
        """A file's state."""
        return self.hiring.row(file).file.state

    def told(self, file: bytes) -> list[tuple[str, int]]:
        """(code, days) of a file's alerts, the first one first."""
        return [(each.code, each.days) for each in reversed(self.hiring.alerts(file))]


def small_post(**changed: Any) -> Post:
    """A post with one need, a licence whose source was asked, which allows two things."""
    said = {
        "name": "nurse",
        "needs": [{"name": "licence", "type": "StateLicence", "places": ["US-CA"]}],
        "grants": {"break-glass": ["licence"], "sign": ["licence"]},
    }
    return Post.read({**said, **changed})
