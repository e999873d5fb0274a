"""Institutions that issue and verify credentials, each a party that runs beside a ledger of the test's own."""

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger import service as ledger_service
from ledger.credentials import model
from ledger.credentials.issuing import Issuer
from ledger.credentials.model import Accreditation
from ledger.credentials.slice import SLICE
from ledger.log import keyring
from ledger.log.engine import Engine
from ledger.party import node
from ledger.settings import Settings as LedgerSettings
from protocol import statement
from protocol.keys import SigningKey
from tests.support import ledgers, parties
from tests.support.parties import Standing

YEAR_MS = 365 * 86_400_000
TYPES = tuple(sorted(model.TYPES))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A ledger that runs. folder: where its institutions keep what is theirs."""

    engine: Engine
    url: str
    folder: Path

    @contextlib.asynccontextmanager
    async def party(
        self, name: str, *, accredited: Sequence[str] = (), issues: bool = False, **changed: object
    ) -> AsyncIterator[Standing]:
        """An admitted institution that runs. accredited: the types that it may vouch for everywhere; it issues when there are
        any, or when it says so. changed: its settings."""
        state = self.folder / name
        with node.opened(state) as (key, store):
            if accredited or issues:
                did = begun(state, web=str(changed.get("did", "")))
                for kind in accredited:
                    self.accredit(key, did, kind)
            admission = parties.admission(self.folder / "log", key, self.folder / f"{name}.admission")
            trust = self.folder / "trust.json"
            parties.trust(self.engine, trust)
            settings = {"ledger_url": self.url, "trust": str(trust), "admission": str(admission), "name": name}
            async with parties.standing(
                state, key=key, store=store, slices=(SLICE,), **{**settings, **changed}
            ) as found:
                yield found

    def accredit(self, key: SigningKey, did: str, kind: str) -> None:
        """Admit a party, and let it vouch for a type everywhere, for a year."""
        root = keyring.load(self.folder / "log", keyring.REGISTRY_KEY)
        document = Accreditation(
            log=self.engine.origin,
            party=key.public.thumbprint,
            did=did,
            type=kind,
            jurisdiction="*",
            from_ms=0,
            until_ms=parties.now_ms() + YEAR_MS,
        )
        raw = statement.sign(
            root,
            iss=root.public.urn,
            sub=model.accreditation_subject(document.party),
            payload=document.encode(),
            content_type=model.ACCREDITATION,
        )
        self.engine.register(keyring.admission(root, role=parties.ROLE, key=key.public.x, name="clinic"))
        self.engine.register(raw)


def begun(state: Path, *, web: str = "") -> str:
    """The DID of the issuer in a party's folder, made as `vigil credentials issuer init` does."""
    made = Issuer.open(
        state,
        say=lambda *_: b"",
        base=lambda: "",
        log="",
        party=b"",
        now_ms=parties.now_ms,
        random_bytes=os.urandom,
        web=web,
    )
    with contextlib.closing(made):
        return made.did


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """A ledger that runs, by the clock of this machine."""
    with contextlib.closing(Engine.open(folder / "log", now_ms=parties.now_ms, origin=ledgers.ORIGIN)) as engine:
        chosen = LedgerSettings(state=folder / "log", port=0, metrics_port=0, verify_process=False)
        async with ledger_service.running(engine, chosen) as found:
            yield World(engine=engine, url=found.url, folder=folder)
