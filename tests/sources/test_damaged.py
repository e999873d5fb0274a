"""Recordings that are damaged, foreign, endless or absurd: each is refused with its code before anything is sent, and what is
opened can be sent over the wire."""

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vigil
from device_sim import cutting, enrolment
from device_sim.sources import Sample, open_source
from device_sim.sources.replay import strip, table, wfdb
from protocol import content
from protocol.content import Clock
from protocol.errors import ConfigError
from protocol.waves import FRAMES_MAX, Wave
from tests.support import devices

CLOCK = Clock(up_ms=0, wall_ms=devices.START_MS, synced=True)
TWO_LEADS = "own.dat 16 200 16 0 0 0 0 II\nown.dat 16 200 16 0 0 0 0 V1\n"


def header(line: str, signals: str = TWO_LEADS) -> Callable[[Path], str]:
    """A WFDB record with this record line, of zeros."""

    def make(folder: Path) -> str:
        (folder / "own.dat").write_bytes(bytes(4000))
        (folder / "own.hea").write_text(f"{line}\n{signals}")
        return "own"

    return make


def archive(**arrays: object) -> Callable[[Path], str]:
    """A numpy archive of an ECG record with some of its parts changed."""

    def make(folder: Path) -> str:
        usual: dict[str, object] = {
            "d": np.zeros((1, 500), np.int16),
            "fs": 250.0,
            "gain": np.array([200.0]),
            "units": np.array(["mV"]),
            "names": np.array(["II"]),
        }
        np.savez(folder / "own.npz", **(usual | arrays))  # type: ignore[arg-type]
        return "own.npz"

    return make


def rows(text: str) -> Callable[[Path], str]:
    """A table."""

    def make(folder: Path) -> str:
        (folder / "own.csv").write_text("t,x,y,z\n" + text)
        return "own.csv"

    return make


def raw(name: str, data: bytes) -> Callable[[Path], str]:
    """Any file."""

    def make(folder: Path) -> str:
        (folder / name).write_bytes(data)
        return name

    return make


REFUSED = [
    ("no_such_file", lambda _: "nowhere.hea", "replay_missing"),
    ("rate_nan", header("own 2 nan 1000"), "replay_damaged"),
    ("rate_infinite", header("own 2 inf 1000"), "replay_damaged"),
    ("rate_zero", header("own 2 0 1000"), "replay_damaged"),
    ("rate_negative", header("own 2 -250 1000"), "replay_damaged"),
    ("rate_absurd", header("own 2 1e9 1000"), "replay_damaged"),
    ("rate_is_a_word", header("own 2 fast 1000"), "replay_format"),
    ("frames_negative", header("own 2 250 -5"), "replay_format"),
    ("truncated", header("own 2 250 100000"), "replay_damaged"),
    ("gain_tiny", header("own 1 250 1000", "own.dat 16 1e-9 16 0 0 0 0 II\n"), "replay_damaged"),
    ("gain_negative", header("own 1 250 1000", "own.dat 16 -200 16 0 0 0 0 II\n"), "replay_damaged"),
    ("header_empty", raw("own.hea", b""), "replay_format"),
    ("header_of_noise", raw("own.hea", Random(1).randbytes(3000)), "replay_format"),
    ("several_segments", header("own/3 2 250 1000"), "replay_format"),
    ("archive_of_nothing", raw("own.npz", b""), "replay_format"),
    ("archive_fs_nan", archive(fs=float("nan")), "replay_damaged"),
    ("archive_fs_many", archive(fs=np.array([250.0, 360.0])), "replay_format"),
    ("archive_gain_zero", archive(gain=np.array([0.0])), "replay_damaged"),
    ("archive_gain_nan", archive(gain=np.array([float("nan")])), "replay_damaged"),
    ("archive_floats", archive(d=np.full((1, 500), np.nan)), "replay_format"),
    ("archive_one_axis", archive(d=np.zeros(500, np.int16)), "replay_format"),
    ("archive_names_short", archive(names=np.array(["II", "V1"])), "replay_format"),
    ("archive_objects", archive(names=np.array([{}], dtype=object)), "replay_format"),
    ("archive_without_samples", archive(d=np.zeros((1, 0), np.int16)), "replay_empty"),
    ("table_nan", rows("0,0,0,1\n0.02,nan,0,1\n"), "replay_format"),
    ("table_infinite", rows("0,0,0,1\n0.02,inf,0,1\n"), "replay_format"),
    ("table_absurd", rows("0,0,0,1\n1e300,0,0,1\n"), "replay_format"),
    ("table_without_time", rows("5,0,0,1\n5,0,0,1\n"), "replay_format"),
    ("table_back_in_time", rows("5,0,0,1\n4,0,0,1\n"), "replay_format"),
    ("table_too_fast", rows("0,0,0,1\n1e-9,0,0,1\n"), "replay_damaged"),
    ("table_of_another_unit", rows("0,0,0,99\n0.02,0,0,99\n"), "replay_unit"),
    ("table_of_noise", raw("own.csv", Random(2).randbytes(3000)), "replay_missing"),
    ("another_format", raw("own.edf", b"0       "), "replay_format"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_recording_that_cannot_be_is_refused_by_its_code(
    tmp_path: Path, make: Callable[[Path], str], code: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(f"replay:{tmp_path / make(tmp_path)}", start_ms=0)
    assert caught.value.code == code
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("site", ["", "x" * 65])
def test_a_site_that_the_wire_cannot_carry_is_refused(tmp_path: Path, site: str) -> None:
    place = tmp_path / rows("0,0,0,1\n0.02,0,0,1\n")(tmp_path)
    if site:
        with pytest.raises(ConfigError, match="source_option"):
            open_source(f"replay:{place}?site={site}", start_ms=0)
    else:
        assert open_source(f"replay:{place}?site={site}", start_ms=0).read(0, 1000).waves[0].place == "body"


@pytest.mark.parametrize(
    "edge", [{"from_s": float("nan")}, {"until_s": float("nan")}, {"until_s": 1e300}, {"from_s": -1.0}]
)
def test_a_stretch_that_cannot_be_is_refused(tmp_path: Path, edge: dict[str, float]) -> None:
    place = tmp_path / header("own 2 250 1000")(tmp_path)
    with pytest.raises(ConfigError, match="source_option"):
        open_source(f"replay:{place}", start_ms=0, **edge)  # type: ignore[arg-type]


def test_a_recording_too_large_to_be_read_is_refused_before_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = header("own 2 250 1000")(tmp_path)
    os.truncate(tmp_path / "own.dat", strip.BYTES_MAX + 1)  # sparse: it takes no room on the disk
    with pytest.raises(ConfigError, match="replay_large"):
        open_source(f"replay:{tmp_path / made}", start_ms=0)
    os.truncate(tmp_path / "own.hea", strip.BYTES_MAX + 1)
    with pytest.raises(ConfigError, match="replay_large"):
        wfdb.load(tmp_path / "own.hea")
    monkeypatch.setattr(table, "ROWS_MAX", 3)
    long = rows("0,0,0,1\n" * 4)
    with pytest.raises(ConfigError, match="replay_large"):
        open_source(f"replay:{tmp_path / long(tmp_path)}", start_ms=0)


def test_an_archive_that_would_unpack_to_too_much_is_refused_before_it_does(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "own.npz", "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("trial.npy", bytes(1 << 20))
        members.getinfo("trial.npy").file_size = strip.BYTES_MAX + 1  # as the directory of such an archive says
    with pytest.raises(ConfigError, match="replay_large"):
        open_source(f"replay:{tmp_path / 'own.npz'}", start_ms=0, record="trial")


@pytest.mark.parametrize("option", ["pvc=nan", "pvc=2", "pac=-0.1"])
def test_a_share_of_early_beats_that_cannot_be_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="source_option"):
        open_source(f"simulated:{option}", start_ms=0)


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="own.dat 0123456789-+:x/()\n#.mVeinfa", max_size=120))
def test_no_header_crashes_its_reader(text: str) -> None:
    for tried in (text, "own 1 " + text, "own 1 250 10\nown.dat 16 " + text):
        try:
            found = wfdb.read_header(tried)
        except ConfigError:
            continue
        assert found.signals


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 1500), at=st.integers(0, 1500), value=st.integers(0, 255))
def test_no_damage_to_an_archive_crashes_its_reader(
    tmp_path_factory: pytest.TempPathFactory, cut: int, at: int, value: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = io.BytesIO()
    usual = {"d": np.arange(200, dtype=np.int16).reshape(1, -1), "fs": 250.0, "gain": np.array([200.0])}
    np.savez_compressed(whole, **usual, units=np.array(["mV"]), names=np.array(["II"]))
    damaged = bytearray(whole.getvalue()[: len(whole.getvalue()) - cut % 700])
    if damaged:
        damaged[at % len(damaged)] = value
    (folder / "damaged.npz").write_bytes(damaged)
    with contextlib.suppress(ConfigError):
        open_source(f"replay:{folder / 'damaged.npz'}", start_ms=0)


@pytest.mark.parametrize("frames", [FRAMES_MAX, FRAMES_MAX + 1, 7000])
def test_a_second_of_many_frames_is_cut_into_what_the_wire_takes(frames: int) -> None:
    wave = Wave(
        stream="ecg",
        t0_ms=devices.START_MS,
        rate_mhz=frames * 1000,
        scale=0.5,
        place="I",
        n=frames,
        samples=bytes(2 * frames),
    )
    found = list(cutting.pieces(Sample(waves=(wave,)), clock=CLOCK, simulated=True))
    back = [content.decode(content.encode(one), content_type=content.CONTENT_TYPES[1]) for one in found]
    assert sum(one.waves[0].n for one in back) == frames  # type: ignore[union-attr]


def test_the_command_line_says_what_is_wrong_with_a_source_and_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, link = tmp_path / "home", devices.LINK
    enrolment.keep(state / "device.key", devices.KEY.pem().encode())
    found = enrolment.Enrolment(
        device=link.device, gateway_key=link.gateway_key.x, lk=link.lk, link_id=link.link_id, mqtt="127.0.0.1:1"
    )
    enrolment.save(state, found, certificate="", ca="")
    for source, code in (("replay:/nowhere.hea", "replay_missing"), ("simulated:rhythm=waltz", "source_rhythm")):
        with pytest.raises(SystemExit) as ended:
            vigil.main(["device", "run", "--state", str(state), "--source", source, "--json"])
        said = capsys.readouterr()
        assert ended.value.code == 2
        assert json.loads(said.out)["error"] == code
        assert code in said.err
