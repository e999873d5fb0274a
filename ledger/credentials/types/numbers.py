"""Numbers of people, registrations and institutions: whether one can be what it says, not whether it was ever given out."""

import re

from stdnum import lei, luhn
from stdnum.exceptions import ValidationError

NPI_PREFIX = "80840"  # of health applications in the United States, before the check digit is taken. 45 CFR 162.406
SCHEDULES = ("2", "2N", "3", "3N", "4", "5")  # of the Controlled Substances Act, as a DEA certificate names them

_NPI = re.compile(r"[12][0-9]{9}")
_DEA = re.compile(r"[ABCDEFGHJKLMPRSTUX][A-Z9][0-9]{7}")
_LICENCE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ./-]{0,30}[A-Za-z0-9])?")
_CVX = re.compile(r"[0-9]{1,3}")


def is_npi(text: str) -> bool:
    """Whether this can be a National Provider Identifier: ten digits and a Luhn check digit over the prefix and them."""
    if not _NPI.fullmatch(text):
        return False
    try:
        luhn.validate(NPI_PREFIX + text)
    except ValidationError:
        return False
    return True


def is_dea(text: str) -> bool:
    """Whether this can be a DEA registration number: two letters, six digits and their check digit."""
    if not _DEA.fullmatch(text):
        return False
    digits = [int(each) for each in text[2:]]
    return (digits[0] + digits[2] + digits[4] + 2 * (digits[1] + digits[3] + digits[5])) % 10 == digits[6]


def is_lei(text: str) -> bool:
    """Whether this can be a Legal Entity Identifier, in capitals and without spaces. ISO 17442-1."""
    try:
        return str(lei.validate(text)) == text
    except ValidationError:
        return False


def is_licence(text: str) -> bool:
    """Whether this has the shape of a licence number, of which every board has its own."""
    return _LICENCE.fullmatch(text) is not None and any(each.isdigit() for each in text)


def is_vaccine(text: str) -> bool:
    """Whether this has the shape of a CVX code of the CDC."""
    return _CVX.fullmatch(text) is not None


def are_schedules(text: str) -> bool:
    """Whether these are schedules of controlled substances, each once, with commas between them."""
    found = schedules_of(text)
    return bool(found) and set(found) <= set(SCHEDULES) and len(set(found)) == len(found)


def schedules_of(text: str) -> tuple[str, ...]:
    """The schedules in a text: "2, 3N" or as certificates write them, "2,3N"."""
    return tuple(each.strip() for each in text.split(",") if each.strip())
