"""A monitor and its log: what it reads and tells, where it goes on, and what it does to a log that lies."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ledger.log import custody, epochs, fsck, keyring
from ledger.log.engine import Engine
from ledger.monitor.following import PAUSE_MAX_S, TRIES_MAX, Contradiction
from ledger.monitor.judging import Event, Watch
from protocol import conflict, notes, policy, statement, tiles
from protocol.errors import Unavailable, VerificationFailed
from protocol.notes import Checkpoint
from tests.support import ledgers
from tests.support.clients import answer, problem
from tests.support.faces import Face
from tests.support.monitors import Watcher

PROBLEM = "application/concise-problem-details+cbor"
ANCHORS = Watch(issuers=(ledgers.GATEWAY.public.urn,))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A ledger's folder with one admitted gateway, at rest."""
    folder = tmp_path / "ledger"
    with ledgers.checked(folder) as engine:
        engine.register(ledgers.admission(folder))
    return folder


@pytest.fixture
def engine(state: Path) -> Iterator[Engine]:
    with ledgers.checked(state) as found:
        yield found


def trusted(state: Path, extra: str = "quorum none\n") -> policy.Policy:
    """The policy of who trusts the ledger in `state`."""
    key = notes.NoteKey(name=ledgers.ORIGIN, kind=notes.SIGNATURE, key=ledgers.log_key(state))
    return policy.parse(f"log {key.vkey()}\n{extra}")


@pytest.fixture
def watcher(tmp_path: Path, state: Path) -> Watcher:
    return Watcher(tmp_path / "monitor", trusted(state))


def grow(engine: Engine, first: int, last: int) -> None:
    """Register the anchors `first` to `last`."""
    engine.register_many([ledgers.anchor(n) for n in range(first, last)])


def entries(events: list[Event]) -> list[object]:
    """The entries of alerts."""
    return [event.facts["entry"] for event in events if event.kind == "alert"]


def test_a_monitor_reads_all_entries_and_then_only_new_ones(engine: Engine, watcher: Watcher) -> None:
    grow(engine, 0, 300)
    face = Face(engine)
    found = watcher.round(face, watch=ANCHORS)
    assert [event.kind for event in found] == ["checkpoint", *["alert"] * 300, "followed"]
    assert entries(found) == [f"1.{index}" for index in range(engine.size - 300, engine.size)]
    size = engine.size
    assert found[0].facts["size"] == found[-1].facts["size"] == found[-1].facts["statements"] == size
    face.asked.clear()
    assert watcher.round(face, watch=ANCHORS) == []
    assert face.asked == ["/status", "/checkpoint"]
    grow(engine, 300, 303)
    found = watcher.round(face, watch=ANCHORS)
    assert entries(found) == [f"1.{index}" for index in range(size, size + 3)]
    assert [path for path in face.asked if path.endswith("/statement")] == [
        f"/entries/1.{index}/statement" for index in range(size, size + 3)
    ]
    assert watcher.evidence() == []


def test_an_alert_is_by_issuer_or_by_how_the_subject_begins(engine: Engine, watcher: Watcher, state: Path) -> None:
    grow(engine, 0, 1)
    sub = statement.parse(ledgers.anchor(0)).sub
    found = watcher.round(Face(engine), watch=Watch(subjects=(sub[:-4], "vigil:log:")))
    assert [event.facts["matched"] for event in found if event.kind == "alert"] == [["vigil:log:"], [sub[:-4]]]


class Killed(BaseException):
    """A kill, where the test wants it."""


@pytest.mark.parametrize("persisted", [False, True])
def test_a_kill_at_any_step_tells_twice_rather_than_never(
    engine: Engine, watcher: Watcher, monkeypatch: pytest.MonkeyPatch, persisted: bool
) -> None:
    from ledger.monitor.kept import Folder, Followed

    save = Folder.save
    left = 0

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    def saving(self: Folder, followed: Followed) -> None:
        if persisted:
            save(self, followed)
            step()
        else:
            step()
            save(self, followed)

    def keep(event: Event) -> None:
        if persisted:
            watcher.told.append(event)
            step()
        else:
            step()
            watcher.told.append(event)

    monkeypatch.setattr(Folder, "save", saving)
    watcher.keep = keep
    face, kills, left = Face(engine), 0, -1
    grow(engine, 0, 240 - engine.size)
    watcher.round(face, watch=ANCHORS)
    for number in range(1, 12):
        grow(engine, number * 1000, number * 1000 + (2 if number % 2 else 20))
        left = number
        with contextlib.suppress(Killed):
            watcher.round(face, watch=ANCHORS)
            kills -= 1
        kills += 1
    left = -1
    assert kills >= 8
    watcher.round(face, watch=ANCHORS)
    assert watcher.round(face) == []
    every = [f"1.{index}" for index in range(engine.size) if statement.parse(engine.statement(index)).hashed]
    assert sorted(set(map(str, entries(watcher.told)))) == sorted(every)
    told = {event.facts["size"] for event in watcher.told if event.kind == "followed"}
    assert engine.size in told and {event.facts["size"] for event in watcher.told if event.kind == "checkpoint"} >= told


@contextlib.contextmanager
def forked(state: Path, copy: Path) -> Iterator[tuple[Engine, Engine]]:
    """Two logs that are one up to here, with one key."""
    with contextlib.closing(ledgers.opened(state)) as one:
        grow(one, 0, 20)
    shutil.copytree(state, copy)
    with ledgers.checked(state) as one, ledgers.checked(copy) as other:
        yield one, other


def accused(watcher: Watcher, face: Face, kind: str) -> Path:
    """The evidence of a log that contradicts itself, which it does again when the monitor starts again."""
    for _ in range(2):
        with pytest.raises(Contradiction) as found:
            watcher.round(face, watch=ANCHORS)
        assert found.value.code == f"log_{kind}"
        assert found.value.exit_code == 4
        assert watcher.told[-1].kind == "contradiction"
    (folder,) = watcher.evidence()
    assert str(folder) == watcher.told[-1].facts["evidence"]
    return folder


def sizes(folder: Path) -> dict[str, int]:
    """Sizes of the checkpoints in a folder of evidence."""
    return {
        path.stem: Checkpoint.from_text(notes.parse(path.read_text()).text).size for path in folder.glob("*.checkpoint")
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [(5, 5, "two_roots"), (5, 8, "other_beginning"), (8, 5, "other_beginning"), (1, 300, "other_beginning")],
)
def test_a_log_that_forks_is_shown_to_anybody(
    tmp_path: Path, state: Path, watcher: Watcher, ours: int, theirs: int, kind: str
) -> None:
    with forked(state, tmp_path / "copy") as (one, other):
        grow(one, 100, 100 + ours)
        grow(other, 1000, 1000 + theirs)
        assert watcher.kinds(Face(one))[-1] == "followed"
        other_face = Face(other)

        def newer(path: str, body: bytes) -> bytes | None:
            """The larger tree's tiles, whichever of the two it is."""
            return Face(one)(httpx.Request("GET", f"http://x{path}")).read() if path.startswith("/tile/") else None

        if one.size > other.size:
            other_face.bend = newer
        folder = accused(watcher, other_face, kind)
        assert sizes(folder) == {"earlier": one.size, "later": other.size}
        verdict = conflict.verify((folder / "conflict.json").read_bytes(), watcher.policy)
        assert (verdict.kind, verdict.proof) == (kind, True)
        assert watcher.kinds(Face(one)) == []  # the honest one is followed on


def test_a_log_that_shrinks_is_accused(tmp_path: Path, state: Path, watcher: Watcher) -> None:
    with forked(state, tmp_path / "copy") as (one, other):
        grow(one, 100, 105)
        watcher.round(Face(one))
        deaf = Face(other, bend=lambda path, _: b"none" if path.startswith("/tile/") else None)
        accused(watcher, deaf, "shrank")
        folder = accused(watcher, Face(other), "shrank")
        assert sizes(folder) == {"earlier": one.size, "later": other.size}
        assert not (folder / "conflict.json").exists()  # an old checkpoint proves nothing to others


def test_a_log_whose_tiles_do_not_show_that_it_grew_is_accused(engine: Engine, watcher: Watcher) -> None:
    watcher.round(Face(engine))
    grow(engine, 0, 5)
    lying = Face(engine, bend=lambda path, body: bytes(len(body)) if path.startswith("/tile/0/") else None)
    folder = accused(watcher, lying, "unproven")
    assert sizes(folder) == {"earlier": engine.size - 5, "later": engine.size}


@pytest.mark.parametrize("first", [True, False])
def test_a_log_whose_entries_are_not_its_trees_is_accused(engine: Engine, watcher: Watcher, first: bool) -> None:
    if not first:
        watcher.round(Face(engine))
    began = engine.size
    grow(engine, 0, 30)

    def lie(path: str, body: bytes) -> bytes | None:
        if not path.startswith("/tile/entries/000"):
            return None
        found = tiles.unbundle(body, len(body) // 34)
        return tiles.bundle([*found[:-1], bytes(32)])

    folder = accused(watcher, Face(engine, bend=lie), "entries_other")
    assert sizes(folder) == ({"newest": engine.size} if first else {"proven": began, "newest": engine.size})
    assert "entries_other" in (folder / "finding.txt").read_text()
    found = watcher.round(Face(engine), watch=ANCHORS)  # it reads again from what was right
    assert len(entries(found)) == 30
    assert found[-1].kind == "followed"


WITNESS = notes.NoteKey(name="witness.example", kind=notes.COSIGNATURE, key=ledgers.STRANGER.public)


def cosigned(note: str) -> bytes:
    """A checkpoint with the witness's line."""
    text = notes.parse(note).text
    line = notes.cosign(text, name=WITNESS.name, key=ledgers.STRANGER, at_s=1_700_000_000)
    return (note + line.text()).encode()


def test_a_checkpoint_without_its_quorum_is_not_followed_and_still_binds_the_log(tmp_path: Path, state: Path) -> None:
    watcher = Watcher(tmp_path / "monitor", trusted(state, f"witness w {WITNESS.vkey()}\nquorum w\n"))

    def witnessed(path: str, body: bytes) -> bytes | None:
        return cosigned(body.decode()) if path == "/checkpoint" else None

    with forked(state, tmp_path / "copy") as (one, other):
        for _ in range(2):
            with pytest.raises(Unavailable) as missed:
                watcher.round(Face(one))
            assert missed.value.code == "quorum_missed"
        assert watcher.told == []
        found = watcher.round(Face(one, bend=witnessed))
        assert found[0].facts["cosigned_by"] == ["w"]
        grow(one, 100, 103)
        with pytest.raises(Unavailable):
            watcher.round(Face(one))
        assert watcher.kinds(Face(one, bend=witnessed)) == ["checkpoint", "followed"]
        grow(other, 1000, 1003)
        accused(watcher, Face(other), "two_roots")


def test_a_checkpoint_that_the_log_did_not_sign_is_no_word_of_the_log(
    tmp_path: Path, engine: Engine, watcher: Watcher
) -> None:
    watcher.round(Face(engine))
    text = Checkpoint(origin=ledgers.ORIGIN, size=1, root=bytes(32)).text()
    forged = notes.Note(text=text, lines=(notes.sign(text, name=ledgers.ORIGIN, key=ledgers.STRANGER),)).whole()
    for note, code in (
        (forged, "log_unsigned"),
        (engine.checkpoint().replace(f"\n{engine.size}\n", "\n1\n"), "note_signature"),
        (forged.replace(ledgers.ORIGIN, "other.example"), "log_unknown"),
    ):
        with pytest.raises(VerificationFailed) as failed:
            watcher.round(
                Face(engine, bend=lambda path, _, note=note: note.encode() if path == "/checkpoint" else None)
            )  # type: ignore[misc]
        assert failed.value.code == code
        assert not isinstance(failed.value, Contradiction)
    for body in (b"", b"<html>", b"\xff"):
        with pytest.raises(Unavailable):
            watcher.round(Face(engine, bend=lambda path, _, body=body: body if path == "/checkpoint" else None))  # type: ignore[misc]
    assert watcher.evidence() == []
    assert watcher.round(Face(engine)) == []


def test_another_log_at_the_same_address_is_not_taken_for_the_first(
    tmp_path: Path, engine: Engine, watcher: Watcher, state: Path
) -> None:
    watcher.round(Face(engine))
    text = Checkpoint(origin="other.example", size=9, root=bytes(32)).text()
    line = notes.sign(text, name="other.example", key=ledgers.STRANGER)
    key = notes.NoteKey(name="other.example", kind=notes.SIGNATURE, key=ledgers.STRANGER.public)
    watcher.policy = trusted(state, f"log {key.vkey()}\nquorum none\n")
    other = notes.Note(text=text, lines=(line,)).whole().encode()
    with pytest.raises(Unavailable) as changing:  # as when an epoch ends between two questions
        watcher.round(Face(engine, bend=lambda path, _: other if path == "/checkpoint" else None))
    assert changing.value.code == "status_other"

    def elsewhere(path: str, body: bytes) -> bytes | None:
        if path == "/status":
            return body.replace(ledgers.ORIGIN.encode(), b"other.example")
        return other if path == "/checkpoint" else None

    with pytest.raises(VerificationFailed) as failed:
        watcher.round(Face(engine, bend=elsewhere))
    assert failed.value.code == "log_other"


def test_what_is_wrong_with_statements_is_told(engine: Engine, watcher: Watcher) -> None:
    grow(engine, 0, 6)
    last = engine.size - 1
    wrong: dict[str, bytes | httpx.Response] = {
        f"/entries/1.{last}/statement": ledgers.anchor(0),
        f"/entries/1.{last - 1}/statement": answer(403, problem("statement_not_for_you"), content_type=PROBLEM),
        f"/entries/1.{last - 2}/statement": answer(410, problem("statement_redacted"), content_type=PROBLEM),
        f"/entries/1.{last - 3}/statement": answer(404, problem("entry_unknown"), content_type=PROBLEM),
    }
    found = watcher.round(Face(engine, bend=lambda path, _: wrong.get(path)))
    assert [(event.kind, event.facts.get("entry")) for event in found[1:-1]] == [
        ("missing", f"1.{last - 3}"),
        ("missing", f"1.{last - 2}"),
        ("mismatch", f"1.{last}"),
    ]
    assert (found[-1].facts["statements"], found[-1].facts["unread"]) == (engine.size - 3, 1)
    assert "1 statements were not read" in found[-1].text


@pytest.mark.parametrize("minimum", [200, 256, 257, 300])
def test_a_pruned_log_is_followed_from_where_it_begins(engine: Engine, watcher: Watcher, minimum: int) -> None:
    grow(engine, 0, 300 - engine.size)
    found = watcher.round(Face(engine, minimum=minimum), watch=ANCHORS)
    assert [event.kind for event in found[:2]] == ["checkpoint", "gap"]
    assert found[1].facts == {"first": 0, "count": minimum}
    assert (found[-1].kind, found[-1].facts["skipped"]) == ("followed", minimum)
    assert len(entries(found)) == sum(
        statement.parse(engine.statement(index)).hashed for index in range(minimum, engine.size)
    )
    grow(engine, 1000, 1003)
    assert len(entries(watcher.round(Face(engine, minimum=minimum), watch=ANCHORS))) == 3


def test_a_log_that_prunes_what_was_not_read_yet_says_so_and_is_checked_by_its_receipt(
    engine: Engine, watcher: Watcher
) -> None:
    grow(engine, 0, 100)
    watcher.round(Face(engine))
    first = engine.size
    grow(engine, 100, 420)

    def pruned(path: str, _: bytes) -> httpx.Response | None:
        """Nothing below the minimum is served, hashes neither."""
        gone = path.startswith("/tile/0/") and path < "/tile/0/001"
        return answer(404, problem("tile_unknown"), content_type=PROBLEM) if gone else None

    face = Face(engine, minimum=256, bend=pruned)
    grow(engine, 2000, 2001)
    found = watcher.round(face, watch=ANCHORS)
    assert f"/consistency/{first}" in face.asked
    assert [event.facts for event in found if event.kind == "gap"] == [{"first": first, "count": 256 - first}]
    assert found[-1].kind == "followed" and found[-1].facts["size"] == engine.size


def test_a_log_that_forks_below_its_minimum_is_accused(tmp_path: Path, state: Path, watcher: Watcher) -> None:
    with forked(state, tmp_path / "copy") as (one, other):
        grow(one, 100, 105)
        watcher.round(Face(one))
        grow(other, 1000, 1300)

        def pruned(path: str, _: bytes) -> httpx.Response | None:
            gone = path.startswith("/tile/0/") and path < "/tile/0/001"
            return answer(404, problem("tile_unknown"), content_type=PROBLEM) if gone else None

        accused(watcher, Face(other, minimum=256, bend=pruned), "unproven")


def test_a_log_that_hides_hashes_of_what_it_pruned_is_accused(engine: Engine, watcher: Watcher) -> None:
    grow(engine, 0, 260)
    lying = Face(engine, minimum=256, bend=lambda path, body: bytes(len(body)) if path.startswith("/tile/1/") else None)
    accused(watcher, lying, "entries_other")


@contextlib.contextmanager
def rolled_over(state: Path, watcher: Watcher) -> Iterator[Engine]:
    """The next epoch of a log at rest, which the watcher trusts too."""
    with contextlib.closing(Engine.open(state, now_ms=ledgers.Clock())) as old:
        root = keyring.load(state, keyring.REGISTRY_KEY)
        origin = epochs.next_origin(old.origin)
        custody.roll_over(old, state, root, origin=origin, note=old.signed(), now_ms=ledgers.Clock())
    with contextlib.closing(Engine.open(state, now_ms=ledgers.Clock())) as new:
        watcher.policy = policy.parse(str(new.trust()["policy"]))
        yield new
    fsck.check(state)


def test_a_log_is_followed_from_one_epoch_to_the_next_without_a_gap(state: Path, watcher: Watcher) -> None:
    with contextlib.closing(ledgers.opened(state)) as old:
        grow(old, 0, 5)
        watcher.round(Face(old), watch=ANCHORS)
        grow(old, 5, 8)  # nobody looks before it ends
        size = old.size
    with rolled_over(state, watcher) as new:
        grow(new, 100, 102)
        found = watcher.round(Face(new), watch=ANCHORS)
        assert [event.kind for event in found] == [
            "checkpoint", "alert", "alert", "alert", "followed", "checkpoint", "alert", "alert", "followed",
        ]  # fmt: skip
        later = [f"2.{new.size - 2}", f"2.{new.size - 1}"]
        assert entries(found) == [f"1.{index}" for index in range(size - 3, size)] + later
        assert watcher.round(Face(new), watch=ANCHORS) == []
    with rolled_over(state, watcher):
        pass
    with rolled_over(state, watcher) as new:  # two epochs later
        found = watcher.round(Face(new))
        assert [event.facts.get("epoch") for event in found if event.kind == "checkpoint"] == [3, 4]
        assert watcher.evidence() == []


def test_a_monitor_that_begins_late_says_which_epochs_it_does_not_read(state: Path, watcher: Watcher) -> None:
    with rolled_over(state, watcher) as new:
        found = watcher.round(Face(new))
        assert [(event.kind, event.facts.get("epochs")) for event in found] == [
            ("gap", 1), ("checkpoint", None), ("followed", None),
        ]  # fmt: skip


@pytest.mark.parametrize("lie", [1, 7])
def test_an_epoch_that_was_said_wrongly_once_does_not_lead_astray_for_ever(
    state: Path, watcher: Watcher, lie: int
) -> None:
    with rolled_over(state, watcher) as new:

        def wrongly(path: str, body: bytes) -> bytes | None:
            if path != "/status":
                return None
            said = json.loads(body)
            assert said["epoch"] == 2
            return json.dumps(said | {"epoch": lie}).encode()

        assert watcher.kinds(Face(new, bend=wrongly))[-1] == "followed"
        grow(new, 0, 2)
        found = watcher.round(Face(new), watch=ANCHORS)
        assert entries(found) == [f"2.{new.size - 2}", f"2.{new.size - 1}"] and found[-1].kind == "followed"


def test_entries_that_are_lost_between_two_epochs_are_noticed(tmp_path: Path, state: Path, watcher: Watcher) -> None:
    with forked(state, tmp_path / "copy") as (one, _):
        grow(one, 100, 105)
        watcher.round(Face(one))
    with rolled_over(tmp_path / "copy", watcher) as new:

        def restored(path: str, _: bytes) -> bytes | None:
            """The ended epoch as it was seen; it is the next one that does not know all of it."""
            return (
                Face(one)(httpx.Request("GET", f"http://x{path[9:]}")).read() if path.startswith("/epochs/1/") else None
            )

        with contextlib.closing(ledgers.opened(state)) as one:
            folder = accused(watcher, Face(new, bend=restored), "prior_other")
            assert sizes(folder) == {"earlier": one.size, "later": new.size}


def test_a_log_that_goes_on_in_an_epoch_that_nobody_trusts_is_not_followed_there(state: Path, watcher: Watcher) -> None:
    with contextlib.closing(ledgers.opened(state)) as old:
        watcher.round(Face(old))
    before = watcher.policy
    with rolled_over(state, watcher) as new:
        watcher.policy = before
        with pytest.raises(VerificationFailed) as unknown:
            watcher.round(Face(new))
        assert unknown.value.code == "log_unknown"
        assert not isinstance(unknown.value, Contradiction)


def test_a_busy_log_is_asked_again_for_a_while_and_followed_on_later(engine: Engine, watcher: Watcher) -> None:
    grow(engine, 0, 300)
    busy = answer
    times = 3

    def bend(path: str, _: bytes) -> httpx.Response | None:
        nonlocal times
        if path != "/entries/1.257/statement" or times == 0:
            return None
        times -= 1
        return busy(429, b"", retry_after="7")

    face = Face(engine, bend=bend)
    assert watcher.kinds(face)[-1] == "followed"
    assert watcher.waited == [7.0] * 3
    grow(engine, 300, 301)
    watcher.waited.clear()
    for retry_after in ("99999", ""):
        never = Face(
            engine,
            bend=lambda path, _, said=retry_after: busy(503, retry_after=said) if path.startswith("/tile/e") else None,  # type: ignore[misc]
        )
        with pytest.raises(Unavailable) as left:
            watcher.round(never)
        assert left.value.exit_code == 5
    assert watcher.waited == [PAUSE_MAX_S] * (TRIES_MAX - 1) + [1.0, 2.0, 4.0, 8.0, 16.0, PAUSE_MAX_S, PAUSE_MAX_S]
    assert watcher.kinds(face) == ["followed"]  # the checkpoint was told before


def test_a_bundle_that_cannot_be_read_to_its_end_is_not_told_of_again_and_again(
    engine: Engine, watcher: Watcher
) -> None:
    grow(engine, 0, 20)
    last = f"/entries/{engine.entry_id(engine.size - 1)}/statement"
    for _ in range(3):
        with pytest.raises(Unavailable):
            watcher.round(Face(engine, bend=lambda path, _: answer(503) if path == last else None), watch=ANCHORS)
    assert [event.kind for event in watcher.told] == ["checkpoint"]
    assert len(entries(watcher.round(Face(engine), watch=ANCHORS))) == 20


def test_a_log_of_tiles_alone_is_followed_by_its_digests(engine: Engine, watcher: Watcher) -> None:
    grow(engine, 0, 10)
    plain = Face(engine, bend=lambda path, _: answer(404) if path == "/status" else None)
    with pytest.raises(Unavailable) as unnamed:
        watcher.round(plain, watch=ANCHORS)
    assert unnamed.value.code == "status_missing"
    found = watcher.round(plain)
    assert [event.kind for event in found] == ["checkpoint", "followed"]
    assert (found[0].facts["epoch"], found[1].facts["statements"]) == (0, 0)
    assert not [path for path in plain.asked if path.startswith("/entries/")]
    assert found[1].facts["unread"] == engine.size
    grow(engine, 10, 13)  # and once it says its epoch, by its statements
    assert entries(watcher.round(Face(engine), watch=ANCHORS)) == [f"1.{engine.size - n}" for n in (3, 2, 1)]


def test_a_log_that_answers_nonsense_could_not_be_checked(engine: Engine, watcher: Watcher) -> None:
    grow(engine, 0, 10)
    for path in ("/tile/entries/", "/status"):
        for body in (b"", b"\x00", b"[]"):

            def bend(asked: str, _: bytes, path: str = path, body: bytes = body) -> bytes | None:
                return body if asked.startswith(path) else None

            with pytest.raises(Unavailable) as wrong:
                watcher.round(Face(engine, bend=bend), watch=ANCHORS)
            assert wrong.value.exit_code == 5
    assert len(entries(watcher.round(Face(engine), watch=ANCHORS))) == 10


def test_every_event_can_be_a_line_of_json(engine: Engine, watcher: Watcher) -> None:
    grow(engine, 0, 2)
    for event in watcher.round(Face(engine, minimum=1), watch=ANCHORS):
        assert json.loads(json.dumps({"event": event.kind, **event.facts}))["event"] == event.kind
        assert event.text.isprintable()
