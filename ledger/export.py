"""The auditor's pack: all that it takes to check one entry of a log with software that is not ours, as files.

Read from a ledger's folder, whether the ledger runs or not. The receipt and the proof are for the tree of one checkpoint, the
newest that witnesses cosigned where there is one that covers the entry. What is read is checked before anything is written, so
that a damaged database gives no pack.
"""

import contextlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger import registry
from ledger.log import epochs, keyring
from ledger.log.keeping import GONE, MINIMUM
from ledger.log.signer import Signer
from ledger.log.store import FILE, Store
from ledger.registry import records
from ledger.registry.records import LogKey
from protocol import cose, merkle, notes, policy, receipt, statement, tlog_proof
from protocol.errors import Malformed, NotFound, ProtocolError, Unavailable, VerificationFailed
from protocol.keys import PublicKey
from protocol.notes import Checkpoint, NoteKey
from protocol.p256 import P256PublicKey
from protocol.tlog_proof import Proof

DEMO_FOLDER = "ledger"  # where a demo that was kept has its ledger

_ENTRY_ID = re.compile(r"([1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """An entry's pack. digest: the entry, 32 bytes; size: of the checkpoint's tree; cosigned_by: names on its other lines;
    files: by name; without a statement when its body was taken away."""

    entry_id: str
    origin: str
    index: int
    size: int
    digest: bytes
    cosigned_by: tuple[str, ...]
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What the database says of an entry, of one moment. raw: its statement, `GONE` when that was taken away; keys: the log's;
    at_ms: the log's time."""

    origin: str
    keys: tuple[LogKey, ...]
    at_ms: int
    digest: bytes
    raw: bytes
    note: str
    path: tuple[bytes, ...]
    issuer: PublicKey | None


def pack(folder: Path, entry_id: str, *, alg: int | None = None) -> Pack:
    """The pack of an entry. folder: the ledger's, or a kept demo's; alg: of the receipt, where the log has a key for another.

    Raises NotFound: state_missing, entry_unknown, entry_pruned, key_missing, alg_not_offered; Unavailable: state_damaged,
    state_unreadable, key_missing, key_unreadable.
    """
    place, match = ledger_in(folder), _ENTRY_ID.fullmatch(entry_id)
    if match is None:
        raise NotFound("entry_unknown", "entries are named like 1.5: epoch and index")
    epoch, index = int(match[1]), int(match[2])
    if not (place / epochs.file_of(epoch)).exists():
        raise NotFound("entry_unknown", f"the ledger in {place} has no epoch {epoch}")
    with contextlib.closing(Store.reader(place, epochs.file_of(epoch))) as store, store.reading():
        found = _read(store, index)
    signer = Signer(place, keyring.load(place, epochs.key_of(epoch)))
    signer.take_up(found.keys, found.at_ms)
    try:
        return _made(entry_id, index, found, signer.for_receipts(alg))
    except (ProtocolError, VerificationFailed) as error:
        raise Unavailable("state_damaged", f"the stored log does not prove the entry: run fsck ({error})") from error


def ledger_in(folder: Path) -> Path:
    """The ledger's folder: the one that is given, or that in a kept demo's. Raises NotFound: state_missing."""
    for place in (folder, folder / DEMO_FOLDER):
        if (place / FILE).exists():
            return place
    raise NotFound("state_missing", f"there is no ledger in {folder}")


def _read(store: Store, index: int) -> _Found:
    """Raises NotFound: entry_unknown, entry_pruned; Unavailable: state_damaged."""
    head = store.head()
    if index >= head.size:
        raise NotFound("entry_unknown", "this log has no such entry")
    try:
        genesis, entry = registry.genesis_of(store.state), store.entry(index)
        cosigned = store.keeping.cosigned()
        note = cosigned if cosigned and index < _head(cosigned).size else store.note()
        size = _head(note).size
        path = merkle.inclusion_path(store.node, index, size)
        if entry is None:
            raise Unavailable("state_damaged", "the database lacks the entry: run fsck")
        issuer = None if entry.statement == GONE else _issuer(store, statement.parse(entry.statement).kid)
    except (KeyError, Malformed) as error:
        raise Unavailable("state_damaged", "the stored log cannot be read: run fsck") from error
    except Unavailable as error:
        minimum = store.keeping.mark(MINIMUM)
        if index < minimum:
            raise NotFound("entry_pruned", f"below the minimum index {minimum}, nothing need be kept") from error
        raise
    return _Found(
        origin=genesis.origin,
        keys=records.log_keys(store.state),
        at_ms=head.at_ms,
        digest=entry.digest,
        raw=entry.statement,
        note=note,
        path=tuple(path),
        issuer=issuer,
    )


def _issuer(store: Store, thumbprint: bytes) -> PublicKey:
    """The key that signed a statement: a party's, the registry root's or the log's, whether or not it may sign today.

    Raises Unavailable: state_damaged.
    """
    party = records.key_of(store.state, thumbprint)
    if party is not None:
        return party.key
    others = [records.root_of(store.state), *(each.key for each in records.log_keys(store.state))]
    for key in others:
        if isinstance(key, PublicKey) and key.thumbprint == thumbprint:
            return key
    raise Unavailable("state_damaged", "the log holds a statement by a key that its registry does not know: run fsck")


def _made(entry_id: str, index: int, found: _Found, key: cose.Signer) -> Pack:
    """key: signs the receipt. Raises ProtocolError, VerificationFailed: unless all of it holds."""
    head, public = _head(found.note), _public(found.keys, key.thumbprint)
    log = _signer_of(found)
    proof = receipt.issue(
        key, iss=found.origin, sub=entry_id, root=head.root, size=head.size, index=index, path=found.path
    )
    in_file = Proof(index=index, path=found.path, checkpoint=found.note)
    receipt.check(proof, entry=found.digest, key=public, thumbprint=public.thumbprint)
    tlog_proof.verify(in_file, entry=found.digest, policy=policy.parse(f"log {log.vkey()}\nquorum none\n"))
    files = {
        "receipt.cose": proof,
        "entry.tlog-proof": in_file.encode(),
        "checkpoint": found.note.encode(),
        "log.pem": public.pem().encode(),
        "log.vkey": f"{log.vkey()}\n".encode(),
    }
    if found.issuer is not None:
        if statement.entry(found.raw) != found.digest:
            raise VerificationFailed("entry_other", "the stored statement is not the one that was logged")
        statement.verify(statement.parse(found.raw), found.issuer, thumbprint=found.issuer.thumbprint)
        files["statement.cose"] = found.raw
        files["transparent.cose"] = receipt.attach(found.raw, [proof])
        files["issuer.pem"] = found.issuer.pem().encode()
    cosigned_by = tuple(sorted({line.name for line in notes.parse(found.note).lines} - {found.origin}))
    words = {
        "entry_id": entry_id,
        "origin": shlex.quote(found.origin),
        "index": index,
        "size": head.size,
        "digest": found.digest.hex(),
        "witnesses": ", ".join(cosigned_by) or "nobody yet",
    }
    files["README.txt"] = (_WHOLE if found.issuer is not None else _REDACTED).format(**words).encode()
    return Pack(
        entry_id=entry_id,
        origin=found.origin,
        index=index,
        size=head.size,
        digest=found.digest,
        cosigned_by=cosigned_by,
        files=files,
    )


def _public(keys: Sequence[LogKey], thumbprint: bytes) -> PublicKey | P256PublicKey:
    """The log's key of this thumbprint, as its state has it. Raises VerificationFailed: log_key_other."""
    for each in keys:
        if each.key.thumbprint == thumbprint:
            return each.key
    raise VerificationFailed("log_key_other", "the key in the folder is not one of this log")


def _signer_of(found: _Found) -> NoteKey:
    """The oldest of the log's keys that signed the checkpoint. Raises BadSignature; VerificationFailed: log_key_other."""
    mine = [
        NoteKey(name=found.origin, kind=notes.SIGNATURE, key=each.key)
        for each in found.keys
        if isinstance(each.key, PublicKey)
    ]
    signed = dict(notes.verify(notes.parse(found.note), mine))
    for key in mine:
        if key in signed:
            return key
    raise VerificationFailed("log_key_other", "none of this log's keys signed its checkpoint")


def _head(note: str) -> Checkpoint:
    return Checkpoint.from_text(notes.parse(note).text)


_FILES = """\
receipt.cose       the log's receipt for the tree of {size} entries (RFC 9942)
entry.tlog-proof   the same proof as text, with the checkpoint (C2SP tlog-proof)
checkpoint         the signed tree head of {size} entries (C2SP tlog-checkpoint)
log.pem            the public key that signed the receipt
log.vkey           the public key that signed the checkpoint, mostly the same
"""
_ONLINE = """\
The checkpoint and the tiles of the log, at its address, with aics-tlog, and the proof with tlog-scales, whose output is the
text in entry.tlog-proof while the log shows this checkpoint:

  printf {digest} | xxd -r -p > entry
  aics-tlog verify-checkpoint --tiles URL --vkey-file log.vkey --origin {origin}
  aics-tlog verify-inclusion --leaf entry --index {index} --tiles URL --vkey-file log.vkey
  tlog-tiles gen-proof URL {index}

The keys in this folder are what the log's operator says they are: compare them with what you were given some other way, or
a pack proves only that it agrees with itself.
"""
_WHOLE = f"""\
Entry {{entry_id}} of the log {{origin}}

statement.cose     the signed statement (COSE_Sign1); its SHA-256 is the entry
transparent.cose   the statement with the receipt attached (RFC 9943)
issuer.pem         the public key that signed the statement, as the log's registry has it
{_FILES}
Entry: {{digest}}
Cosigned by: {{witnesses}}

The statement's signature and the receipt, offline, with scitt-cose:

  scitt-cose --statement statement.cose --statement-pubkey issuer.pem --receipt receipt.cose --receipt-log-pubkey log.pem \
--leaf-entry-hex $(sha256sum statement.cose | cut -c1-64) --json

{_ONLINE}"""
_REDACTED = f"""\
Entry {{entry_id}} of the log {{origin}}, whose statement was taken away by order

{_FILES}
Entry: {{digest}}
Cosigned by: {{witnesses}}

The receipt, offline, with scitt-cose:

  scitt-cose --receipt receipt.cose --receipt-log-pubkey log.pem --leaf-entry-hex {{digest}} --json

{_ONLINE}"""
