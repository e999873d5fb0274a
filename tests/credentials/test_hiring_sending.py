"""Alerts on their way to a webhook: each until it is taken, in order, under one number, and without a word of a person."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ledger.credentials.hiring import duties
from tests.credentials.test_hiring import ADA, hired, licence
from tests.support.hirings import HOLDER, Desk, Registry

URL = "https://alerts.example/hook"


class Hook:
    """A receiver. answers: what it says next, in order; then 204."""

    def __init__(self, *answers: int) -> None:
        self.answers, self.got = list(answers), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Take a request."""
        status = self.answers.pop(0) if self.answers else 204
        if status == 0:
            raise httpx.ConnectError("nobody there")
        self.got.append(request)
        return httpx.Response(status)

    def codes(self) -> list[str]:
        """The codes of what came."""
        return [json.loads(each.content)["code"] for each in self.got]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    registry = Registry()
    found = Desk(tmp_path, registry)
    raw = licence(registry, days=20, licenceNumber="RN-SECRET-1")
    hired(found, raw)
    registry.find(raw, "suspension", "fail", "suspended")
    found.hiring.round()
    yield found
    found.store.close()


def send(desk: Desk, hook: Hook) -> str:
    async def run() -> str:
        async with httpx.AsyncClient(transport=httpx.MockTransport(hook)) as client:
            return await duties.sent(desk.store, client, URL)

    return asyncio.run(run())


def test_alerts_go_out_in_order_and_once(desk: Desk) -> None:
    hook = Hook()
    assert send(desk, hook) == "" and hook.codes() == ["expiring", "suspended"]
    desk.restart()
    assert send(desk, hook) == "" and len(hook.got) == 2
    assert len({each.headers["idempotency-key"] for each in hook.got}) == 2


@pytest.mark.parametrize(("answer", "why"), [(503, "503"), (400, "400"), (302, "302"), (0, "ConnectError")])
def test_an_alert_that_is_not_taken_goes_again_under_the_same_number(desk: Desk, answer: int, why: str) -> None:
    hook = Hook(answer)
    assert send(desk, hook) == why
    refused = list(hook.got)
    desk.restart()
    assert send(desk, hook) == "" and hook.codes()[-2:] == ["expiring", "suspended"]
    for each in refused:
        assert each.headers["idempotency-key"] == hook.got[1].headers["idempotency-key"]


def test_a_webhook_learns_nothing_about_a_person(desk: Desk) -> None:
    hook = Hook()
    send(desk, hook)
    assert hook.got
    for each in hook.got:
        said = each.content + str(each.headers).encode()
        for word in (ADA.given, ADA.family, ADA.npi, ADA.birth, HOLDER, "RN-SECRET-1"):
            assert word.encode() not in said
