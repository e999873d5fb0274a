"""Pairing over HTTPS: a real device and a real gateway, every refusal by its code, and no flood that keeps a person's device out."""

import asyncio
import contextlib
import datetime
import http.client
import json
import logging
import re
import sqlite3
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import segno
from click.testing import CliRunner

import vigil
from device_sim import enrolment
from device_sim import pair as device_pair
from gateway import keyring, pair_app, pairing
from gateway.door import Limits
from gateway.serving import serving
from gateway.store import keys
from gateway.store.writer import KEYS_FILE
from protocol import pairing as wire
from protocol.errors import Unavailable, VigilError
from protocol.keys import SigningKey, device_id, x25519_public
from tests.support.gatehouse import House, open_house, rows, until

DEVICE, OTHER = (SigningKey.from_seed(bytes([number]) * 32) for number in (71, 72))
TOLD = {"mqtt": "127.0.0.1:8883"}


@contextlib.asynccontextmanager
async def open_door(
    state: Path, *, now_ms: Callable[[], int] | None = None, limits: Limits | None = None
) -> AsyncIterator[tuple[House, int]]:
    """A gateway with its pairing endpoint on a free port of loopback."""
    async with open_house(state) as house:
        ring = house.gateway.keyring
        keyring.opened(state, names=("127.0.0.1",), now=_now())
        app = pair_app.app(house.gateway, settings=TOLD, now_ms=now_ms or house.now_ms)
        async with serving(
            app,
            host="127.0.0.1",
            port=0,
            name="pairing",
            certificate=(ring.folder / "server.pem", ring.folder / "server.key"),
            limits=limits,
        ) as port:
            yield house, port


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


async def shown(house: House, port: int) -> wire.Offer:
    """An offer as `vigil gateway pair` shows one."""
    made = pairing.make_offer(house.gateway.keyring, address=f"127.0.0.1:{port}")
    at_ms = house.now_ms()
    await house.gateway.writer.run(
        lambda conn: keys.offer(conn, made.secret, name="home", expires_ms=at_ms + wire.VALID_S * 1000, now_ms=at_ms),
        file=KEYS_FILE,
    )
    return made


def request(offer: wire.Offer, key: SigningKey = DEVICE) -> bytes:
    return wire.request(offer=offer, device_key=key, x25519_public=x25519_public(bytes([5]) * 32), nonce=bytes(16))


def post(port: int, body: bytes, *, path: str = "/pair", method: str = "POST") -> tuple[int, bytes]:
    """(status, body) of one request over TLS, as somebody without a certificate sends it."""
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def code(answer: tuple[int, bytes]) -> tuple[int, str]:
    """(status, code) of a refusal."""
    found = re.fullmatch(rb'\{"error":"([a-z_]+)","detail":"[^"]+"\}', answer[1])
    assert found, answer
    return answer[0], found[1].decode()


# -- the whole way ---------------------------------------------------------------------------------------------------


def test_a_device_pairs_over_https_and_both_sides_have_the_same_link(tmp_path: Path) -> None:
    home = tmp_path / "home"

    async def scene() -> None:
        async with open_door(tmp_path / "gateway") as (house, port):
            offer = await shown(house, port)
            found = await asyncio.to_thread(device_pair.pair, home, DEVICE, offer.text())
            member = house.gateway.directory.members[device_id(DEVICE.public)]  # taken up at once, without a restart
            assert (member.lk, member.link_id, member.state) == (found.lk, found.link_id, "enrolled")
            assert (found.gateway_key, found.mqtt) == (house.gateway.keyring.key.public.x, TOLD["mqtt"])
            assert house.gateway.directory.device_of(DEVICE.public.x) == member.device
            assert enrolment.load(home, DEVICE) == found
            kept = ssl.create_default_context(cafile=home / enrolment.CA_FILE)
            (home / enrolment.KEY_FILE).write_text(DEVICE.pem())
            kept.load_cert_chain(home / enrolment.CERTIFICATE_FILE, home / enrolment.KEY_FILE)  # the two are a pair

    asyncio.run(scene())


def test_a_second_device_with_the_same_code_is_refused_by_name(tmp_path: Path) -> None:
    async def scene() -> None:
        async with open_door(tmp_path / "gateway") as (house, port):
            text = (await shown(house, port)).text()
            await asyncio.to_thread(device_pair.pair, tmp_path / "home", DEVICE, text)
            with pytest.raises(VigilError, match=r"pair_refused.*403"):
                await asyncio.to_thread(device_pair.pair, tmp_path / "other", OTHER, text)
            assert list(house.gateway.directory.members) == [device_id(DEVICE.public)]
            assert not (tmp_path / "other").exists()

    asyncio.run(scene())


def test_a_device_that_lost_the_answer_asks_the_same_again_and_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    post_once = device_pair._exchange

    def loses(address: str, body: bytes) -> bytes:
        asked.append(body)
        answer = post_once(address, body)
        if len(asked) == 1:
            raise Unavailable("pair_unreachable", "the connection broke before the answer was there")
        return answer

    monkeypatch.setattr(device_pair, "_exchange", loses)

    async def scene() -> None:
        async with open_door(tmp_path / "gateway") as (house, port):
            found = await asyncio.to_thread(
                device_pair.pair, tmp_path / "home", DEVICE, (await shown(house, port)).text()
            )
            assert house.gateway.directory.members[found.device].lk == found.lk

    asyncio.run(scene())
    assert len(asked) == 2 and asked[0] == asked[1]


def test_an_enrolment_that_the_gateway_could_not_take_up_is_taken_up_when_the_device_asks_again(tmp_path: Path) -> None:
    async def scene() -> None:
        async with open_door(tmp_path) as (house, port):
            raw, reload = request(await shown(house, port)), house.gateway.reload

            def fails() -> None:
                raise sqlite3.OperationalError("disk I/O error")

            house.gateway.reload = fails  # type: ignore[method-assign]
            assert code(await asyncio.to_thread(post, port, raw)) == (503, "store_failing")
            house.gateway.reload = reload  # type: ignore[method-assign]
            assert (await asyncio.to_thread(post, port, raw))[0] == 200
            assert list(house.gateway.directory.members) == [device_id(DEVICE.public)]

    asyncio.run(scene())


def test_who_stands_between_learns_nothing_and_changes_nothing(tmp_path: Path) -> None:
    """The device does not check the certificate: what makes the answer good is inside."""

    async def scene() -> None:
        async with open_door(tmp_path / "gateway") as (house, port), open_door(tmp_path / "thief") as (thief, there):
            offer = await shown(house, port)
            stolen = wire.Offer(address=f"127.0.0.1:{there}", gateway_key=offer.gateway_key, secret=offer.secret)
            with pytest.raises(VigilError):
                await asyncio.to_thread(device_pair.pair, tmp_path / "home", DEVICE, stolen.text())
            assert thief.gateway.directory.members == {} and not (tmp_path / "home").exists()

    asyncio.run(scene())


# -- refusals --------------------------------------------------------------------------------------------------------


def test_every_refusal_has_its_status_and_code_and_stores_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        async with open_door(tmp_path) as (house, port):
            offer = await shown(house, port)
            good = request(offer)
            wrong = request(wire.Offer(address=offer.address, gateway_key=offer.gateway_key, secret=bytes(16)))
            zero = wire.request(offer=offer, device_key=DEVICE, x25519_public=bytes(32), nonce=bytes(16))
            longest = wire.REQUEST_SIZE_MAX
            for body, wanted in (
                (b"", (400, "cbor_invalid")),
                (b"\x00", (400, "pair_shape")),
                (wrong, (403, "pair_refused")),
                (good[:-1] + bytes([good[-1] ^ 1]), (403, "pair_refused")),
                (zero, (400, "link_zero")),
                (bytes(longest + 1), (413, "pair_size")),
            ):
                assert code(await asyncio.to_thread(post, port, body)) == wanted
            for table in ("device", "enrolment", "submission"):
                assert house.record(f"SELECT * FROM {table}") == []
            assert rows(tmp_path / KEYS_FILE, "SELECT * FROM enrolment") == []
            assert rows(tmp_path / KEYS_FILE, "SELECT request, answer FROM offer") == [(None, None)]
            assert (await asyncio.to_thread(post, port, good))[0] == 200

    asyncio.run(scene())


def test_there_is_nothing_but_one_post(tmp_path: Path) -> None:
    async def scene() -> None:
        async with open_door(tmp_path) as (_, port):
            assert (await asyncio.to_thread(post, port, b"", method="GET"))[0] == 405
            for path in ("/", "/pair/", "/metrics", "/docs"):
                assert (await asyncio.to_thread(post, port, b"", path=path))[0] in (307, 404)

    asyncio.run(scene())


def test_older_tls_and_plain_http_are_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        async with open_door(tmp_path) as (_, port):
            old = ssl._create_unverified_context()
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("127.0.0.1", port, ssl=old)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /pair HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
            assert b"HTTP" not in await asyncio.wait_for(reader.read(100), 10)
            writer.close()

    asyncio.run(scene())


# -- floods ----------------------------------------------------------------------------------------------------------


def test_who_guesses_is_slowed_down_and_keeps_nobody_else_out() -> None:
    tries, now_ms = pair_app.Tries(), 1_000_000
    answered = sum(tries.take("guesser", now_ms + each * 10) for each in range(60_000))  # 100 a second for ten minutes
    assert answered <= pair_app.TRIES_BURST + pair_app.TRIES_PER_S * wire.VALID_S + 1
    assert tries.take("a person", now_ms + 600_000)


def test_guesses_from_everywhere_are_too_few_to_find_a_code_of_128_bits() -> None:
    tries, now_ms = pair_app.Tries(), 1_000_000
    answered = sum(tries.take(f"guesser {each}", now_ms + each * 10) for each in range(60_000))
    assert answered <= pair_app.ALL_BURST + pair_app.ALL_PER_S * wire.VALID_S + 1
    assert len(tries._callers) == pair_app.ADDRESSES_MAX
    assert answered / 2 ** (8 * wire.SECRET_SIZE) < 1e-30


def test_too_many_tries_are_told_so_and_the_next_is_answered_in_time(tmp_path: Path) -> None:
    clock = [1_700_000_000_000]

    async def scene() -> None:
        async with open_door(tmp_path, now_ms=lambda: clock[0]) as (_, port):
            for _ in range(int(pair_app.TRIES_BURST)):
                assert (await asyncio.to_thread(post, port, b""))[0] == 400
            assert code(await asyncio.to_thread(post, port, b"")) == (429, "pair_too_many")
            clock[0] += round(1000 / pair_app.TRIES_PER_S)
            assert (await asyncio.to_thread(post, port, b""))[0] == 400
            assert code(await asyncio.to_thread(post, port, b"")) == (429, "pair_too_many")

    asyncio.run(scene())


async def trickle(port: int, said: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TLS connection on which only this was said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ssl._create_unverified_context())
    writer.write(said)
    return reader, writer


def test_a_request_that_does_not_end_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_app, "BODY_WITHIN_S", 0.05)

    async def scene() -> None:
        async with open_door(tmp_path) as (_, port):
            reader, writer = await trickle(port, b"POST /pair HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n\x83")
            said = await asyncio.wait_for(reader.readuntil(b"}"), 10)
            assert said.startswith(b"HTTP/1.1 408") and b"pair_slow" in said
            writer.close()

    asyncio.run(scene())


def test_a_device_that_leaves_while_it_asks_is_no_fault_of_the_gateway(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with open_door(tmp_path) as (_, port):
            _, writer = await trickle(port, b"POST /pair HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n\x83")
            await writer.drain()
            writer.transport.abort()
            assert (await asyncio.to_thread(post, port, b""))[0] == 400

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    assert "Traceback" not in caplog.text


async def closed(reader: asyncio.StreamReader) -> None:
    """The other side has gone away."""
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def silent(port: int, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A socket that says nothing, from an address of this machine."""
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


def test_who_opens_sockets_and_says_nothing_shuts_out_the_own_address_only(tmp_path: Path) -> None:
    limits = Limits(of_address=3, of_all=8, handshake_s=60, whole_s=60)

    async def scene() -> None:
        async with open_door(tmp_path, limits=limits) as (_, port):
            held = [await silent(port, "127.0.0.9") for _ in range(limits.of_address)]
            fourth, writer = await silent(port, "127.0.0.9")
            await closed(fourth)
            writer.close()
            assert (await asyncio.to_thread(post, port, b""))[0] == 400
            held.pop()[1].transport.abort()
            held += [await silent(port, f"127.0.0.{10 + number}") for number in range(limits.of_all)]
            await closed(held[-1][0])
            for _, one in held:
                one.transport.abort()

    asyncio.run(scene())


def test_who_says_nothing_is_cut_after_a_while_before_and_after_the_handshake(tmp_path: Path) -> None:
    async def scene() -> None:
        async with open_door(tmp_path, limits=Limits(handshake_s=1.5, whole_s=1.5)) as (_, port):
            slow = b"POST /pair HTTP/1.1\r\nx-slow: "
            made = await asyncio.gather(silent(port, "127.0.0.1"), trickle(port, b""), trickle(port, slow))
            await asyncio.gather(*(closed(reader) for reader, _ in made))
            for _, writer in made:
                writer.close()
            for _ in range(2 * Limits().of_address):
                assert (await asyncio.to_thread(post, port, b""))[0] in (400, 429), "those who left make room"

    asyncio.run(scene())


def test_an_open_door_does_not_keep_the_gateway_from_stopping(tmp_path: Path) -> None:
    async def scene() -> None:
        async with contextlib.AsyncExitStack() as stack:
            _, port = await stack.enter_async_context(open_door(tmp_path))
            _, first = await silent(port, "127.0.0.1")
            reader, second = await trickle(port, b"POST /pair HTTP/1.1\r\n")
            async with asyncio.timeout(8):
                await stack.aclose()
            await closed(reader)
            first.close()
            second.close()

    asyncio.run(scene())


# -- the shown code --------------------------------------------------------------------------------------------------


def pair_command(state: Path, *words: str) -> dict[str, str]:
    ran = CliRunner().invoke(vigil.cli, ["gateway", "pair", "--state", str(state), *words, "--json"])
    assert ran.exit_code == 0, ran.output
    found: dict[str, str] = json.loads(ran.stdout)
    return found


def test_the_qr_code_is_of_the_same_text_and_the_text_is_a_whole_offer(tmp_path: Path) -> None:
    ran = CliRunner().invoke(vigil.cli, ["gateway", "pair", "--state", str(tmp_path), "--address", "hub.example:8444"])
    assert ran.exit_code == 0
    (text,) = re.findall(r"^vigil://\S+$", ran.stdout, re.MULTILINE)
    offer = wire.Offer.from_text(text)
    public = keyring.opened(tmp_path, names=None, now=_now()).key.public
    assert (offer.address, offer.gateway_key) == ("hub.example:8444", public)
    ((secret,),) = rows(tmp_path / KEYS_FILE, "SELECT secret FROM offer")
    assert secret == offer.secret
    code_of_text = segno.make(text, error="m", micro=False)
    upper, lower, full = "\u2580", "\u2584", "\u2588"
    drawn = [line for line in ran.stdout.splitlines() if any(mark in line for mark in (upper, lower, full))]
    seen = _modules(drawn)
    wanted = [[bool(dark) for dark in line] for line in code_of_text.matrix_iter(border=4)]
    assert seen == wanted


def _modules(lines: list[str]) -> list[list[bool]]:
    """The modules of a QR code that a terminal shows in light blocks, two rows in a line. True: dark."""
    found: list[list[bool]] = []
    for line in lines:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
        found.append([mark not in "\u2580\u2588" for mark in plain])
        found.append([mark not in "\u2584\u2588" for mark in plain])
    return found[:-1] if len(found) > len(found[0]) else found  # an odd number of rows ends with half a line


def test_every_code_is_another_and_is_good_for_ten_minutes(tmp_path: Path) -> None:
    first, second = pair_command(tmp_path, "--address", "h:1"), pair_command(tmp_path, "--address", "h:1")
    assert first["offer"] != second["offer"]
    expires = datetime.datetime.fromisoformat(first["expires"])
    left_s = (expires - _now()).total_seconds()
    assert wire.VALID_S - 60 < left_s <= wire.VALID_S


def test_an_offer_that_is_over_is_forgotten_with_its_secret(tmp_path: Path) -> None:
    async def scene() -> None:
        async with open_house(tmp_path) as house:
            at_ms = house.now_ms() - wire.VALID_S * 1000
            await house.gateway.writer.run(
                lambda conn: keys.offer(conn, b"s" * 16, name="", expires_ms=at_ms, now_ms=at_ms), file=KEYS_FILE
            )
        assert len(rows(tmp_path / KEYS_FILE, "SELECT * FROM offer")) == 1
        async with open_house(tmp_path, duties=True):
            await until(lambda: rows(tmp_path / KEYS_FILE, "SELECT * FROM offer") == [])

    asyncio.run(scene())
