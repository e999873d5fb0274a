"""The gateway's keys and certificates: private, made once and whole, renewed in time, good for one purpose each, never shown."""

import datetime
import logging
import os
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway import keyring
from gateway.keyring import BACKDATED, CA_DAYS, DEVICE_DAYS, SERVER_DAYS, SERVER_RENEW_DAYS, Keyring
from protocol.errors import ConfigError, Unavailable
from protocol.keys import SigningKey, device_id

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
DEVICE = SigningKey.from_seed(b"a device of the keyring's tests.")
NAME = device_id(DEVICE.public)
FILES = ["ca.key", "ca.pem", "gateway.key", "server.key", "server.pem"]


def opened(state: Path, *names: str, now: datetime.datetime = NOW) -> Keyring:
    return keyring.opened(state, names=names, now=now)


def certificate(state: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((state / "keys" / name).read_bytes())


def contents(state: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (state / "keys").iterdir()}


def usage(found: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def alternatives(found: x509.Certificate) -> list[str]:
    value = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*value.get_values_for_type(x509.DNSName), *map(str, value.get_values_for_type(x509.IPAddress))]


# -- files -----------------------------------------------------------------------------------------------------------


def test_only_the_owner_can_read_what_is_in_the_folder(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        opened(tmp_path / "gateway")
    finally:
        os.umask(mask)
    folder = tmp_path / "gateway" / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_keys_are_made_once_and_then_only_read(tmp_path: Path) -> None:
    first = opened(tmp_path)
    before = contents(tmp_path)
    second = opened(tmp_path)
    assert (second.key.public, second.ca_pem) == (first.key.public, first.ca_pem)
    assert contents(tmp_path) == before


def test_who_only_wants_the_identity_leaves_the_server_certificate_alone(tmp_path: Path) -> None:
    key = keyring.opened(tmp_path, names=None, now=NOW).key.public
    assert sorted(contents(tmp_path)) == ["ca.key", "ca.pem", "gateway.key"]
    assert opened(tmp_path, "hub.example").key.public == key
    before = contents(tmp_path)
    keyring.opened(tmp_path, names=None, now=NOW + (SERVER_DAYS + 1) * DAY)
    assert contents(tmp_path) == before


def test_processes_that_make_the_keys_at_the_same_moment_all_have_the_same_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, found = threading.Barrier(4), []
    keep = keyring.keep

    def slow(path: Path, data: bytes) -> None:
        threading.Event().wait(0.02)  # between the look whether the file is there and the making of it
        keep(path, data)

    def start() -> None:
        both.wait()
        found.append(opened(tmp_path))

    monkeypatch.setattr(keyring, "keep", slow)
    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    kept = SigningKey.from_pem((tmp_path / "keys" / "gateway.key").read_text())
    assert {ring.key.public for ring in found} == {kept.public} and len(found) == 4
    assert {ring.ca_pem for ring in found} == {(tmp_path / "keys" / "ca.pem").read_text()}


def test_a_stop_before_any_of_the_files_leaves_a_folder_that_the_next_start_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = keyring.keep

    class Stopped(Exception):
        """The power went."""

    for stop_before in range(len(FILES)):
        state, written = tmp_path / str(stop_before), []

        def until_then(path: Path, data: bytes, done: list[Path] = written, last: int = stop_before) -> None:
            if len(done) == last:
                raise Stopped
            done.append(path)
            keep(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(keyring, "keep", until_then)
            with pytest.raises(Stopped):
                opened(state, "first.example")
        before = contents(state)
        ring = opened(state)  # and with other names than those that the certificate was to have
        identity = {name: data for name, data in before.items() if not name.startswith("server")}
        assert identity.items() <= contents(state).items()
        ring.device_context()
        assert sorted(contents(state)) == FILES


def test_a_server_key_and_a_certificate_of_another_key_are_both_made_anew(tmp_path: Path) -> None:
    opened(tmp_path)
    other = tmp_path / "other"
    opened(other)
    (tmp_path / "keys" / "server.key").write_bytes((other / "keys" / "server.key").read_bytes())
    opened(tmp_path).server_context()  # loads both, which fails unless they are a pair
    before = contents(tmp_path)
    opened(tmp_path)
    assert contents(tmp_path) == before


def test_a_server_certificate_of_another_authority_is_made_anew(tmp_path: Path) -> None:
    ring, other = opened(tmp_path), tmp_path / "other"
    opened(other)
    for name in ("server.key", "server.pem"):
        (tmp_path / "keys" / name).write_bytes((other / "keys" / name).read_bytes())
    opened(tmp_path)
    certificate(tmp_path, "server.pem").verify_directly_issued_by(x509.load_pem_x509_certificate(ring.ca_pem.encode()))


@pytest.mark.parametrize("name", ["gateway.key", "ca.key", "ca.pem"])
@pytest.mark.parametrize("damaged", [b"", b"\xff\xfe", b"-----BEGIN PRIVATE KEY-----\nnonsense\n"])
def test_a_damaged_identity_is_named_and_never_made_anew(tmp_path: Path, name: str, damaged: bytes) -> None:
    opened(tmp_path)
    path = tmp_path / "keys" / name
    path.write_bytes(damaged)
    with pytest.raises(ConfigError, match="keys_bad") as caught:
        opened(tmp_path)
    assert str(tmp_path) in caught.value.detail
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("name", ["ca.key", "ca.pem"])
def test_an_authority_of_another_gateway_is_not_mixed_with_ours(tmp_path: Path, name: str) -> None:
    opened(tmp_path)
    opened(tmp_path / "other")
    (tmp_path / "keys" / name).write_bytes((tmp_path / "other" / "keys" / name).read_bytes())
    with pytest.raises(ConfigError, match="keys_bad"):
        opened(tmp_path)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(Unavailable, match="keys_unreadable"):
        opened(tmp_path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring.keep(tmp_path / "file", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        keyring.keep(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


# -- certificates ----------------------------------------------------------------------------------------------------


def test_the_authority_signs_certificates_and_nothing_else(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    found = certificate(tmp_path, "ca.pem")
    constraints = found.extensions.get_extension_for_class(x509.BasicConstraints)
    allowed = found.extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert allowed.critical and allowed.value.key_cert_sign and not allowed.value.digital_signature
    assert (found.not_valid_before_utc, found.not_valid_after_utc) == (NOW - BACKDATED, NOW - BACKDATED + CA_DAYS * DAY)
    assert found.issuer == found.subject
    found.verify_directly_issued_by(found)
    assert ring.ca_pem.encode() == (tmp_path / "keys" / "ca.pem").read_bytes()


def test_the_server_certificate_names_where_it_serves_and_is_for_servers_only(tmp_path: Path) -> None:
    opened(tmp_path, "hub.example", "192.0.2.7", "127.0.0.1", "fd00::1")
    found, ca = certificate(tmp_path, "server.pem"), certificate(tmp_path, "ca.pem")
    assert set(alternatives(found)) == {"localhost", "127.0.0.1", "::1", "hub.example", "192.0.2.7", "fd00::1"}
    assert usage(found) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert isinstance(found.public_key(), ec.EllipticCurvePublicKey)
    assert found.not_valid_after_utc == NOW - BACKDATED + SERVER_DAYS * DAY
    found.verify_directly_issued_by(ca)


def test_a_device_certificate_has_the_devices_name_and_key_and_is_for_clients_only(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    found = x509.load_pem_x509_certificate(ring.device_certificate(NAME, DEVICE.public.x).encode())
    assert [one.value for one in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [NAME]
    assert found.public_key().public_bytes_raw() == DEVICE.public.x  # type: ignore[union-attr]
    assert usage(found) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert found.not_valid_after_utc - found.not_valid_before_utc == DEVICE_DAYS * DAY
    found.verify_directly_issued_by(certificate(tmp_path, "ca.pem"))


@pytest.mark.parametrize(
    ("names", "later", "renewed"),
    [
        ((), 0 * DAY, False),
        ((), (SERVER_DAYS - SERVER_RENEW_DAYS) * DAY - BACKDATED - DAY / 24, False),
        ((), (SERVER_DAYS - SERVER_RENEW_DAYS) * DAY - BACKDATED, True),
        ((), (SERVER_DAYS + 100) * DAY, True),
        (("hub.example",), 0 * DAY, True),
    ],
)
def test_the_server_certificate_is_renewed_before_it_ends_and_when_names_change(
    tmp_path: Path, names: tuple[str, ...], later: datetime.timedelta, renewed: bool
) -> None:
    opened(tmp_path)
    before = contents(tmp_path)
    opened(tmp_path, *names, now=NOW + later)
    changed = {name for name, data in contents(tmp_path).items() if before[name] != data}
    assert changed == ({"server.key", "server.pem"} if renewed else set())
    assert certificate(tmp_path, "server.pem").not_valid_after_utc > NOW + later


def shake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "127.0.0.1") -> str:
    """The protocol that a handshake in memory agrees on. Raises ssl.SSLError for one that fails."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(down, up, server_hostname=name)
    theirs = server.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    down_said = theirs.version()
    ours.do_handshake()
    theirs.do_handshake()
    return str(down_said)


def client(ring: Keyring, folder: Path, pem: str | None, key: SigningKey = DEVICE) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ring.ca_pem)
    if pem is not None:
        (folder / "client.pem").write_text(pem)
        (folder / "client.key").write_text(key.pem())
        context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return context


def test_devices_connect_with_their_certificate_over_tls_1_3_only(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    good = client(ring, tmp_path, ring.device_certificate(NAME, DEVICE.public.x))
    assert shake(ring.device_context(), good) == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        shake(ring.device_context(), client(ring, tmp_path, None))
    good.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        shake(ring.device_context(), good)


def test_a_device_certificate_is_not_taken_for_a_servers(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    pem = ring.device_certificate(NAME, DEVICE.public.x)
    (tmp_path / "d.pem").write_text(pem)
    (tmp_path / "d.key").write_text(DEVICE.pem())
    posing = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    posing.load_cert_chain(tmp_path / "d.pem", tmp_path / "d.key")
    trusting = client(ring, tmp_path, None)
    trusting.check_hostname = False  # so that nothing but its purpose is wrong with it
    with pytest.raises(ssl.SSLCertVerificationError, match=r"purpose|usage"):
        shake(posing, trusting)
    assert shake(ring.server_context(), trusting) == "TLSv1.3"


def test_a_servers_certificate_is_not_taken_for_a_devices(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    posing = client(ring, tmp_path, None)
    posing.load_cert_chain(tmp_path / "keys" / "server.pem", tmp_path / "keys" / "server.key")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"purpose|usage"):
        shake(ring.device_context(), posing)


def test_devices_of_another_gateway_do_not_connect(tmp_path: Path) -> None:
    ring, other = opened(tmp_path), opened(tmp_path / "other")
    stranger = client(ring, tmp_path, other.device_certificate(NAME, DEVICE.public.x))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(ring.device_context(), stranger)


# -- secrets ---------------------------------------------------------------------------------------------------------


def secrets_of(state: Path) -> list[str]:
    """What is private in the folder, in the forms in which it could be shown."""
    seed = SigningKey.from_pem((state / "keys" / "gateway.key").read_text()).seed
    lines = [
        line
        for name in ("gateway.key", "ca.key", "server.key")
        for line in (state / "keys" / name).read_text().splitlines()
        if not line.startswith("-----")
    ]
    return [seed.hex(), repr(seed)[2:-1], *lines]


def test_nothing_private_is_in_what_is_printed_logged_or_complained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        ring = opened(tmp_path)
        ring.device_context()
    said = [repr(ring), str(ring), repr(ring.key), f"{ring!r}", caplog.text]
    secrets = secrets_of(tmp_path)
    for name in ("gateway.key", "ca.key"):
        path = tmp_path / "keys" / name
        whole = path.read_text()
        for cut in (whole[:-30], whole.replace("PRIVATE", "PUBLIC"), whole[len(whole) // 2 :]):
            path.write_text(cut)
            with pytest.raises(ConfigError) as caught:
                opened(tmp_path)
            said.append(str(caught.value))
        path.write_text(whole)
    for words in (["key"], ["key", "--json"], ["pair", "--json"]):
        ran = subprocess.run(
            [sys.executable, "-m", "vigil", "gateway", *words, "--state", str(tmp_path)],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        said += [ran.stdout, ran.stderr]
    assert len(secrets) >= 5 and all(len(secret) > 20 for secret in secrets)
    assert not [secret for secret in secrets for text in said if secret in text]


def test_the_search_for_secrets_finds_one(tmp_path: Path) -> None:
    ring: Keyring = opened(tmp_path)
    shown: Callable[[], str] = ring.key.pem
    assert any(secret in shown() for secret in secrets_of(tmp_path))
