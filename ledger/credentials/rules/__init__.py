"""The `credentials` contract: who may vouch for what, with which key, and what was vouched for. Pure.

The registry root accredits institutions; they register issuer keys, commitments of credentials and their status lists. Nothing
that is registered says whom a credential is about; whether one was revoked stands in a list of which the log has the digest.
"""

from dataclasses import replace

from ledger.credentials import model
from ledger.credentials.model import Accreditation, Commitment, IssuerKey, IssuerKeyEnd, Licence, Listing
from ledger.credentials.rules import records
from ledger.credentials.rules.records import Committed, Grant, Issuer, KeyLife, Listed, Place
from ledger.questions import CommitmentOf, HasLicence, IsAccredited, LogEpoch, Logged, LogName, PartyOf
from ledger.rules import MEMBERS, ROOT, Changes, Contract, Kind, Readable, Refused, View, check_form
from protocol.documents import GATEWAY, ROLES
from protocol.keys import PublicKey
from protocol.statement import Statement

GRANTS_MAX = 64  # words of the root on one party, type and jurisdiction; then what holds can be withdrawn, and no more
KEYS_MAX = 256  # issuer keys of one party over its life; then a new party
AHEAD_MS = 300_000  # a source was asked at most so much after the log's time: clocks differ
CHECKED_BACK_MS = 30 * 24 * 3_600_000  # a verification is registered at most so long after the source was asked
ISSUERS = ROLES - {GATEWAY}


def _accredit(view: View, said: Statement, now_ms: int) -> Changes:
    """The root's word about an institution. Raises Malformed: document_bad; Refused: log_other, party_unknown, did_other,
    did_taken, accreditations_full; as check_form does."""
    _in_full(said)
    document = Accreditation.decode(said.payload)
    check_form(said, hashed=False, subject=model.accreditation_subject(document.party))
    _of_this_log(view, document.log)
    _check_party(view, document.party)
    known = records.issuer_of(view, document.party)
    if known is not None and known.did != document.did:
        raise Refused("did_other", "an institution issues under one DID, for good")
    owner = view.get(records.named(records.DID, document.did))
    if owner is not None and owner != document.party:
        raise Refused("did_taken", "the DID is another institution's")
    before = records.grants_of(view, document.party, document.type, document.jurisdiction)
    if len(before) >= GRANTS_MAX and (not document.withdrawn or before[-1].withdrawn):
        raise Refused("accreditations_full", "this accreditation was changed too often")
    grant = Grant(place=_here(view), from_ms=document.from_ms, until_ms=document.until_ms, withdrawn=document.withdrawn)
    place = records.trust_key(document.party, document.type, document.jurisdiction)
    puts = {place: records.encode_grants((*before, grant))}
    if known is None:
        puts[records.ISSUER + document.party] = Issuer(did=document.did).encode()
        puts[records.named(records.DID, document.did)] = document.party
    return Changes(puts=puts)


def _add_key(view: View, said: Statement, now_ms: int) -> Changes:
    """A key under which an institution signs credentials. Raises Malformed: document_bad; BadSignature; Refused: log_other,
    issuer_not_accredited, did_other, issuer_keys_full, key_has_other_duty, method_taken; as check_form does."""
    _in_full(said)
    document, party = IssuerKey.decode(said.payload), view.issuer.party
    check_form(said, hashed=False, subject=model.issuer_subject(party))
    _of_this_log(view, document.log)
    issuer = _issuer(view, party)
    if issuer.did != document.did:
        raise Refused("did_other", "an institution issues under the DID that it was accredited with")
    if issuer.keys >= KEYS_MAX:
        raise Refused("issuer_keys_full", "this institution has had too many keys")
    thumbprint = PublicKey(document.key).thumbprint
    if records.key_of(view, thumbprint) is not None or view.ask(PartyOf(key=thumbprint)) is not None:
        raise Refused("key_has_other_duty", "a key for credentials signs nothing else, and is one institution's")
    if view.get(records.named(records.METHOD, document.method)) is not None:
        raise Refused("method_taken", "each key has a verification method of its own")
    document.check_proof()
    life = KeyLife(party=party, method=document.method, since=_here(view))
    return Changes(
        puts={
            records.KEY + thumbprint: life.encode(),
            records.named(records.METHOD, document.method): thumbprint,
            records.ISSUER + party: replace(issuer, keys=issuer.keys + 1).encode(),
        }
    )


def _end_key(view: View, said: Statement, now_ms: int) -> Changes:
    """An issuer key signs nothing more, and when it was stolen, what was logged under it since counts for nothing.

    Raises Malformed: document_bad; Refused: log_other, issuer_key_unknown, issuer_not_allowed, end_early, end_exists;
    as check_form does.
    """
    _in_full(said)
    document = IssuerKeyEnd.decode(said.payload)
    check_form(said, hashed=False, subject=model.issuer_subject(document.party))
    _of_this_log(view, document.log)
    if view.issuer.role != ROOT and view.issuer.party != document.party:
        raise Refused("issuer_not_allowed", "an institution ends its own keys")
    life = records.key_of(view, document.key)
    if life is None or life.party != document.party:
        raise Refused("issuer_key_unknown", "the key is not this institution's")
    here, place = _here(view), (document.epoch, document.index)
    if not document.compromised:
        if life.retired is not None or life.compromised is not None:
            raise Refused("end_exists", "the key has ended already")
        return Changes(puts={records.KEY + document.key: replace(life, retired=here).encode()})
    if place > here:
        raise Refused("end_early", "a key was stolen before this is said, or now")
    if life.compromised is not None and life.compromised <= place:
        raise Refused("end_exists", "said already, from there or from before")
    return Changes(puts={records.KEY + document.key: replace(life, compromised=place).encode()})


def _commit(view: View, said: Statement, now_ms: int) -> Changes:
    """An institution vouches for something. Raises Malformed: document_bad; Refused: log_other, issuer_key_unknown,
    issuer_key_ended, issuer_not_accredited, credential_exists, check_time; as check_form does."""
    _in_full(said)
    document, party = Commitment.decode(said.payload), view.issuer.party
    check_form(said, hashed=False, subject=model.credential_subject(party))
    _of_this_log(view, document.log)
    life, here = records.key_of(view, document.key), _here(view)
    if life is None or life.party != party:
        raise Refused("issuer_key_unknown", "the key is not this institution's")
    if not life.counts(here):
        raise Refused("issuer_key_ended", "the key signs nothing any more")
    if not records.accredited(view, party, document.type, document.jurisdiction, now_ms=now_ms):
        raise Refused("issuer_not_accredited", "this institution may not vouch for that type there now")
    if records.committed_of(view, document.id) is not None:
        raise Refused("credential_exists", "each credential is committed to once")
    if document.checked_ms is not None and not now_ms - CHECKED_BACK_MS <= document.checked_ms <= now_ms + AHEAD_MS:
        raise Refused("check_time", "a verification is registered within thirty days of it")
    found = Committed(
        party=party,
        key=document.key,
        type=document.type,
        jurisdiction=document.jurisdiction,
        commitment=document.commitment,
        place=here,
        at_ms=now_ms,
        checked_ms=document.checked_ms,
    )
    return Changes(puts={records.COMMITTED + document.id: found.encode()})


def _list(view: View, said: Statement, now_ms: int) -> Changes:
    """The next version of a status list. Raises Malformed: document_bad; Refused: log_other, issuer_not_accredited, list_other,
    list_changed, list_version, list_ended; as check_form does."""
    _in_full(said)
    document, party = Listing.decode(said.payload), view.issuer.party
    check_form(said, hashed=False, subject=model.list_subject(party))
    _of_this_log(view, document.log)
    _issuer(view, party)
    held = view.get(records.LIST + document.list)
    before = None if held is None else Listed.decode(held)
    if before is not None and before.party != party:
        raise Refused("list_other", "the list is another institution's")
    if before is not None and (before.purpose, before.size) != (document.purpose, document.size):
        raise Refused("list_changed", "a list keeps its purpose and its size")
    if document.n != (1 if before is None else before.n + 1):
        raise Refused("list_version", "versions of a list follow each other by one")
    if document.until_ms <= now_ms:
        raise Refused("list_ended", "a list that says nothing any more")
    found = Listed(party=party, purpose=document.purpose, n=document.n, size=document.size, digest=document.digest)
    return Changes(puts={records.LIST + document.list: found.encode()})


def _license(view: View, said: Statement, now_ms: int) -> Changes:
    """An institution licenses another. Raises Malformed: document_bad; Refused: log_other, issuer_not_accredited,
    party_unknown; as check_form does."""
    _in_full(said)
    document = Licence.decode(said.payload)
    check_form(said, hashed=False, subject=model.licence_subject(document.party))
    _of_this_log(view, document.log)
    if not records.accredited(view, view.issuer.party, document.type, document.jurisdiction, now_ms=now_ms):
        raise Refused("issuer_not_accredited", "this institution may not give that licence there now")
    _check_party(view, document.party)
    key = records.licence_key(document.party, document.type, document.jurisdiction)
    held = view.get(key)
    before = () if held is None else records.decode_grants(held)
    grant = Grant(place=_here(view), from_ms=document.from_ms, until_ms=document.until_ms, withdrawn=document.withdrawn)
    return Changes(puts={key: records.encode_grants((*before[1 - GRANTS_MAX :], grant))})


def _is_accredited(state: Readable, asked: IsAccredited, now_ms: int) -> bool:
    return records.accredited(state, asked.party, asked.type, asked.jurisdiction, now_ms=now_ms)


def _commitment_of(state: Readable, asked: CommitmentOf, now_ms: int) -> Logged | None:
    found = records.committed_of(state, asked.id)
    if found is None:
        return None
    life = records.key_of(state, found.key)
    return Logged(
        party=found.party,
        type=found.type,
        jurisdiction=found.jurisdiction,
        commitment=found.commitment,
        at_ms=found.at_ms,
        counts=life is not None and life.counts(found.place),
    )


def _has_licence(state: Readable, asked: HasLicence, now_ms: int) -> bool:
    for jurisdiction in model.covering(asked.jurisdiction):
        held = state.get(records.licence_key(asked.party, asked.type, jurisdiction))
        if held is not None and records.stands(records.decode_grants(held), at_ms=now_ms):
            return True
    return False


def _here(view: View) -> Place:
    return view.ask(LogEpoch()), view.index


def _issuer(view: View, party: bytes) -> Issuer:
    found = records.issuer_of(view, party)
    if found is None:
        raise Refused("issuer_not_accredited", "the registry root has not accredited this institution")
    return found


def _check_party(view: View, name: bytes) -> None:
    party = view.ask(PartyOf(key=name))
    if party is None or party.thumbprint != name or party.role == GATEWAY:
        raise Refused("party_unknown", "no institution of this log has that name")


def _in_full(said: Statement) -> None:
    if said.hashed:
        raise Refused("form_not_allowed", "registered in full")


def _of_this_log(view: View, log: str) -> None:
    if log != view.ask(LogName()):
        raise Refused("log_other", "said for another log")


CONTRACT = Contract(
    name="credentials",
    kinds={
        model.ACCREDITATION: Kind(apply=_accredit, roles=frozenset({ROOT})),
        model.ISSUER_KEY: Kind(apply=_add_key, roles=ISSUERS),
        model.ISSUER_KEY_END: Kind(apply=_end_key, roles=ISSUERS | {ROOT}),
        model.CREDENTIAL: Kind(apply=_commit, roles=ISSUERS, readers=MEMBERS),
        model.STATUS_LIST: Kind(apply=_list, roles=ISSUERS),
        model.LICENCE: Kind(apply=_license, roles=ISSUERS),
    },
    keys=(
        records.DID,
        records.ISSUER,
        records.TRUST,
        records.KEY,
        records.METHOD,
        records.COMMITTED,
        records.LIST,
        records.LICENCE,
    ),
    codes=frozenset(
        "party_unknown log_other did_other did_taken accreditations_full issuer_not_accredited issuer_keys_full "
        "key_has_other_duty method_taken issuer_key_unknown issuer_key_ended end_early end_exists credential_exists "
        "check_time list_other list_changed list_version list_ended".split()
    ),
    answers={IsAccredited: _is_accredited, CommitmentOf: _commitment_of, HasLicence: _has_licence},
    lasting=True,
)
