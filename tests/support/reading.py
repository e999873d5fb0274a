"""A real ledger behind its HTTP face in this process, an institution that issues beside it, and a party that reads both."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx

from ledger import contracts
from ledger.client import AsyncClient
from ledger.credentials import model, types
from ledger.credentials.issuing import Issued, Issuer
from ledger.credentials.model import Accreditation
from ledger.credentials.registry import Follower, Lists, Registry
from ledger.credentials.vc import times
from ledger.credentials.verifying import Verifier
from ledger.http import app as http
from ledger.log import custody, epochs, fsck, keyring
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from ledger.signing import Signed
from protocol import statement
from protocol.evidence import Trust
from protocol.keys import SigningKey
from tests.support import ledgers, registrants
from tests.support.ledgers import NOW_MS, Clock
from tests.support.vouching import DAY_MS, HOLDER, LICENCE

BOARD, CLINIC = registrants.key(60), registrants.key(61)
SOURCE = "https://board.example/"
OPEN = "93.184.216.34"  # an address out in the open
AUDIENCE = "https://clinic.example"
CODES = contracts.CODES


class Town:
    """One ledger with a state board and a clinic. asked: the addresses that lists were asked for at."""

    def __init__(self, folder: Path, engine: Engine, clock: Clock) -> None:
        self.folder, self.engine, self.clock = folder, engine, clock
        self.random, self.asked = Random(3), list[str]()
        self.root = keyring.load(folder / "log", keyring.REGISTRY_KEY)
        for key in (BOARD, CLINIC):
            self.engine.register(keyring.admission(self.root, role="institution", key=key.public.x, name="x"))
        self.accredit()
        self.issuer = self.opened()
        self.issuer.begin()

    def accredit(self, kind: str = "StateLicence", where: str = "US", **changed: Any) -> None:
        """The root's word about the board."""
        values = {"from_ms": 0, "until_ms": NOW_MS + 3650 * DAY_MS, **changed}
        document = Accreditation(
            log=self.engine.origin,
            party=BOARD.public.thumbprint,
            did="did:web:board.example",
            type=kind,
            jurisdiction=where,
            **values,
        )
        sub = model.accreditation_subject(document.party)
        self.say(self.root, document.encode(), model.ACCREDITATION, sub)

    def say(self, by: SigningKey, document: bytes, content_type: str, sub: str) -> bytes:
        """Register a statement."""
        raw = statement.sign(by, iss=by.public.urn, sub=sub, payload=document, content_type=content_type)
        self.engine.register(raw)
        return statement.entry(raw)

    def opened(self, folder: Path | None = None) -> Issuer:
        """The board's issuer, or another one under its name in a folder."""
        if folder is not None:
            folder.mkdir()
        return Issuer.open(
            folder or self.folder,
            say=lambda document, content_type, sub: self.say(BOARD, document, content_type, sub),
            answer=lambda _: "receipted",
            base=lambda: f"{SOURCE}credentials",
            log=self.engine.origin,
            party=BOARD.public.thumbprint,
            now_ms=self.clock,
            random_bytes=self.random.randbytes,
            web="did:web:board.example",
        )

    def licence(self, **changed: Any) -> Issued:
        """A nurse's licence, its lists out."""
        made = self.issuer.issue(types.draft("StateLicence", LICENCE), holder=HOLDER.public, **changed)
        self.issuer.publish()
        return made

    def change(self, made: Issued, event: str) -> None:
        """Take a credential back, or give it again, its lists out."""
        self.issuer.change(made.id, event, reason="x")
        self.issuer.publish()

    def trust(self) -> Trust:
        """The trust file."""
        return Trust.from_json(json.dumps(self.engine.trust()).encode())

    def transport(self) -> httpx.ASGITransport:
        """The way to the ledger."""
        return httpx.ASGITransport(app=http.app(self.engine, Metrics(CODES), addresses=("ledger.test",)))

    @contextlib.contextmanager
    def registry(self, name: str = "clinic") -> Iterator[Registry]:
        """The clinic's registry, or another one in a folder of that name."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        with contextlib.closing(Registry.open(folder)) as found:
            yield found

    async def read(self, registry: Registry, *, by: SigningKey | None = CLINIC, **changed: Any) -> None:
        """Read the ledger up."""
        auth = None if by is None else Signed(by, now_s=lambda: int(time.time()))
        values: dict[str, Any] = {"transport": self.transport(), "auth": auth}
        async with AsyncClient("http://ledger.test", **values) as client:
            thumbprint = (by or CLINIC).public.thumbprint
            named: dict[str, Any] = {"client": client, "trust": self.trust(), "me": lambda: thumbprint, **changed}
            await Follower(registry, now_ms=self.clock, **named).round()

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What the board's server says."""
        address = f"{request.url.scheme}://{request.headers['host']}{request.url.raw_path.decode()}"
        self.asked.append(address)
        name, _, at = address.rpartition("/")[2].partition("?timestamp=")
        raw = self.issuer.status_list(bytes.fromhex(name), at_ms=times.read(at) if at else None)
        tag = f'"{statement.entry(raw).hex()[:16]}"'
        if request.headers.get("if-none-match") == tag:
            return httpx.Response(304, headers={"etag": tag})
        return httpx.Response(
            200, headers={"content-type": "application/vc", "etag": tag}, stream=httpx.ByteStream(raw)
        )

    def lists(self, registry: Registry, **changed: Any) -> Lists:
        """What fetches lists for a registry."""
        values: dict[str, Any] = {
            "sources": (SOURCE,),
            "transport": httpx.MockTransport(self.answer),
            "resolve": lambda host, port: [OPEN],
        }
        return Lists(registry, now_ms=self.clock, **{**values, **changed})

    def verifier(self, registry: Registry, lists: Lists | None = None, **changed: Any) -> Verifier:
        """The clinic's verifier."""
        prepare = self.lists(registry).prepare if lists is None else lists.prepare
        values: dict[str, Any] = {"audience": AUDIENCE, "random_bytes": self.random.randbytes, "prepare": prepare}
        return Verifier(registry, now_ms=self.clock, **{**values, **changed})

    def roll_over(self) -> None:
        """This epoch ends and the next begins; the engine is opened anew."""
        origin = epochs.next_origin(self.engine.origin)
        note = self.engine.signed()
        custody.roll_over(self.engine, self.folder / "log", self.root, origin=origin, note=note, now_ms=self.clock)
        self.engine.close()
        self.engine = ledgers.opened(self.folder / "log", self.clock)
        self.issuer.close()
        self.issuer = self.opened()

    def close(self) -> None:
        """Let go of all."""
        self.issuer.close()
        self.engine.close()


@contextlib.contextmanager
def town(folder: Path) -> Iterator[Town]:
    """A town whose log is checked in the end."""
    clock = Clock()
    (folder / "log").mkdir(parents=True)
    with contextlib.closing(Town(folder, ledgers.opened(folder / "log", clock), clock)) as found:
        yield found
    fsck.check(folder / "log")
