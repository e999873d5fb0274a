"""What is true: every real paper there is, and whether it is good at a time. No judge sees this. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ledger.credentials.simulate.world import House


@dataclass(slots=True, kw_only=True)
class Paper:
    """One real credential as it really is; forged ones are nowhere in here. n: of all, in the order of issuing; id: as its issuer
    knows it; raw: as its holder has it; method: of the key that signed it; void: it was logged under a stolen key after the
    theft, so that it has to be issued again."""

    n: int
    person: int
    house: House
    type: str
    jurisdiction: str
    from_ms: int
    until_ms: int
    raw: bytes
    id: bytes
    method: str
    suspended: bool = False
    revoked: bool = False
    void: bool = False


@dataclass(slots=True, kw_only=True)
class Truth:
    """All papers, by their holders. withdrawn: (institution, type) that lost its accreditation."""

    papers: dict[int, list[Paper]] = field(default_factory=dict)
    withdrawn: set[tuple[int, str]] = field(default_factory=set)
    count: int = 0

    def add(self, paper: Paper) -> None:
        """One more, the newest of its holder's."""
        self.count += 1
        self.papers.setdefault(paper.person, []).append(paper)

    def good(self, paper: Paper, at_ms: int) -> bool:
        """Whether somebody who knows everything would rely on it."""
        if paper.suspended or paper.revoked or paper.void:
            return False
        return paper.from_ms <= at_ms < paper.until_ms and (paper.house.n, paper.type) not in self.withdrawn

    def of(self, person: int, kind: str, jurisdiction: str | None = None) -> Iterator[Paper]:
        """A person's papers of a type, the newest first."""
        for paper in reversed(self.papers.get(person, [])):
            if paper.type == kind and jurisdiction in (None, paper.jurisdiction):
                yield paper

    def best(self, person: int, kind: str, jurisdiction: str | None, at_ms: int) -> Paper | None:
        """What an honest person would show for a type: the newest good one, else the newest."""
        found = list(self.of(person, kind, jurisdiction))
        return next((each for each in found if self.good(each, at_ms)), found[0] if found else None)
