"""A hospital of a simulation: asks for what a post needs, has it judged, hires or does not, and asks before each shift.

It does what the product's verifier and hiring files say, as its staff would; it knows nothing of the truth.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from ledger.credentials.hiring import exclusions
from ledger.credentials.hiring.life import AT_WORK
from ledger.credentials.hiring.posts import BREAK_GLASS, Need, Post
from ledger.credentials.hiring.service import Hiring
from ledger.credentials.hiring.store import Store
from ledger.credentials.registry import Registry
from ledger.credentials.simulate.world import CHECK, DAY_MS, House, Person
from ledger.credentials.verdict import Verdict
from ledger.credentials.verdict.steps import PASS
from ledger.credentials.verifying import Challenge, Verifier
from ledger.questions import MayAct

CHECK_AGE_MS = 120 * DAY_MS  # how lately the source of a licence was asked, of whoever begins
BY = "staff"  # who does what is done to a file
KEPT = ("taken", "again")


class Hospital:
    """house: which; folder: its own; posts: by profession; follow: reads the ledger up."""

    def __init__(
        self,
        house: House,
        folder: Path,
        registry: Registry,
        verifier: Verifier,
        posts: Mapping[str, Post],
        *,
        follow: Callable[[], None],
        now_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.house = house
        self._store, self._verifier, self._posts, self._follow = Store.open(folder), verifier, posts, follow
        self._hiring = Hiring(
            self._store,
            verifier,
            registry,
            mark=lambda: str(registry.followed.edge.size),
            now_ms=now_ms,
            random_bytes=random_bytes,
        )
        self._files: dict[int, bytes] = {}

    def close(self) -> None:
        """Close its files."""
        self._store.close()

    @property
    def audience(self) -> str:
        """Its name, for which holders sign."""
        return self._verifier.request().audience

    def open(self, person: Person) -> None:
        """A new file for somebody who applies."""
        who = exclusions.Person(given=person.given, family=person.family, npi=person.npi)
        self._files[person.n] = self._hiring.open(self._posts[person.profession], who, by=BY)

    def ask(self) -> Challenge:
        """A question for one presentation."""
        return self._verifier.request()

    def take(self, person: int, raw: bytes, nonce: str) -> list[str]:
        """Judge what somebody shows and put it into their file; why a credential does not count, "" when it does, of each."""
        self._follow()
        answer = self._verifier.answered(raw, nonce=nonce)
        taken = self._hiring.receive(self._files[person], answer, by=BY)
        codes = [first_code(each.verdict) for each in answer.judged]
        return [code or ("" if each.code in KEPT else each.code) for code, each in zip(codes, taken, strict=True)]

    def decide(self, person: int) -> bool:
        """Hire, when nothing is missing and all of it counts; whether it did."""
        self._follow()
        file = self._files[person]
        for state, step in (("complete", self._hiring.verify), ("verified", self._hiring.hire)):
            if self._state(person) == state:
                step(file, by=BY)
        return self._state(person) == "hired"

    def renew(self, person: int) -> None:
        """Everything was shown anew by somebody at work."""
        self._follow()
        self._hiring.renew(self._files[person], by=BY)

    def leave(self, person: int) -> None:
        """Close the file of who leaves, or is not hired."""
        close = self._hiring.end if self._state(person) in AT_WORK else self._hiring.refuse
        close(self._files.pop(person), by=BY)

    def may_work(self, person: int) -> bool:
        """Whether somebody who comes to a shift is let in."""
        self._follow()
        holder = self._hiring.row(self._files[person]).file.holder
        return self._hiring.may(MayAct(holder=holder, capability=BREAK_GLASS)).allowed

    def _state(self, person: int) -> str:
        return self._hiring.row(self._files[person]).file.state


def first_code(verdict: Verdict) -> str:
    """The code of the first step that did not pass, "" when all did."""
    return next((f"{each.name}: {each.code}" for each in verdict.steps if each.outcome != PASS), "")


def post(profession: str, needs: tuple[str, ...], state: str) -> Post:
    """A post as a hospital words it. The source of a licence is asked where somebody in this world does that."""
    found = tuple(
        Need(
            name=kind.lower(),
            type=kind,
            label=kind,
            places=frozenset({state}) if kind == "StateLicence" else frozenset(),
            checked_ms=CHECK_AGE_MS if kind == "StateLicence" and CHECK in needs else None,
        )
        for kind in needs
        if kind != CHECK
    )
    return Post(
        name=profession, label=profession, needs=found, grants={BREAK_GLASS: tuple(each.name for each in found)}
    )
