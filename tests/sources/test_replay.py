"""Recordings are played back exactly: the recorder's counts, all of them, once, in their order."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.sources import Sample, Source, open_source
from device_sim.sources.replay import replay_inventory, wfdb
from protocol.errors import ConfigError

START_MS = 1_700_000_000_000


def play(source: Source, every_ms: int = 1000) -> list[Sample]:
    """A recording from its beginning to its end."""
    samples, now_ms = [], START_MS
    while not source.ended(now_ms):
        samples.append(source.read(now_ms, now_ms + every_ms))
        now_ms += every_ms
    return samples


def sent(samples: list[Sample], name: str) -> bytes:
    """All bytes of one stream, checked to be without gap or overlap."""
    frames, joined = 0, b""
    for wave in (wave for sample in samples for wave in sample.waves if wave.stream == name):
        assert wave.t0_ms == START_MS + frames * 1_000_000 // wave.rate_mhz
        frames, joined = frames + wave.n, joined + wave.samples
    return joined


def opened(path: Path, **choice: object) -> Source:
    return open_source(f"replay:{path}", start_ms=START_MS, **choice)  # type: ignore[arg-type]


def recorded(path: Path, key: str) -> np.ndarray:
    """The counts that a data file holds, [channel, sample]."""
    with np.load(path) as archive:
        return np.cumsum(archive[key], axis=1, dtype=np.int16)


def pack_212(frames: np.ndarray) -> bytes:
    """Format 212 of int16 [frame, channel], an even number of samples."""
    low, high = frames.reshape(-1)[0::2] & 0xFFF, frames.reshape(-1)[1::2] & 0xFFF
    triples = np.stack([low & 255, (low >> 8) | ((high >> 8) << 4), high & 255], axis=1)
    return triples.astype(np.uint8).tobytes()


@pytest.mark.data
@pytest.mark.parametrize(("record", "every_ms"), [("mitdb/100", 1000), ("mitdb/101", 777), ("vfdb/422", 60_000)])
def test_an_ecg_record_is_sent_byte_for_byte(data_dir: Path, record: str, every_ms: int) -> None:
    folder, name = record.split("/")
    counts = recorded(data_dir / f"{record}.npz", "d")
    source = opened(data_dir / folder, record=name)
    samples = play(source, every_ms)
    assert sent(samples, "ecg") == counts.T.astype("<i2").tobytes()
    first = samples[0].waves[0]
    assert first.place in {"MLII,V5", "MLII,V1", "ECG,ECG"}
    assert first.scale == pytest.approx(1 / 200)
    assert source.simulated


@pytest.mark.data
@pytest.mark.parametrize("record", ["mitdb/100", "mitdb/117", "vfdb/430"])
def test_the_recorders_own_file_is_read_to_the_same_counts(data_dir: Path, tmp_path: Path, record: str) -> None:
    """The signal file is rebuilt from the array and proved the original by its published digest."""
    name = record.split("/")[1]
    frames = recorded(data_dir / f"{record}.npz", "d").T
    with np.load(data_dir / f"{record}.npz") as archive:
        digest = json.loads(str(archive["meta"]))["sha256_dat"]
    original = pack_212(frames)
    assert hashlib.sha256(original).hexdigest() == digest
    (tmp_path / f"{name}.dat").write_bytes(original)
    (tmp_path / f"{name}.hea").write_text((data_dir / f"{record}.hea").read_text())
    samples = play(opened(tmp_path / name), 30_000)
    assert sent(samples, "ecg") == frames.astype("<i2").tobytes()


@pytest.mark.data
def test_a_belt_trial_is_sent_byte_for_byte(data_dir: Path) -> None:
    file = data_dir / "sisfall" / "SA01.npz"
    for trial in ("F05_SA01_R02", "D01_SA01_R01"):
        samples = play(opened(file, record=trial))
        assert sent(samples, "motion") == recorded(file, trial)[:3].T.astype("<i2").tobytes()
        wave = samples[0].waves[0]
        assert (wave.place, wave.rate_mhz, wave.scale) == ("waist", 200_000, 1 / 256)
    assert opened(data_dir / "sisfall", record="F05_SA01_R02").read(START_MS, START_MS + 100).waves


@pytest.mark.data
def test_a_pulse_goes_with_the_leads_and_other_channels_stay_out(data_dir: Path) -> None:
    file = data_dir / "challenge2015" / "a740s.npz"
    samples = play(opened(file))
    counts = recorded(file, "d")
    assert sent(samples, "ecg") == counts[0].astype("<i2").tobytes()
    assert sent(samples, "ppg") == counts[2].astype("<i2").tobytes()
    assert {wave.place for sample in samples for wave in sample.waves} == {"II", "PLETH"}


@pytest.mark.data
def test_a_part_of_a_recording_can_be_played(data_dir: Path) -> None:
    counts = recorded(data_dir / "vfdb" / "422.npz", "d")
    samples = play(opened(data_dir / "vfdb", record="422", from_s=100.0, until_s=130.0))
    assert sent(samples, "ecg") == counts.T[25_000:32_500].astype("<i2").tobytes()


@pytest.mark.data
def test_the_inventory_names_each_recording_once(data_dir: Path) -> None:
    assert [record for _, record in replay_inventory(data_dir / "mitdb")][:2] == ["100", "101"]
    assert len(replay_inventory(data_dir / "mitdb")) == len(list((data_dir / "mitdb").glob("*.npz")))
    trials = replay_inventory(data_dir / "sisfall" / "SA01.npz")
    assert len(trials) == 64 and trials[0][1] == "D01_SA01_R01"


def test_format_212_is_read_as_its_manual_says() -> None:
    # samples 1, -1, 2047, -2048: low byte; high nibbles (second's above); low byte
    data = bytes([0x01, 0xF0, 0xFF, 0xFF, 0x87, 0x00])
    assert wfdb.decode(data, "212", channels=2).tolist() == [[1, -1], [2047, -2048]]
    assert wfdb.decode(data + bytes([0x05, 0x08]), "212", channels=1)[:, 0].tolist() == [1, -1, 2047, -2048, -2043]


def test_format_16_is_read_as_its_manual_says() -> None:
    assert wfdb.decode(bytes([0x01, 0x00, 0xFF, 0xFF, 0x00, 0x80]), "16", channels=1)[:, 0].tolist() == [1, -1, -32768]


@given(st.lists(st.integers(-2048, 2047), min_size=2, max_size=60).filter(lambda values: len(values) % 2 == 0))
def test_format_212_comes_back(values: list[int]) -> None:
    frames = np.array(values, dtype=np.int16).reshape(-1, 2)
    assert wfdb.decode(pack_212(frames), "212", channels=2).tolist() == frames.tolist()


def test_a_header_is_read_with_all_that_may_stand_in_it() -> None:
    header = wfdb.read_header(
        "# comment\n\nrec 3 500/100(5) 1000 12:00:00 01/02/2003\n"
        "a.dat 16+24 1000.5(-7)/uV 12 3 -5 -31 0 lead I, upper\n"
        "a.dat 16+24\n"
        "b.dat 212 0 12 1024 995 40000 0 MLII\n# <age> 70\n"
    )
    assert (header.record, header.rate_hz, header.frames) == ("rec", 500.0, 1000)
    first, second, third = header.signals
    assert (first.offset, first.gain, first.baseline, first.unit) == (24, 1000.5, -7, "uV")
    assert (first.checksum, first.name) == (65505, "lead I, upper")
    assert (second.gain, second.baseline, second.unit, second.checksum) == (200.0, 0, "mV", None)
    assert (third.gain, third.baseline, third.checksum) == (200.0, 1024, 40000)


@pytest.mark.parametrize(
    "text",
    ["", "rec\n", "rec 1\n", "rec x\n", "rec 0 250\n", "rec/2 1 250\nseg 100\n", "rec 1 250 10\na.dat 80\n",
     "rec 1 250 10\na.dat 16x2\n", "rec 1 250 10\na.dat 16:3\n", "rec 1 fast 10\na.dat 16\n", "rec 99 250\n"],
)  # fmt: skip
def test_a_header_that_cannot_be_played_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="replay_format"):
        wfdb.read_header(text)


def wfdb_record(folder: Path, *, frames: int = 1000, checksum: int = 0) -> np.ndarray:
    """A record `own` of two leads in format 16, its first lead summing to 0 modulo 65,536."""
    counts = np.random.default_rng(5).integers(-1000, 1000, size=(frames, 2)).astype("<i2")
    counts[-1, 0] -= np.int16(int(counts[:, 0].astype(int).sum()))
    other = int(counts[:, 1].astype(int).sum()) & 0xFFFF
    (folder / "own.dat").write_bytes(counts.tobytes())
    (folder / "own.hea").write_text(
        f"own 2 250 {frames}\nown.dat 16 200 16 0 0 {checksum} 0 II\nown.dat 16 200 16 0 0 {other} 0 V1\n"
    )
    return counts


@pytest.mark.parametrize("name", ["own", "own.hea", "own.dat", "."])
def test_a_record_is_found_by_its_name_its_files_and_its_folder(tmp_path: Path, name: str) -> None:
    counts = wfdb_record(tmp_path)
    assert sent(play(opened(tmp_path / name)), "ecg") == counts.tobytes()


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    wfdb_record(tmp_path, checksum=1)
    with pytest.raises(ConfigError, match="checksum"):
        opened(tmp_path / "own")
    wfdb_record(tmp_path)
    (tmp_path / "own.dat").write_bytes((tmp_path / "own.dat").read_bytes()[:-4])
    with pytest.raises(ConfigError, match="replay_damaged"):
        opened(tmp_path / "own")
    (tmp_path / "own.dat").unlink()
    with pytest.raises(ConfigError, match="replay_missing"):
        opened(tmp_path / "own")


def test_a_header_cannot_reach_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "own.hea").write_text("own 1 250 2\n../secret.dat 16 200\n")
    with pytest.raises(ConfigError, match="replay_format"):
        opened(tmp_path / "own")


@pytest.mark.parametrize(("head", "query", "gravity"), [
    ("time,x,y,z", "", 1.0),
    ("time,x,y,z", "", 9.80665),
    ("t [s],x [m/s^2],y [m/s^2],z [m/s^2]", "", 9.80665),
    ("accel_time_list,accel_x_list,accel_y_list,accel_z_list", "?unit=m/s2", 9.80665),
    ("", "?unit=g&site=wrist", 1.0),
])  # fmt: skip
def test_an_accelerometer_table_is_sent_row_by_row(tmp_path: Path, head: str, query: str, gravity: float) -> None:
    g = np.random.default_rng(2).uniform(-1, 1, size=(500, 3)) + np.array([0, 0, 1])
    rows = "\n".join(
        f"{k // 10 * 0.2},{x * gravity:.4f},{y * gravity:.4f},{z * gravity:.4f}" for k, (x, y, z) in enumerate(g)
    )
    (tmp_path / "one.csv").write_text(f"{head}\n{rows}\n".lstrip("\n"))
    samples = play(open_source(f"replay:{tmp_path / 'one.csv'}{query}", start_ms=START_MS))
    counts = np.frombuffer(sent(samples, "motion"), "<i2").reshape(-1, 3)
    wave = samples[0].waves[0]
    assert len(counts) == 500
    assert np.abs(counts * wave.scale - g).max() < 0.0012  # half a count and the rounding of the text
    assert wave.rate_mhz == pytest.approx(50_000, rel=0.03)  # ten rows share each time stamp
    assert wave.place == ("wrist" if query.endswith("wrist") or "accel_x_list" in head else "body")


@pytest.mark.parametrize("text", ["", "time,x,y,z\n", "t,x,y,z\n0,1,2\n", "t,x,y,z\n0,0,0,1\n0,0,0,1\n", "0,0,0,3\n1,0,0,3\n",
                                  "t,x,y,z\n0,0,0,1\n0.1,0,nan,1\n"])  # fmt: skip
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.csv").write_text(text)
    with pytest.raises(ConfigError):
        opened(tmp_path / "one.csv")


def test_what_is_missing_or_unclear_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    wfdb_record(tmp_path)
    (tmp_path / "two.csv").write_text("0,0,0,1\n0.02,0,0,1\n")
    with pytest.raises(ConfigError, match="own, two"):
        opened(tmp_path)
    with pytest.raises(ConfigError, match="no recording 'three'"):
        opened(tmp_path, record="three")
    with pytest.raises(ConfigError, match="replay_missing"):
        opened(tmp_path / "four.npz")
    with pytest.raises(ConfigError, match="replay_empty"):
        opened(tmp_path, record="own", from_s=100)
    (tmp_path / "five.npz").write_bytes(b"PK nothing")
    with pytest.raises(ConfigError, match="replay_format"):
        opened(tmp_path / "five.npz")
    np.savez(tmp_path / "six.npz", trial=np.zeros((4, 9), dtype=np.int16))
    with pytest.raises(ConfigError, match="replay_format"):
        opened(tmp_path / "six.npz")
    with pytest.raises(ConfigError, match="source_option"):
        open_source(f"replay:{tmp_path}/own?speed=3", start_ms=0)


def test_a_replay_takes_no_events(tmp_path: Path) -> None:
    from device_sim.sources import Event

    wfdb_record(tmp_path)
    with pytest.raises(ConfigError, match="event_in_replay"):
        opened(tmp_path / "own", events=[Event(kind="fall", after_s=1)])
