"""Asking a wallet for what a hiring file is short of, and taking up its answer. OpenID4VP 1.0, DCQL."""

import asyncio
from collections.abc import Mapping
from typing import Any

from ledger.credentials import model
from ledger.credentials.exchange import dcql
from ledger.credentials.exchange.asking import Asked, Asking
from ledger.credentials.hiring.review import Review
from ledger.credentials.hiring.service import Hiring
from ledger.credentials.verifying import Answer
from protocol.errors import Malformed, VigilError

ITSELF = "wallet"  # by whom an answer came that staff asked for


def query_of(found: Review) -> dict[str, Any]:
    """What is asked of a wallet for what is missing: each type in any form, all that it has, and none because of another.

    Raises Malformed: nothing_missing.
    """
    wanted = list(dict.fromkeys(gap.need.type for gap in found.gaps))
    if not wanted:
        raise Malformed("nothing_missing", "this file needs nothing more")
    if any(gap.need.checked_ms is not None for gap in found.gaps):
        wanted.append(model.CHECKED_TYPE)
    asked = dcql.query_for(list(dict.fromkeys(wanted)), formats=dcql.FORMATS)
    credentials = [{**each, "multiple": True} for each in asked["credentials"]]
    sets = [{**each, "required": False} for each in asked["credential_sets"]]
    return {"credentials": credentials, "credential_sets": sets}


class Collecting:
    """asking: of the exchange."""

    def __init__(self, hiring: Hiring, asking: Asking) -> None:
        self._hiring, self._asking = hiring, asking

    async def ask(self, file: bytes, *, by: str) -> Asked:
        """A request for a holder's wallet. Raises NotFound: file_unknown; Malformed: nothing_missing; as `Asking.ask`."""
        return await asyncio.to_thread(self._ask, file, by)

    def _ask(self, file: bytes, by: str) -> Asked:
        row = self._hiring.row(file)
        found = self._hiring.review(file)
        made = self._asking.ask(query_of(found), purpose=f"Hiring: {row.file.post.label}")
        # Stop here: a request that belongs to no file. It ends in five minutes, and staff ask again.
        self._hiring.note_request(made.name, file, until_ms=made.until_ms)
        return made


def take_up(hiring: Hiring, audience: str, answer: Answer) -> None:
    """Keep what a wallet showed, when it was asked for a file. audience: for whom it was made, which names the request.

    A file that takes nothing more, or a database that fails, is no matter of the holder's: they have their verdict.
    """
    name = audience.rpartition("/answer")[0].rpartition("/")[2]
    file = hiring.requested(name)
    if file is None:
        return
    try:
        hiring.receive(file, answer, by=ITSELF)
    except VigilError as error:
        hiring.lost(error.code)


def described(found: Asked) -> Mapping[str, object]:
    """A request for other programs."""
    return {"name": found.name, "link": found.link, "short": found.short, "until_ms": found.until_ms}
