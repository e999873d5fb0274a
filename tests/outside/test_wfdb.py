"""Records that the wfdb package writes are played back to the counts that it reads from them."""

import json
import struct
from pathlib import Path

import pytest

from device_sim.sources import open_source
from tests.support.outside import python, run

WRITE_AND_READ = """
import json, sys
import numpy as np, wfdb
counts = np.random.default_rng(11).integers(-2000, 2000, size=(int(sys.argv[2]), 2))
wfdb.wrsamp("theirs", fs=360, units=["mV", "mV"], sig_name=["MLII", "V5"], d_signal=counts, fmt=[sys.argv[1]] * 2,
            adc_gain=[200.0, 200.0], baseline=[1024, 1024])
record = wfdb.rdrecord("theirs", physical=False)
json.dump({"counts": record.d_signal.tolist(), "gain": record.adc_gain[0]}, sys.stdout)
"""

pytestmark = pytest.mark.outside


@pytest.mark.parametrize("frames", [1000, 1001])
@pytest.mark.parametrize("form", ["16", "212"])
def test_a_record_written_by_the_wfdb_package_is_played_as_it_reads_it(tmp_path: Path, form: str, frames: int) -> None:
    ran = run(python("wfdb"), "-c", WRITE_AND_READ, form, str(frames), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr.decode()
    theirs = json.loads(ran.stdout)
    source = open_source(f"replay:{tmp_path / 'theirs'}", start_ms=0)
    (wave,) = source.read(0, 60_000).waves
    flat = struct.unpack(f"<{len(wave.samples) // 2}h", wave.samples)
    assert [list(flat[at : at + 2]) for at in range(0, len(flat), 2)] == theirs["counts"]
    assert wave.place == "MLII,V5"
    assert wave.scale == 1 / theirs["gain"]
