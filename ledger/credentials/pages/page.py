"""The frame of every page, and the pieces that pages are made of. Values are escaped here, or where HTML is written.

Pages are whole without scripts. Whoever reads one with the keyboard, large letters or a voice finds the same things in the same
order.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from string import Template

from ledger.credentials.pages.access import ISSUER, VERIFIER

BASE = "/credentials/pages"
TIME_MAX_MS = 253_402_300_799_000  # the last second of the year 9999; a later time is shown as this one

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="$base/static/credentials.svg" type="image/svg+xml">
<link rel="stylesheet" href="$base/static/credentials.css">
</head>
<body>
<a class="skip" href="#main">Skip to the page</a>
<header class="top"><p class="brand"><a href="$base/">
<img src="$base/static/credentials.svg" alt="" width="28" height="28">Staff credentials</a></p>
<p class="party">$party</p>
<nav aria-label="Pages"><ul>$links</ul></nav></header>
<main id="main" tabindex="-1">
$main
</main>
<footer><p>Read at <time datetime="$now_iso">$now</time>.</p>$leave</footer>
</body>
</html>
""")
_LEAVE = f'<form method="post" action="{BASE}/sign-out"><button class="quiet" type="submit">Sign out</button></form>'
_LINKS = (
    ("holder", "For holders", ""),
    ("issuer/", "Issue", ISSUER),
    ("verifier/", "Verify", VERIFIER),
    ("hiring/", "Hire", VERIFIER),
)
_AGES = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What surrounds a page. party: the institution's name; roles: of who reads it, none when nobody is signed in."""

    party: str
    roles: Collection[str]
    now_ms: int


def whole(title: str, main: str, around: Setting, *, here: str = "") -> str:
    """A page. main: HTML; here: the address of the section, as in the navigation."""
    links = "".join(
        f'<li><a href="{BASE}/{path}"{" aria-current=page" if path == here else ""}>{name}</a></li>'
        for path, name, role in _LINKS
        if not role or role in around.roles
    )
    if not around.roles:
        links += f'<li><a href="{BASE}/sign-in">Sign in</a></li>'
    iso, text = _clock(around.now_ms)
    return _PAGE.substitute(
        title=escape(title),
        base=BASE,
        party=escape(around.party),
        links=links,
        main=main,
        now_iso=iso,
        now=text,
        leave=_LEAVE if around.roles else "",
    )


def section(name: str, title: str, inside: str) -> str:
    """A part of a page with a heading. name: its id."""
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>{inside}</section>'


def facts(found: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """Names and values. Both are texts, which are escaped here."""
    pairs = found.items() if isinstance(found, Mapping) else found
    return f"<dl>{''.join(f'<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>' for name, value in pairs)}</dl>"


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> str:
    """A table that becomes a list of cards where it is narrow. rows: HTML by column; empty: what is said without any."""
    body = "".join(
        "<tr>"
        + "".join(f'<td data-name="{escape(head)}">{cell}</td>' for head, cell in zip(heads, row, strict=True))
        + "</tr>"
        for row in rows
    )
    if not body:
        return f"<p>{escape(empty)}</p>"
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def field(
    name: str, label: str, *, kind: str = "text", value: str = "", hint: str = "", needed: bool = True, most: int = 512
) -> str:
    """One labelled field of a form. kind: of the input; hint: what is to be written there."""
    told = f'<span class="hint" id="{name}-hint">{escape(hint)}</span>' if hint else ""
    said = f' aria-describedby="{name}-hint"' if hint else ""
    held = f' value="{escape(value, quote=True)}"' if value else ""
    size = f' maxlength="{most}"' if kind in ("text", "url", "search") else ""
    return (
        f'<p class="field"><label for="{name}">{escape(label)}</label>{told}'
        f'<input id="{name}" name="{name}" type="{kind}"{size}{held}{said}{" required" if needed else ""}></p>'
    )


def choice(name: str, label: str, options: Iterable[tuple[str, str]], *, chosen: str = "") -> str:
    """A list to choose one from. options: (value, what people read)."""
    each = "".join(
        f'<option value="{escape(value, quote=True)}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in options
    )
    return f'<p class="field"><label for="{name}">{escape(label)}</label><select id="{name}" name="{name}">{each}</select></p>'


def form(action: str, inside: str, button: str, *, upload: bool = False, kind: str = "") -> str:
    """A form that changes something. action: under the pages; kind: "danger" for what cannot be taken back."""
    media = ' enctype="multipart/form-data"' if upload else ""
    look = f' class="{kind}"' if kind else ""
    return (
        f'<form method="post" action="{BASE}/{action}"{media}>{inside}'
        f'<p class="row"><button{look} type="submit">{escape(button)}</button></p></form>'
    )


def hidden(values: Mapping[str, str]) -> str:
    """What a form carries on unseen."""
    return "".join(
        f'<input type="hidden" name="{escape(name, quote=True)}" value="{escape(value, quote=True)}">'
        for name, value in values.items()
    )


def link(path: str, text: str) -> str:
    """A link to a page. path: under the pages, without a person's data."""
    return f'<a href="{BASE}/{escape(path, quote=True)}">{escape(text)}</a>'


def state(kind: str, said: str, more: str = "") -> str:
    """What is so, in a word and a colour. kind: good, bad or unsure."""
    return f'<p class="state {kind}"><strong>{escape(said)}</strong> {escape(more)}</p>'


def time(at_ms: int, now_ms: int) -> str:
    """A time and how long ago or ahead it is."""
    iso, text = _clock(at_ms)
    return f'<time datetime="{iso}">{text}</time>, {age(now_ms - at_ms)}'


def day(at_ms: int) -> str:
    """A day."""
    return _clock(at_ms)[0][:10]


def age(age_ms: int) -> str:
    """How long ago; ahead when it is negative."""
    seconds = abs(age_ms) // 1000
    for size, name in _AGES:
        if seconds >= size:
            count = seconds // size
            said = f"{count:,} {name}{'s' if count > 1 else ''}"
            return f"{said} ago" if age_ms > 0 else f"in {said}"
    return "just now"


def _clock(at_ms: int) -> tuple[str, str]:
    found = datetime.fromtimestamp(min(max(at_ms, 0), TIME_MAX_MS) / 1000, UTC)
    return found.isoformat(timespec="seconds"), f"{found:%Y-%m-%d %H:%M:%S} UTC"
