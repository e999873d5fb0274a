"""The ledger and the institutions of a simulation: the log's real engine and real issuers, under a clock that is set."""

import contextlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random

from ledger.credentials import model, types
from ledger.credentials.issuing import Issued, Issuer
from ledger.credentials.model import Accreditation
from ledger.credentials.simulate.world import BEGUN_MS, LASTS, MAY, House, Person, World, date
from ledger.credentials.vc import secured
from ledger.credentials.vc.multikey import VerifyingKey
from ledger.log import keyring
from ledger.log.engine import Engine
from protocol import declarations, statement
from protocol.documents import Admission
from protocol.errors import VigilError
from protocol.keys import SigningKey

ORIGIN = "ledger.vigil.example/simulated"
QUEUE = 256  # statements that wait at most before they go to the log together
FORMATS = (secured.DATA_INTEGRITY, secured.DATA_INTEGRITY, secured.COSE, secured.SD_JWT)


class Clock:
    """Everybody's time, in Unix ms; it goes on only when the simulation says so."""

    def __init__(self) -> None:
        self.at_ms = BEGUN_MS

    def __call__(self) -> int:
        return self.at_ms


class Log:
    """The log in a folder, and what waits for it. refused: codes of its refusals, of honest and of crooked statements."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.engine = Engine.open(folder, now_ms=clock, origin=ORIGIN)
        self.root = keyring.load(folder, keyring.REGISTRY_KEY)
        self.refused: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._waiting: list[tuple[bytes, bool]] = []

    def say(self, key: SigningKey, document: bytes, content_type: str, sub: str, *, honest: bool = True) -> bytes:
        """Sign a statement and let it wait for the log; its digest."""
        raw = statement.sign(key, iss=key.public.urn, sub=sub, payload=document, content_type=content_type)
        return self.put(raw, honest=honest)

    def put(self, raw: bytes, *, honest: bool = True) -> bytes:
        """Let a statement wait for the log; its digest."""
        self._waiting.append((raw, honest))
        if len(self._waiting) >= QUEUE:
            self.settle()
        return statement.entry(raw)

    def settle(self) -> None:
        """Register what waits."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for (_, honest), found in zip(waiting, self.engine.register_many([raw for raw, _ in waiting]), strict=True):
            if isinstance(found, VigilError):
                self.refused[honest][found.code] += 1


class Institution:
    """One institution of the world with its key on the log and its issuer. folder: its own."""

    def __init__(self, house: House, log: Log, folder: Path, clock: Clock, rng: Random) -> None:
        self.house, self.folder = house, folder
        self.key = SigningKey.from_seed(rng.randbytes(32))
        self._log, self._clock = log, clock
        self.random = rng
        folder.mkdir(parents=True)
        self.issuer = Issuer.open(
            folder,
            say=self.say,
            base=lambda: self.address,
            log=ORIGIN,
            party=self.name,
            now_ms=clock,
            random_bytes=rng.randbytes,
            web=house.did,
        )
        self.published_ms = 0
        """When its lists came out last, 0 before the first."""

    @property
    def name(self) -> bytes:
        """What the log calls it."""
        return self.key.public.thumbprint

    @property
    def accredits(self) -> bool:
        """Whether it may vouch for anything, and so has lists."""
        return bool(MAY[self.house.kind])

    @property
    def address(self) -> str:
        """Under which its lists are found."""
        return f"https://house-{self.house.n}.example/credentials"

    @property
    def place(self) -> tuple[int, int]:
        """Where the log is now."""
        return self._log.engine.epoch, self._log.engine.size

    def say(self, document: bytes, content_type: str, sub: str, *, honest: bool = True) -> bytes:
        """Have the log told something in its name."""
        return self._log.say(self.key, document, content_type, sub, honest=honest and not self.house.crooked)

    def accredited(self, kind: str, *, until_ms: int, withdrawn: bool = False) -> None:
        """The registry root's word about it."""
        document = Accreditation(
            log=ORIGIN,
            party=self.name,
            did=self.house.did,
            type=kind,
            jurisdiction=self.house.covers(kind),
            from_ms=BEGUN_MS,
            until_ms=until_ms,
            withdrawn=withdrawn,
        )
        sub = model.accreditation_subject(self.name)
        self._log.say(self._log.root, document.encode(), model.ACCREDITATION, sub)

    def issue(self, person: Person, kind: str, where: str, holder: VerifyingKey, *, days: int = 0) -> Issued:
        """A credential for somebody. days: 0 for as long as its type lasts."""
        draft = types.draft(kind, fields(person, kind, where, self.house.name, self._clock()))
        form = FORMATS[self.random.randrange(len(FORMATS))]
        made = self.issuer.issue(draft, holder=holder, format=form, days=days or LASTS[kind])
        if not self.published_ms:  # the first credential of a list brings the list
            self.publish()
        return made

    def publish(self, *, again: bool = False) -> int:
        """Bring its lists out; how many."""
        count = self.issuer.publish(again=again)
        if count:
            self.published_ms = self._clock()
        return count


class Town:
    """All of them. institutions: by their place in the world."""

    def __init__(self, world: World, folder: Path, clock: Clock, rng: Random) -> None:
        self.world, self.clock = world, clock
        self.log = Log(folder / "ledger", clock)
        self.institutions: list[Institution] = []
        for house in world.houses:
            own = Random(rng.randrange(1 << 62))
            each = Institution(house, self.log, folder / f"house-{house.n}", clock, own)
            self.institutions.append(each)
            admission = Admission(role="institution", key=each.key.public.x, name=house.name)
            self.log.put(declarations.admission(self.log.root, admission))
            for kind in MAY[house.kind]:
                each.accredited(kind, until_ms=world.until_ms + 1)
            each.issuer.begin()
        self.log.settle()
        self._old: dict[str, int] = {}

    def serve(self, url: str, *, at_ms: int | None = None) -> bytes:
        """What is at the address of a status list, now or at a time: an older one while somebody sees to that.

        Raises NotFound: list_unknown.
        """
        house, _, name = url.removeprefix("https://house-").partition(".example/credentials/status/")
        return self.institutions[int(house)].issuer.status_list(bytes.fromhex(name), at_ms=self._old.get(url, at_ms))

    def old_list(self, url: str, *, at_ms: int) -> None:
        """Serve the version of a time at an address, until `honest_lists`."""
        self._old[url] = at_ms

    def honest_lists(self) -> None:
        """Serve the newest versions again."""
        self._old.clear()

    def close(self) -> None:
        """Close every file."""
        with contextlib.ExitStack() as held:
            held.callback(self.log.engine.close)
            for each in self.institutions:
                held.callback(each.issuer.close)


def fields(person: Person, kind: str, where: str, house: str, at_ms: int) -> Mapping[str, str]:
    """What a credential of a type says about somebody."""
    today = date(at_ms)
    own: Mapping[str, Mapping[str, str]] = {
        "Degree": {"programme": f"Programme for a {person.profession}", "conferredAt": today},
        "Training": {"programme": "Basic life support", "conferredAt": today},
        "StateLicence": {
            "licenceNumber": f"{person.profession[:1].upper()}{person.n:06d}",
            "licenceType": person.profession.capitalize(),
            "npi": person.npi,
        },
        "BoardCertification": {"board": house, "specialty": "Internal medicine"},
        "DEARegistration": {"deaNumber": person.dea, "schedules": "2, 3, 4, 5"},
        "ImmunisationRecord": {"vaccineCode": "43", "conferredAt": today},
        "EmploymentRecord": {"employer": house, "position": person.profession.capitalize(), "startDate": today},
        "Privilege": {"privilege": f"Work as a {person.profession}", "site": house, "npi": person.npi},
        "PrimarySourceVerification": {
            "source": "State board",
            "claim": "StateLicence",
            "result": "confirmed",
            "checkedAt": today,
            "checkedBy": house,
        },
    }
    return {"givenName": person.given, "familyName": person.family, "jurisdiction": where, **own[kind]}
