"""Statements of the `credentials` contract by a board, a mill and a clinic, and a log that takes them."""

from collections.abc import Callable
from typing import Any

from ledger.credentials import model
from ledger.credentials.model import Accreditation, Commitment, IssuerKey, IssuerKeyEnd, Licence, Listing
from protocol import statement
from protocol.keys import SigningKey
from tests.support import registrants
from tests.support.registrants import NOW_MS, ORIGIN, ROOT, Book

BOARD, MILL, CLINIC, GATE = (registrants.key(n) for n in (40, 41, 42, 43))
KEY, NEXT = registrants.key(50), registrants.key(51)
DID = "did:web:board.example"
YEAR_MS = 365 * registrants.DAY_MS
ID = bytes(range(16))
LIST = bytes(range(1, 17))

SUBJECTS: dict[type, Callable[[Any, SigningKey], tuple[str, str]]] = {
    Accreditation: lambda found, _: (model.ACCREDITATION, model.accreditation_subject(found.party)),
    Licence: lambda found, _: (model.LICENCE, model.licence_subject(found.party)),
    IssuerKey: lambda _, by: (model.ISSUER_KEY, model.issuer_subject(by.public.thumbprint)),
    IssuerKeyEnd: lambda found, _: (model.ISSUER_KEY_END, model.issuer_subject(found.party)),
    Commitment: lambda _, by: (model.CREDENTIAL, model.credential_subject(by.public.thumbprint)),
    Listing: lambda _, by: (model.STATUS_LIST, model.list_subject(by.public.thumbprint)),
}


def said(by: SigningKey, document: Any, **changed: Any) -> bytes:
    """A document as a party registers it."""
    content_type, sub = SUBJECTS[type(document)](document, by)
    values = {"iss": by.public.urn, "sub": sub, "payload": document.encode(), "content_type": content_type}
    return statement.sign(by, **{**values, **changed})


def accreditation(party: SigningKey = BOARD, **changed: Any) -> bytes:
    """The root's word for a year, for state licences in the US unless `changed` says otherwise."""
    values = {
        "log": ORIGIN,
        "party": party.public.thumbprint,
        "did": DID,
        "type": "StateLicence",
        "jurisdiction": "US",
        "from_ms": 0,
        "until_ms": NOW_MS + YEAR_MS,
    }
    return said(ROOT, Accreditation(**{**values, **changed}))


def issuer_key(
    by: SigningKey = BOARD, key: SigningKey = KEY, did: str = DID, method: str = "k1", log: str = ORIGIN
) -> bytes:
    """A key of an issuer, with its proof."""
    bare = IssuerKey(log=log, did=did, method=f"{did}#{method}", key=key.public.x, proof=bytes(64))
    return said(by, IssuerKey(log=log, did=did, method=bare.method, key=bare.key, proof=key.sign(bare.signed_over())))


def end(by: SigningKey = BOARD, key: SigningKey = KEY, index: int | None = None, **changed: Any) -> bytes:
    """Retired, or stolen since an entry."""
    values = {
        "log": ORIGIN,
        "party": BOARD.public.thumbprint,
        "key": key.public.thumbprint,
        "compromised": index is not None,
    }
    place = {"epoch": 0, "index": 0} if index is None else {"epoch": 1, "index": index}
    return said(by, IssuerKeyEnd(**{**values, **place, **changed}))


def commitment(by: SigningKey = BOARD, **changed: Any) -> bytes:
    """A commitment to a licence in California."""
    values: dict[str, Any] = {
        "log": ORIGIN,
        "id": ID,
        "commitment": bytes(32),
        "type": "StateLicence",
        "jurisdiction": "US-CA",
        "key": KEY.public.thumbprint,
    }
    return said(by, Commitment(**{**values, **changed}))


def listing(by: SigningKey = BOARD, **changed: Any) -> bytes:
    """The first version of a list."""
    values: dict[str, Any] = {
        "log": ORIGIN,
        "list": LIST,
        "purpose": "revocation",
        "n": 1,
        "digest": bytes(32),
        "size": model.LIST_SIZE_MIN,
        "until_ms": NOW_MS + YEAR_MS,
    }
    return said(by, Listing(**{**values, **changed}))


def licence(by: SigningKey = BOARD, **changed: Any) -> bytes:
    """A licence of the clinic's."""
    values: dict[str, Any] = {
        "log": ORIGIN,
        "party": CLINIC.public.thumbprint,
        "type": "AuthorizedTradingPartner",
        "jurisdiction": "US-CA",
        "from_ms": 0,
        "until_ms": NOW_MS + YEAR_MS,
    }
    return said(by, Licence(**{**values, **changed}))


def book(*raws: bytes) -> Book:
    """A log with a board, a mill, a clinic and a gateway."""
    found = Book()
    for who, role in ((BOARD, "institution"), (MILL, "institution"), (CLINIC, "hospital"), (GATE, "gateway")):
        found.admit(who, role, role)
    for raw in raws:
        found.add(raw)
    return found
