"""What a credential says, looked at for itself: fields that are missing, dates and numbers that cannot be."""

import datetime
import re

from stdnum import luhn
from stdnum.exceptions import ValidationError

from ledger.credentials import model
from ledger.credentials.types.catalogue import CATALOGUE, DATE, DEA, JURISDICTION, NPI, VALUE_MAX
from ledger.credentials.vc import secured
from ledger.credentials.vc.secured import Secured

NPI_PREFIX = "80840"  # of health applications in the United States, before the check digit is taken. 45 CFR 162.406

_DEA = re.compile(r"[ABCDEFGHJKLMPRSTUX][A-Z9][0-9]{7}")
_NPI = re.compile(r"[12][0-9]{9}")


def problems(found: Secured) -> tuple[str, ...]:
    """The codes of what is wrong: type_unknown, field_missing, field_size, date_bad, npi_bad, dea_bad, jurisdiction_bad.

    A field that the holder may keep back, and has, is not missing.
    """
    kind = CATALOGUE.get(found.type)
    if kind is None:
        return ("type_unknown",)
    said = secured.said(found.claims)
    codes: list[str] = []
    for field in kind.fields:
        value = said.get(field.name)
        if value is None:
            kept_back = field.hidden and found.format == secured.SD_JWT
            if field.required and not kept_back:
                codes.append("field_missing")
        elif not isinstance(value, str) or not 0 < len(value) <= VALUE_MAX:
            codes.append("field_size")
        elif not _CHECKS.get(field.kind, lambda _: True)(value):
            codes.append(f"{field.kind}_bad")
    return tuple(codes)


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


def is_date(text: str) -> bool:
    """Whether this is a calendar date as ISO 8601 has it, YYYY-MM-DD."""
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


_CHECKS = {NPI: is_npi, DEA: is_dea, DATE: is_date, JURISDICTION: model.is_jurisdiction}
