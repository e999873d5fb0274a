"""Lists of people who may not be employed, and who in a file may be on one. The columns are those of the OIG's LEIE.

A list is CSV in UTF-8 with a head line that has at least LASTNAME, FIRSTNAME, NPI, DOB, EXCLTYPE, EXCLDATE and REINDATE, as the
List of Excluded Individuals/Entities of the United States is published (UPDATED.csv). Dates are YYYYMMDD; an NPI of zeros and a
date of zeros are none. Lines of businesses, and of those who were reinstated, are left out.
"""

import csv
import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from protocol.errors import Malformed

COLUMNS = ("LASTNAME", "FIRSTNAME", "NPI", "DOB", "EXCLTYPE", "EXCLDATE", "REINDATE")
SIZE_MAX = 48 << 20  # bytes of a list; a longer one is refused. The LEIE has 16 MB and 83,000 lines in 2026
ENTRIES_MAX = 300_000  # of one list; more are refused
CELL_MAX = 512  # characters; a line with a longer cell is refused, and the list with it
CERTAIN, POSSIBLE = "excluded", "exclusion_possible"
"""By the number; by name and birth date, which a person has to decide on. Both block until then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """One entry. digest: SHA-256 of its cells, its name; named, birth: as `naming` and YYYYMMDD; empty: not said."""

    digest: bytes
    npi: str
    named: str
    birth: str
    kind: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whom a file is about. birth: YYYY-MM-DD; empty: not known."""

    given: str
    family: str
    birth: str = ""
    npi: str = ""

    @property
    def named(self) -> str:
        """The name as it is looked up."""
        return naming(self.family, self.given)


def read(data: bytes) -> Iterator[Exclusion]:
    """The people on a list. Raises Malformed: exclusions_size, exclusions_head, exclusions_bad; ENTRIES_MAX as they come."""
    if len(data) > SIZE_MAX:
        raise Malformed("exclusions_size", f"a list has at most {SIZE_MAX} bytes")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise Malformed("exclusions_bad", "a list is text in UTF-8") from error
    rows = csv.reader(lines, strict=True)
    try:
        head = [name.strip().upper() for name in next(rows, [])]
        if not set(COLUMNS) <= set(head):
            raise Malformed("exclusions_head", f"a list has the columns {', '.join(COLUMNS)}")
        yield from _people(rows, {name: head.index(name) for name in COLUMNS}, len(head))
    except csv.Error as error:
        raise Malformed("exclusions_bad", "a line of the list is not CSV") from error


def matches(person: Person, entry: Exclusion) -> str:
    """excluded, exclusion_possible, or empty: this is not about the person."""
    if entry.npi and entry.npi == person.npi:
        return CERTAIN
    born = person.birth.replace("-", "")
    if entry.birth and entry.birth == born and entry.named == person.named:
        return POSSIBLE
    return ""


def naming(family: str, given: str) -> str:
    """A name without accents, case, spaces and signs, and of the given names the first: lists write them in many ways."""
    first = given.split()[0] if given.split() else ""
    return f"{_letters(family)} {_letters(first)}"


def _people(rows: Iterable[list[str]], place: dict[str, int], width: int) -> Iterator[Exclusion]:
    for count, row in enumerate(rows):
        if count >= ENTRIES_MAX:
            raise Malformed("exclusions_size", f"a list has at most {ENTRIES_MAX} lines")
        if not row:
            continue
        if len(row) != width or any(len(cell) > CELL_MAX for cell in row):
            raise Malformed(
                "exclusions_bad", "a line of the list has not as many cells as its head, or one that is too long"
            )
        cell = {name: row[at].strip() for name, at in place.items()}
        if not cell["LASTNAME"] or _said(cell["REINDATE"]):
            continue
        yield Exclusion(
            digest=hashlib.sha256("\x1f".join(cell[name] for name in COLUMNS).encode()).digest(),
            npi=_said(cell["NPI"]),
            named=naming(cell["LASTNAME"], cell["FIRSTNAME"]),
            birth=_said(cell["DOB"].replace("-", "")),
            kind=cell["EXCLTYPE"],
            since=_said(cell["EXCLDATE"]),
        )


def _said(text: str) -> str:
    return text if text.strip("0") else ""


def _letters(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(each for each in plain if each.isalnum())
