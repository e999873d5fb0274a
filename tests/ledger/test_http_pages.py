"""The ledger's pages for people, as HTML: what they say, to whom, and what may be in them."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from ledger import contracts
from ledger.http import app as http
from ledger.http import page, pages, picture
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol import merkle, statement
from protocol.errors import Unavailable, VerificationFailed
from tests.support import ledgers
from tests.support.contrast import GRAPHIC_LEAST, TEXT_LEAST, contrast
from tests.support.web import Web, problem

PERSON = "text/html,application/xhtml+xml,*/*;q=0.8"
STYLE = files("ledger.http").joinpath("static/log.css").read_text()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path) as found:
        found.register(ledgers.admission(tmp_path))
        found.register_many([ledgers.anchor(n) for n in range(9)])
        yield found


@pytest.fixture
def web(engine: Engine) -> Web:
    return Web(http.app(engine, Metrics(contracts.CODES)))


class Outline(HTMLParser):
    """What a page is made of; void elements need no end."""

    VOID = frozenset({"meta", "link", "img", "input", "line", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closes another"


@pytest.mark.parametrize("path", ["/", "/log/entries/1.0", "/log/entries/1.10", "/log/entries/1.99", "/nowhere"])
def test_a_page_has_no_script_no_inline_style_and_a_strict_policy(web: Web, path: str) -> None:
    answer = web.get(path, accept=PERSON)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == pages.POLICY
    assert "script" not in pages.POLICY and "unsafe" not in pages.POLICY
    assert (answer.headers["x-content-type-options"], answer.headers["cache-control"]) == ("nosniff", "no-store")
    outline = Outline(answer.text)
    assert not {tag for tag, _ in outline.tags} & {"script", "style", "iframe", "object"}
    for tag, attributes in outline.tags:
        assert not [name for name in attributes if name == "style" or name.startswith("on")], tag
        for name in ("href", "src", "action"):
            target = attributes.get(name) or "/"
            assert target.startswith(("/", "#", "https://c2sp.org/")), target


@pytest.mark.parametrize("path", ["/", "/log/entries/1.3"])
def test_every_link_of_a_page_leads_somewhere(web: Web, path: str) -> None:
    links = re.findall(r'(?:href|src)="(/[^"]*)"', web.get(path).text)
    assert len(links) > 5
    for link in links:
        assert web.get(link).status_code == 200, link


def test_the_first_page_says_how_the_log_stands(web: Web, engine: Engine) -> None:
    text = web.get("/").text
    assert "The log is at work." in text
    assert ledgers.ORIGIN in text and f"{engine.size}" in text and "No witness has cosigned" in text
    assert engine.checkpoint().splitlines()[2] in text
    assert str(engine.trust()["policy"]).split()[1] in text
    assert [f"1.{index}" for index in range(engine.size - 1, engine.size - 1 - pages.RECENT, -1)] == re.findall(
        r'<li><a href="/log/entries/[^"]*">([^<]*)</a>', text
    )


def test_a_log_that_cannot_store_says_so(web: Web, engine: Engine) -> None:
    engine.stop(Unavailable("epoch_ended", "this epoch has ended"))
    text = web.get("/").text
    assert "cannot store statements now" in text and "at work" not in text


def test_an_entry_is_found_by_its_number_and_by_its_statement(web: Web) -> None:
    raw = ledgers.anchor(3)
    name = web.register(raw, 200)
    for asked in (name, f"%20{name}%20", statement.entry(raw).hex(), statement.entry(raw).hex().upper()):
        answer = web.get(f"/log/find?q={asked}")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/log/entries/{name}"), asked


@pytest.mark.parametrize("asked", ["", "9.9", "x", "0" * 64, "%3Cscript%3E", "1.0%0d%0aset-cookie:%20a=b", "0.1"])
def test_what_is_not_found_is_said_with_what_was_asked_escaped(web: Web, asked: str) -> None:
    answer = web.get(f"/log/find?q={asked}", accept=PERSON)
    assert (answer.status_code, "Not Found" in answer.text) == (404, True)
    assert "<script" not in answer.text and "set-cookie" not in answer.headers
    assert problem(web.get(f"/log/find?q={asked}"))[0] == 404


def test_an_entrys_page_has_its_digest_its_proof_and_its_files(web: Web, engine: Engine) -> None:
    raw = ledgers.anchor(3)
    name = web.register(raw, 200)
    text = web.get(f"/log/entries/{name}").text
    entry = statement.entry(raw)
    assert entry.hex() in text and merkle.leaf_hash(entry).hex() in text
    root = merkle.tree_root(
        [merkle.leaf_hash(statement.entry(engine.statement(index))) for index in range(engine.size)]
    )
    assert f"<title>{root.hex()}</title>" in text
    assert f'href="/entries/{name}" download="receipt-{name}.cose"' in text
    assert f'href="/entries/{name}/proof" download="{name}.tlog-proof"' in text
    assert f'href="/entries/{name}/transparent"' in text
    assert "clinic (gateway)" in text and ledgers.GATEWAY.public.urn in text
    assert f"curl -o receipt.cose http://log.example/entries/{name}" in text


def test_a_page_is_safe_from_the_host_that_it_is_asked_under(web: Web) -> None:
    for host in ("<b>.example", "[", "[::1", "a b", "x;y", ""):
        answer = web.request("GET", "/log/entries/1.0", headers={"host": host})
        assert answer.status_code == 200, host
        assert "http://LEDGER/entries/1.0" in answer.text and "<b>" not in answer.text
    for host in ("log.example.org", "127.0.0.1:8090", "[::1]:8090"):
        text = web.request("GET", "/log/entries/1.0", headers={"host": host}).text
        assert f"http://{host}/entries/1.0" in text


@pytest.mark.parametrize("path", ["/entries/1.99", "/checkpoint/", "/tile/0/x", "/entries/1.99/statement"])
def test_errors_are_pages_for_people_and_problems_for_programs(web: Web, path: str) -> None:
    assert "<!doctype html>" in web.get(path, accept=PERSON).text
    for accept in ("*/*", "application/cbor", "application/cose, */*"):
        assert problem(web.get(path, accept=accept))[0] == 404


def test_a_bug_of_ours_is_a_page_without_its_details(web: Web, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.shelf(1), "entry", lambda _: {}["secret"])
    answer = web.get("/log/entries/1.0", accept=PERSON)
    assert answer.status_code == 500
    assert "http_500" in answer.text and "secret" not in answer.text


def test_only_the_pages_own_files_are_handed_out(web: Web) -> None:
    assert web.get("/log/static/log.css").headers["content-type"] == "text/css; charset=utf-8"
    assert web.get("/log/static/icon.svg").headers["x-content-type-options"] == "nosniff"
    for name in ("page.py", "..%2fopenapi.json", "%2e%2e/app.py", ""):
        assert web.get(f"/log/static/{name}").status_code == 404, name


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7, 8, 9, 13, 31])
def test_a_drawing_computes_what_the_standard_does(size: int) -> None:
    leaves = [merkle.leaf_hash(bytes([index])) for index in range(size)]
    tree = merkle.Tree(leaves)
    for index in range(size):
        found = picture.steps(leaf=leaves[index], index=index, size=size, path=tree.path(index))
        assert found[-1].parent == tree.root()
        assert [step.sibling for step in found] == tree.path(index)
        drawn = picture.draw(leaves[index], found, name=f"1.{index}", size=size)
        titles = re.findall("<title>([0-9a-f]{64})</title>", drawn)
        assert set(titles) == {value.hex() for step in found for value in (step.sibling, step.parent)} | {
            leaves[index].hex()
        }
        Outline(drawn)
    with pytest.raises(VerificationFailed):
        picture.steps(leaf=leaves[0], index=0, size=size, path=[*tree.path(0), bytes(32)])


@pytest.mark.parametrize(
    ("age_ms", "said"),
    [
        (-5000, "just now"),
        (999, "just now"),
        (1000, "1 second ago"),
        (59_999, "59 seconds ago"),
        (60_000, "1 minute ago"),
        (7_200_000, "2 hours ago"),
        (172_800_000, "2 days ago"),
    ],
)
def test_an_age_is_said_in_its_largest_unit(age_ms: int, said: str) -> None:
    now_ms = 1_700_000_000_000
    assert page._time(now_ms - age_ms, now_ms).endswith(said)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_stands_out_from_its_ground(scheme: str) -> None:
    blocks = re.findall(r":root \{([^}]*)\}", STYLE)
    known = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", "".join(blocks[: 1 + (scheme == "dark")])))
    texts = [(one, ground) for one in ("ink", "soft", "link") for ground in ("ground", "panel", "paper")]
    texts += [("good", "panel"), ("bad", "panel"), ("panel", "ink")]
    graphics = [("given", "paper"), ("given", "panel"), ("good", "paper"), ("focus", "panel"), ("focus", "ground")]
    for pairs, least in ((texts, TEXT_LEAST), (graphics, GRAPHIC_LEAST)):
        faint = {pair: contrast(known[pair[0]], known[pair[1]]) for pair in pairs}
        assert {pair: ratio for pair, ratio in faint.items() if ratio < least} == {}
    assert not re.findall(r"^\s+(?:color|background|fill|stroke): #", STYLE, re.M), "colours are named in one place"
