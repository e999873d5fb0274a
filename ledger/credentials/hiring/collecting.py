"""Asking a wallet for what a hiring file is short of, and taking up its answer. OpenID4VP 1.0, DCQL."""

from collections.abc import Collection, Mapping
from typing import Any

from ledger.credentials import model
from ledger.credentials.exchange import dcql
from ledger.credentials.exchange.asking import Asked, Asking
from ledger.credentials.hiring.review import Review
from ledger.credentials.hiring.service import Hiring
from ledger.credentials.verifying import Answer
from protocol.errors import Malformed, VigilError

ITSELF = "wallet"  # by whom an answer came that staff asked for


def query_of(found: Review, names: Collection[str] = ()) -> dict[str, Any]:
    """What is asked of a wallet: one credential for each need that is not met, in any form, with the claims that it has to have.

    names: of the needs, all that are not met when empty: a wallet that lacks one answers nothing.
    Raises Malformed: nothing_missing.
    """
    gaps = [gap for gap in found.gaps if not names or gap.need.name in names]
    if not gaps:
        raise Malformed("nothing_missing", "this file needs nothing more, or no such thing")
    wanted = {f"n{place}": (gap.need.type, gap.need.says) for place, gap in enumerate(gaps)}
    if any(gap.need.checked_ms is not None for gap in gaps):
        wanted["source"] = (model.CHECKED_TYPE, {})
    formats = dcql.FORMATS if len(wanted) * len(dcql.FORMATS) <= dcql.QUERIES_MAX else _FEWER
    credentials: list[dict[str, Any]] = []
    sets: list[dict[str, Any]] = []
    for name, (kind, says) in wanted.items():
        credentials += [_query(f"{name}_{place}", kind, form, says) for place, form in enumerate(formats)]
        sets.append({"options": [[f"{name}_{place}"] for place in range(len(formats))], "required": True})
    return {"credentials": credentials, "credential_sets": sets}


_FEWER = (dcql.LDP_VC, dcql.SD_JWT)  # of a post that needs much


def _query(name: str, kind: str, form: str, says: Mapping[str, Collection[str]]) -> dict[str, Any]:
    sd_jwt = form == dcql.SD_JWT
    meta = {"vct_values": [dcql.vct_of(kind)]} if sd_jwt else {"type_values": [[dcql.type_iri(kind)]]}
    found = {"id": name, "format": form, "meta": meta, "multiple": True}
    claims = [
        {"path": [claim] if sd_jwt else ["credentialSubject", claim], "values": sorted(values)}
        for claim, values in says.items()
    ]
    return {**found, "claims": claims} if claims else found


class Collecting:
    """asking: of the exchange."""

    def __init__(self, hiring: Hiring, asking: Asking) -> None:
        self._hiring, self._asking = hiring, asking

    def ask(self, file: bytes, names: Collection[str] = ()) -> Asked:
        """A request for a holder's wallet. It blocks. names: of needs, all that are not met when empty.

        Raises NotFound: file_unknown; Malformed: nothing_missing; as `Asking.ask`.
        """
        row = self._hiring.row(file)
        query = query_of(self._hiring.review(file), names)
        made = self._asking.ask(query, purpose=f"Hiring: {row.file.post.label}")
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
