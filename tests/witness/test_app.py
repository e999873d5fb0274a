"""A witness over HTTP: statuses, bodies and content types of the protocol, and what strangers cannot do."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from ledger.witness import app as http
from ledger.witness.metrics import Metrics
from protocol import notes, witnessing
from tests.support import witnesses as rig
from tests.support.witnesses import Clock, Log

LOG = Log().grown(40)
FORK = Log(fork=5, branch="other").grown(40)


class Web:
    """Asks a witness without a socket."""

    def __init__(self, folder: Path, rate_per_s: float = 1000.0) -> None:
        self.clock, self.metrics = Clock(), Metrics()
        self.key = rig.made(folder, LOG)
        self._opened = rig.opened(folder, self.clock)
        self.witness = self._opened.__enter__()
        self.app = http.app(self.witness, self.metrics, rate_per_s=rate_per_s, monotonic_s=self.clock)
        self.operator = http.metrics_app(self.witness, self.metrics)

    def close(self) -> None:
        self._opened.__exit__(None, None, None)

    def request(self, method: str, path: str, *, operator: bool = False, **sent: object) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.operator if operator else self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://witness.example") as client:
                return await client.request(method, path, **sent)

        return asyncio.run(ask())

    def add(self, body: bytes) -> httpx.Response:
        return self.request("POST", "/add-checkpoint", content=body)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    found = Web(tmp_path)
    yield found
    found.close()


def test_a_new_checkpoint_is_answered_with_cosignature_lines(web: Web) -> None:
    answer = web.add(LOG.request(0, 7).body())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    whole = notes.parse(LOG.note(7) + answer.content.decode())  # as the protocol says a client may do
    assert {key.name for key, _ in notes.verify(whole, [LOG.vkey, web.key])} == {LOG.origin, web.key.name}


def test_another_old_size_is_answered_409_with_the_size(web: Web) -> None:
    web.add(LOG.request(0, 7).body())
    answer = web.add(LOG.request(0, 12).body())
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (409, "text/x.tlog.size", b"7\n")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"old 0\n\nnothing", 400),
        (b"x" * (witnessing.BODY_SIZE_MAX + 1), 400),
        (LOG.request(9, 7).body(), 400),
        (LOG.request(0, 7, note=LOG.note(7, rig.SigningKey.from_seed(bytes(32)))).body(), 403),
        (Log("log.example/unknown").request(0, 7).body(), 404),
        (FORK.request(7, 7).body(), 422),
        (FORK.request(7, 9).body(), 422),
    ],
)
def test_each_refusal_has_the_status_of_the_protocol(web: Web, body: bytes, status: int) -> None:
    web.add(LOG.request(0, 7).body())
    assert web.add(body).status_code == status
    assert web.add(LOG.request(7, 12).body()).status_code == 200


def test_the_newest_cosigned_checkpoint_is_there_for_everyone(web: Web) -> None:
    path = f"/{hashlib.sha256(LOG.origin.encode()).hexdigest()}/checkpoint"
    assert web.request("GET", path).status_code == 404
    web.add(LOG.request(0, 7).body())
    answer = web.request("GET", path)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=1")
    assert notes.Checkpoint.from_text(notes.parse(answer.text).text) == LOG.checkpoint(7)
    assert {key for key, _ in notes.verify(notes.parse(answer.text), [LOG.vkey, web.key])} == {LOG.vkey, web.key}


@pytest.mark.parametrize(
    "path", ["/", "/checkpoint", "/x/checkpoint", f"/{'A' * 64}/checkpoint", f"/{'a' * 64}/checkpoint/"]
)
def test_nothing_else_is_there(web: Web, path: str) -> None:
    assert web.request("GET", path).status_code == 404
    assert web.request("GET", "/add-checkpoint").status_code == 405


def test_too_many_requests_of_all_are_told_when_to_come_back(tmp_path: Path) -> None:
    web = Web(tmp_path, rate_per_s=0.5)
    assert [web.add(b"").status_code for _ in range(3)] == [400, 400, 429]
    answer = web.add(LOG.request(0, 7).body())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    web.clock.at_s += 3
    assert web.add(LOG.request(0, 7).body()).status_code == 200
    web.close()


def test_a_request_that_drips_is_not_waited_for(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_WITHIN_S", 0.05)

    async def drip() -> AsyncIterator[bytes]:
        yield b"old 0\n"
        await asyncio.sleep(30)
        yield b"\n"

    assert web.request("POST", "/add-checkpoint", content=drip()).status_code == 400


def test_verdicts_and_evidence_are_counted_and_health_is_told(web: Web) -> None:
    for body in (LOG.request(0, 7).body(), FORK.request(7, 7).body(), b""):
        web.add(body)
    text = web.request("GET", "/metrics", operator=True).text
    assert 'vigil_witness_requests_total{verdict="cosigned"} 1.0' in text
    assert 'vigil_witness_requests_total{verdict="root_differs"} 1.0' in text
    assert 'vigil_witness_evidence{kind="two_trees"} 1.0' in text
    assert web.request("GET", "/healthz", operator=True).json() == {"ok": True, "name": web.key.name}
    web.witness.healthy = False
    assert web.request("GET", "/healthz", operator=True).status_code == 503
