"""A hiring file as a whole, at a time: what is missing, what stands against working, what is to be told, what is next."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ledger.credentials.hiring.holdings import FAIL, UNKNOWN, Filled, Gap, Held, fill, stands
from ledger.credentials.hiring.life import AT_WORK, Event, State
from ledger.credentials.hiring.posts import DAY_MS, RECREDENTIAL_MONTHS, Post

MARKS = (90, 60, 30, 14, 7)  # days before an end that are told
EXPIRING, AGEING, RENEWING = "expiring", "source_ageing", "recredential"
"""What ends: a credential, the word of its source, the whole of a file."""
RENEWAL, HOLD, EXCLUSION = "recredential", "hold", "exclusion"  # subjects that are no credential and no need
OTHER = "other"  # what a person decided of a match: it is somebody else


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Somebody on an exclusion list who is, or may be, the person. entry: its digest; decided: "", "same" or "other"."""

    entry: bytes
    code: str
    decided: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One hiring file. holder: the DID whose credentials it takes, empty before the first; held: a person stopped it.

    hired_ms, credentialled_ms: since when they work, and when everything was last asked for; looked_ms: since when the outcomes
    of the credentials are what they are.
    """

    id: bytes
    state: State
    post: Post
    holder: str
    helds: tuple[Held, ...]
    matches: tuple[Match, ...] = ()
    held: bool = False
    hired_ms: int | None = None
    credentialled_ms: int | None = None
    looked_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What stands against working. subject: a need, or what is no need; outcome: fail, or unknown."""

    subject: str
    outcome: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to tell. subject: a need, or a credential by its id; days: 0: it is so; else: it will be, in so many days.

    end_ms: of what ends; type: of the credential, empty when it is about none.
    """

    subject: str
    code: str
    type: str = ""
    days: int = 0
    end_ms: int = 0

    @property
    def key(self) -> str:
        """The same for the same thing, whenever it is looked at."""
        return f"{self.code}:{self.subject}:{self.days}:{self.end_ms}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """met: needs by name; notices: all that is so, and the marks that have come."""

    met: Mapping[str, Filled]
    gaps: tuple[Gap, ...]
    causes: tuple[Cause, ...]
    notices: tuple[Notice, ...]


def review(file: File, *, now_ms: int) -> Review:
    """Look at a file. Marks and notices are of those at work alone."""
    at_work = file.state in AT_WORK
    met, gaps = fill(file.post, file.helds, now_ms=now_ms, at_work=at_work)
    causes = [Cause(subject=gap.need.name, outcome=gap.outcome, code=gap.code) for gap in gaps]
    for match in file.matches:
        if match.decided != OTHER:
            causes.append(Cause(subject=f"{EXCLUSION}:{match.entry.hex()}", outcome=FAIL, code=match.code))
    due_ms = renewal_ms(file)
    if due_ms is not None and now_ms >= due_ms:
        causes.append(Cause(subject=RENEWAL, outcome=FAIL, code="recredential_due"))
    if file.held:
        causes.append(Cause(subject=HOLD, outcome=FAIL, code="held"))
    found = Review(met=met, gaps=gaps, causes=tuple(causes), notices=())
    return replace(found, notices=tuple(_notices(file, found, now_ms))) if at_work else found


def next_event(state: State, found: Review) -> Event | None:
    """What happens to a file by itself: nobody has to be there for it. None: it stays.

    What is not known stops nobody from working, and lets nobody begin again: capabilities that rest on it are blocked meanwhile.
    """
    failing = any(cause.outcome == FAIL for cause in found.causes)
    match state:
        case "collecting" if not found.gaps:
            return "fill"
        case "complete" | "verified" if found.gaps:
            return "lack"
        case "hired" if failing:
            return "suspend"
        case "suspended" if not found.causes:
            return "reinstate"
    return None


def renewal_ms(file: File) -> int | None:
    """When everything is to be asked for again. None: nothing was yet."""
    if file.credentialled_ms is None or file.state not in AT_WORK:
        return None
    return after_months(file.credentialled_ms, RECREDENTIAL_MONTHS)


def after_months(at_ms: int, months: int) -> int:
    """The same time of the same day, months later; of a shorter month the last day. UTC."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    for day in (at.day, 30, 29, 28):
        try:
            later = at.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue
        return int(later.timestamp()) * 1000 + at_ms % 1000
    raise AssertionError("every month has 28 days")


def marks(end_ms: int, *, since_ms: int, now_ms: int) -> list[int]:
    """The marks before an end that have come: those since it is watched, and of the earlier ones the last. Days."""
    come = [days for days in MARKS if end_ms - days * DAY_MS <= now_ms < end_ms]
    before = [days for days in come if end_ms - days * DAY_MS < since_ms]
    return [days for days in come if days not in before or days == min(before)]


def _notices(file: File, found: Review, now_ms: int) -> Iterator[Notice]:
    """Each thing once, though several needs may rest on it."""
    told: set[str] = set()
    for notice in (*_conditions(file, found, now_ms), *_marks(file, found.met, now_ms)):
        if notice.key not in told:
            told.add(notice.key)
            yield notice


def _conditions(file: File, found: Review, now_ms: int) -> Iterator[Notice]:
    unknown = [cause.code for cause in found.causes if cause.outcome == UNKNOWN]
    if unknown:  # told once of a file: when the ledger cannot be read, it is so of everything
        yield Notice(subject=UNKNOWN, code=unknown[0])
    for gap in found.gaps:  # the credential that came nearest, else the need itself
        if gap.outcome == UNKNOWN:
            continue
        nearest = [reason.held for reason in gap.reasons if reason.code == gap.code]
        yield Notice(subject=nearest[-1].hex() if nearest else gap.need.name, code=gap.code, type=gap.need.type)
    needs = {gap.need.name for gap in found.gaps}
    for cause in found.causes:
        if cause.subject not in needs:
            yield Notice(subject=cause.subject, code=cause.code)
    for held in file.helds:  # one that was taken back is told of, also where another has its place
        outcome, code = stands(held, now_ms=now_ms)
        if outcome == FAIL and code not in ("expired", "not_yet_valid"):
            yield Notice(subject=held.id.hex(), code=code, type=held.type)


def _marks(file: File, met: Mapping[str, Filled], now_ms: int) -> Iterator[Notice]:
    assert file.hired_ms is not None and file.credentialled_ms is not None, "whoever works was hired"
    for found in met.values():
        if found.until_ms is None:
            continue
        code, by = AGEING if found.by_source else EXPIRING, found.by
        for days in marks(found.until_ms, since_ms=max(by.came_ms, file.hired_ms), now_ms=now_ms):
            yield Notice(subject=by.id.hex(), code=code, type=by.type, days=days, end_ms=found.until_ms)
    due_ms = after_months(file.credentialled_ms, RECREDENTIAL_MONTHS)
    for days in marks(due_ms, since_ms=file.credentialled_ms, now_ms=now_ms):
        yield Notice(subject=RENEWAL, code=RENEWING, days=days, end_ms=due_ms)
