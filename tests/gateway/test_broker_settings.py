"""How a broker is named in the settings, and what is refused at the start."""

from pathlib import Path

import pytest

from gateway.ingress import broker
from protocol.errors import ConfigError
from tests.support.certificates import Authority


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("mqtts://broker.example:8885", ("broker.example", 8885, True)),
        ("mqtts://10.0.0.7:1", ("10.0.0.7", 1, True)),
        ("mqtts://[::1]:8885/", ("::1", 8885, True)),
        ("mqtt://127.0.0.1:1883", ("127.0.0.1", 1883, False)),
        ("mqtt://[::1]:1883", ("::1", 1883, False)),
        ("mqtt://localhost:1883", ("localhost", 1883, False)),
    ],
)
def test_a_broker_is_named_by_host_and_port(url: str, found: tuple[str, int, bool]) -> None:
    assert broker.address(url) == found


@pytest.mark.parametrize(
    "url",
    [
        "broker.example:8885",
        "mqtts://broker.example",
        "mqtts://broker.example:0",
        "mqtts://broker.example:99999",
        "mqtts://:8885",
        "mqtts://name:word@broker.example:8885",
        "mqtts://broker.example:8885/topic",
        "https://broker.example:8885",
        "mqtt://broker.example:1883",
        "mqtt://10.0.0.7:1883",
        "mqtts://[::1",
    ],
)
def test_another_name_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        broker.address(url)
    assert caught.value.code == "broker_url" and caught.value.exit_code == 2
    assert "word" not in caught.value.detail.replace("password", "")


def test_files_that_cannot_be_used_are_refused_by_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown = authority.device("gateway")
    assert broker.context(ca=str(authority.ca), certificate=str(shown.certificate), key=str(shown.key))
    (tmp_path / "empty").write_text("")
    for name in ("missing", "empty"):
        for wrong in ("ca", "certificate", "key"):
            files = {"ca": str(authority.ca), "certificate": str(shown.certificate), "key": str(shown.key)}
            with pytest.raises(ConfigError) as caught:
                broker.context(**files | {wrong: str(tmp_path / name)})
            assert caught.value.code == "broker_files"
