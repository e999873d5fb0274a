"""A gateway remembers what its log was, and tells a log that contradicts itself from anybody who is only on the way to it."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.lookout import LOOK_EVERY_S, Contradicted, Lookout, Sent
from gateway.store import anchors, contradictions, schema
from gateway.store.writer import Writer
from ledger.client import LedgerBusy, Status
from protocol import conflict, growth, keys, merkle, notes, policy, receipt, statement
from protocol.conflict import Conflict, Seen
from protocol.documents import GENESIS, Genesis
from protocol.errors import BadSignature, NotFound, ProtocolError, Unavailable, VigilError
from protocol.notes import Checkpoint
from tests.support.gatehouse import rows

ORIGIN = "log.example/test"
LOG = keys.SigningKey.from_seed(bytes([1]) * 32)
NEXT, NEXT_LOG = "log.example/next", keys.SigningKey.from_seed(bytes([3]) * 32)
STRANGER = keys.SigningKey.from_seed(bytes([2]) * 32)
WITNESSES = {name: keys.SigningKey.from_seed(bytes([20 + place]) * 32) for place, name in enumerate(("a", "b", "c"))}
NOW_MS = 1_700_000_000_000
RAWS = [
    statement.sign(STRANGER, iss="a", sub="b", payload=bytes([number]), content_type="text/plain")
    for number in range(40)
]


def trusted(least: int = 0) -> policy.Policy:
    """The log's key, and how many of three witnesses have to sign."""
    text = f"log {notes.NoteKey(name=ORIGIN, kind=notes.SIGNATURE, key=LOG.public).vkey()}\n"
    text += f"log {notes.NoteKey(name=NEXT, kind=notes.SIGNATURE, key=NEXT_LOG.public).vkey()}\n"
    for name, key in WITNESSES.items():
        text += f"witness {name} {notes.NoteKey(name=name, kind=notes.COSIGNATURE, key=key.public).vkey()}\n"
    return policy.parse(text + (f"group all {least} a b c\nquorum all\n" if least else "quorum none\n"))


@dataclass(slots=True)
class Ledger:
    """Stands where a ledger's client stands: a tree, who signs its checkpoints, and a hand that changes what is on the way."""

    entries: list[int]
    key: keys.SigningKey = LOG
    witnesses: tuple[str, ...] = ()
    flip: bool = False
    busy: bool = False
    old: str = ""
    origin: str = ORIGIN
    ended: "Ledger | None" = None
    first: bytes = b""
    asked: list[str] = field(default_factory=list)

    @property
    def tree(self) -> merkle.Tree:
        raws = [*([self.first] if self.first else []), *(RAWS[number] for number in self.entries)]
        return merkle.Tree([merkle.leaf_hash(statement.entry(raw)) for raw in raws])

    def note(self) -> str:
        """Its newest checkpoint."""
        tree = self.tree
        text = Checkpoint(origin=self.origin, size=tree.size, root=tree.root()).text()
        lines = [notes.sign(text, name=self.origin, key=self.key)]
        lines += [notes.cosign(text, name=name, key=WITNESSES[name], at_s=NOW_MS // 1000) for name in self.witnesses]
        lines.append(notes.sign(text, name="nobody.example", key=STRANGER))
        return notes.Note(text=text, lines=tuple(lines)).whole()

    def receipt(self, index: int) -> bytes:
        """The log's receipt of an entry."""
        tree = self.tree
        return receipt.issue(
            self.key,
            iss=ORIGIN,
            sub=f"1.{index}",
            root=tree.root(),
            size=tree.size,
            index=index,
            path=tree.path(index),
        )

    async def checkpoint(self) -> str:
        self.asked.append("checkpoint")
        return self.old or self.note()

    def of_epoch(self, epoch: int) -> "Ledger":
        """The epoch that ended."""
        assert self.ended is not None and epoch == 1
        return self.ended

    async def status(self) -> Status:
        return Status(origin=self.origin, epoch=2, size=self.tree.size, minimum=0, facts={})

    async def statement(self, entry_id: str) -> bytes:
        assert entry_id == "2.0"
        return self.first

    async def proof(self, index: int, size: int) -> list[bytes]:
        if size > self.tree.size:
            raise LedgerBusy("ledger_busy", "it has no such tiles")
        return self.tree.path(index, size)

    async def consistency(self, size1: int, size2: int) -> list[bytes]:
        if self.busy:
            raise LedgerBusy("ledger_busy")
        path = self.tree.consistency(size1, size2)
        return [bytes(32), *path[1:]] if self.flip else path

    async def nodes(self, wanted: Sequence[merkle.Node], size: int) -> list[bytes]:
        return [bytes(32) if self.flip else self.tree.node(*node) for node in wanted]


@dataclass(slots=True)
class Post:
    """A lookout over a folder, and what it reported."""

    folder: Path
    writer: Writer
    ledger: Ledger
    least: int = 0
    reports: list[tuple[str, Conflict]] = field(default_factory=list)
    fails: bool = False
    lookout: Lookout = field(init=False)

    def __post_init__(self) -> None:
        self.lookout = Lookout(
            writer=self.writer,
            client=self.ledger,  # type: ignore[arg-type]
            policy=trusted(self.least),
            now_ms=lambda: NOW_MS,
            report=self._report,
        )

    async def _report(self, found: Conflict, kind: str, origin: str) -> None:
        if self.fails:
            raise Unavailable("store_failing")
        assert origin == ORIGIN and conflict.verify(found.encode(), trusted()).kind == kind
        self.reports.append((kind, found))

    def look(self, entries: Sequence[int] | None = None) -> str:
        """Look at the ledger; the code of what was wrong, or ""."""
        if entries is not None:
            self.ledger.entries = list(entries)
        try:
            asyncio.run(self.lookout.look())
        except (VigilError, ProtocolError) as error:
            return error.code
        return ""

    def see(self, *sent: Sent) -> str:
        """See the ledger's checkpoint with these answers in hand; the code of what was wrong, or ""."""
        try:
            asyncio.run(self.lookout.see(sent))
        except (VigilError, ProtocolError) as error:
            return error.code
        return ""

    def sent(self, number: int, *, kind: str = "anchor") -> Sent:
        """A statement that the ledger has just put at the end."""
        raw = RAWS[number]
        self.writer.submit(lambda conn: anchors.queue(conn, kind, raw, now_ms=NOW_MS)).result()
        if number not in self.ledger.entries:
            self.ledger.entries.append(number)
        placed = growth.placed(
            trusted(), self.ledger.receipt(self.ledger.entries.index(number)), digest=statement.entry(raw)
        )
        submission = anchors.Submission(digest=placed.digest, kind=kind, statement=raw, made_ms=NOW_MS)
        return Sent(submission=submission, placed=placed)

    def forget(self) -> None:
        """What was seen of any log."""
        self.writer.submit(lambda conn: conn.execute("DELETE FROM head")).result()

    def size(self) -> int:
        """Of the tree that is kept."""
        return int(rows(self.folder / "gateway.db", "SELECT size FROM head")[0][0])


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    """It has seen a log of ten entries."""
    with contextlib.closing(Writer(tmp_path)) as writer:
        found = Post(tmp_path, writer, Ledger(list(range(10))))
        assert found.look() == ""
        yield found


# -- as it should be -----------------------------------------------------------------------------------------------------


def test_a_log_that_grows_is_followed_from_every_size_to_every_other(tmp_path: Path) -> None:
    with contextlib.closing(Writer(tmp_path)) as writer:
        for size1, size2 in itertools.combinations_with_replacement(range(1, 10), 2):
            found = Post(tmp_path, writer, Ledger(list(range(size1))))
            found.forget()
            assert (found.look(), found.look(range(size2)), found.size()) == ("", "", size2)
            assert not found.lookout.doubted and found.lookout.held_ms == NOW_MS


def test_the_checkpoint_is_looked_at_on_time_and_no_oftener(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        monkeypatch.setattr(loop, "time", lambda: now_s)
        post.ledger.asked.clear()
        for _ in range(3):
            await post.lookout.on_time()
        assert len(post.ledger.asked) == 1
        now_s += LOOK_EVERY_S
        post.ledger.key = STRANGER
        with pytest.raises(BadSignature):
            await post.lookout.on_time()
        await post.lookout.on_time()  # a failure keeps nothing waiting until its time comes again
        assert len(post.ledger.asked) == 2

    asyncio.run(scene())


def test_the_next_epoch_of_a_log_is_another_log_and_the_last_one_stays_what_it_was(post: Post) -> None:
    sent = post.sent(30)
    ended = Ledger(list(post.ledger.entries), witnesses=post.ledger.witnesses)
    post.ledger.entries, post.ledger.origin, post.ledger.key, post.ledger.ended = [31], NEXT, NEXT_LOG, ended
    post.ledger.first = RAWS[32]
    assert post.look() == "document_bad", "it does not say what it follows"
    document = Genesis(origin=NEXT, epoch=2, log_key=NEXT_LOG.public.x, registry_root=bytes(32), prior=ended.note())
    post.ledger.first = statement.sign(
        NEXT_LOG, iss=NEXT_LOG.public.urn, sub="genesis", payload=document.encode(), content_type=GENESIS
    )
    assert post.look() == "" and post.reports == [], "a smaller tree of another name is no roll back"
    assert post.see(sent) == "", "what the ended log has answered is settled with its last checkpoint"
    ended.entries = [*range(5), *range(20, 27)]
    assert post.see(sent) == "log_contradicts" and [kind for kind, _ in post.reports] == ["other_beginning"]
    sizes = rows(post.folder / "gateway.db", "SELECT origin, size FROM head ORDER BY origin")
    assert sizes == [(NEXT, 2), (ORIGIN, 10)]


def test_an_epoch_that_grows_on_after_the_next_has_begun_is_not_settled_with(post: Post) -> None:
    """Its witnesses sign it all the same: they do not know that it has ended."""
    ended = Ledger(list(post.ledger.entries))
    document = Genesis(origin=NEXT, epoch=2, log_key=NEXT_LOG.public.x, registry_root=bytes(32), prior=ended.note())
    sent = post.sent(30)
    grown = post.ledger
    post.ledger = Ledger([31], key=NEXT_LOG, origin=NEXT, ended=ended)
    post.ledger.first = statement.sign(
        NEXT_LOG, iss=NEXT_LOG.public.urn, sub="genesis", payload=document.encode(), content_type=GENESIS
    )
    post.lookout._client = post.ledger  # type: ignore[assignment]
    assert post.look() == ""
    post.ledger.ended = grown
    assert post.see(sent) == "epoch_cut_short" and post.reports == []
    post.lookout._client = grown  # type: ignore[assignment]
    assert post.look() == post.see(sent) == "epoch_cut_short", "nor is it shown again as if there were no next one"
    post.lookout._client = Ledger([31, 33], key=NEXT_LOG, origin=NEXT, first=post.ledger.first)  # type: ignore[assignment]
    assert post.look() == ""


# -- a log that contradicts itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [3, 4, 7])
def test_every_other_past_is_reported_whatever_its_size_and_is_never_taken_over(tmp_path: Path, kept: int) -> None:
    with contextlib.closing(Writer(tmp_path)) as writer:
        for common, size in itertools.product(range(kept), range(kept, kept + 7)):
            other = [*range(common), *range(20, 20 + size - common)]
            found = Post(tmp_path, writer, Ledger(list(range(kept))))
            found.forget()
            assert found.look() == ""
            assert found.look(other) == found.look(other) == "log_contradicts"
            assert [kind for kind, _ in found.reports] == 2 * ["two_roots" if size == kept else "other_beginning"]
            assert found.size() == kept and found.lookout.doubted
            assert found.look(range(kept + 1)) == "" and not found.lookout.doubted, "the log that it knows goes on"


def test_the_evidence_holds_both_checkpoints_as_they_were_signed_and_when_they_were_seen(post: Post) -> None:
    known = trusted().kept(post.ledger.note())
    assert post.look([*range(5), *range(20, 30)]) == "log_contradicts"
    ((_, found),) = post.reports
    assert found.earlier == Seen(note=known, at_ms=NOW_MS)
    assert found.later == Seen(note=trusted().kept(post.ledger.note()), at_ms=NOW_MS)
    assert "nobody.example" not in found.later.note, "lines of nobody whom the policy names take no room"


def test_another_past_needs_no_witness_to_be_reported(tmp_path: Path) -> None:
    """Witnesses do not sign two histories: the other one comes without them."""
    with contextlib.closing(Writer(tmp_path)) as writer:
        found = Post(tmp_path, writer, Ledger(list(range(10)), witnesses=("a", "b")), least=2)
        assert found.look() == ""
        found.ledger.witnesses = ()
        assert found.look([*range(5), *range(20, 30)]) == "log_contradicts"
        assert [kind for kind, _ in found.reports] == ["other_beginning"]


def test_a_new_statement_in_an_old_place_shows_that_the_log_was_rolled_back(post: Post) -> None:
    post.ledger.entries = list(range(6))
    sent = post.sent(30)
    assert sent.placed.index == 6
    assert post.see(sent) == "log_contradicts"
    ((kind, found),) = post.reports
    assert kind == "place_taken" and found.taken is not None and found.taken.statement == RAWS[30]
    assert post.size() == 10 and post.lookout.doubted


def test_evidence_that_cannot_be_kept_now_is_found_again(post: Post) -> None:
    post.ledger.entries = list(range(6))
    sent = post.sent(30)
    post.fails = True
    assert post.see(sent) == "store_failing" and not post.lookout.doubted
    post.fails = False
    assert post.see(sent) == "log_contradicts"


# -- what anybody on the way could do ----------------------------------------------------------------------------------------


def test_an_older_checkpoint_is_waited_over(post: Post) -> None:
    old = post.ledger.note()
    assert post.look(range(12)) == ""
    post.ledger.old = old
    assert post.look() == "checkpoint_old"
    assert post.see(post.sent(30)) == "checkpoint_old", "the log itself put it at its end"
    assert (post.reports, post.lookout.doubted, post.size()) == ([], False, 12)


def test_an_older_checkpoint_with_an_older_receipt_is_waited_over(post: Post) -> None:
    """The statement went out before, its answer was kept back, and is shown together with the checkpoint of then."""
    sent = post.sent(30)
    old = post.ledger.note()
    assert post.look([*post.ledger.entries, 31, 32]) == ""
    post.ledger.old = old
    assert post.see(sent) == "checkpoint_old" and post.reports == []


def test_an_admission_that_somebody_else_registered_is_no_sign_of_a_roll_back(post: Post) -> None:
    post.ledger.entries = list(range(10))
    sent = post.sent(4, kind="admission")
    post.ledger.old = Ledger(list(range(9))).note()
    assert post.see(sent) == "checkpoint_old" and post.reports == []


def test_a_refusal_that_somebody_on_the_way_made_is_no_sign_of_a_roll_back(post: Post) -> None:
    """The log has the statement; whoever said otherwise shows its place later, beside a checkpoint of before."""
    old = post.ledger.note()
    sent = post.sent(30)
    digest = sent.submission.digest
    post.writer.submit(lambda conn: anchors.refused(conn, digest, code="subject_wrong", now_ms=NOW_MS)).result()
    assert post.look([*post.ledger.entries, 31, 32]) == ""
    post.writer.submit(anchors.reopen).result()
    post.ledger.old = old
    assert post.see(sent) == "checkpoint_old" and post.reports == []


def test_hashes_that_were_changed_on_the_way_are_waited_over(post: Post) -> None:
    post.ledger.flip = True
    for size in range(11, 18):
        assert post.look(range(size)) == "consistency_bad"
    post.ledger.flip = False
    assert post.look() == "" and post.reports == []
    post.ledger.flip = True
    assert post.look(range(33)) == "consistency_bad", "from a size that is a power of two, too"


def test_a_ledger_that_does_not_answer_is_waited_for(post: Post) -> None:
    post.ledger.busy = True
    assert post.look(range(11)) == "ledger_busy"
    assert post.reports == [] and post.size() == 10


def test_a_checkpoint_that_the_log_did_not_sign_says_nothing(post: Post) -> None:
    post.ledger.key = STRANGER
    for entries in (range(5), [*range(9), 20], [*range(5), *range(20, 30)]):
        assert post.look(entries) == "log_unsigned"
    assert post.reports == [] and post.size() == 10


# -- witnesses ---------------------------------------------------------------------------------------------------------------


def test_a_checkpoint_counts_with_its_quorum_only(tmp_path: Path) -> None:
    with contextlib.closing(Writer(tmp_path)) as writer:
        found = Post(tmp_path, writer, Ledger(list(range(10)), witnesses=("a",)), least=2)
        assert found.look() == "quorum_missed" and rows(tmp_path / "gateway.db", "SELECT * FROM head") == []
        assert found.lookout.held_ms is None
        found.ledger.witnesses = ("a", "c")
        assert found.look() == "" and found.size() == 10
        found.ledger.witnesses = ("b",)
        assert found.look(range(12)) == "quorum_missed" and found.size() == 10


# -- what is kept --------------------------------------------------------------------------------------------------------------


def test_what_was_kept_is_kept_over_a_restart(post: Post) -> None:
    again = Post(post.folder, post.writer, Ledger([*range(5), *range(20, 30)]))
    assert again.look() == "log_contradicts"


def test_the_first_contradictions_stay_and_the_newest_one_is_there(tmp_path: Path) -> None:
    ours, theirs = Ledger(list(range(8))).note(), Ledger(list(range(20, 28))).note()
    with contextlib.closing(schema.opened(tmp_path / "gateway.db", schema.RECORD)) as conn:
        with pytest.raises(NotFound, match="contradiction_none"):
            contradictions.newest(conn)
        for n in range(contradictions.KEPT_MAX + 5):
            seen = Conflict(earlier=Seen(note=ours, at_ms=1), later=Seen(note=theirs, at_ms=100 + n))
            contradictions.keep(conn, seen, kind="two_roots", origin=ORIGIN)
        kept = [row[0] for row in conn.execute("SELECT seen_ms FROM contradiction ORDER BY id")]
        assert kept == [*range(100, 100 + contradictions.KEPT_MAX - 1), 100 + contradictions.KEPT_MAX + 4]
        assert contradictions.newest(conn).seen_ms == kept[-1]
        assert contradictions.newest(conn, seen_ms=101).seen_ms == 101
        with pytest.raises(NotFound):
            contradictions.newest(conn, seen_ms=5)


def test_a_gateway_of_before_takes_no_statement_for_new_that_may_have_been_sent(tmp_path: Path) -> None:
    """Its table does not say which statements are younger than the checkpoint that it keeps."""
    file = tmp_path / "gateway.db"
    with contextlib.closing(schema.opened(file, schema.RECORD)) as conn:
        conn.execute("DROP TABLE contradiction")
        conn.execute("ALTER TABLE head DROP COLUMN at_ms")
        conn.execute("ALTER TABLE submission DROP COLUMN older")
        conn.execute("DELETE FROM _sqlite_migrations WHERE name = 'contradictions'")
        conn.execute("INSERT INTO head (origin, size, root, note) VALUES (?, 10, ?, '')", (ORIGIN, bytes(32)))
        conn.execute(
            "INSERT INTO submission (digest, rank, kind, statement, made_ms) VALUES (?, 2, 'anchor', ?, 1)",
            (statement.entry(RAWS[0]), RAWS[0]),
        )
    with contextlib.closing(schema.opened(file, schema.RECORD)) as conn:
        assert anchors.younger(conn, [statement.entry(RAWS[0])]) == set()
        kept = anchors.head(conn, ORIGIN)
        assert kept is not None and kept.at_ms > NOW_MS
        anchors.queue(conn, "anchor", RAWS[1], now_ms=NOW_MS)
        assert anchors.younger(conn, [statement.entry(raw) for raw in RAWS[:3]]) == {statement.entry(RAWS[1])}


def test_what_waits_is_old_once_a_larger_tree_is_kept_and_not_before(post: Post) -> None:
    digest = statement.entry(RAWS[30])
    post.writer.submit(lambda conn: anchors.queue(conn, "anchor", RAWS[30], now_ms=NOW_MS)).result()

    def young() -> bool:
        return post.writer.submit(lambda conn: anchors.younger(conn, [digest])).result() == {digest}

    assert young() and post.look() == "" and young(), "a tree of the same size cannot have it"
    assert post.look(range(12)) == "" and not young()


@pytest.mark.parametrize("size", [0, (1 << 63) - 1])
def test_a_log_that_signs_nonsense_ends_no_gateway(post: Post, size: int) -> None:
    text = Checkpoint(origin=NEXT, size=size, root=bytes(32)).text()
    for nonsense in (text, text.replace(f"{size}", f"{1 << 63}")):
        lines = (notes.sign(nonsense, name=NEXT, key=NEXT_LOG),)
        post.ledger.old = notes.Note(text=nonsense, lines=lines).whole()
        post.ledger.first = RAWS[31]
        assert post.look() in ("checkpoint_old", "ledger_busy", "checkpoint_bad")
    assert post.size() == 10


def test_nobody_can_be_contradicted_before_anything_is_kept(tmp_path: Path) -> None:
    with contextlib.closing(Writer(tmp_path)) as writer:
        found = Post(tmp_path, writer, Ledger(list(range(5))))
        assert found.see(found.sent(30)) == "" and found.reports == []


def test_the_error_is_one_of_verification() -> None:
    assert Contradicted("log_contradicts").exit_code == 4
