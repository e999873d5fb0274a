"""Hiring at a party: files are opened, filled and watched; what is said of one is settled with all that follows in one commit.

Each call looks at the credentials first, outside of any transaction, and then settles the file by what is in the database by
then. Calls may come from any thread, and may block.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from ledger.credentials.hiring import authority, exclusions, life
from ledger.credentials.hiring.exclusions import Person
from ledger.credentials.hiring.holdings import PASS, Held, held_of, judged
from ledger.credentials.hiring.life import AT_WORK, OVER, Event, Refused
from ledger.credentials.hiring.posts import DAY_MS, Post
from ledger.credentials.hiring.review import OTHER, File, Review, next_event, review
from ledger.credentials.hiring.store import Alert, Look, Row, Store
from ledger.credentials.vc.secured import Secured
from ledger.credentials.verdict import Known
from ledger.credentials.verifying import Answer, Verifier
from ledger.questions import MayAct, Standing
from protocol.errors import VigilError

ITSELF = "itself"  # who did what nobody did
KEEP_MS = 730 * DAY_MS  # after which a file that is over is erased, where the settings say nothing else
LOOK_MS = (
    DAY_MS // 2
)  # a look that is older is made again at the next question, though nothing is known to have changed
LOOKS = 16  # looks at files at one time; of one file there is one, so that no older one comes after a newer
RECEIVED_MAX = 64  # credentials of one answer; more are refused
_OPEN = ("requested", "collecting", "complete", "verified")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a credential that came. code: taken, again, or why it was not kept."""

    type: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a round found. failed: files that could not be looked at; they are next time."""

    files: int
    raised: int
    erased: int
    failed: int


class Hiring:
    """mark: changes whenever what is known of issuers and credentials does; keep_ms: how long a file that is over is kept."""

    def __init__(
        self,
        store: Store,
        verifier: Verifier,
        known: Known,
        *,
        mark: Callable[[], str],
        now_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        keep_ms: int = KEEP_MS,
    ) -> None:
        self._store, self._verifier, self._known = store, verifier, known
        self._mark, self._now_ms, self._random, self._keep_ms = mark, now_ms, random_bytes, keep_ms
        self._looks = [threading.Lock() for _ in range(LOOKS)]
        self.raised: Callable[[], None] = lambda: None
        """Told when there are new alerts."""
        self.lost: Callable[[str], None] = lambda _: None
        """Told the code when what a wallet showed could not be kept."""

    def open(self, post: Post, person: Person, *, by: str) -> bytes:
        """Begin a file; its id. Raises Unavailable: files_full, hiring_failing."""
        name, now_ms = self._random(16), self._now_ms()
        with self._store.writing():
            self._store.add(name, post, person, now_ms=now_ms)
            self._store.excluded.compare(name, [person], now_ms=now_ms)
            self._store.happened(name, "request", "requested", code="", by=by, now_ms=now_ms)
        return name

    def row(self, file: bytes) -> Row:
        """Raises NotFound: file_unknown."""
        return self._store.row(file)

    def review(self, file: bytes) -> Review:
        """What is missing and why, by the last look. Raises NotFound: file_unknown."""
        return review(self._store.row(file).file, now_ms=self._now_ms())

    def receive(self, file: bytes, answer: Answer, *, by: str) -> list[Taken]:
        """Take up what a person showed. Credentials that are somebody else's, or that nobody proved theirs, are not kept.

        answer: of the verifier, to a question of ours. Raises NotFound: file_unknown; Refused: file_event_refused;
        Unavailable: credentials_full, hiring_failing.
        """
        now_ms, taken = self._now_ms(), []
        with self._store.writing():
            row = self._store.row(file)
            before, holder = row.file, row.file.holder
            life.after(before.state, "receive")
            for one in answer.judged[:RECEIVED_MAX]:
                if one.found is None:
                    taken.append(Taken(type="", code=one.verdict.step("format").code))
                    continue
                held = self._held(one.found, judged(one.verdict), now_ms=now_ms)
                proved = one.verdict.step("holder").outcome == PASS and held.subject == answer.holder
                code = _unwelcome(held, proved=proved, holder=holder, person=row.person)
                if not code:
                    holder = held.subject
                    code = "taken" if self._store.hold(file, held, one.found.raw) else "again"
                taken.append(Taken(type=one.found.type, code=code))
            if not any(each.code in ("taken", "again") for each in taken):
                return taken
            self._store.unmark(file)  # what the answer was judged by may have changed since
            self._move(replace(before, holder=holder), "receive", by=by, now_ms=now_ms)
            raised = self._settle(file, now_ms=now_ms)
        self._told(raised)
        return taken

    def note_request(self, name: str, file: bytes, *, until_ms: int) -> None:
        """What comes for the request with this name is for a file. Raises Unavailable: hiring_failing."""
        with self._store.writing():
            self._store.asked(name, file, until_ms=until_ms, now_ms=self._now_ms())

    def requested(self, name: str) -> bytes | None:
        """The file that a request is for. None: it is for none."""
        return self._store.asked_for(name, now_ms=self._now_ms())

    def remove(self, file: bytes, credential: bytes, *, by: str) -> None:
        """Take a credential out, which the person need not have shown. Raises as `receive`."""
        now_ms = self._now_ms()
        with self._store.writing():
            before = self._store.row(file).file
            if before.state in OVER:
                raise Refused("file_event_refused", f"a hiring file that is {before.state} changes no more")
            if self._store.drop(file, credential):
                self._store.happened(file, "remove", before.state, code="", by=by, now_ms=now_ms)
            raised = self._settle(file, now_ms=now_ms)
        self._told(raised)

    def verify(self, file: bytes, *, by: str) -> Review:
        """Look at everything at once. The file is verified when nothing is missing and nobody on a list is taken for the person.

        Raises NotFound: file_unknown; Refused: file_event_refused; Unavailable.
        """
        return self._checked(file, "verify", by=by)

    def hire(self, file: bytes, *, by: str) -> Review:
        """The person works from now on, when a look at this moment still finds nothing against it: see what comes back.

        Raises as `verify`.
        """
        return self._checked(file, "hire", by=by)

    def renew(self, file: bytes, *, by: str) -> Review:
        """Everything was asked for again: the months begin anew, when nothing is missing by what holds at hiring. As `verify`."""
        return self._checked(file, "renew", by=by)

    def suspend(self, file: bytes, *, by: str) -> None:
        """They may not work until `reinstate`. Raises as `verify`."""
        self._hold(file, True, by=by)

    def reinstate(self, file: bytes, *, by: str) -> None:
        """Take back `suspend`. A cause that stands goes on to suspend them. Raises as `verify`."""
        self._hold(file, False, by=by)

    def end(self, file: bytes, *, by: str) -> None:
        """They work here no more; the file is kept for a time, then erased. Raises as `verify`."""
        self._finish(file, "end", by=by)

    def refuse(self, file: bytes, *, by: str) -> None:
        """They are not hired. Raises as `verify`."""
        self._finish(file, "refuse", by=by)

    def permit(self, file: bytes, capability: str, event: str, *, by: str) -> None:
        """withdraw a capability that the post grants, or grant it again. Raises NotFound; Refused: permit_event_refused."""
        now_ms = self._now_ms()
        with self._store.writing():
            before = self._store.row(file).file
            states = self._store.permits(file)
            if event not in ("withdraw", "grant") or capability not in states:
                raise Refused("permit_event_refused", "this file has no such capability")
            self._store.permit(file, capability, life.permit_after(states[capability][0], event), event, now_ms=now_ms)
            self._store.happened(file, event, before.state, code=capability, by=by, now_ms=now_ms)
            raised = self._settle(file, now_ms=now_ms)
        self._told(raised)

    def decide(self, file: bytes, entry: bytes, *, same: bool, by: str) -> None:
        """Say of somebody on a list whether it is this person. Raises NotFound: file_unknown, match_unknown."""
        now_ms = self._now_ms()
        with self._store.writing():
            before = self._store.row(file).file
            self._store.excluded.decide(file, entry, "same" if same else OTHER, by=by)
            self._store.happened(file, "decide", before.state, code="same" if same else OTHER, by=by, now_ms=now_ms)
            raised = self._settle(file, now_ms=now_ms)
        self._told(raised)

    def take_list(self, name: str, data: bytes) -> int:
        """Take an exclusion list in place of the one of this name, and compare every file with it; how many are on it.

        Raises Malformed: exclusions_*; Unavailable: hiring_failing. Stop in between: the list is there, and the next round
        compares the files that were left.
        """
        entries, now_ms, raised = list(exclusions.read(data)), self._now_ms(), 0
        with self._store.writing():
            count = self._store.excluded.replace(name, entries, now_ms=now_ms)
        for file in self._store.ids([*_OPEN, *AT_WORK]):
            with self._store.writing():
                raised += self._settle(file, now_ms=now_ms)
        self._told(raised)
        return count

    def may(self, question: MayAct) -> Standing:
        """What the files of a person allow now. What is known by now counts, so a revocation that has arrived bites."""
        found = []
        for file in self._store.ids(AT_WORK, holder=question.holder) if question.holder else ():
            self._told(self._look(file))
            row = self._store.row(file)
            state = self._store.permits(file).get(question.capability)
            permit = None if state is None else state[0]
            found.append(authority.may(row.file, question.capability, now_ms=self._now_ms(), permit=permit))
        return authority.best(found)

    def round(self) -> Round:
        """Look at everybody who is here or on the way, and erase what was kept long enough: once a day, and when news came."""
        raised, failed, files = 0, 0, self._store.ids([*_OPEN, *AT_WORK])
        for file in files:
            try:
                raised += self._look(file, settle=True)
            except VigilError:
                failed += 1
        old = self._store.over_before(self._now_ms() - self._keep_ms)
        for file in old:
            self._store.erase(file, now_ms=self._now_ms())
        self._told(raised)
        return Round(files=len(files), raised=raised, erased=len(old), failed=failed)

    def alerts(self, file: bytes | None = None, *, standing: bool = False) -> list[Alert]:
        """What was told, the newest first. standing: what is still so."""
        return self._store.alerts(file, standing=standing)

    def erase(self, file: bytes, *, by: str) -> None:
        """Forget the person of a file that is over. Raises NotFound: file_unknown; Refused: file_not_over; Unavailable."""
        now_ms, found = self._now_ms(), self._store.row(file).file
        if found.state not in OVER:
            raise Refused("file_not_over", "end or refuse the file first")
        with self._store.writing():
            self._store.happened(file, "erase", found.state, code="", by=by, now_ms=now_ms)
        # Stop here: asked for and not done; whoever asked sees the file, and asks again.
        self._store.erase(file, now_ms=now_ms)

    def _checked(self, file: bytes, event: Event, *, by: str) -> Review:
        self._look(file, always=True)
        now_ms = self._now_ms()
        with self._store.writing():
            raised = self._settle(file, now_ms=now_ms)
            before = self._store.row(file).file
            if before.state in OVER:
                raise Refused("file_event_refused", f"a hiring file that is {before.state} changes no more")
            found = review(replace(before, state="verified") if event == "renew" else before, now_ms=now_ms)
            if not found.causes:
                if event in ("hire", "renew"):
                    before = replace(before, credentialled_ms=now_ms, hired_ms=before.hired_ms or now_ms)
                self._move(before, event, by=by, now_ms=now_ms)
                raised += self._settle(file, now_ms=now_ms)
        self._told(raised)
        return found

    def _hold(self, file: bytes, held: bool, *, by: str) -> None:
        now_ms = self._now_ms()
        with self._store.writing():
            before = self._store.row(file).file
            if before.state not in AT_WORK:
                raise Refused("file_event_refused", f"a hiring file that is {before.state} cannot be held back")
            self._store.save(replace(before, held=held))
            self._store.happened(file, "hold" if held else "release", before.state, code="", by=by, now_ms=now_ms)
            raised = self._settle(file, now_ms=now_ms)
        self._told(raised)

    def _finish(self, file: bytes, event: Event, *, by: str) -> None:
        now_ms = self._now_ms()
        with self._store.writing():
            before = self._store.row(file).file
            self._move(before, event, by=by, now_ms=now_ms)
            for capability, (state, *_) in self._store.permits(file).items():
                if state != "withdrawn":
                    after = life.permit_after(state, "withdraw")
                    self._store.permit(file, capability, after, event, now_ms=now_ms)
            self._store.tell(file, (), now_ms=now_ms)

    def _look(self, file: bytes, *, always: bool = False, settle: bool = False) -> int:
        """Judge a file's credentials again when what is known has changed, and settle it; how many alerts came of it."""
        with self._looks[file[0] % LOOKS]:
            row, mark, now_ms = self._store.row(file), self._mark(), self._now_ms()
            looks: list[Look] = []
            lately = 0 <= now_ms - row.file.looked_ms < LOOK_MS
            changed = always or row.mark != mark or not lately
            if changed:
                looks = [self._judged(name, raw) for name, raw in self._store.raws(file)]
            elif not settle:
                return 0
            with self._store.writing():
                if changed:
                    self._store.judge(file, looks, mark=mark, looked_ms=now_ms)
                return self._settle(file, now_ms=now_ms)

    def _judged(self, name: bytes, raw: bytes) -> Look:
        (one,) = self._verifier.check(raw).judged
        outcome, code = judged(one.verdict)
        return Look(id=name, outcome=outcome, code=code, checked_ms=self._checked_ms(one.found))

    def _checked_ms(self, found: Secured | None) -> int | None:
        """When the source was asked that a credential tells of. The ledger may not have been read so far: ask again later."""
        said = None if found is None or found.anchor is None else self._known.committed(found.anchor.id)
        return None if said is None else said.checked_ms

    def _held(self, found: Secured, outcome: tuple[str, str], *, now_ms: int) -> Held:
        digest = hashlib.sha256(found.raw).digest()
        return held_of(found, outcome, id=digest, checked_ms=self._checked_ms(found), came_ms=now_ms)

    def _settle(self, file: bytes, *, now_ms: int) -> int:
        """All that follows from how a file is now: its state, its capabilities, its alerts; how many were raised."""
        row = self._store.row(file)
        if row.file.state in OVER:
            return 0
        if row.person is not None:
            names = [row.person, *(_named(each, row.person) for each in row.file.helds)]
            self._store.excluded.compare(file, names, now_ms=now_ms)
        found = self._store.row(file).file
        seen = review(found, now_ms=now_ms)
        while event := next_event(found.state, seen):  # ends: each leads to a state that none leaves by the same review
            code = seen.causes[0].code if seen.causes else ""
            found = self._move(found, event, by=ITSELF, now_ms=now_ms, code=code)
            seen = review(found, now_ms=now_ms)
        self._set_permits(found, now_ms=now_ms)
        return self._store.tell(file, seen.notices, now_ms=now_ms)

    def _set_permits(self, file: File, *, now_ms: int) -> None:
        states = self._store.permits(file.id)
        for capability in file.post.grants if file.state in AT_WORK else ():
            state = states[capability][0] if capability in states else None
            if state == "withdrawn":
                continue
            answer = authority.may(file, capability, now_ms=now_ms)
            after: life.Permit = "granted" if answer.allowed else "blocked"
            if state == after:
                continue
            if state is not None:
                after = life.permit_after(state, "lift" if answer.allowed else "block")
            self._store.permit(file.id, capability, after, answer.code, now_ms=now_ms)
            self._store.happened(
                file.id, f"{capability} {after}", file.state, code=answer.code, by=ITSELF, now_ms=now_ms
            )

    def _move(self, file: File, event: Event, *, by: str, now_ms: int, code: str = "") -> File:
        """The file after an event. Raises Refused: file_event_refused."""
        after = replace(file, state=life.after(file.state, event))
        self._store.save(after, over_ms=now_ms if after.state in OVER else None)
        if after.state != file.state or event != "receive":
            self._store.happened(file.id, event, after.state, code=code, by=by, now_ms=now_ms)
        return after

    def _told(self, raised: int) -> None:
        if raised:
            self.raised()


def _unwelcome(held: Held, *, proved: bool, holder: str, person: Person | None) -> str:
    """Why a credential is not kept, empty when it is. proved: by the one whom it is about; holder: whose the file is by now."""
    if not proved or not held.subject:
        return "holder_not_proved"
    if holder not in ("", held.subject):
        return "holder_other"
    said = _named(held, person or Person(given="", family=""))
    if person is not None and (
        (person.birth and said.birth != person.birth) or (person.npi and said.npi != person.npi)
    ):
        return "person_other"
    return ""


def _named(held: Held, person: Person) -> Person:
    """Whom a credential names; where it says nothing, as we wrote it."""
    claims = {name: value for name, value in held.claims.items() if isinstance(value, str)}
    return Person(
        given=claims.get("givenName", person.given),
        family=claims.get("familyName", person.family),
        birth=claims.get("birthDate", person.birth),
        npi=claims.get("npi", person.npi),
    )
