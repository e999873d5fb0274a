"""A webhook as its receiver sees it: signed, bound to its body and address, and bounded in time."""

import asyncio
import base64
import dataclasses
import time
from collections.abc import Callable

import nacl.exceptions
import pytest

from gateway.alerts import webhook
from gateway.alerts.webhook import Outcome, Webhook, target
from protocol.errors import ConfigError
from protocol.keys import SigningKey
from tests.support.receiver import Answer, Receiver, Taken, check, receiving
from tests.support.serving import nobody

KEY = SigningKey.from_seed(bytes(range(32)))
BODY = b'{"id": "00", "kind": "fall"}'
NOW_S = 1_790_000_000


async def post(url: str) -> tuple[Outcome, str]:
    """Send one notice."""
    hook = Webhook(url=url, key=KEY)
    try:
        return await hook.send(BODY, idempotency_key="abc-1-first", now_s=NOW_S)
    finally:
        await hook.close()


def met(answer: Callable[[int], Answer] = lambda _: (204, {})) -> tuple[tuple[Outcome, str], Receiver]:
    """What becomes of one notice, and the receiver that it met."""

    async def meet() -> tuple[tuple[Outcome, str], Receiver]:
        async with receiving(answer) as receiver:
            return await post(receiver.url), receiver

    return asyncio.run(meet())


def test_a_receiver_can_check_who_sent_a_notice_and_that_it_is_whole() -> None:
    outcome, receiver = met()
    assert outcome == ("sent", "204")
    (taken,) = receiver.taken
    assert (taken.method, taken.path, taken.body, taken.key) == ("POST", "/alerts", BODY, "abc-1-first")
    found = check(taken, authority=receiver.authority, public_key=KEY.public.x)
    keyid = base64.urlsafe_b64encode(KEY.public.thumbprint).rstrip(b"=").decode()
    assert (found["created"], found["alg"], found["keyid"]) == (str(NOW_S), "ed25519", keyid)
    assert set(found["covered"].split()) == {
        "@method",
        "@target-uri",
        "content-type",
        "content-digest",
        "idempotency-key",
    }


def altered(taken: Taken, name: str) -> Taken:
    """The request with one thing changed on its way."""
    if name == "method":
        return dataclasses.replace(taken, method="PUT")
    if name == "path":
        return dataclasses.replace(taken, path="/other")
    headers = dict(taken.headers)
    if name == "created":
        headers["signature-input"] = headers["signature-input"].replace(str(NOW_S), str(NOW_S + 1))
    else:
        headers[name] = '"abc-2-first"' if name == "idempotency-key" else "text/plain"
    return dataclasses.replace(taken, headers=headers)


@pytest.mark.parametrize("name", ["method", "path", "created", "idempotency-key", "content-type"])
def test_what_is_signed_cannot_be_changed_on_its_way(name: str) -> None:
    _, receiver = met()
    with pytest.raises(nacl.exceptions.BadSignatureError):
        check(altered(receiver.taken[0], name), authority=receiver.authority, public_key=KEY.public.x)


def test_another_body_or_another_key_does_not_pass() -> None:
    _, receiver = met()
    (taken,) = receiver.taken
    with pytest.raises(AssertionError):
        check(dataclasses.replace(taken, body=BODY + b" "), authority=receiver.authority, public_key=KEY.public.x)
    other = SigningKey.from_seed(bytes(32)).public.x
    with pytest.raises(nacl.exceptions.BadSignatureError):
        check(taken, authority=receiver.authority, public_key=other)


@pytest.mark.parametrize("path", ["", "?home=1", "/a b/\N{LATIN SMALL LETTER U WITH DIAERESIS}?x=%2F#part"])
def test_the_signed_address_is_the_one_that_the_receiver_sees(path: str) -> None:
    async def meet() -> None:
        async with receiving() as receiver:
            assert (await post(f"http://{receiver.authority}{path}"))[0] == "sent"
            check(receiver.taken[0], authority=receiver.authority, public_key=KEY.public.x)

    asyncio.run(meet())


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://home.example", "http://home.example/"),
        ("HTTPS://Home.Example:443/a?b=1#c", "https://home.example/a?b=1"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
    ],
)
def test_a_target_is_written_in_one_way(url: str, seen: str) -> None:
    assert target(url) == seen


@pytest.mark.parametrize(
    "url",
    [
        "",
        "home.example/alerts",
        "ftp://home.example/",
        "http://",
        "http://h:port/",
        "http://eve:pw@home.example/",
        "http://h:99999/",
        "http://h:0/",
        "http://a..b/",
        "http://xn--a.example/",
        f"http://{'a' * 64}.example/",
    ],
)
def test_an_address_that_cannot_be_called_is_refused_at_the_start_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Webhook(url=url, key=KEY)
    assert refused.value.code == "webhook_url"
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "sent"),
        (202, "sent"),
        (400, "dead"),
        (401, "dead"),
        (404, "dead"),
        (410, "dead"),
        (408, "later"),
        (409, "later"),
        (425, "later"),
        (429, "later"),
        (500, "later"),
        (503, "later"),
    ],
)
def test_an_answer_says_whether_to_try_again(status: int, outcome: Outcome) -> None:
    assert met(lambda _: (status, {}))[0] == (outcome, str(status))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    async def meet() -> None:
        async with receiving() as elsewhere, receiving(lambda _: (status, {"location": elsewhere.url})) as receiver:
            assert await post(receiver.url) == ("dead", str(status))
            assert len(receiver.taken) == 1
            assert not elsewhere.taken

    asyncio.run(meet())


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_receiver_that_hangs_or_drips_costs_a_bounded_time(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.3)
    begun = time.monotonic()
    outcome, _ = met(lambda _: how)
    assert outcome[0] == "later"
    assert time.monotonic() - begun < 2


def test_a_receiver_that_breaks_off_or_is_not_there_is_tried_again() -> None:
    assert met(lambda _: "drop")[0] == ("later", "RemoteProtocolError")
    assert asyncio.run(post(nobody()))[0] == "later"


def test_a_waiting_notice_can_be_cancelled() -> None:
    async def meet() -> None:
        async with receiving(lambda _: "hang") as receiver:
            task = asyncio.create_task(post(receiver.url))
            await receiver.arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(meet())
