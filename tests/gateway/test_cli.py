"""The gateway's commands: one JSON object each, a documented exit code for whatever happens, settings that are looked at first."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import vigil
from gateway import commands
from gateway.cli import cli
from gateway.settings import BOUNDS, Settings
from gateway.store import keys
from gateway.store.writer import KEYS_FILE, Writer
from ledger.log import keyring as ledger_keys
from protocol import pairing as wire
from protocol.errors import ConfigError
from protocol.keys import SigningKey
from tests.support import ledgers
from tests.support.gatehouse import enrol, rows
from tests.support.sealed import Sender

ADA = Sender("Ada")
LEDGER = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but a test's own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("VIGIL_CONFIG", raising=False)


def run(*words: str, **options: Any) -> Result:
    return CliRunner().invoke(vigil.cli, ["gateway", *words], **options)


def asked(*words: str, env: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """(exit code, the one JSON object)."""
    ran = run(*words, "--json", env=env)
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    lines = ran.stdout.splitlines()
    assert len(lines) == 1, ran.output
    found = json.loads(lines[0])
    assert isinstance(found, dict)
    assert bool(ran.stderr) is (ran.exit_code != 0)
    return ran.exit_code, found


def failure(*words: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """(exit code, code of the error)."""
    code, said = asked(*words, env=env)
    assert said["detail"]
    return code, said["error"]


@pytest.fixture
def state(tmp_path: Path) -> str:
    """The folder of a gateway with one device, that does not run."""
    enrol(tmp_path / "gateway", ADA)
    return str(tmp_path / "gateway")


def leaves(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


# -- answers ---------------------------------------------------------------------------------------------------------


def test_every_command_has_json_help_and_a_sentence() -> None:
    vigil.Programs().get_command(click.Context(vigil.cli), "gateway")  # gives each its --json
    found = dict(leaves())
    assert {" ".join(words) for words in found} == {
        "run", "key", "pair", "devices", "alerts list", "alerts ack", "alerts resolve", "alerts test", "erase", "evidence",
        "ledger-evidence", "check-config",
    }  # fmt: skip
    for words, command in found.items():
        assert command.help and {"--json", "--state", "--config"} <= {
            option for param in command.params for option in param.opts
        }, words
        assert run(*words, "--help").exit_code == 0
    assert "Exit codes: 0 ok" in CliRunner().invoke(vigil.cli, ["--help"]).output


def test_the_key_is_made_once_and_is_public_only(tmp_path: Path) -> None:
    folder = str(tmp_path / "new")
    code, said = asked("key", "--state", folder)
    assert code == 0 and said.keys() == {"key", "urn"}
    assert re.fullmatch("[0-9a-f]{64}", said["key"]) and said["urn"].startswith("urn:ietf:params:oauth:ckt:sha-256:")
    assert asked("key", "--state", folder) == (0, said)
    assert run("key", "--state", folder).stdout.strip() == said["key"]
    assert SigningKey.from_pem((tmp_path / "new/keys/gateway.key").read_text()).public.x.hex() == said["key"]


def test_devices_and_alarms_are_listed_as_they_are(state: str) -> None:
    assert asked("devices", "--state", state) == (
        0,
        {
            "devices": [
                {
                    "device": ADA.device,
                    "name": "Home of Ada",
                    "state": "active",
                    "paired": "2023-11-14T22:13:20.000Z",
                    "messages": 0,
                }
            ]
        },
    )
    assert asked("alerts", "list", "--state", state) == (0, {"alerts": []})
    assert asked("alerts", "list", "--open", "--state", state) == (0, {"alerts": []})
    assert "Home of Ada" in run("devices", "--state", state).stdout
    assert "no alarm" in run("alerts", "list", "--state", state).stdout


def test_a_test_notification_waits_in_the_outbox_of_each_channel(state: str, tmp_path: Path) -> None:
    assert failure("alerts", "test", "--state", state) == (2, "no_channel")
    env = {
        "VIGIL_GATEWAY_WEBHOOK_FIRST": "http://127.0.0.1:9/a",
        "VIGIL_GATEWAY_WEBHOOK_SECOND": "http://127.0.0.1:9/b",
    }
    assert asked("alerts", "test", "--state", state, env=env) == (0, {"channels": ["first", "second"]})
    found = rows(tmp_path / "gateway/gateway.db", "SELECT channel, alert, state FROM outbox ORDER BY channel")
    assert found == [("first", "test", "waiting"), ("second", "test", "waiting")]


def test_nothing_is_erased_without_a_yes(state: str, tmp_path: Path) -> None:
    no = run("erase", ADA.device, "--state", state, input="n\n")
    assert (no.exit_code, no.stdout) == (1, "")
    kept = "SELECT COUNT(*) FROM enrolment"
    assert rows(tmp_path / "gateway" / KEYS_FILE, kept) == [(1,)]
    assert asked("erase", ADA.device, "--yes", "--state", state) == (0, {"device": ADA.device, "state": "erasing"})
    assert rows(tmp_path / "gateway" / KEYS_FILE, kept) == [(0,)]


# -- exit codes ------------------------------------------------------------------------------------------------------


def test_what_is_not_there_is_exit_code_3(state: str, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    for words in (["devices"], ["alerts", "list"], ["alerts", "ack", "0" * 32], ["erase", "0" * 16, "--yes"]):
        assert failure(*words, "--state", nowhere) == (3, "state_unknown")
    assert not Path(nowhere).exists()
    assert failure("alerts", "ack", "0" * 32, "--state", state) == (3, "alert_unknown")
    assert failure("erase", "0" * 16, "--yes", "--state", state) == (3, "device_unknown")


def test_a_failure_has_the_same_exit_code_when_the_running_gateway_had_it(state: str) -> None:
    error = ConfigError("no_channel", "no channel: set one")
    for kind in (error, *(kind("code", "why: it is so") for kind in commands.KINDS.values())):
        with pytest.raises(type(kind)) as caught:
            commands._raise(commands.outcome_of(kind))
        assert (caught.value.code, caught.value.detail, caught.value.exit_code) == (
            kind.code,
            kind.detail,
            kind.exit_code,
        )
    commands._raise("")


def test_a_store_that_cannot_be_read_is_exit_code_5(state: str, tmp_path: Path) -> None:
    (tmp_path / "gateway/gateway.db").write_bytes(b"this is no database, but a text" * 100)
    for words in (["devices"], ["alerts", "list"]):
        assert failure(*words, "--state", state) == (5, "store_unreadable")


@pytest.mark.parametrize("words", [["run"], ["key"], ["pair", "--address", "h:1"]])
def test_a_folder_that_cannot_be_used_is_exit_code_5(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "file").write_text("not a folder")
    code, error = failure(*words, "--state", str(tmp_path / "file" / "state"))
    assert (code, error) in ((5, "keys_unreadable"), (5, "state_unwritable"))


def test_a_damaged_key_is_exit_code_2(state: str) -> None:
    asked("key", "--state", state)
    (Path(state) / "keys/gateway.key").write_text("rust")
    for words in (["key"], ["pair", "--address", "h:1"], ["run"]):
        assert failure(*words, "--state", state) == (2, "keys_bad")


def test_a_wrong_word_is_a_usage_error() -> None:
    for words in (["fly"], ["pair", "--fly"], ["alerts", "ack"], ["evidence"], ["run", "--mqtt-port", "many"]):
        ran = run(*words)
        assert (ran.exit_code, ran.stdout) == (2, ""), words


def test_too_many_open_codes_is_exit_code_1(state: str) -> None:
    writer = Writer(Path(state))
    for number in range(keys.OFFERS_MAX):
        secret = number.to_bytes(wire.SECRET_SIZE)
        writer.submit(
            lambda conn, secret=secret: keys.offer(conn, secret, name="", expires_ms=1 << 50, now_ms=0), file=KEYS_FILE
        ).result()
    writer.close()
    assert failure("pair", "--address", "h:1", "--state", state) == (1, "offers_max")


# -- settings --------------------------------------------------------------------------------------------------------


def test_check_config_shows_every_setting_as_it_would_be(tmp_path: Path) -> None:
    (tmp_path / "here/vigil.toml").write_text('[gateway]\nanchor_every_s = 5\nwebhook_first = "https://h.example/x"\n')
    code, said = asked("check-config", "--state", "s", env={"VIGIL_GATEWAY_PAIR_PORT": "4000"})
    assert code == 0
    assert said.keys() == set(Settings.__dataclass_fields__)
    assert (said["anchor_every_s"], said["webhook_first"], said["pair_port"]) == (5.0, "https://h.example/x", 4000)
    assert "anchor_every_s = 5.0" in run("check-config").stdout
    assert not (tmp_path / "here/s").exists(), "looking changes nothing"


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        *((name, str(least - 1), "settings_bad_value") for name, (least, _) in BOUNDS.items()),
        *((name, str(int(most) + 1), "settings_bad_value") for name, (_, most) in BOUNDS.items()),
        ("anchor_every_s", "nan", "settings_bad_value"),
        ("anchor_every_s", "inf", "settings_bad_value"),
        ("anchor_every_s", "often", "settings_bad_value"),
        ("mqtt_address", "hub.example", "settings_bad_value"),
        ("pair_address", "hub.example:0", "settings_bad_value"),
        ("mqtt_host", "0.0.0.0", "settings_bad_value"),
        ("page_host", "0.0.0.0", "page_not_loopback"),
        ("page_host", "192.0.2.1", "page_not_loopback"),
        ("page_host", "hub.example", "page_not_loopback"),
        ("page_host", "", "page_not_loopback"),
        ("webhook_first", "h.example", "webhook_url"),
        ("webhook_second", "https://me:secret@h.example/", "webhook_url"),
        ("ledger_url", "ftp://h.example/", "ledger_url"),
        ("ledger_url", LEDGER, "trust_missing"),
        ("trust", "none.json", "file_unreadable"),
        ("admission", "none.cose", "file_unreadable"),
        ("colour", "red", "settings_unknown_key"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name_before_anything_begins(
    tmp_path: Path, setting: str, value: str, code: str
) -> None:
    env = {f"VIGIL_GATEWAY_{setting.upper()}": value}
    for command in ("check-config", "run"):
        exit_code, said = asked(command, "--state", "s", env=env)
        assert (exit_code, said["error"]) == (2, code)
        assert "secret" not in said["detail"]
        words = {"page_not_loopback": "127.0.0.1", "file_unreadable": value, "webhook_url": "webhook"}
        assert words.get(code, setting.split("_")[0]) in said["detail"].lower().replace("--trust", "ledger")
    assert not (tmp_path / "here/s").exists()


@pytest.mark.parametrize("setting", ["broker_ca", "broker_certificate"])
def test_a_file_of_the_broker_that_cannot_be_used_is_refused(tmp_path: Path, setting: str) -> None:
    env = {"VIGIL_GATEWAY_BROKER_URL": "mqtts://127.0.0.1:9", f"VIGIL_GATEWAY_{setting.upper()}": "none.pem"}
    for command in ("check-config", "run"):
        assert failure(command, "--state", "s", env=env) == (2, "broker_files")
    assert failure("check-config", env=env | {"VIGIL_GATEWAY_BROKER_URL": "mqtt://192.0.2.1:9"})[0] == 2


def test_a_settings_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    for text, code in (("[gateway", "settings_not_toml"), ("[gateway]\nprot = 1", "settings_unknown_key")):
        path.write_text(text)
        assert failure("check-config", "--config", str(path)) == (2, code)
        assert failure("devices", env={"VIGIL_CONFIG": str(path)}) == (2, code)
    path.unlink()
    assert failure("check-config", "--config", str(path)) == (2, "file_unreadable")
    with path.open("wb") as file:
        file.truncate(2 << 20)
    assert failure("check-config", "--config", str(path)) == (2, "file_too_large")


@pytest.fixture
def lodged(tmp_path: Path) -> dict[str, str]:
    """The settings of a gateway with a ledger, as flags of `run`; its key is in the folder."""
    with ledgers.checked(tmp_path / "ledger") as engine:
        (tmp_path / "trust.json").write_text(json.dumps(engine.trust()))
    key = asked("key", "--state", str(tmp_path / "gateway"))[1]["key"]
    root = ledger_keys.load(tmp_path / "ledger", ledger_keys.REGISTRY_KEY)
    raw = ledger_keys.admission(root, role="gateway", key=bytes.fromhex(key), name="clinic")
    (tmp_path / "admission.cose").write_bytes(raw)
    return {
        "VIGIL_GATEWAY_STATE": str(tmp_path / "gateway"),
        "VIGIL_GATEWAY_LEDGER_URL": LEDGER,
        "VIGIL_GATEWAY_TRUST": str(tmp_path / "trust.json"),
        "VIGIL_GATEWAY_ADMISSION": str(tmp_path / "admission.cose"),
        "VIGIL_GATEWAY_PAIR_HOST": "192.0.2.1",  # no address of this machine: whoever comes so far goes no further
        "VIGIL_GATEWAY_MQTT_PORT": "0",
        "VIGIL_GATEWAY_PAGE_PORT": "0",
        "VIGIL_GATEWAY_METRICS_PORT": "0",
    }


def test_files_that_fit_are_taken(lodged: dict[str, str]) -> None:
    assert asked("check-config", env=lodged)[0] == 0
    assert failure("run", env=lodged) == (5, "port_taken"), "all was well but that it cannot listen there"


def test_an_admission_of_another_key_or_by_another_registry_is_refused(lodged: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "admission.cose"
    with ledgers.checked(tmp_path / "other"):
        pass
    for raw, code in (
        (ledgers.admission(tmp_path / "other"), "admission_bad"),
        (path.read_bytes()[:-1], "admission_bad"),
        (ledgers.anchor(1), "admission_bad"),
        (b"", "admission_bad"),
        (ledgers.admission(tmp_path / "ledger"), "admission_other"),
    ):
        path.write_bytes(raw)
        assert failure("run", env=lodged) == (2, code)
    code, said = asked("run", env=lodged)
    assert asked("key", env=lodged)[1]["key"] in said["detail"], "the fix is named"


def test_a_trust_file_that_cannot_be_used_is_exit_code_5(lodged: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "trust.json").write_text("{}")
    for command in ("check-config", "run"):
        assert failure(command, env=lodged) == (5, "trust_bad")


# -- the shown code --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "env", "wanted"),
    [
        (["--address", "hub.example:8444"], {"VIGIL_GATEWAY_PAIR_ADDRESS": "b:2"}, "hub.example:8444"),
        ([], {"VIGIL_GATEWAY_PAIR_ADDRESS": "b.example:2"}, "b.example:2"),
        ([], {"VIGIL_GATEWAY_PAIR_HOST": "192.0.2.1", "VIGIL_GATEWAY_PAIR_PORT": "4000"}, "192.0.2.1:4000"),
        ([], {"VIGIL_GATEWAY_PAIR_HOST": "::1"}, "[::1]:8444"),
        ([], {"VIGIL_GATEWAY_PAIR_HOST": "0.0.0.0"}, None),
        ([], {"VIGIL_GATEWAY_PAIR_HOST": "::"}, None),
        ([], {"VIGIL_GATEWAY_PAIR_PORT": "0"}, None),
        (["--address", "hub.example"], {}, None),
        (["--address", "hub example:1"], {}, None),
    ],
)
def test_an_offer_has_an_address_that_a_device_can_call_or_is_not_made(
    tmp_path: Path, flags: list[str], env: dict[str, str], wanted: str | None
) -> None:
    state = str(tmp_path / "g")
    if wanted is None:
        code, said = asked("pair", *flags, "--state", state, env=env)
        assert (code, said["error"]) == (2, "pair_address") and "--address" in said["detail"]
        assert not (tmp_path / "g" / KEYS_FILE).exists()
        return
    code, said = asked("pair", *flags, "--state", state, env=env)
    assert code == 0 and said.keys() == {"offer", "expires"}
    assert wire.Offer.from_text(said["offer"]).address == wanted
