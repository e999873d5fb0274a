"""The log's pages as HTML, whole and without scripts. Every value that is put in is escaped here and nowhere else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from string import Template

from ledger.http import picture
from ledger.http.facts import Seen

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="/log/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/log/static/log.css">
</head>
<body>
<a class="skip" href="#main">Skip to the page</a>
<header class="top"><p class="brand"><a href="/">
<img src="/log/static/icon.svg" alt="" width="28" height="28">Vigil ledger</a></p>
<p class="origin">$origin</p></header>
<main id="main" tabindex="-1">
$main
</main>
<footer><p>Read at <time datetime="$now_iso">$now</time>. Nothing here needs to be believed: every line can be checked with the
<a href="/openapi.json">public interface</a>.</p></footer>
</body>
</html>
""")

_HOME = Template("""<h1>A log that anyone can check</h1>
<p class="state $state_kind"><strong>$state</strong> $state_more</p>
<section aria-labelledby="find"><h2 id="find">Find an entry</h2>$form</section>
<section aria-labelledby="log"><h2 id="log">The log</h2><dl>
<div><dt>Name</dt><dd><code>$origin</code></dd></div>
<div><dt>Entries</dt><dd>$size</dd></div>
<div><dt>Last checkpoint</dt><dd>$newest</dd></div>
<div><dt>Epoch</dt><dd>$epoch</dd></div>
<div><dt>Minimum index</dt><dd>$minimum</dd></div></dl></section>
<section aria-labelledby="recent"><h2 id="recent">Newest entries</h2><ol class="recent" reversed>$recent</ol></section>
<section aria-labelledby="checkpoint"><h2 id="checkpoint">Checkpoint</h2>
<p>The log's signed word about all its entries. <a href="/checkpoint">As a file</a></p><pre tabindex="0">$note</pre></section>
<section aria-labelledby="witnesses"><h2 id="witnesses">Witnesses</h2>$witnesses</section>
<section aria-labelledby="keys"><h2 id="keys">Keys</h2><p>Compare them with those that you were given by another way.
<a href="/.well-known/scitt-keys">As a COSE key set</a></p><dl>$keys</dl></section>
<section aria-labelledby="verify"><h2 id="verify">Check it yourself</h2>
<p>Get the trust file from the operator by a way that you trust, once. Then nothing else of this page has to be believed:
a command that checks an entry is on the entry's own page.</p>
<pre class="command">vigil ledger trust --out trust.json</pre>
<p>Any software for <a href="https://c2sp.org/tlog-tiles">tlog-tiles</a>, C2SP witnesses or COSE receipts (RFC 9942) checks this
log too.</p></section>""")

_FORM = Template("""<form method="get" action="/log/find" role="search">
<label for="q">The number of an entry, like 1.5, or the SHA-256 of a signed statement in hex</label>
<div class="row"><input id="q" name="q" value="$asked" maxlength="128" required
autocomplete="off" autocapitalize="none" spellcheck="false">
<button type="submit">Find</button></div></form>""")

_ENTRY = Template("""<h1>Entry $name</h1>
<section aria-labelledby="what"><h2 id="what">What it is</h2><dl>
<div><dt>Registered</dt><dd>$at</dd></div>$said
<div><dt>Entry (SHA-256 of the statement)</dt><dd><code>$entry</code></dd></div></dl></section>
<section aria-labelledby="proof"><h2 id="proof">Its proof</h2>$proof</section>
<section aria-labelledby="files"><h2 id="files">Files</h2><ul class="files">$files</ul></section>
<section aria-labelledby="verify"><h2 id="verify">Check it yourself, offline</h2>
<p>With <code>trust.json</code>, which the operator gave you by a way that you trust, and the statement from whoever made it:</p>
<pre class="command">$command</pre></section>
<section aria-labelledby="checkpoint"><h2 id="checkpoint">Checkpoint now</h2><pre tabindex="0">$note</pre></section>""")

_TROUBLE = Template("""<h1>$title</h1><p class="state bad"><strong>$status</strong> $detail</p>
<p>Its code is <code>$code</code>.</p><section aria-labelledby="find"><h2 id="find">Find an entry</h2>$form</section>""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """What the first page shows. recent: ids of the newest entries and their times in Unix ms, newest first."""

    origin: str
    epoch: int
    minimum: int
    healthy: bool
    seen: Seen
    keys: Sequence[Mapping[str, str]]
    vkeys: Sequence[str]
    recent: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One entry. entry: its 32 bytes; proof: what is drawn, None when there is none yet; size: of its tree.

    said: what anybody may know of the statement, by name; None when it is not for everybody, empty when it is gone.
    """

    name: str
    at_ms: int
    entry: bytes
    leaf: bytes
    size: int
    proof: Sequence[picture.Step] | None
    said: Mapping[str, str] | None
    note: str
    address: str
    gone: str = field(default="")


def home(found: Home, now_ms: int) -> str:
    """The first page."""
    newest = found.recent[0] if found.recent else ("", 0)
    return _whole(
        f"{found.origin}: log",
        found.origin,
        now_ms,
        _HOME.substitute(
            state_kind="good" if found.healthy else "bad",
            state="The log is at work." if found.healthy else "The log cannot store statements now.",
            state_more="" if found.healthy else "What it has stays readable and provable.",
            form=_FORM.substitute(asked=""),
            origin=escape(found.origin),
            size=f"{found.seen.size:,}",
            newest=_time(newest[1], now_ms),
            epoch=str(found.epoch),
            minimum="0: every entry is kept"
            if not found.minimum
            else f"{found.minimum:,}: what is below may be gone, and its proofs stay valid",
            recent="".join(_recent(name, at_ms, now_ms) for name, at_ms in found.recent),
            note=escape(found.seen.note),
            witnesses=_witnesses(found.seen, now_ms),
            keys="".join(_key(one) for one in found.keys) + "".join(_vkey(one) for one in found.vkeys),
        ),
    )


def entry(found: Shown, origin: str, now_ms: int) -> str:
    """The page of one entry."""
    return _whole(
        f"Entry {found.name} of {origin}",
        origin,
        now_ms,
        _ENTRY.substitute(
            name=escape(found.name),
            at=_time(found.at_ms, now_ms),
            said=_said(found),
            entry=found.entry.hex(),
            proof=_proof(found),
            files=_files(found),
            command=escape(_command(found)),
            note=escape(found.note),
        ),
    )


def trouble(status: int, title: str, code: str, detail: str, *, asked: str, origin: str, now_ms: int) -> str:
    """What went wrong, for people."""
    main = _TROUBLE.substitute(
        title=escape(title),
        status=str(status),
        detail=escape(f"{detail[:1].upper()}{detail[1:]}."),
        code=escape(code),
        form=_FORM.substitute(asked=escape(asked[:128], quote=True)),
    )
    return _whole(title, origin, now_ms, main)


def _whole(title: str, origin: str, now_ms: int, main: str) -> str:
    iso, text = _clock(now_ms)
    return _PAGE.substitute(title=escape(title), origin=escape(origin), main=main, now_iso=iso, now=text)


def _recent(name: str, at_ms: int, now_ms: int) -> str:
    return f'<li><a href="/log/entries/{escape(name)}">{escape(name)}</a> <span>{_time(at_ms, now_ms)}</span></li>'


def _witnesses(seen: Seen, now_ms: int) -> str:
    if not seen.witnesses:
        return "<p>No witness has cosigned this checkpoint. Whoever keeps checkpoints still sees whether the log only grows.</p>"
    rows = (
        f"<li><code>{escape(one.name)}</code> cosigned {_time(one.at_s * 1000, now_ms)}</li>" for one in seen.witnesses
    )
    return f"<ul>{''.join(rows)}</ul>"


def _hashes(count: int) -> str:
    return "One hash that the log gives leads" if count == 1 else f"{count} hashes that the log gives lead"


def _key(one: Mapping[str, str]) -> str:
    return f"<div><dt>{escape(one['alg'])} key</dt><dd><code>{escape(one['kid'])}</code></dd></div>"


def _vkey(one: str) -> str:
    return f"<div><dt>Verifier key of checkpoints</dt><dd><code>{escape(one)}</code></dd></div>"


def _said(found: Shown) -> str:
    if found.gone:
        return f"<div><dt>Statement</dt><dd>{escape(found.gone)}</dd></div>"
    if found.said is None:
        return "<div><dt>Statement</dt><dd>Not everybody may read what it says.</dd></div>"
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in found.said.items())


def _proof(found: Shown) -> str:
    if found.proof is None:
        return "<p>There is no proof yet: it comes with the next entry.</p>"
    hashes = "".join(
        f"<li>{'left' if step.left else 'right'} of it: <code>{step.sibling.hex()}</code></li>" for step in found.proof
    )
    drawn = picture.draw(found.leaf, found.proof, name=found.name, size=found.size)
    return (
        f"<p>{_hashes(len(found.proof))} from this entry to the root that it has signed. Change one bit "
        f"of the entry, and the root is another one.</p>{drawn}<details><summary>All hashes in full</summary>"
        f"<p>The entry's leaf is <code>{found.leaf.hex()}</code>. The sibling at each level, from the leaf up:</p>"
        f"<ol>{hashes}</ol></details>"
    )


def _files(found: Shown) -> str:
    name = escape(found.name)
    rows = [
        (f"/entries/{name}", f"receipt-{name}.cose", "Receipt", "COSE, RFC 9942"),
        (f"/entries/{name}/proof", f"{name}.tlog-proof", "Proof with its checkpoint", "C2SP tlog-proof"),
    ]
    if found.said:
        rows += [
            (f"/entries/{name}/statement", f"statement-{name}.cose", "Statement", "COSE, RFC 9943"),
            (
                f"/entries/{name}/transparent",
                f"transparent-{name}.cose",
                "Statement with its receipt",
                "COSE, RFC 9943",
            ),
        ]
    return "".join(
        f'<li><a href="{path}" download="{file}">{what}</a> <span class="soft">{form}</span></li>'
        for path, file, what, form in rows
    )


def _command(found: Shown) -> str:
    return (
        f"curl -o receipt.cose {found.address}/entries/{found.name}\n"
        "vigil ledger verify --receipt receipt.cose --statement statement.cose --trust trust.json"
    )


def _clock(at_ms: int) -> tuple[str, str]:
    found = datetime.fromtimestamp(min(max(at_ms, 0), 253_402_000_000_000) / 1000, UTC)
    return found.isoformat(timespec="seconds"), f"{found:%Y-%m-%d %H:%M:%S} UTC"


def _time(at_ms: int, now_ms: int) -> str:
    iso, text = _clock(at_ms)
    return f'<time datetime="{iso}">{text}</time>, {_age(now_ms - at_ms)}'


def _age(age_ms: int) -> str:
    seconds = max(age_ms, 0) // 1000
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"
