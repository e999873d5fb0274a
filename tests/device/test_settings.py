"""The device's settings: each has a bound, and what is out of it is named."""

from pathlib import Path

import pytest

from device_sim.settings import Settings
from protocol.config import resolve
from protocol.errors import ConfigError


def test_settings_come_from_the_device_table_and_flags_win() -> None:
    text = "[device]\nstate = 'home'\nspeed = 2\n[gateway]\nstate = 'other'\n"
    found = resolve(Settings, "device", text=text, env={"VIGIL_DEVICE_DRAIN_S": "3"}, flags={"speed": 4.0})
    assert found == Settings(state=Path("home"), speed=4.0, drain_s=3.0)


@pytest.mark.parametrize("line", ["speed = 0", "speed = nan", "spool_bytes = 0", "drain_s = -1", "drain_s = inf"])
def test_a_setting_out_of_its_bounds_is_refused_by_name(line: str) -> None:
    with pytest.raises(ConfigError, match=line.split()[0]) as caught:
        resolve(Settings, "device", text=f"[device]\n{line}\n")
    assert caught.value.code == "settings_bad_value"


def test_a_setting_that_no_device_has_is_refused() -> None:
    with pytest.raises(ConfigError, match="settings_unknown_key"):
        resolve(Settings, "device", text="[device]\nport = 1\n")
