"""Times as credentials write them: XML Schema dateTimeStamp, which always has a time zone. VC Data Model 2.0 §4.9."""

import re
from datetime import UTC, datetime, timedelta, timezone

from protocol.errors import Malformed

_STAMP = re.compile(
    r"(-?[0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]{1,9})?(Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)"
)


def write(at_ms: int) -> str:
    """The text of a Unix time in milliseconds, in UTC, to the second or, where there is a fraction, the millisecond."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    fraction = f".{at_ms % 1000:03d}" if at_ms % 1000 else ""
    return f"{at.strftime('%Y-%m-%dT%H:%M:%S')}{fraction}Z"


def read(text: object) -> int:
    """Unix milliseconds of a dateTimeStamp, cut to the millisecond. Raises Malformed: time_bad."""
    found = _STAMP.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise Malformed("time_bad", "a time is YYYY-MM-DDThh:mm:ss with a time zone")
    year, month, day, hour, minute, second = (int(each) for each in found.groups()[:6])
    whole_day = hour == 24 and minute == second == 0  # the end of a day. XML Schema 1.1 §3.3.7
    try:
        at = datetime(year, month, day, 0 if whole_day else hour, minute, second, tzinfo=_zone(found[8]))
        seconds = int((at + timedelta(days=whole_day) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    except (ValueError, OverflowError) as error:
        raise Malformed("time_bad", "there is no such time") from error
    return seconds * 1000 + int((found[7] or ".0")[1:].ljust(3, "0")[:3])


def _zone(text: str) -> timezone:
    if text == "Z":
        return UTC
    ahead = timedelta(hours=int(text[1:3]), minutes=int(text[4:]))
    return timezone(-ahead if text[0] == "-" else ahead)
