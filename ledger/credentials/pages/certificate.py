"""A credential as a sheet of paper: what it says, who says it, and the whole of it in a QR code. A4 and letter."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from ledger.credentials import paper
from ledger.credentials.pages import page
from protocol.errors import Malformed


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One sheet. title: of the kind of credential; facts: what it says, by name; raw: the signed credential."""

    title: str
    issuer: str
    issued_ms: int
    facts: Mapping[str, str]
    raw: bytes


def sheet(found: Certificate) -> str:
    """The sheet as a part of a page. One that no code holds says where the credential is instead."""
    try:
        drawn = paper.drawn(paper.text(found.raw), label="The whole credential as a QR code")
        code = f'<div class="code">{drawn}</div><p class="soft">The code holds the whole credential and its signature, and no'
        code += " address. Paper can be copied: ask its holder to show the credential from the wallet too.</p>"
    except Malformed:
        code = (
            '<p class="soft">The credential is too large for a QR code: ask its holder for the file or the wallet.</p>'
        )
    said = page.facts({**found.facts, "Issued by": found.issuer, "Issued on": page.day(found.issued_ms)})
    return (
        f'<article class="certificate" aria-labelledby="certificate"><h1 id="certificate">{escape(found.title)}</h1>'
        f"{said}{code}</article>"
    )
