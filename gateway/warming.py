"""What detectors see again after a start: the contents of the last while, read from the record.

From the record and not from the readings kept for curves, for only the record is durable before anything is receipted: a stop
between the two would leave a hole in which a fall begins.
"""

import logging
import sqlite3
from collections.abc import Iterable, Iterator

from gateway.admission import Member
from gateway.store import messages
from protocol import content, message, topics
from protocol.content import Content
from protocol.errors import ProtocolError

log = logging.getLogger(__name__)


def contents(
    conn: sqlite3.Connection, members: Iterable[Member], *, from_ms: int
) -> Iterator[tuple[Member, int, Content]]:
    """(member, received_ms, content) of what these members sent from `from_ms` of receiving time on, in the order of its
    rows. A message that an earlier enrolment sealed cannot be opened any more and is left out."""
    by_row = {member.row: member for member in members}
    unread = 0
    for row, lane, received_ms, raw in messages.since(conn, from_ms=from_ms):
        member = by_row.get(row)
        if member is None:
            continue
        try:
            seen = message.parse(raw, topic=topics.up(member.device, lane), size_max=message.SIZE_MAX[lane])
            opened = message.open_content(seen, lk=member.lk, link_id=member.link_id)
            yield member, received_ms, content.decode(opened.content, content_type=opened.content_type)
        except ProtocolError:
            unread += 1
    if unread:
        log.warning("%d messages of the record cannot be opened: the detectors start without them", unread)
