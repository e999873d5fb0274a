"""The demo's script: who lives where, what happens when, and which recordings are played."""

from pathlib import Path

import numpy as np
import pytest

from deploy.demo import script
from device_sim.sources import parse_event
from protocol.errors import ConfigError


def events(plans: tuple[script.HomePlan, ...]) -> dict[str, str]:
    found = {}
    for plan in plans:
        (run,) = plan.runs
        if "--event" in run:
            found[plan.name] = run[run.index("--event") + 1]
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("for_s", [21.0, 25.0, 60.0, 600.0])
def test_somebody_falls_and_in_another_home_a_heart_stops_in_time(seed: int, for_s: float) -> None:
    found = events(script.simulated(seed=seed, homes=3, for_s=for_s, events=True))
    assert len(found) == 2
    happens = [parse_event(text) for text in found.values()]
    assert {event.kind for event in happens} == {"fall", "arrest"}
    assert all(script.QUIET_S <= event.after_s <= for_s - script.AFTERMATH_S + 0.05 for event in happens)


def test_the_same_seed_plays_the_same_lives() -> None:
    first, again, other = (script.simulated(seed=seed, homes=5, for_s=60, events=True) for seed in (3, 3, 4))
    assert first == again != other


def test_one_home_has_the_fall_only_and_no_events_means_none() -> None:
    assert [text[:4] for text in events(script.simulated(seed=1, homes=1, for_s=60, events=True)).values()] == ["fall"]
    assert events(script.simulated(seed=1, homes=4, for_s=5, events=False)) == {}


def test_a_demo_too_short_for_its_script_says_so() -> None:
    with pytest.raises(ConfigError, match="--no-events"):
        script.simulated(seed=1, homes=3, for_s=20, events=True)


def test_homes_share_the_recordings_of_a_folder_in_turn(tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", d=np.zeros((1, 2), np.int16), gain=np.ones(1))
    np.savez(tmp_path / "c.npz", t2=np.zeros((6, 2), np.int16), t1=np.zeros((6, 2), np.int16), _about=np.zeros(1))
    (tmp_path / "a.csv").write_text("0,0,0,1\n")
    for name in ("b.hea", "d.hea", "d.dat", "e.hea", "notes.txt"):
        (tmp_path / name).write_text("")
    found = script.recordings_in(tmp_path)
    assert [record for _, record in found] == ["a", "b", "t1", "t2", "d"]
    plans = script.replayed(found, homes=2)
    assert [[run[3] for run in plan.runs] for plan in plans] == [["a", "t1", "d"], ["b", "t2"]]
    assert plans[0].runs[0] == ("--source", f"replay:{tmp_path / 'a.csv'}", "--record", "a")
    assert len(script.replayed(found[:1], homes=3)) == 3


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigError, match="demo_replay"):
            script.recordings_in(folder)
