"""A witness over time: what it wrote down before it answered, what it holds against a log, and for whom it does how much."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from ledger.witness import store as stores
from ledger.witness import witness as witnesses
from ledger.witness.judging import NO_PROOF, TWO_TREES
from ledger.witness.rationing import Ration
from ledger.witness.store import EVIDENCE_MAX
from ledger.witness.witness import Witness
from protocol import notes, witnessing
from protocol.errors import ConfigError, NotFound, Unavailable
from protocol.keys import SigningKey
from tests.support import witnesses as rig
from tests.support.witnesses import Clock, Log

LOG = Log().grown(200)
FORK = Log(fork=5, branch="other").grown(200)
PATH = witnessing.checkpoint_path(LOG.origin)


def line_of(body: bytes, key: notes.NoteKey, text: str) -> int:
    """The time of the one cosignature in `body`, which holds."""
    (line,) = witnessing.parse_cosignatures(body)
    ((_, at_s),) = notes.verify(notes.Note(text=text, lines=(line,)), [key])
    assert at_s is not None
    return at_s


def test_a_log_is_cosigned_from_its_first_tree_on(tmp_path: Path) -> None:
    key, clock = rig.made(tmp_path, LOG), Clock()
    with rig.opened(tmp_path, clock) as witness:
        assert witness.key == key
        old = 0
        for size in (1, 2, 9, 64, 64, 199):
            clock.at_s += 10
            answer = witness.add(LOG.request(old, size).body())
            assert answer.code == "cosigned"
            assert line_of(answer.body, key, LOG.checkpoint(size).text()) == int(clock.at_s)
            whole = notes.parse(witness.newest(PATH))
            assert notes.Checkpoint.from_text(whole.text) == LOG.checkpoint(size)
            assert [name.name for name, _ in notes.verify(whole, [LOG.vkey, key])] == [LOG.origin, key.name]
            old = size


def test_what_others_wrote_below_a_checkpoint_is_not_repeated(tmp_path: Path) -> None:
    rig.made(tmp_path, LOG)
    noise = notes.sign("anything\n", name="somebody.example", key=LOG.key)
    with rig.opened(tmp_path) as witness:
        assert witness.add(LOG.request(0, 7, note=LOG.note(7) + noise.text()).body()).code == "cosigned"
        assert "somebody" not in witness.newest(PATH)


def test_a_witness_goes_on_where_it_stood_and_says_so_to_who_does_not_know(tmp_path: Path) -> None:
    rig.made(tmp_path, LOG)
    with rig.opened(tmp_path) as witness:
        assert witness.add(LOG.request(0, 7).body()).code == "cosigned"
    with rig.opened(tmp_path) as witness:
        answer = witness.add(LOG.request(0, 12).body())
        assert (answer.code, answer.body) == ("old_differs", b"7\n")
        assert witness.add(LOG.request(7, 12).body()).code == "cosigned"


def test_cosignatures_never_go_back_in_time(tmp_path: Path) -> None:
    key, clock = rig.made(tmp_path, LOG), Clock()
    with rig.opened(tmp_path, clock) as witness:
        first = line_of(witness.add(LOG.request(0, 7).body()).body, key, LOG.checkpoint(7).text())
    clock.at_s -= 3600
    with rig.opened(tmp_path, clock) as witness:
        for old, size in ((7, 7), (7, 12)):
            assert line_of(witness.add(LOG.request(old, size).body()).body, key, LOG.checkpoint(size).text()) == first


def test_two_trees_of_one_size_are_refused_and_kept_as_evidence(tmp_path: Path) -> None:
    key = rig.made(tmp_path, LOG)
    with rig.opened(tmp_path) as witness:
        witness.add(LOG.request(0, 7).body())
        for _ in range(3):
            assert witness.add(FORK.request(7, 7).body()).code == "root_differs"
        assert witness.counts() == {TWO_TREES: 1, NO_PROOF: 0}
    ((kind, cosigned, refused),) = rig.evidence(tmp_path)
    assert kind == TWO_TREES
    both = [notes.parse(cosigned), notes.parse(refused)]
    for note in both:  # the log's own word, twice: nobody has to believe the witness
        assert LOG.vkey in dict(notes.verify(note, [LOG.vkey]))
    assert key in dict(notes.verify(both[0], [key]))
    sizes = [notes.Checkpoint.from_text(note.text) for note in both]
    assert sizes[0].size == sizes[1].size and sizes[0].root != sizes[1].root


def test_a_fork_stays_refused_after_the_evidence_and_the_log_itself_goes_on(tmp_path: Path) -> None:
    rig.made(tmp_path, LOG)
    with rig.opened(tmp_path) as witness:
        witness.add(LOG.request(0, 7).body())
        assert witness.add(FORK.request(7, 12).body()).code == "proof_bad"
        assert witness.add(LOG.request(7, 12).body()).code == "cosigned"
        assert witness.add(FORK.request(12, 12).body()).code == "root_differs"
    assert [row[0] for row in rig.evidence(tmp_path)] == [NO_PROOF, TWO_TREES]


def test_evidence_is_bounded_and_weak_evidence_displaces_no_proof_of_guilt(tmp_path: Path) -> None:
    rig.made(tmp_path, LOG)
    with rig.opened(tmp_path, rate_per_s=10_000.0) as witness:
        witness.add(LOG.request(0, 7).body())
        for size in range(8, 8 + EVIDENCE_MAX + 5):
            assert witness.add(LOG.request(7, size, proof=()).body()).code == "proof_bad"
        assert witness.add(FORK.request(7, 7).body()).code == "root_differs"
        assert witness.counts() == {TWO_TREES: 1, NO_PROOF: EVIDENCE_MAX}


def test_a_log_has_its_ration_of_new_checkpoints_and_others_have_theirs(tmp_path: Path) -> None:
    other, clock = Log("log.example/two", seed=2), Clock()
    rig.made(tmp_path, LOG, other)
    with rig.opened(tmp_path, clock, rate_per_s=0.5) as witness:
        assert witness.add(LOG.request(0, 1).body()).code == "cosigned"
        assert witness.add(LOG.request(1, 2).body()).code == "cosigned"
        answer = witness.add(LOG.request(2, 3).body())
        assert (answer.code, answer.retry_after_s) == ("too_many", 2)
        assert witness.add(LOG.request(2, 2).body()).code == "cosigned"  # what costs nothing is not rationed
        assert witness.add(other.request(0, 5).body()).code == "cosigned"
        clock.at_s += 2
        assert witness.add(LOG.request(2, 3).body()).code == "cosigned"


def test_strangers_do_not_use_up_a_logs_ration(tmp_path: Path) -> None:
    """Neither by forging its signature, nor by sending what it did sign with a proof that leads nowhere."""
    rig.made(tmp_path, LOG)
    forged = LOG.request(1, 9, note=LOG.note(9, SigningKey.from_seed(bytes(32)))).body()
    with rig.opened(tmp_path, rate_per_s=0.5) as witness:
        assert witness.add(LOG.request(0, 1).body()).code == "cosigned"
        for size in range(2, 30):
            assert witness.add(forged).code == "log_unsigned"
            assert witness.add(LOG.request(1, size, proof=()).body()).code == "proof_bad"
            assert witness.add(LOG.request(1, 1).body()).code == "cosigned"
        assert witness.add(LOG.request(1, 9).body()).code == "cosigned"


def test_a_ration_begins_full_and_fills_to_its_burst() -> None:
    ration = Ration(rate_per_s=2.0, burst=3.0)
    assert [ration.take(10.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert ration.take(10.5) == 0.0
    assert ration.take(9.0) > 0  # a clock that went back gives nothing
    assert [ration.take(1000.0) for _ in range(4)][-1] > 0


def test_of_two_requests_at_once_one_is_first(tmp_path: Path) -> None:
    """The check of the old size and the new one are one step: never a cosignature for less after one for more."""
    rig.made(tmp_path, LOG)
    found: list[str] = []
    with rig.opened(tmp_path, rate_per_s=100_000.0) as witness:
        witness.add(LOG.request(0, 7).body())
        bodies = [LOG.request(7, size).body() for size in range(8, 40)]
        threads = [threading.Thread(target=lambda body=body: found.append(witness.add(body).code)) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == ["cosigned", *["old_differs"] * 31]


def test_a_second_process_on_one_witness_is_refused(tmp_path: Path) -> None:
    rig.made(tmp_path, LOG)
    with rig.opened(tmp_path), pytest.raises(ConfigError, match="state_in_use"), rig.opened(tmp_path):
        pass


def test_a_witness_that_lost_its_database_does_not_begin_anew_under_its_key(tmp_path: Path) -> None:
    rig.made(tmp_path, LOG)
    for file in tmp_path.glob(f"{stores.FILE}*"):
        file.unlink()
    with pytest.raises(ConfigError, match="database_lost"), rig.opened(tmp_path):
        pass
    with pytest.raises(ConfigError, match="database_lost"):
        rig.made(tmp_path, LOG)


def test_a_witness_that_nobody_made_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="witness_missing"), rig.opened(tmp_path):
        pass
    with pytest.raises(NotFound, match="witness_missing"), rig.opened(tmp_path / "none"):
        pass


def test_the_key_is_for_its_owner_alone_and_made_once(tmp_path: Path) -> None:
    key = rig.made(tmp_path, LOG)
    assert stat.S_IMODE((tmp_path / witnesses.KEY).stat().st_mode) == 0o600
    assert rig.made(tmp_path, LOG) == key == witnesses.key_of(tmp_path)
    with pytest.raises(ConfigError, match="witness_name"):
        rig.made(tmp_path, LOG, name="other.example")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "é", "x" * 129])
def test_a_name_that_no_cosignature_can_carry_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="witness_name"):
        rig.made(tmp_path, name=name)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    rig.made(tmp_path, LOG)
    with contextlib.closing(sqlite3.connect(tmp_path / stores.FILE)) as db:
        db.execute("PRAGMA application_id = 1")
    with pytest.raises(Unavailable, match="state_unreadable"), rig.opened(tmp_path):
        pass


def test_while_it_cannot_write_a_witness_cosigns_nothing(tmp_path: Path) -> None:
    rig.made(tmp_path, LOG)
    with rig.opened(tmp_path) as witness:
        witness.add(LOG.request(0, 7).body())
        witness._store._db.execute("PRAGMA query_only = 1")
        answer = witness.add(LOG.request(7, 9).body())
        assert (answer.code, answer.body, witness.healthy) == ("storage_failed", b"", False)
        witness._store._db.execute("PRAGMA query_only = 0")
        assert witness.add(LOG.request(7, 9).body()).code == "cosigned" and witness.healthy


def _dies(step: int, folder: Path, told: Path) -> bool:
    """Cosigns a few sizes in a process that kills itself at its SQL statement number `step`. Whether it did."""
    child = os.fork()
    if child == 0:
        try:
            with rig.opened(folder) as witness:
                left = [step]

                def one(_: object) -> None:
                    if left[0] == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    left[0] -= 1

                witness._store._db.set_trace_callback(one)
                with told.open("a") as file:
                    old = 0
                    for size in (7, 9, 12):
                        answer = witness.add(LOG.request(old, size).body())
                        if answer.code == "old_differs":
                            old = int(answer.body)
                            answer = witness.add(LOG.request(old, max(old, size)).body())
                        one("it has the answer and has not sent it")
                        print(json.dumps([max(old, size), answer.code, answer.body.decode()]), file=file, flush=True)
                        old = max(old, size)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the witness is killed in a process of its own")
def test_a_kill_at_any_step_leaves_what_was_answered_on_disk(tmp_path: Path) -> None:
    """Persisted and not answered, or not persisted: never answered and not persisted."""
    unanswered = 0
    for step in range(200):
        folder, told = tmp_path / f"{step}", tmp_path / f"{step}.told"
        key = rig.made(folder, LOG)
        dead = _dies(step, folder, told)
        said = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
        for size, code, body in said:
            assert code == "cosigned"
            line_of(body.encode(), key, LOG.checkpoint(size).text())
        largest = max((size for size, _, _ in said), default=0)
        with rig.opened(folder) as witness:
            stands = _stands(witness)
            assert stands >= largest
            unanswered += stands > largest
            assert witness.add(LOG.request(stands, 30).body()).code == "cosigned"
            assert witness.add(FORK.request(30, 30).body()).code == "root_differs"
        if not dead:
            break
    assert not dead and step > 10 and unanswered


def _stands(witness: Witness) -> int:
    try:
        return notes.Checkpoint.from_text(notes.parse(witness.newest(PATH)).text).size
    except NotFound:
        return 0


@pytest.mark.parametrize("seed", range(3))
def test_whatever_logs_and_strangers_send_every_cosignature_is_of_one_history(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    key = rig.made(tmp_path, LOG)
    sizes: list[int] = []
    with rig.opened(tmp_path, rate_per_s=100_000.0) as witness:
        stands, branch = 0, None
        for _ in range(150):
            log = rng.choice((LOG, LOG, FORK))
            old = rng.choice((stands, stands, rng.randrange(190)))
            size = rng.choice((rng.randrange(190), min(190, stands + rng.randrange(4))))
            body = log.request(old, size).body()
            if rng.random() < 0.1:
                place = rng.randrange(len(body))
                body = body[:place] + bytes([rng.randrange(256)]) + body[place + 1 :]
            answer = witness.add(body)
            if answer.code == "cosigned":
                line_of(answer.body, key, log.checkpoint(size).text())
                if branch is None and size > 5:
                    branch = log
                assert size <= 5 or log is branch, f"seed {seed}"
                assert size >= stands, f"seed {seed}"
                stands = size
                sizes.append(size)
    assert len(sizes) > 10 and sizes == sorted(sizes)
