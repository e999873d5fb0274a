"""Settings: a table, then the environment, then flags; whatever is wrong is named with its fix."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.config import resolve
from protocol.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    port: int = 8883
    host: str = "127.0.0.1"
    every_s: float = 60.0
    demo: bool = False
    state: Path = Path("state")
    peers: tuple[str, ...] = ()
    ledger_url: str | None = None


def test_defaults_hold_when_nothing_is_said() -> None:
    assert resolve(Example, "gateway") == Example()


def test_flags_win_over_the_environment_which_wins_over_the_file() -> None:
    text = "[gateway]\nport = 1\nhost = 'a'\nevery_s = 5\n[ledger]\nport = 9\n"
    env = {"VIGIL_GATEWAY_PORT": "2", "VIGIL_GATEWAY_HOST": "b", "VIGIL_LEDGER_PORT": "7", "HOME": "/nowhere"}
    found = resolve(Example, "gateway", text=text, env=env, flags={"port": 3, "host": None})
    assert found == Example(port=3, host="b", every_s=5.0, state=found.state)


def test_every_kind_of_value_can_come_from_the_environment() -> None:
    env = {
        "VIGIL_GATEWAY_DEMO": "yes",
        "VIGIL_GATEWAY_STATE": "/tmp/x",
        "VIGIL_GATEWAY_PEERS": "a, b",
        "VIGIL_GATEWAY_EVERY_S": "0.5",
        "VIGIL_GATEWAY_LEDGER_URL": "http://127.0.0.1:1",
    }
    found = resolve(Example, "gateway", env=env)
    assert found == Example(
        demo=True, state=Path("/tmp/x"), peers=("a", "b"), every_s=0.5, ledger_url="http://127.0.0.1:1"
    )


@pytest.mark.parametrize(
    ("text", "env", "flags", "code", "named"),
    [
        ("[gateway]\nprot = 1", {}, {}, "settings_unknown_key", "port"),
        ("", {"VIGIL_GATEWAY_PROT": "1"}, {}, "settings_unknown_key", "VIGIL_GATEWAY_PROT"),
        ("[gateway]\nport = '1'", {}, {}, "settings_bad_value", "port"),
        ("[gateway]\nport = true", {}, {}, "settings_bad_value", "port"),
        ("", {"VIGIL_GATEWAY_PORT": "many"}, {}, "settings_bad_value", "VIGIL_GATEWAY_PORT"),
        ("", {"VIGIL_GATEWAY_DEMO": "perhaps"}, {}, "settings_bad_value", "true or false"),
        ("[gateway]\npeers = 'a'", {}, {}, "settings_bad_value", "peers"),
        ("[gateway", {}, {}, "settings_not_toml", "TOML"),
        ("gateway = 1", {}, {}, "settings_not_table", "[gateway]"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    text: str, env: dict[str, str], flags: dict[str, object], code: str, named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(Example, "gateway", text=text, env=env, flags=flags)
    assert caught.value.code == code
    assert named in caught.value.detail


def test_state_lies_in_one_folder_for_all_programs_unless_somebody_says_otherwise() -> None:
    def state(**env: str) -> Path:
        return resolve(Example, "gateway", env=env).state

    assert state() == Path.home() / ".local" / "state" / "vigil" / "gateway"
    assert state(XDG_STATE_HOME="/xdg") == Path("/xdg/vigil/gateway")
    assert state(VIGIL_STATE="/var/lib/vigil", XDG_STATE_HOME="/xdg") == Path("/var/lib/vigil/gateway")
    assert state(VIGIL_STATE="/var/lib/vigil", VIGIL_GATEWAY_STATE="/own") == Path("/own")
    named = resolve(Example, "gateway", text="[gateway]\nstate = '/named'\n", env={"VIGIL_STATE": "/var/lib/vigil"})
    assert named.state == Path("/named")
