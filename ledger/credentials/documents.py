"""The folder of DID documents that an operator has pinned: what others' did:web stand for, with no network in between."""

from pathlib import Path

from ledger.credentials.vc import did
from ledger.credentials.vc.did import DidDocument, DidTable
from protocol.errors import ConfigError, ProtocolError

DOCUMENTS_MAX = 4096  # files of a folder; with more, nothing starts
SUFFIX = ".json"


def pinned(folder: Path | None) -> DidTable:
    """The documents of a folder (*.json), read once; did:key alone without one.

    Raises ConfigError: documents_unreadable, documents_bad, documents_many, documents_twice.
    """
    if folder is None:
        return DidTable()
    found: dict[str, DidDocument] = {}
    try:
        files = sorted(each for each in folder.iterdir() if each.suffix == SUFFIX)
        if len(files) > DOCUMENTS_MAX:
            raise ConfigError("documents_many", f"[party] did_documents has at most {DOCUMENTS_MAX} files")
        for file in files:
            document = _read(file)
            if document.id in found:
                raise ConfigError("documents_twice", f"[party] did_documents has two documents of {document.id}")
            found[document.id] = document
    except OSError as error:
        raise ConfigError("documents_unreadable", f"[party] did_documents cannot be read: {folder}") from error
    return DidTable(found)


def _read(file: Path) -> DidDocument:
    with file.open("rb") as opened:
        data = opened.read(did.DOCUMENT_MAX + 1)  # one too many is refused by the reader
    try:
        return DidDocument.from_json(data)
    except ProtocolError as error:
        raise ConfigError(
            "documents_bad", f"[party] did_documents: {file.name} is no DID document: {error.code}"
        ) from error
