"""The outbox against a log on paper: everything is receipted once, whatever fails, and no lie is believed."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ledger.client import LedgerBusy, Registered
from ledger.party import outbox, store
from ledger.party.outbox import AT_ONCE, BACKOFF_MAX_S, BACKOFF_MIN_S, HELD_UP_AFTER, PASSED_MAX, Outbox
from ledger.party.store import Store
from protocol import conflict, growth, notes, policy, statement
from protocol.errors import Malformed, NotFound, Unavailable, VerificationFailed, VigilError
from protocol.keys import SigningKey
from tests.support import paper
from tests.support.gatehouse import until
from tests.support.paper import Paper

KEY = SigningKey.from_seed(bytes([4]) * 32)
NOW_MS = 1_700_000_000_000


def said(n: int) -> bytes:
    """A statement of this party."""
    return statement.sign(KEY, iss=KEY.public.urn, sub=f"lot {n}", payload=b"%d" % n, content_type="text/plain")


@dataclass
class Post:
    """A store, a log on paper and the outbox between them. now_ms: moves by every pause that the outbox asks for."""

    store: Store
    log: Paper
    outbox: Outbox
    now_ms: int = NOW_MS

    def queue(self, *numbers: int) -> list[bytes]:
        """Statements that wait; their digests."""
        raws = [said(number) for number in numbers]
        for raw in raws:
            self.store.queue(statement.entry(raw), raw, now_ms=self.now_ms)
        return [statement.entry(raw) for raw in raws]

    async def attempt(self) -> float | None:
        """One turn in virtual time."""
        pause_s = await self.outbox.attempt()
        self.now_ms += int((pause_s or 0.0) * 1000)
        return pause_s

    async def drain(self) -> None:
        """Until nothing waits."""
        while await self.attempt() is not None:
            pass

    def states(self) -> dict[str, int]:
        counts = self.store.counts()
        return {"waiting": counts.waiting, "receipted": counts.receipted, **counts.refused}


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    log = Paper()
    with contextlib.closing(Store.open(tmp_path)) as kept:
        made = Post(kept, log, None)
        made.outbox = Outbox(
            store=kept, client=log, policy=paper.trusted(), now_ms=lambda: made.now_ms, rng=random.Random(1)
        )
        yield made


def run(job: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(job)


def test_what_waits_is_receipted_in_order_and_the_receipts_hold(post: Post) -> None:
    digests = post.queue(*range(AT_ONCE * 2 + 1))
    run(post.drain())
    assert post.log.sent == digests
    assert post.states() == {"waiting": 0, "receipted": len(digests)}
    for place, digest in enumerate(digests, 1):
        row = post.store.find(digest)
        found = growth.placed(paper.trusted(), row.receipt, digest=digest)
        assert (row.state, row.index, row.entry_id, found.index) == ("receipted", place, f"1.{place}", place)
    assert post.store.head(paper.ORIGIN).checkpoint.size == len(digests) + 1


def test_the_first_goes_before_what_was_queued_earlier(post: Post) -> None:
    later = post.queue(1, 2)
    admission = said(0)
    post.store.queue(statement.entry(admission), admission, now_ms=NOW_MS, first=True)
    run(post.drain())
    assert post.log.sent == [statement.entry(admission), *later]


def test_a_log_that_is_away_for_a_day_is_asked_again_and_again_with_growing_pauses(post: Post) -> None:
    post.queue(1)
    post.log.away = paper.unreachable()
    pauses: list[float] = []

    async def day() -> None:
        while sum(pauses) < 86_400:
            pauses.append(await post.attempt())
        post.log.away = None
        await post.drain()

    run(day())
    assert min(pauses) >= BACKOFF_MIN_S and max(pauses) <= BACKOFF_MAX_S
    assert max(pauses[:3]) <= BACKOFF_MIN_S * 8 and max(pauses) > BACKOFF_MAX_S * 0.9
    assert len(set(pauses)) > len(pauses) // 2, "pauses are spread"
    assert post.states() == {"waiting": 0, "receipted": 1}
    assert len(post.log.entries) == 2


def test_a_log_that_asks_for_a_pause_gets_it(post: Post) -> None:
    post.queue(1)
    post.log.away = LedgerBusy("ledger_busy", "later", retry_after_s=90.0)
    assert run(post.attempt()) == 90.0


def test_an_answer_that_was_lost_doubles_nothing(post: Post) -> None:
    """The log registered, the party never heard: it sends the same bytes, and the log finds them."""
    (digest,) = post.queue(1)
    right = post.log.register

    async def lost(raw: bytes) -> Registered:
        await right(raw)
        raise paper.unreachable()

    post.log.register = lost
    run(post.attempt())
    assert post.states() == {"waiting": 1, "receipted": 0}
    post.log.register = right
    run(post.drain())
    assert post.log.entries.count(digest) == 1
    assert post.states() == {"waiting": 0, "receipted": 1}


def test_a_crash_before_receipts_are_on_disk_loses_nothing(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.queue(1, 2)

    def full(*_: object) -> None:
        raise Unavailable("store_failing", "disk full")

    with monkeypatch.context() as patched:
        patched.setattr(post.store, "settle", full)
        assert run(post.attempt()) > 0
    assert post.states() == {"waiting": 2, "receipted": 0}
    run(post.drain())
    assert post.states() == {"waiting": 0, "receipted": 2}
    assert len(post.log.entries) == 3


def test_a_refusal_is_kept_with_its_code_and_holds_nothing_up(post: Post) -> None:
    first, second = post.queue(1, 2)
    post.log.refusals[first] = "content_type_not_allowed"
    run(post.drain())
    assert post.states() == {"waiting": 0, "receipted": 1, "content_type_not_allowed": 1}
    assert post.store.find(first).refused == "content_type_not_allowed"
    assert post.store.find(second).state == "receipted"


@pytest.mark.parametrize("error", [LedgerBusy("ledger_busy", "500"), Malformed("ledger_answer", "no receipt")])
def test_a_statement_that_the_log_cannot_judge_holds_up_no_others_for_ever(post: Post, error: VigilError) -> None:
    stuck, *rest = post.queue(*range(AT_ONCE * 2))
    post.log.failing[stuck] = error

    async def story() -> None:
        for _ in range(HELD_UP_AFTER):
            await post.attempt()
        assert post.states() == {"waiting": AT_ONCE * 2, "receipted": 0}, "the order is kept while it may be the log"
        for _ in range(3):
            assert await post.attempt() > 0, "and what cannot be judged is asked for again"

    run(story())
    assert post.states() == {"waiting": 1, "receipted": len(rest)}
    post.log.failing.clear()
    run(post.drain())
    assert post.states() == {"waiting": 0, "receipted": AT_ONCE * 2}


def test_what_is_refused_while_an_earlier_one_is_held_up_waits_for_it(post: Post) -> None:
    """The earlier may be what it lacks: a statement is refused for good in its turn alone."""
    stuck, later = post.queue(1, 2)
    post.log.failing[stuck], post.log.refusals[later] = LedgerBusy("ledger_busy", "500"), "lot_unknown"

    async def story() -> None:
        for _ in range(HELD_UP_AFTER + 3):
            await post.attempt()

    run(story())
    assert later in post.log.sent and post.states() == {"waiting": 2, "receipted": 0}
    post.log.failing.clear()
    post.log.refusals.clear()
    run(post.drain())
    assert post.log.entries[1:] == [stuck, later]


@pytest.mark.parametrize("away", [paper.unreachable(), LedgerBusy("ledger_busy", "503")])
def test_a_log_that_fails_for_long_is_asked_little(post: Post, away: VigilError) -> None:
    post.queue(*range(AT_ONCE))
    asked = 0

    async def fails(_: bytes) -> Registered:
        nonlocal asked
        asked += 1
        raise away

    post.log.register = fails

    async def story() -> None:
        nonlocal asked
        for _ in range(HELD_UP_AFTER * 3):
            asked = 0
            await post.attempt()
            assert asked <= 1 + PASSED_MAX

    run(story())
    assert asked == (1 + PASSED_MAX if isinstance(away, LedgerBusy) else 1)


def test_what_an_epoch_had_that_has_ended_is_receipted_by_its_end(post: Post) -> None:
    """The log registered, the party never heard, and the log began its next epoch, under another name and with another key."""
    old = post.log
    (digest,) = post.queue(1)
    run(old.register(said(1)))
    key = SigningKey.from_seed(bytes([8]) * 32)
    post.log = Paper(key=key, origin="paper.example/2", ended={1: old}, epoch=2)
    both = [(paper.ORIGIN, paper.KEY), (post.log.origin, key)]
    lines = [notes.NoteKey(name=name, kind=notes.SIGNATURE, key=each.public).vkey() for name, each in both]
    post.outbox._client = post.log
    post.outbox._policy = policy.parse("".join(f"log {line}\n" for line in lines) + "quorum none\n")
    (later,) = post.queue(2)
    run(post.drain())
    assert [post.store.find(each).entry_id for each in (digest, later)] == ["1.1", "2.1"]
    assert {head.checkpoint.origin for head in post.store.heads()} == {name for name, _ in both}


def test_a_refused_statement_that_is_queued_again_is_asked_for_again(post: Post) -> None:
    (digest,) = post.queue(1)
    post.log.refusals[digest] = "content_type_not_allowed"
    run(post.drain())
    post.log.refusals.clear()
    run(post.drain())
    assert post.store.find(digest).state == "refused"
    post.queue(1)
    run(post.drain())
    assert post.store.find(digest).state == "receipted"


def test_a_party_that_is_not_admitted_yet_waits(post: Post) -> None:
    (digest,) = post.queue(1)
    post.log.refusals[digest] = "issuer_unknown"
    assert run(post.attempt()) > 0
    assert post.states() == {"waiting": 1, "receipted": 0}
    post.log.refusals.clear()
    run(post.drain())
    assert post.states() == {"waiting": 0, "receipted": 1}


def test_an_admission_by_another_registry_is_refused_and_not_waited_for(post: Post) -> None:
    raw = said(1)
    post.log.refusals[statement.entry(raw)] = "issuer_unknown"
    post.store.queue(statement.entry(raw), raw, now_ms=NOW_MS, first=True)
    run(post.drain())
    assert post.states() == {"waiting": 0, "receipted": 0, "issuer_unknown": 1}


Lie = Callable[[Paper], None]


def _receipt_of_another(log: Paper) -> None:
    right = log.register

    async def wrong(raw: bytes) -> Registered:
        await right(raw)
        log.grow(1)
        return log.receipted(len(log.entries) - 1)

    log.register = wrong


def _receipt_by_another(log: Paper) -> None:
    right = log.register

    async def wrong(raw: bytes) -> Registered:
        return log.receipted((await right(raw)).index, key=SigningKey.from_seed(bytes([8]) * 32))

    log.register = wrong


def _receipt_under_another_name(log: Paper) -> None:
    right = log.register

    async def wrong(raw: bytes) -> Registered:
        return log.receipted((await right(raw)).index, sub="1.0")

    log.register = wrong


def _receipt_of_a_tree_that_is_not_published(log: Paper) -> None:
    """A fork for us alone: the statement is in a tree of which the checkpoint knows nothing."""
    shadow = Paper()
    shadow.grow(3, salt=b"shadow")
    log.grow(8)
    log.register = shadow.register


def _checkpoint_of_another(log: Paper) -> None:
    other = Paper(key=SigningKey.from_seed(bytes([8]) * 32))
    other.grow(9)
    log.checkpoint = other.checkpoint


def _checkpoint_that_is_behind(log: Paper) -> None:
    async def behind() -> str:
        return log.note(1)

    log.checkpoint = behind


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (_receipt_of_another, "signature_bad"),
        (_receipt_by_another, "log_unknown"),
        (_receipt_under_another_name, "entry_other"),
        (_receipt_of_a_tree_that_is_not_published, "consistency_bad"),
        (_checkpoint_of_another, "note_signature"),
        (_checkpoint_that_is_behind, "checkpoint_old"),
    ],
)
def test_a_lie_is_not_believed_and_the_truth_is_taken_when_it_comes(post: Post, lie: Lie, code: str) -> None:
    post.queue(1, 2)
    lie(post.log)
    with pytest.raises(VigilError) as caught:
        run(post.outbox.turn())
    assert caught.value.code in (code, "log_unsigned", "inclusion_bad")
    assert run(post.attempt()) > 0
    assert post.states() == {"waiting": 2, "receipted": 0}
    assert post.store.head(paper.ORIGIN) is None
    honest = Paper()
    post.outbox._client = honest
    run(post.drain())
    assert post.states() == {"waiting": 0, "receipted": 2}


def test_a_log_that_was_set_back_is_believed_in_nothing(post: Post) -> None:
    """Behind what was seen it may be an old answer, and is waited over; when it has grown again, its own tree proves the fork."""
    post.log.grow(6)
    post.queue(1)
    run(post.drain())
    post.log.entries = post.log.entries[:4]
    post.queue(2)
    for _ in range(3):
        assert run(post.attempt()) > 0
        assert post.states() == {"waiting": 1, "receipted": 1}
    assert post.store.conflicts() == []
    post.log.grow(10, salt=b"other")
    with pytest.raises(VerificationFailed, match="log_contradicts_itself"):
        run(post.outbox.turn())
    assert post.states() == {"waiting": 1, "receipted": 1}
    (file,) = post.store.conflicts()
    found = conflict.verify(file, paper.trusted())
    assert (found.kind, found.proof, found.earlier.size) == ("other_beginning", True, 8)


@pytest.mark.parametrize("size", range(2, 10))
def test_a_fork_is_proved_whatever_size_was_seen_before(post: Post, size: int) -> None:
    """Also sizes that are powers of two, whose root is a node of its own."""
    post.log.grow(size - 2)
    post.queue(1)
    run(post.drain())
    assert post.store.head(paper.ORIGIN).checkpoint.size == size
    fork = Paper()
    fork.grow(size + 3, salt=b"fork")
    post.outbox._client = fork
    post.queue(2)
    run(post.attempt())
    (file,) = post.store.conflicts()
    assert conflict.verify(file, paper.trusted()).kind == "other_beginning"


def test_two_trees_of_one_size_are_proved_and_kept_once(post: Post) -> None:
    post.log.grow(3)
    post.queue(1)
    run(post.drain())
    fork = Paper()
    fork.grow(3, salt=b"fork")
    post.outbox._client = fork
    post.queue(2)
    for _ in range(4):
        run(post.attempt())
        post.now_ms += 1
    (file,) = post.store.conflicts()
    assert conflict.verify(file, paper.trusted()).kind == "two_roots"
    assert post.states() == {"waiting": 1, "receipted": 1}


def test_a_bent_path_is_refused_and_accuses_nobody(post: Post) -> None:
    post.queue(1)
    run(post.drain())
    post.log.grow(5)

    right = post.log.beginning

    async def bent(size1: int, size2: int) -> list[bytes]:
        return [bytes(32) for _ in await right(size1, size2)]

    post.log.beginning = bent
    post.queue(2)
    with pytest.raises(VerificationFailed, match="consistency_bad"):
        run(post.outbox.turn())
    assert post.store.conflicts() == []


def test_the_evidence_that_is_kept_is_bounded(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CONFLICTS_MAX", 2)
    post.log.grow(3)
    post.queue(1)
    run(post.drain())
    post.queue(2)
    for number in range(4):
        fork = Paper()
        fork.grow(5, salt=b"fork %d" % number)
        post.outbox._client = fork
        run(post.attempt())
    assert len(post.store.conflicts()) == 2


def test_it_sleeps_until_something_is_queued_and_then_sends_at_once(post: Post) -> None:
    turns = 0
    turn = post.outbox.turn

    async def counted() -> int:
        nonlocal turns
        turns += 1
        return await turn()

    post.outbox.turn = counted

    async def story() -> None:
        task = asyncio.create_task(post.outbox.run())
        await until(lambda: turns == 1)
        (digest,) = post.queue(1)
        await asyncio.sleep(0.05)
        assert turns == 1, "nobody told it"
        post.outbox.wake()
        await until(lambda: post.store.find(digest).state == "receipted")
        await until(lambda: turns == 3)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    run(story())


def test_a_failure_that_lasts_is_said_once_and_its_end_too(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    post.queue(1)
    post.log.away = paper.unreachable()

    async def story() -> None:
        for _ in range(5):
            await post.attempt()
        post.log.away = None
        await post.drain()

    run(story())
    lines = [record.message for record in caplog.records if record.name == outbox.__name__]
    assert len(lines) == 2 and "ledger_unreachable" in lines[0] and "after 5 failed tries" in lines[1]


def test_an_outbox_that_is_full_refuses_new_statements_and_keeps_the_old(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "WAITING_MAX", 2)
    post.queue(1, 2)
    with pytest.raises(Unavailable, match="outbox_full"):
        post.queue(3)
    post.queue(1)  # the same again is no new one
    with pytest.raises(NotFound):
        post.store.find(statement.entry(said(3)))
    run(post.drain())
    post.queue(3)
    run(post.drain())
    assert post.states() == {"waiting": 0, "receipted": 3}
