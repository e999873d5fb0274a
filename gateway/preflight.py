"""What the settings of a gateway promise, looked at before it begins: files that it needs, addresses that can be called."""

from dataclasses import dataclass
from pathlib import Path

from gateway.alerts import webhook
from gateway.ingress import broker
from gateway.settings import Settings
from gateway.web.serve import loopback
from ledger.client import Client
from protocol import documents, statement
from protocol.documents import Admission
from protocol.errors import ConfigError, ProtocolError
from protocol.evidence import Trust
from protocol.keys import PublicKey

FILE_SIZE_MAX = 1 << 20  # bytes of a settings, trust or admission file


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the files say. trust: the ledger's keys; admission: the registry's statement about this gateway's key."""

    trust: Trust | None
    admission: bytes | None


def read(path: Path, what: str) -> bytes:
    """A whole file. Raises ConfigError: file_unreadable, file_too_large."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_SIZE_MAX + 1)
    except OSError as error:
        raise ConfigError("file_unreadable", f"cannot read the {what} {path}: {error.strerror}") from error
    if len(data) > FILE_SIZE_MAX:
        raise ConfigError("file_too_large", f"the {what} {path} is larger than {FILE_SIZE_MAX} bytes")
    return data


def check(settings: Settings) -> Given:
    """The files that `settings` name. Raises ConfigError, with the fix, for what cannot work; Unavailable: trust_bad."""
    loopback(settings.page_host)
    if settings.broker_url and broker.address(settings.broker_url)[2]:
        broker.context(ca=settings.broker_ca, certificate=settings.broker_certificate, key=settings.broker_key)
    for url in (settings.webhook_first, settings.webhook_second):
        if url:
            webhook.target(url)
    trust = Trust.from_json(read(Path(settings.trust), "trust file")) if settings.trust else None
    if settings.ledger_url:
        with Client(settings.ledger_url):
            pass  # its address was looked at
        if trust is None:
            raise ConfigError(
                "trust_missing", "with --ledger-url, give --trust: the keys to check the ledger's answers with"
            )
    admission = read(Path(settings.admission), "admission") if settings.admission else None
    if admission is not None:
        _admitted(admission, trust)
    return Given(trust=trust, admission=admission)


def check_admission(given: Given, key: PublicKey) -> None:
    """Raises ConfigError: admission_bad, admission_other, unless the admission, when there is one, is of this key."""
    if given.admission is not None and _admitted(given.admission, given.trust).key != key.x:
        raise ConfigError(
            "admission_other", f"the admission is of another key: admit {key.x.hex()}, see `vigil gateway key`"
        )


def _admitted(raw: bytes, trust: Trust | None) -> Admission:
    try:
        found = statement.parse(raw)
        if found.content_type != documents.REGISTRY or found.hashed:
            raise ConfigError("admission_bad", "the admission is a statement of another kind")
        if trust is not None:
            statement.verify(found, trust.registry_root, thumbprint=trust.registry_root.thumbprint)
        return Admission.decode(found.payload)
    except ProtocolError as error:
        raise ConfigError(
            "admission_bad", f"the admission is not one by the trusted registry root: {error.detail}"
        ) from error
