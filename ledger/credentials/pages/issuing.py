"""What issuers see: the form of each type, the preview before signing, the list, and what can be done to a credential."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ledger.credentials import paper
from ledger.credentials.pages import page
from ledger.credentials.types.catalogue import CATALOGUE, CHOICE, DATE, JURISDICTION, VALUE_MAX, Field, Type

REFRESH = "refresh"
SHOWN_MAX = 200  # rows of the list; older ones are found by `vigil credentials issuer list`
STATES: Mapping[str, tuple[str, str]] = {
    "valid": ("good", "Valid"),
    "suspended": ("unsure", "Suspended"),
    "revoked": ("bad", "Revoked"),
    "expired": ("unsure", "Ended"),
}
LEDGER = {"receipted": "The ledger has it.", "waiting": "It is on its way to the ledger."}
FORMATS = (
    ("ldp_vc", "A file that anybody's software reads (Data Integrity)"),
    ("dc+sd-jwt", "One of which the holder shows parts (SD-JWT)"),
    ("vc+cose", "A small one for codes (COSE)"),
)
_HINTS = {DATE: "As 2026-11-25", JURISDICTION: "A country or a part of one, as US or US-CA"}
_DEEDS: Mapping[str, tuple[str, str, str]] = {
    "suspend": ("Suspend", "It does not hold until you reinstate it. Verifiers know within a moment.", ""),
    "reinstate": ("Reinstate", "It holds again from now on.", ""),
    "refresh": ("Issue again", "A new credential with the same contents takes its place, and this one is revoked.", ""),
    "revoke": ("Revoke", "It never holds again. This cannot be taken back.", "danger"),
}
DEEDS = tuple(_DEEDS)
_POSSIBLE = {"valid": ("suspend", "refresh", "revoke"), "suspended": ("reinstate", "revoke"), "expired": ("refresh",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One credential of the list. id: 32 hex digits; state: of STATES; ledger: what the log made of it, as a code."""

    id: str
    type: str
    jurisdiction: str
    issued_ms: int
    until_ms: int
    state: str
    ledger: str


def kind(name: str) -> str:
    """A type's name for people."""
    return CATALOGUE[name].label if name in CATALOGUE else name


def home(rows: Sequence[Row], *, did: str, now_ms: int) -> str:
    """The list, and the way to a new credential."""
    options = [(each.name, each.label) for each in CATALOGUE.values()]
    new = f'<form method="get" action="{page.BASE}/issuer/new">{page.choice("type", "Kind of credential", options)}'
    new += '<p class="row"><button type="submit">Go on</button></p></form>'
    cells = ([page.link(f"issuer/credentials/{row.id}", kind(row.type)), *_cells(row, now_ms)] for row in rows)
    heads = ("Kind", "Where", "Issued", "Until", "State")
    listed = page.table("The newest first", heads, cells, empty="You have issued nothing yet.")
    return (
        f"<h1>Issue</h1>{page.facts({'You issue as': did or 'nobody yet: run `vigil credentials issuer init`'})}"
        + page.section("new", "Issue a credential", new)
        + page.section("issued", "Issued", listed)
    )


def blank(found: Type, *, values: Mapping[str, str], trouble: str = "") -> str:
    """The form of a type. trouble: what was wrong with what was sent before."""
    fields = "".join(_field(each, values.get(each.name, "")) for each in found.fields)
    fields += page.field(
        "holder",
        "Holder's key (did:key)",
        hint="From the holder's wallet. Leave it empty to offer the credential by a code that the holder scans.",
        value=values.get("holder", ""),
        needed=False,
    )
    fields += page.choice("format", "Form", FORMATS, chosen=values.get("format", ""))
    days = values.get("days", str(found.days))
    fields += page.field("days", "Valid for how many days", kind="number", value=days)
    fields += page.hidden({"type": found.name})
    said = page.state("bad", "That cannot be.", trouble) if trouble else ""
    return f"<h1>{escape(found.label)}</h1>{said}" + page.section(
        "fields", "What it says", page.form("issuer/preview", fields, "Preview")
    )


def preview(found: Type, *, values: Mapping[str, str], until_ms: int) -> str:
    """What will be signed, before it is."""
    said = {each.label: values[each.name] for each in found.fields if values.get(each.name)}
    held = values.get("holder") or "Whoever scans the code that comes next, and has the number that you tell them"
    said |= {"Holder": held, "Form": dict(FORMATS)[values["format"]], "Until": page.day(until_ms)}
    back = f'<form method="get" action="{page.BASE}/issuer/new">{page.hidden({"type": found.name})}'
    back += '<p class="row"><button class="quiet" type="submit">Start again</button></p></form>'
    sign = page.form("issuer/issue", page.hidden(values), "Sign and issue")
    note = "<p>Compare it with the source. The ledger gets a hash of it, and nothing that is read here.</p>"
    return f"<h1>Preview: {escape(found.label)}</h1>" + page.section(
        "says", "It will say", page.facts(said) + note + sign + back
    )


def one(row: Row, facts: Mapping[str, str], *, now_ms: int) -> str:
    """One credential. facts: what it says."""
    tone, word = STATES[row.state]
    state = page.state(tone, f"{word}.", LEDGER.get(row.ledger, f"The ledger refused it: {row.ledger}."))
    said = {**facts, "Where": row.jurisdiction, "Number on the ledger": row.id, "Until": page.day(row.until_ms)}
    where = f"issuer/credentials/{row.id}"
    files = f"<ul><li>{page.link(where + '/certificate', 'Certificate to print')}</li>"
    files += f"<li>{page.link(where + '/file', 'The credential as a file')}</li></ul>"
    deeds = "".join(
        f"<li>{page.link(f'{where}/{each}', _DEEDS[each][0])}</li>" for each in _POSSIBLE.get(row.state, ())
    )
    parts = page.section("says", "What it says", page.facts(said)) + page.section("files", "Files", files)
    if deeds:
        parts += page.section("deeds", "What you can do", f"<ul>{deeds}</ul>")
    return f"<h1>{escape(kind(row.type))}</h1>{state}{parts}<p>Issued {page.time(row.issued_ms, now_ms)}.</p>"


def offer(found: Type, *, link: str, tx_code: str | None, until_ms: int, now_ms: int) -> str:
    """The code that a holder scans, once. link: what it says; tx_code: what the holder is told another way."""
    drawn = f'<div class="code">{paper.drawn(link, label="The offer as a QR code")}</div>'
    told = f"<p>Tell the holder this number yourself: <strong>{escape(tx_code)}</strong></p>" if tx_code else ""
    note = f"<p>It is good once, until {page.time(until_ms, now_ms)}. It names nobody: whoever has both can take it up.</p>"
    same = f"<details><summary>The same as a link</summary><pre>{escape(link)}</pre></details>"
    inside = f"{told}{drawn}{note}{same}<p>{page.link('issuer/', 'Back to the list')}</p>"
    return f"<h1>Offer: {escape(found.label)}</h1>{page.section('offer', 'For the holder to scan', inside)}"


def confirm(row: Row, deed: str) -> str:
    """Whether that is really meant."""
    name, what, look = _DEEDS[deed]
    asked = page.facts({"Kind": kind(row.type), "Number on the ledger": row.id})
    why = "" if deed == REFRESH else page.field("reason", "Why", hint="It stays here, for your own records.")
    sure = page.form(f"issuer/credentials/{row.id}/{deed}", why, f"Yes: {name.lower()}", kind=look)
    back = f"<p>{page.link(f'issuer/credentials/{row.id}', 'No, go back')}</p>"
    inside = f"{asked}<p>{escape(what)}</p>{sure}{back}"
    return f"<h1>{escape(name)}?</h1>{page.section('sure', 'What will happen', inside)}"


def possible(row: Row, deed: str) -> bool:
    """Whether this can be done to it as it stands."""
    return deed in _POSSIBLE.get(row.state, ())


def _field(found: Field, value: str) -> str:
    if found.kind == CHOICE:
        return page.choice(found.name, found.label, [(each, each) for each in found.values], chosen=value)
    hint = found.hint or _HINTS.get(found.kind, "")
    return page.field(found.name, found.label, hint=hint, value=value, needed=found.required, most=VALUE_MAX)


def _cells(row: Row, now_ms: int) -> Iterable[str]:
    tone, word = STATES[row.state]
    yield escape(row.jurisdiction)
    yield page.time(row.issued_ms, now_ms)
    yield page.day(row.until_ms)
    yield f'<strong class="{tone}">{word}</strong>'
