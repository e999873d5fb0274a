"""Pairing at the gateway: one offer, one enrolment, the same answer to the same request; whatever else comes leaves no trace."""

import asyncio
import datetime
import hashlib
import logging
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nacl.bindings
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import keyring, pairing
from gateway.pairing import Desk, Paired
from gateway.store import anchors, devices, keys
from gateway.store.keys import OFFERS_MAX
from gateway.store.writer import KEYS_FILE, RECORD_FILE, Writer
from protocol import documents, statement
from protocol import pairing as wire
from protocol.errors import BadSignature, Malformed, Unavailable, VigilError
from protocol.keys import PublicKey, SigningKey, device_id, link_key, x25519_public
from tests.support.gatehouse import broken, rows

NOW_MS = 1_700_000_000_000
UNTIL_MS = NOW_MS + wire.VALID_S * 1000
DEVICE, OTHER = (SigningKey.from_seed(hashlib.sha256(name).digest()) for name in (b"a device", b"another device"))
SHARE = hashlib.sha256(b"the device's X25519 secret").digest()
TOLD = {"mqtt": "hub.example:8883"}
LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]  # points whose product with any secret is zero. Source: RFC 7748 §6.1 and libsodium's list


@dataclass(slots=True)
class Hall:
    """A gateway's stores, and a desk at which offers are made and answered."""

    state: Path
    writer: Writer
    ring: keyring.Keyring
    desk: Desk

    def offer(self, *, name: str = "Ada's home", now_ms: int = NOW_MS) -> wire.Offer:
        """What somebody shows."""
        made = pairing.make_offer(self.ring, address="hub.example:8444")
        self.writer.submit(
            lambda conn: keys.offer(
                conn, made.secret, name=name, expires_ms=now_ms + wire.VALID_S * 1000, now_ms=now_ms
            ),
            file=KEYS_FILE,
        ).result()
        return made

    def ask(self, raw: bytes, *, now_ms: int = NOW_MS) -> Paired:
        """The desk's answer."""
        return asyncio.run(self.desk.answer(raw, now_ms=now_ms))

    def refused(self, raw: bytes, *, now_ms: int = NOW_MS) -> str:
        """The code of a refusal, after which everything is as before."""
        before = self.everything()
        with pytest.raises(VigilError) as caught:
            self.ask(raw, now_ms=now_ms)
        assert self.everything() == before
        return caught.value.code

    def everything(self) -> list[list[tuple[object, ...]]]:
        """All that pairing may write."""
        tables = [(RECORD_FILE, name) for name in ("device", "enrolment", "submission")]
        tables += [(KEYS_FILE, name) for name in ("enrolment", "offer")]
        return [rows(self.state / file, f"SELECT * FROM {table} ORDER BY 1") for file, table in tables]

    def devices(self) -> Sequence[devices.DeviceRow]:
        """Who is enrolled."""
        return self.writer.submit(devices.load).result()

    def keys(self) -> dict[str, keys.EnrolmentKeys]:
        """Keys by device."""
        return self.writer.submit(keys.load, file=KEYS_FILE).result()


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    with_keys = keyring.opened(tmp_path, names=None, now=datetime.datetime.now(datetime.UTC))
    writer = Writer(tmp_path)
    yield Hall(tmp_path, writer, with_keys, Desk(keyring=with_keys, writer=writer, settings=TOLD))
    writer.close()


def request(offer: wire.Offer, key: SigningKey = DEVICE, *, share: bytes = SHARE, nonce: bytes = bytes(16)) -> bytes:
    return wire.request(offer=offer, device_key=key, x25519_public=x25519_public(share), nonce=nonce)


def read(answer: bytes, offer: wire.Offer, raw: bytes, key: SigningKey = DEVICE) -> wire.PairAnswer:
    return wire.read_answer(answer, offer=offer, request_raw=raw, device_key=key.public)


def common_name(pem: str) -> tuple[str, bytes]:
    """(CN, public key) of a certificate."""
    found = x509.load_pem_x509_certificate(pem.encode())
    (name,) = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value), found.public_key().public_bytes_raw()  # type: ignore[union-attr]


# -- a good request --------------------------------------------------------------------------------------------------


def test_a_request_under_an_open_offer_becomes_one_enrolment_of_which_both_sides_know_the_same(hall: Hall) -> None:
    offer = hall.offer()
    raw = request(offer)
    paired = hall.ask(raw, now_ms=UNTIL_MS)  # the last moment
    answer = read(paired.answer, offer, raw)
    name = device_id(DEVICE.public)
    assert (paired.device, paired.fresh, answer.device, answer.settings) == (name, True, name, TOLD)
    assert common_name(answer.certificate) == (name, DEVICE.public.x)
    assert answer.ca == hall.ring.ca_pem
    x509.load_pem_x509_certificate(answer.certificate.encode()).verify_directly_issued_by(
        x509.load_pem_x509_certificate(answer.ca.encode())
    )
    (row,) = hall.devices()
    assert (row.device, row.key, row.link, row.state, row.name, row.paired_ms, row.certificate) == (
        name, DEVICE.public.x, answer.link_id, "enrolled", "Ada's home", UNTIL_MS, answer.certificate,
    )  # fmt: skip
    lk = link_key(
        own_secret=SHARE,
        peer_public=answer.x25519,
        device_x25519=x25519_public(SHARE),
        gateway_x25519=answer.x25519,
        device_ed25519=DEVICE.public.x,
    )
    assert hall.keys()[name].lk == lk
    assert len(hall.keys()[name].store_key) == 32 and hall.keys()[name].store_key != lk


def test_an_enrolment_is_signed_salted_and_waits_for_the_ledger(hall: Hall) -> None:
    offer = hall.offer()
    hall.ask(request(offer))
    (row,) = hall.devices()
    key = hall.ring.key.public
    document = documents.Enrolment.decode(row.document)
    assert (document.gateway, document.device, document.key, document.link, document.at_ms) == (
        key.thumbprint, row.device, DEVICE.public.x, row.link, NOW_MS,
    )  # fmt: skip
    signed = statement.parse(row.statement)
    statement.verify(signed, key, thumbprint=key.thumbprint)
    statement.check_preimage(signed, row.document)
    assert (signed.sub, signed.content_type) == (documents.enrolment_subject(key.thumbprint), documents.ENROLMENT)
    assert row.device.encode() not in row.statement, "the ledger must not learn who wears what"
    (waiting,) = hall.writer.submit(lambda conn: anchors.waiting(conn, most=9)).result()
    assert (waiting.kind, waiting.statement) == ("enrolment", row.statement)


def test_links_salts_and_shares_are_fresh_each_time(hall: Hall) -> None:
    found = []
    for number in range(3):
        offer = hall.offer()
        raw = request(offer, nonce=bytes([number]) * 16)
        answer = read(hall.ask(raw).answer, offer, raw)
        (row,) = hall.devices()
        found.append((offer.secret, answer.x25519, answer.link_id, documents.Enrolment.decode(row.document).salt))
    assert all(len(set(kind)) == 3 for kind in zip(*found, strict=True))
    assert [len(kind) for kind in found[0]] == [16, 32, 4, 32]


def test_a_device_that_is_paired_again_keeps_its_row_and_its_older_enrolment_stays_provable(hall: Hall) -> None:
    hall.ask(request(hall.offer(name="first")))
    (before,) = hall.devices()
    hall.ask(request(hall.offer(name="second")))
    (after,) = hall.devices()
    assert (after.row_id, after.device, after.name) == (before.row_id, before.device, "second")
    assert after.link != before.link

    def both(conn: sqlite3.Connection) -> list[tuple[bytes, bytes]]:
        return [devices.enrolled(conn, before.device, link) for link in (before.link, after.link)]

    assert hall.writer.submit(both).result() == [
        (before.document, before.statement),
        (after.document, after.statement),
    ]


def test_a_long_name_is_cut(hall: Hall) -> None:
    hall.ask(request(hall.offer(name="x" * 200)))
    assert hall.devices()[0].name == "x" * pairing.NAME_MAX


# -- what is refused -------------------------------------------------------------------------------------------------


def test_without_an_offer_with_a_wrong_secret_and_after_its_time_a_request_is_refused(hall: Hall) -> None:
    stranger = pairing.make_offer(hall.ring, address="hub.example:8444")
    assert hall.refused(request(stranger)) == "pair_refused"
    offer = hall.offer()
    assert hall.refused(request(stranger)) == "pair_refused"
    assert hall.refused(request(offer), now_ms=UNTIL_MS + 1) == "pair_refused"
    assert hall.ask(request(offer), now_ms=UNTIL_MS).fresh


def test_a_code_of_another_gateway_is_refused(hall: Hall) -> None:
    offer = hall.offer()
    other = wire.Offer(address=offer.address, gateway_key=OTHER.public, secret=offer.secret)
    assert hall.refused(request(other)) == "pair_refused"


@pytest.mark.parametrize("opened", [False, True])
def test_what_is_no_request_is_malformed_whether_an_offer_is_open_or_not(hall: Hall, opened: bool) -> None:
    if opened:
        hall.offer()
    for raw in (b"", b"\x00", b"\x83\x40\x40\x40", b"\xff" * 40):
        with pytest.raises(Malformed):
            hall.ask(raw)
    assert hall.devices() == [] and hall.keys() == {}


def test_a_used_offer_is_good_for_nobody_else_and_for_no_other_request_of_the_same_device(hall: Hall) -> None:
    offer = hall.offer()
    hall.ask(request(offer))
    assert hall.refused(request(offer, OTHER)) == "pair_refused"
    assert hall.refused(request(offer, nonce=b"1" * 16)) == "pair_refused"
    assert hall.refused(request(offer, share=b"2" * 32)) == "pair_refused"


def test_of_two_that_come_at_the_same_moment_one_is_enrolled_and_the_other_leaves_nothing(hall: Hall) -> None:
    offer = hall.offer()
    raws = [request(offer), request(offer, OTHER)]

    async def both() -> list[Paired | BaseException]:
        desk = Desk(keyring=hall.ring, writer=hall.writer, settings=TOLD)
        return await asyncio.gather(*(desk.answer(raw, now_ms=NOW_MS) for raw in raws), return_exceptions=True)

    found = asyncio.run(both())
    (paired,) = [one for one in found if isinstance(one, Paired)]
    (refused,) = [one for one in found if isinstance(one, BadSignature)]
    assert refused.code == "pair_refused"
    assert [row.device for row in hall.devices()] == [paired.device] == list(hall.keys())
    assert len(hall.writer.submit(lambda conn: anchors.waiting(conn, most=9)).result()) == 1


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
def test_a_share_that_makes_the_link_all_zero_is_refused_and_the_offer_is_still_good(hall: Hall, point: bytes) -> None:
    offer = hall.offer()
    raw = wire.request(offer=offer, device_key=DEVICE, x25519_public=point, nonce=bytes(16))
    assert hall.refused(raw) == "link_zero"
    assert hall.ask(request(offer)).fresh


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_tampered_request_is_refused_with_a_stable_code_and_leaves_nothing(hall: Hall, data: st.DataObject) -> None:
    raw = bytearray(_shown(hall))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    if bytes(raw) == _shown(hall):
        return
    assert hall.refused(bytes(raw)).startswith(("pair_", "cbor_"))


def _shown(hall: Hall) -> bytes:
    """A good request under the one offer of this hall, made when there is none."""
    open_offers = hall.writer.submit(lambda conn: keys.offers(conn, now_ms=NOW_MS), file=KEYS_FILE).result()
    secret = open_offers[0].secret if open_offers else hall.offer().secret
    return request(wire.Offer(address="hub.example:8444", gateway_key=hall.ring.key.public, secret=secret))


def test_every_byte_of_a_request_counts(hall: Hall) -> None:
    raw = _shown(hall)
    codes = set()
    before = hall.everything()
    for place in range(len(raw)):
        with pytest.raises(VigilError) as caught:
            hall.ask(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        codes.add(caught.value.code)
    assert hall.everything() == before
    assert "pair_refused" in codes and all(code.startswith(("pair_", "cbor_")) for code in codes), codes
    assert hall.ask(raw).fresh


def test_an_answer_that_was_changed_on_its_way_makes_no_enrolment_at_the_device(hall: Hall) -> None:
    offer = hall.offer()
    raw = request(offer)
    answer = hall.ask(raw).answer
    for place in range(0, len(answer), 7):
        changed = answer[:place] + bytes([answer[place] ^ 0x10]) + answer[place + 1 :]
        with pytest.raises((BadSignature, Malformed)):
            read(changed, offer, raw)
    posing = wire.answer(
        to=wire.read_request(raw, secret=offer.secret, gateway_key=offer.gateway_key),
        secret=offer.secret,
        gateway_key=OTHER,  # who has photographed the code, and has not the gateway's key
        x25519_public=x25519_public(SHARE),
        link_id=b"link",
        certificate="",
        ca="",
        settings={},
    )
    with pytest.raises(BadSignature):
        read(posing, offer, raw)


def test_so_many_codes_and_no_more_are_open_at_a_time(hall: Hall) -> None:
    offers = [hall.offer() for _ in range(OFFERS_MAX)]
    with pytest.raises(VigilError, match="offers_max"):
        hall.offer()
    hall.ask(request(offers[0]))
    hall.offer()  # in the place of the one that was used
    with pytest.raises(VigilError, match="offers_max"):
        hall.offer()
    hall.offer(now_ms=UNTIL_MS + 1)
    assert len(rows(hall.state / KEYS_FILE, "SELECT secret FROM offer")) == 1, "those that are over are forgotten"


# -- stops and faults ------------------------------------------------------------------------------------------------


def test_the_same_request_after_a_lost_answer_gets_the_same_answer_also_after_a_restart(hall: Hall) -> None:
    offer = hall.offer()
    raw = request(offer)
    first = hall.ask(raw)
    before = hall.everything()
    again = hall.ask(raw, now_ms=UNTIL_MS)
    restarted = Desk(keyring=hall.ring, writer=hall.writer, settings={"mqtt": "elsewhere:1"})
    later = asyncio.run(restarted.answer(raw, now_ms=UNTIL_MS))
    assert first.answer == again.answer == later.answer
    assert (first.fresh, again.fresh, later.fresh) == (True, False, False)
    assert hall.everything() == before
    assert hall.refused(raw, now_ms=UNTIL_MS + 1) == "pair_refused"


@pytest.mark.parametrize("paired_before", [False, True])
def test_a_stop_between_the_two_files_leaves_an_offer_that_is_still_good(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, paired_before: bool
) -> None:
    if paired_before:
        hall.ask(request(hall.offer()))
    before, offer = hall.keys(), hall.offer()
    raw = request(offer)

    def stopped(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(keys, "put", stopped)
        with pytest.raises(Unavailable, match="the power went"):
            hall.ask(raw)
    assert [row.device for row in hall.devices()] == [device_id(DEVICE.public)] and hall.keys() == before
    answer = read(hall.ask(raw).answer, offer, raw)
    (row,) = hall.devices()
    assert row.link == answer.link_id
    assert hall.keys().keys() == {row.device} and hall.keys() != before


def test_with_a_record_that_cannot_be_written_nothing_is_kept_and_the_offer_is_still_good(hall: Hall) -> None:
    offer = hall.offer()
    with broken(hall.writer):
        assert hall.refused(request(offer)) == "store_failing"
    assert hall.ask(request(offer)).fresh


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_the_x25519_secrets_are_nowhere_on_the_disk_and_the_link_key_is_only_where_keys_are(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []
    fresh = secrets.token_bytes

    def noted(size: int) -> bytes:
        made.append(fresh(size))
        return made[-1]

    offer = hall.offer()
    monkeypatch.setattr(secrets, "token_bytes", noted)
    raw = request(offer)
    answer = read(hall.ask(raw).answer, offer, raw)
    (own,) = [one for one in made if nacl.bindings.crypto_scalarmult_base(one.ljust(32)[:32]) == answer.x25519]
    lk = hall.keys()[device_id(DEVICE.public)].lk
    hall.writer.close()
    held = {path: path.read_bytes() for path in hall.state.rglob("*") if path.is_file()}
    assert not [path for path, data in held.items() if own in data or SHARE in data]
    assert {path.name.removesuffix("-wal") for path, data in held.items() if lk in data} == {KEYS_FILE}


def test_no_secret_is_in_what_is_shown_logged_or_complained(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    said = []
    with caplog.at_level(logging.DEBUG):
        offer = hall.offer()
        raw = request(offer)
        paired = hall.ask(raw)
        for bad in (request(offer, OTHER), raw[:-1] + bytes([raw[-1] ^ 1]), b"\x00"):
            with pytest.raises(VigilError) as caught:
                hall.ask(bad)
            said.append(f"{caught.value} {caught.value!r} {caught.value.detail}")
    kept = hall.keys()
    (used,) = hall.writer.submit(lambda conn: keys.offers(conn, now_ms=NOW_MS), file=KEYS_FILE).result()
    said += [caplog.text, repr(offer), repr(kept), repr(used), repr(hall.desk)]
    lk = kept[paired.device].lk
    private = [offer.secret, lk, kept[paired.device].store_key, hall.ring.key.seed]
    forms = [form for secret in private for form in (secret.hex(), repr(secret)[2:-1])]
    assert not [form for form in forms for text in said if form in text]


def test_a_public_key_is_all_that_an_offer_says_of_the_gateway(hall: Hall) -> None:
    offer = wire.Offer.from_text(hall.offer().text())
    assert offer.gateway_key == PublicKey(hall.ring.key.public.x)
    assert len(offer.secret) == wire.SECRET_SIZE
