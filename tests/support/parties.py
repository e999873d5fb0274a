"""Parties and a ledger on loopback, in the test's own loop."""

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from ledger import founding
from ledger import service as ledger_service
from ledger.log import keyring
from ledger.log.engine import Engine
from ledger.party import api, node, service
from ledger.party.metrics import Metrics
from ledger.party.mount import Slice, mounted
from ledger.party.peer import Peer
from ledger.party.settings import Settings
from ledger.party.store import Store
from ledger.settings import Settings as LedgerSettings
from protocol import declarations, documents, evidence
from protocol.evidence import Trust
from protocol.keys import PublicKey, SigningKey
from tests.support import ledgers

TYPE = "application/x-lot"  # what these parties register: the hash of something
ROLE = "party"
STRANGER = SigningKey.from_seed(bytes([99]) * 32)


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def now_s() -> int:
    """Unix time in seconds."""
    return int(time.time())


@dataclass
class Standing:
    """A party that runs. client: without signatures."""

    url: str
    key: SigningKey
    store: Store
    client: httpx.AsyncClient
    transport: httpx.AsyncBaseTransport | None = None

    def called_by(self, key: SigningKey) -> Peer:
        """This party, called with signed requests of a key."""
        return Peer(self.url, key=key, now_s=now_s, transport=self.transport)

    async def queue(self, document: bytes, *, by: SigningKey | None = None) -> bytes:
        """Have it sign and send a statement about a document, as its own operator unless somebody else is named."""
        async with self.called_by(by or self.key) as peer:
            return await peer.queue(document, content_type=TYPE, sub="lot 1", hashed=True)


@contextlib.contextmanager
def folder(state: Path) -> Iterator[tuple[SigningKey, Store]]:
    """A party's key and store, with no network."""
    with node.opened(state) as found:
        yield found


def _files(chosen: Settings) -> tuple[Trust | None, bytes | None]:
    """What the settings trust and admission name."""
    trust = Trust.from_json(Path(chosen.trust).read_bytes()) if chosen.trust else None
    return trust, Path(chosen.admission).read_bytes() if chosen.admission else None


@contextlib.asynccontextmanager
async def standing(
    state: Path, *, key: SigningKey, store: Store, slices: Sequence[Slice] = (), **changed: object
) -> AsyncIterator[Standing]:
    """A running party on free ports. changed: its settings."""
    chosen = Settings(**{"state": state, "name": "clinic", "port": 0, "metrics_port": 0, **changed})
    trust, admission = _files(chosen)
    async with (
        service.running(
            chosen, key=key, store=store, trust=trust, admission=admission, now_ms=now_ms, slices=slices
        ) as found,
        httpx.AsyncClient(base_url=found.url) as client,
    ):
        yield Standing(found.url, key, store, client)


@contextlib.asynccontextmanager
async def spoken_to(
    state: Path,
    *,
    writers: Sequence[SigningKey] = (),
    peers: Sequence[SigningKey] = (),
    authorities: Sequence[str] = (),
    slices: Sequence[Slice] = (),
    metrics: Metrics | None = None,
    admitted: Callable[[bytes], PublicKey | None] = lambda _: None,
    chosen: Settings | None = None,
) -> AsyncIterator[Standing]:
    """A party's interface without a network and without a ledger."""
    with folder(state) as (key, store):
        party = node.Node(
            key=key,
            chosen=chosen or Settings(state=state, name="clinic"),
            store=store,
            writers={each.public.thumbprint: each.public for each in writers},
            peers={each.public.thumbprint: each.public for each in peers},
            now_ms=now_ms,
            admitted=admitted,
        )
        url = "http://party.test:8091"
        party.authorities = authorities or (httpx.URL(url).netloc.decode(),)
        async with mounted(slices, party) as routes:
            transport = httpx.ASGITransport(app=api.app(party, metrics or Metrics(), routes))
            async with httpx.AsyncClient(base_url=url, transport=transport) as client:
                yield Standing(url, key, store, client, transport)


@contextlib.asynccontextmanager
async def ledger(engine: Engine, state: Path, *, port: int = 0) -> AsyncIterator[str]:
    """A running ledger; its URL."""
    chosen = LedgerSettings(state=state, port=port, metrics_port=0)
    async with ledger_service.running(engine, chosen) as found:
        yield found.url


def trust(engine: Engine, path: Path) -> Trust:
    """The trust file of a log, written."""
    data = json.dumps(engine.trust()).encode()
    path.write_bytes(data)
    return evidence.Trust.from_json(data)


def open_to_parties(state: Path) -> None:
    """Let the policy of the log in a folder take what these parties say; the log is at rest."""
    with ledgers.checked(state) as engine:
        policy = founding.default_policy(engine.origin, engine.contracts)
        rules = {**policy.rules, TYPE: documents.Rule(roles=frozenset({ROLE}))}
        root = keyring.load(state, keyring.REGISTRY_KEY)
        engine.register(declarations.policy(root, documents.Policy(log=engine.origin, n=2, rules=rules)))


def admission(ledger_state: Path, key: SigningKey, path: Path) -> Path:
    """The file with the registry's admission of a key, written."""
    root = keyring.load(ledger_state, keyring.REGISTRY_KEY)
    path.write_bytes(keyring.admission(root, role=ROLE, key=key.public.x, name="clinic"))
    return path
