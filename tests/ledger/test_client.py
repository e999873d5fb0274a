"""The ledger's clients, against a real server and against answers that no ledger should give."""

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ledger import contracts
from ledger.client import (
    BODY_MAX,
    PROBLEM_TYPE,
    AsyncClient,
    Client,
    LedgerBusy,
    LedgerRefused,
)
from ledger.http import app as http
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol import cbor, merkle, notes, receipt, statement
from protocol.errors import ConfigError, Malformed, NotFound, Unavailable
from tests.support import ledgers
from tests.support.clients import Opened, answering, problem
from tests.support.serving import nobody, served

SIZES = (2, 3, 4, 255, 256, 257, 300)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path) as found:
        yield found


@pytest.fixture
def url(engine: Engine) -> Iterator[str]:
    with served(http.app(engine, Metrics(contracts.CODES))) as found:
        yield found


def test_a_statement_is_registered_once_with_a_receipt_that_holds(
    tmp_path: Path, engine: Engine, url: str, opened: Opened
) -> None:
    client, raw, index = opened(url), ledgers.admission(tmp_path), engine.size
    found, again = client.register(raw), client.register(raw)
    assert found == again
    assert (found.entry_id, found.index, found.size) == (f"1.{index}", index, index + 1)
    key = ledgers.log_key(tmp_path)
    receipt.check(found.receipt, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
    assert client.receipt(found.entry_id) == found.receipt
    assert cbor.decode(client.keys(), size_max=1000) == [key.cose_key()]


def test_a_refusal_carries_the_ledgers_own_code(url: str, opened: Opened) -> None:
    with pytest.raises(LedgerRefused) as refused:
        opened(url).register(ledgers.anchor(1))
    assert refused.value.code == "issuer_unknown"
    assert refused.value.detail
    with pytest.raises(LedgerRefused) as refused:
        opened(url).register(bytes(statement.SIZE_MAX + 1))
    assert refused.value.code == "statement_size"


def test_what_is_not_there_has_the_ledgers_own_code(url: str, opened: Opened) -> None:
    client = opened(url)
    with pytest.raises(LedgerRefused) as refused:
        client.receipt("1.9")
    assert refused.value.code == "entry_unknown"
    for name in ("", ".", "..", "../checkpoint", "1.0?x=y", "\u2028", "1" * 65):
        with pytest.raises(NotFound) as missing:
            client.receipt(name)
        assert missing.value.code == "entry_unknown"


def test_proofs_from_tiles_lead_to_the_checkpoint_at_every_size(
    tmp_path: Path, engine: Engine, url: str, opened: Opened
) -> None:
    client, heads = opened(url), {}
    raws = iter([ledgers.admission(tmp_path), *(ledgers.anchor(n) for n in range(SIZES[-1]))])
    for size in SIZES:
        engine.register_many(list(itertools.islice(raws, size - engine.size)))
        heads[size] = notes.Checkpoint.from_text(notes.parse(client.checkpoint()).text)
    entries = [statement.entry(engine.statement(index)) for index in range(engine.size)]
    assert {size: head.size for size, head in heads.items()} == {size: size for size in SIZES}
    for size, head in heads.items():
        for index in sorted({0, 1, size // 2, 254, 255, 256, size - 2, size - 1} & set(range(size))):
            path = client.proof(index, size)
            leaf = merkle.leaf_hash(entries[index])
            merkle.verify_inclusion(leaf=leaf, index=index, size=size, path=path, root=head.root)
    for size1, size2 in itertools.combinations_with_replacement(SIZES, 2):
        merkle.verify_consistency(
            size1=size1,
            size2=size2,
            root1=heads[size1].root,
            root2=heads[size2].root,
            path=client.consistency(size1, size2),
        )


def test_proofs_of_what_the_ledger_does_not_have_yet_are_not_found(engine: Engine, url: str, opened: Opened) -> None:
    client, size = opened(url), engine.size + 1
    for ask in (lambda: client.proof(0, size), lambda: client.consistency(1, size)):
        with pytest.raises(LedgerRefused) as missing:
            ask()
        assert missing.value.code == "tile_unknown"


def test_a_ledger_that_is_not_there_is_unreachable(opened: Opened) -> None:
    client = opened(nobody())
    for ask in (lambda: client.register(b"x"), client.checkpoint, client.keys, lambda: client.proof(0, 2)):
        with pytest.raises(Unavailable) as gone:
            ask()
        assert gone.value.code == "ledger_unreachable"


@pytest.mark.parametrize(
    "address",
    [
        "", "ledger", "ftp://ledger.example", "http://", "http://[::1", "http://a:b", "http://a:99999", "http://a:0",
        "http://a..b", "http://xn--a.example", f"http://{'a' * 64}.example",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_the_operators_mistake(address: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ConfigError) as wrong:
            kind(address)
        assert wrong.value.code == "ledger_url"


@pytest.mark.parametrize(
    ("status", "body", "media"),
    [
        (200, b"", ""),
        (201, b"not a receipt", "application/scitt-receipt+cose"),
        (204, b"", ""),
        (301, b"", ""),
        (302, problem(), PROBLEM_TYPE),
        (303, b"", ""),
        (307, b"", ""),
        (400, b"<html>", "text/html"),
        (400, b"", PROBLEM_TYPE),
        (400, b"\xff" * 100, PROBLEM_TYPE),
        (400, b"\x81" * 1000, PROBLEM_TYPE),
        (400, problem("Any code\x1b[31m"), PROBLEM_TYPE),
        (400, problem("a" * 65), PROBLEM_TYPE),
        (400, problem(5), PROBLEM_TYPE),
        (400, cbor.encode({-1: "Rejected"}), PROBLEM_TYPE),
        (400, cbor.encode([1]), PROBLEM_TYPE),
        (401, problem(), PROBLEM_TYPE),
        (403, b"forbidden", "text/plain"),
        (404, problem("http_404"), PROBLEM_TYPE),
        (404, b"<html>", "text/html"),
        (501, b"", ""),
    ],
)
def test_an_answer_that_is_not_a_ledgers_refuses_no_statement(
    opened: Opened, status: int, body: bytes, media: str
) -> None:
    with pytest.raises(Malformed):
        answering(opened, status, body, content_type=media, location="http://elsewhere.example/").register(b"x")


@pytest.mark.parametrize("status", [400, 413])
def test_only_problem_details_refuse_a_statement(opened: Opened, status: int) -> None:
    with pytest.raises(LedgerRefused) as refused:
        answering(opened, status, problem(), content_type=PROBLEM_TYPE).register(b"x")
    assert (refused.value.code, refused.value.detail) == ("log_full", "no room")
    for detail in ("two\nlines", 7, "\x1b[31m"):
        with pytest.raises(LedgerRefused) as refused:
            answering(opened, status, problem(detail=detail), content_type=PROBLEM_TYPE).register(b"x")
        assert refused.value.detail == "it does not say why"
    with pytest.raises(LedgerRefused) as refused:
        answering(opened, status, problem(detail="a" * 9999), content_type=PROBLEM_TYPE).register(b"x")
    assert refused.value.detail == "a" * 200


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    ("said", "pause_s"),
    [("", None), ("7", 7.0), ("999999999", 3600.0), ("-1", None), ("Tue, 24 Nov 2026 00:00:00 GMT", None), ("٧", None)],
)
def test_a_busy_ledger_says_when_to_come_back(opened: Opened, status: int, said: str, pause_s: float | None) -> None:
    for ask in (lambda client: client.register(b"x"), lambda client: client.checkpoint()):
        with pytest.raises(LedgerBusy) as busy:
            ask(answering(opened, status, b"later", retry_after=said))
        assert (busy.value.code, busy.value.retry_after_s) == ("ledger_busy", pause_s)


@pytest.mark.parametrize(
    "location", ["", "/entries/", "/entries/1 1", "/entries/" + "1" * 65, "/entries/<b>", "..", "é"]
)
def test_an_entry_without_a_name_is_no_answer(tmp_path: Path, engine: Engine, opened: Opened, location: str) -> None:
    found = engine.register(ledgers.admission(tmp_path))
    with pytest.raises(Malformed) as wrong:
        answering(opened, 201, found.receipt, location=location).register(b"x")
    assert wrong.value.code == "ledger_answer"


@pytest.mark.parametrize("size", [0, 31, 33, 8192])
def test_a_tile_of_another_size_is_malformed(opened: Opened, size: int) -> None:
    with pytest.raises(Malformed) as wrong:
        answering(opened, 200, bytes(size)).proof(0, 2)
    assert wrong.value.code == "tile_size"


def test_a_tile_that_lies_gives_a_path_that_does_not_hold(engine: Engine, tmp_path: Path, opened: Opened) -> None:
    raw = ledgers.admission(tmp_path)
    engine.register(raw)
    path = answering(opened, 200, bytes(64)).proof(1, 2)
    leaf = merkle.leaf_hash(statement.entry(raw))
    root = notes.Checkpoint.from_text(notes.parse(engine.checkpoint()).text).root
    assert merkle.root_from_path(leaf=leaf, index=1, size=2, path=path) != root


def test_a_checkpoint_that_is_no_text_does_not_parse(opened: Opened) -> None:
    with pytest.raises(Malformed):
        notes.parse(answering(opened, 200, b"\xff\xfe\x00").checkpoint())


def test_an_answer_that_is_too_long_is_cut_off(opened: Opened) -> None:
    assert len(answering(opened, 200, b"a" * BODY_MAX).checkpoint()) == BODY_MAX
    for status in (200, 400, 503):
        with pytest.raises(Malformed) as wrong:
            answering(opened, status, b"a" * (BODY_MAX + 1)).checkpoint()
        assert wrong.value.code == "ledger_answer"


class Raw(threading.Thread):
    """Accepts connections and sends `parts` on each, `every_s` apart."""

    def __init__(self, parts: Iterator[bytes] | list[bytes], every_s: float = 0.0) -> None:
        super().__init__(daemon=True)
        self._parts, self._every_s = parts, every_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent = 0

    def run(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            with connection:
                connection.recv(65_536)
                for part in self._parts:
                    connection.sendall(part)
                    self.sent += len(part)
                    time.sleep(self._every_s)

    def __enter__(self) -> "Raw":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.join(5)
        assert not self.is_alive()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n"


def test_an_endless_answer_is_left(opened: Opened) -> None:
    with Raw(itertools.chain([HEAD], itertools.repeat(bytes(65_536)))) as server, pytest.raises(Malformed):
        opened(server.url, timeout_s=5).checkpoint()
    assert server.sent < 64 * BODY_MAX  # what the kernel holds, and no more


def test_an_answer_that_drips_is_left_when_the_time_is_over(opened: Opened) -> None:
    with Raw(itertools.chain([HEAD], itertools.repeat(b".")), every_s=0.05) as server:
        began_s = time.monotonic()
        with pytest.raises(Unavailable) as gone:
            opened(server.url, timeout_s=0.5).checkpoint()
        assert gone.value.code == "ledger_unreachable"
        assert time.monotonic() - began_s < 2


@pytest.mark.parametrize(
    "sent",
    [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", b"HTTP/1.1 200 OK\r\n" + b"a" * 200_000],
)
def test_a_server_that_speaks_something_else_is_unreachable(opened: Opened, sent: bytes) -> None:
    with Raw([sent]) as server:
        with pytest.raises(Unavailable) as gone:
            opened(server.url, timeout_s=5).checkpoint()
        assert gone.value.code == "ledger_unreachable"


def test_a_redirect_is_not_followed(opened: Opened) -> None:
    reached: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        reached.append(request.url.host)
        stream = httpx.ByteStream(b"")
        return httpx.Response(307, headers={"location": "http://elsewhere.example/checkpoint"}, stream=stream)

    with pytest.raises(Malformed):
        opened("http://ledger.example", transport=httpx.MockTransport(answer)).checkpoint()
    assert reached == ["ledger.example"]
