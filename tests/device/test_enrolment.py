"""The device's folder: private, whole or absent, erased for good; and pairing over HTTPS."""

import dataclasses
import os
from pathlib import Path

import pytest

from device_sim import enrolment, pair
from device_sim.enrolment import Enrolment
from protocol import cbor, pairing
from protocol.errors import BadSignature, ConfigError, Malformed, NotFound, Unavailable
from protocol.keys import SigningKey, link_key, x25519_public
from tests.support import devices

FOUND = Enrolment(
    device=devices.DEVICE,
    gateway_key=devices.GATEWAY.public.x,
    lk=b"secret link key of this test....",
    link_id=b"link",
    mqtt="127.0.0.1:8883",
)


def enrolled(state: Path) -> None:
    enrolment.save(state, FOUND, certificate="certificate", ca="ca")


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    state = tmp_path / "home"
    mask = os.umask(0)
    try:
        key = enrolment.make_key(state)
    finally:
        os.umask(mask)
    assert (state / "device.key").stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
    assert enrolment.make_key(state).public == key.public
    assert [path.name for path in state.iterdir()] == ["device.key"]


def test_an_enrolment_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    enrolled(tmp_path)
    assert enrolment.load(tmp_path, devices.KEY) == FOUND
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_the_link_key_is_not_shown() -> None:
    assert "secret" not in repr(FOUND)


def test_a_missing_key_or_enrolment_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="keygen"):
        enrolment.load_key(tmp_path)
    with pytest.raises(NotFound, match="device pair"):
        enrolment.load(tmp_path, devices.KEY)


def test_an_enrolment_of_another_key_is_refused(tmp_path: Path) -> None:
    enrolled(tmp_path)
    with pytest.raises(ConfigError, match="enrolment_other"):
        enrolment.load(tmp_path, SigningKey(b"x" * 32))


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "device.key").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="key_bad"):
        enrolment.load_key(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"lk": b"short"},
        {"gateway": "text"},
        {"link": b""},
        {"mqtt": "nowhere"},
        {"mqtt": "h:99999"},
        {"v": 2},
        {"x": 1},
    ],
)
def test_a_damaged_enrolment_is_refused_whatever_is_wrong(tmp_path: Path, change: dict[str, object]) -> None:
    enrolled(tmp_path)
    path = tmp_path / "enrolment.cbor"
    body = cbor.decode(path.read_bytes(), size_max=4096)
    assert isinstance(body, dict)
    path.write_bytes(cbor.encode(body | change))
    with pytest.raises(ConfigError, match="enrolment_bad"):
        enrolment.load(tmp_path, devices.KEY)


def test_a_cut_enrolment_file_is_refused(tmp_path: Path) -> None:
    enrolled(tmp_path)
    whole = (tmp_path / "enrolment.cbor").read_bytes()
    for size in range(0, len(whole), 7):
        (tmp_path / "enrolment.cbor").write_bytes(whole[:size])
        with pytest.raises(ConfigError, match="enrolment_bad"):
            enrolment.load(tmp_path, devices.KEY)


def test_erasing_overwrites_the_link_key_before_the_file_goes(tmp_path: Path) -> None:
    enrolled(tmp_path)
    also = tmp_path / "the same file"
    os.link(tmp_path / "enrolment.cbor", also)
    enrolment.erase(tmp_path)
    enrolment.erase(tmp_path)
    assert not (tmp_path / "enrolment.cbor").exists()
    assert set(also.read_bytes()) == {0}


def test_an_erasure_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "enrolment.cbor").mkdir()
    with pytest.raises(Unavailable, match="state_unwritable"):
        enrolment.erase(tmp_path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enrolment.keep(tmp_path / "file", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space"):
        enrolment.keep(tmp_path / "file", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_one_folder_serves_one_running_device(tmp_path: Path) -> None:
    with enrolment.sole(tmp_path), pytest.raises(ConfigError, match="state_in_use"), enrolment.sole(tmp_path):
        pass
    with enrolment.sole(tmp_path):
        pass


# -- pairing ---------------------------------------------------------------------------------------------------------

OFFER = pairing.Offer(address="127.0.0.1:1", gateway_key=devices.GATEWAY.public, secret=b"s" * 16)


def gateway_answer(request: bytes, *, key: SigningKey = devices.GATEWAY, mqtt: str = "127.0.0.1:8883") -> bytes:
    """What a gateway with `key` says to a request."""
    seen = pairing.read_request(request, secret=OFFER.secret, gateway_key=devices.GATEWAY.public)
    return pairing.answer(
        to=seen,
        secret=OFFER.secret,
        gateway_key=key,
        x25519_public=x25519_public(b"g" * 32),
        link_id=b"1234",
        certificate="certificate",
        ca="ca",
        settings={"mqtt": mqtt},
    )


def test_both_sides_of_a_pairing_have_the_same_link_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[bytes] = []

    def post(_: str, body: bytes) -> bytes:
        said.append(body)
        return gateway_answer(body)

    monkeypatch.setattr(pair, "_post", post)
    found = pair.pair(tmp_path, devices.KEY, OFFER.text())
    seen = pairing.read_request(said[0], secret=OFFER.secret, gateway_key=devices.GATEWAY.public)
    assert found.lk == link_key(
        own_secret=b"g" * 32,
        peer_public=seen.x25519,
        device_x25519=seen.x25519,
        gateway_x25519=x25519_public(b"g" * 32),
        device_ed25519=devices.KEY.public.x,
    )
    assert enrolment.load(tmp_path, devices.KEY) == found


def test_every_pairing_uses_a_new_secret_and_nonce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[bytes] = []
    monkeypatch.setattr(pair, "_post", lambda _, body: [said.append(body), gateway_answer(body)][1])
    for _ in range(2):
        pair.pair(tmp_path, devices.KEY, OFFER.text())
    seen = [pairing.read_request(raw, secret=OFFER.secret, gateway_key=devices.GATEWAY.public) for raw in said]
    assert seen[0].x25519 != seen[1].x25519
    assert seen[0].nonce != seen[1].nonce


def test_an_answer_by_another_gateway_enrols_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair, "_post", lambda _, body: gateway_answer(body, key=SigningKey(b"x" * 32)))
    with pytest.raises(BadSignature):
        pair.pair(tmp_path, devices.KEY, OFFER.text())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address", ["", "host", ":1", "host:0", "host:70000", "host:1x", "a..b:1", f"{'x' * 64}:1", "host:\u0661"]
)
def test_an_answer_without_a_usable_address_enrols_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(pair, "_post", lambda _, body: gateway_answer(body, mqtt=address))
    with pytest.raises(Malformed, match="address_bad"):
        pair.pair(tmp_path, devices.KEY, OFFER.text())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["127.0.0.1:8883", "[::1]:8883", "gateway.example:1", "gateway:65535"])
def test_an_address_of_a_gateway_is_taken(address: str) -> None:
    enrolment.check_address(address)


def test_a_code_with_an_address_that_cannot_be_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    offer = dataclasses.replace(OFFER, address="a..b:1")
    with pytest.raises(Malformed, match="address_bad"):
        pair.pair(tmp_path, devices.KEY, offer.text())


def test_a_gateway_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="pair_unreachable"):
        pair.pair(tmp_path, devices.KEY, OFFER.text())
