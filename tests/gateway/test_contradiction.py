"""A ledger that contradicts itself: one alarm that stays until a person sees to it, and evidence that checks without us."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import vigil
from gateway import duties
from gateway.detect.finding import KINDS
from gateway.store.writer import RECORD_FILE, Writer
from gateway.web import page
from ledger.client import AsyncClient
from protocol import conflict, evidence
from protocol.conflict import Conflict, Kind, Seen
from protocol.errors import Unavailable
from tests.support import chain
from tests.support.conflicts import EXAMPLES, NOW_MS, POLICY
from tests.support.gatehouse import House, broken, open_house, rows, until
from tests.support.receiver import receiving
from tests.support.signals import START_MS

FORK, PLACE = EXAMPLES["other_beginning"], EXAMPLES["place_taken"]


class Clock:
    """The gateway's, which a test moves."""

    def __init__(self) -> None:
        self.at_ms = START_MS

    def __call__(self) -> int:
        self.at_ms += 1
        return self.at_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


def seen(found: Conflict, at_ms: int) -> Conflict:
    """The same, seen at another time."""
    earlier, later = Seen(note=found.earlier.note, at_ms=at_ms - 1), Seen(note=found.later.note, at_ms=at_ms)
    return Conflict(earlier=earlier, later=later, path=found.path, taken=found.taken)


async def told(house: House, found: Conflict, kind: Kind) -> None:
    """The lookout reports, and what follows is durable."""
    await house.gateway.duties.contradicted(seen(found, house.now_ms()), kind, chain.ORIGIN)
    house.gateway.intake.soon()
    await until(lambda: house.gateway.committing.free and not house.gateway.intake.batch)


def alerts(house: House) -> list[tuple[Any, ...]]:
    return house.record("SELECT kind, state, cleared_ms IS NULL FROM alert ORDER BY raised_ms")


def run(*words: str) -> tuple[int, dict[str, Any]]:
    """(exit code, the one JSON object) of a command."""
    ran = CliRunner().invoke(vigil.cli, [*words, "--json"])
    found = json.loads(ran.stdout.splitlines()[0])
    assert isinstance(found, dict)
    return ran.exit_code, found


def trust(folder: Path) -> str:
    """The trust file of somebody who knows the log's key."""
    key = POLICY.logs[chain.ORIGIN][0].vkey()
    value = {"v": 1, "policy": f"log {key}\nquorum none\n", "registry_root": chain.ROOT.public.x.hex()}
    evidence.Trust.from_json(json.dumps(value).encode())
    (folder / "trust.json").write_text(json.dumps(value))
    return str(folder / "trust.json")


def play(scene: Coroutine[object, object, None]) -> None:
    asyncio.run(scene)


# -- the alarm -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "kind", "alarm"),
    [(FORK, "other_beginning", "ledger_forked"), (PLACE, "place_taken", "ledger_rolled_back")],
)
def test_it_is_one_alarm_over_restarts_and_ends_with_a_person_only(
    tmp_path: Path, clock: Clock, found: Conflict, kind: Kind, alarm: str
) -> None:
    async def life(*, resolve: bool = False) -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            for _ in range(3):
                await told(house, found, kind)
            assert alerts(house)[-1] == (alarm, "raised", True)
            assert len(house.record("SELECT * FROM contradiction")) == len(alerts(house))
            if resolve:
                (name,) = (alert.id for alert in house.gateway.ward.book.open())
                await house.gateway.desk.commit(house.gateway.ward.book.resolve(name, by="Eve", now_ms=house.now_ms()))

    play(life())
    play(life(resolve=True))
    play(life())
    both = rows(tmp_path / RECORD_FILE, "SELECT kind, state FROM alert ORDER BY raised_ms")
    assert both == [(alarm, "resolved"), (alarm, "raised")], "what still holds is raised again"


def test_a_log_that_contradicted_itself_is_doubted_after_a_restart_too(tmp_path: Path, clock: Clock) -> None:
    async def life(*, doubted: bool) -> None:
        async with open_house(tmp_path, now_ms=clock) as house, AsyncClient("http://ledger.example") as client:
            house.gateway.duties._submitter(client, POLICY)
            lookout = house.gateway.duties._lookout
            assert lookout is not None and lookout.doubted is doubted
            await told(house, FORK, "other_beginning")

    play(life(doubted=False))
    play(life(doubted=True))


def test_the_two_alarms_stand_beside_each_other(tmp_path: Path, clock: Clock) -> None:
    async def scene() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await told(house, PLACE, "place_taken")
            await told(house, FORK, "other_beginning")
            assert [row[0] for row in alerts(house)] == ["ledger_rolled_back", "ledger_forked"]
            house.gateway.duties.gauges()
            exposed = house.gateway.metrics.registry.get_sample_value("vigil_log_contradicted")
            assert exposed == 2

    play(scene())


def test_a_person_is_told_what_to_do_first_and_channels_learn_no_contents(tmp_path: Path) -> None:
    async def scene() -> None:
        async with receiving() as receiver, open_house(tmp_path, duties=True, webhook_first=receiver.url) as house:
            await told(house, FORK, "other_beginning")
            await until(lambda: bool(receiver.taken))
            body = json.loads(receiver.taken[0].body)
            assert body["kind"] == "ledger_forked" and body["device"] == duties.GATEWAY and body["technical"] is True
            for secret in (chain.ORIGIN, FORK.earlier.note, "root", "size"):
                assert secret not in receiver.taken[0].body.decode()
            (shown,) = await house.gateway.desk.alerts(True)
            assert shown["kind"] == "ledger_forked" and shown["priority"] == "medium"

    play(scene())
    for kind in (duties.FORKED, duties.ROLLED_BACK):
        assert KINDS[kind].latching and KINDS[kind].technical and "Tell who runs the gateway today" in page.TODO[kind]


def test_nobody_is_told_of_what_could_not_be_kept(tmp_path: Path) -> None:
    async def scene() -> None:
        async with open_house(tmp_path) as house:
            with broken(house.gateway.writer), pytest.raises(Unavailable, match="store_failing"):
                await told(house, FORK, "other_beginning")
            assert not house.gateway.ward.book.open()
            await told(house, FORK, "other_beginning")
            assert [row[0] for row in alerts(house)] == ["ledger_forked"]

    play(scene())


def test_a_killed_gateway_that_kept_the_evidence_raises_the_alarm_when_it_is_asked_again(tmp_path: Path) -> None:
    async def killed() -> None:
        async with open_house(tmp_path) as house:
            house.gateway.duties._consider = lambda *_, **__: None  # type: ignore[method-assign]
            await told(house, FORK, "other_beginning")

    async def again() -> None:
        async with open_house(tmp_path) as house:
            assert alerts(house) == [] and len(house.record("SELECT * FROM contradiction")) == 1
            await told(house, FORK, "other_beginning")
            assert [row[0] for row in alerts(house)] == ["ledger_forked"]

    play(killed())
    play(again())


# -- the evidence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["other_beginning", "place_taken"])
def test_the_evidence_of_an_alarm_is_written_and_checks_offline(tmp_path: Path, kind: Kind) -> None:
    async def scene() -> None:
        async with open_house(tmp_path / "gateway") as house:
            await told(house, EXAMPLES[kind], kind)

    play(scene())
    state, out = str(tmp_path / "gateway"), str(tmp_path / "conflict.json")
    (alert,) = run("gateway", "alerts", "list", "--state", state)[1]["alerts"]
    for words in ((), ("--alert", alert["id"])):
        code, said = run("gateway", "ledger-evidence", *words, "--out", out, "--state", state)
        assert (code, said["kind"], said["log"]) == (0, kind, chain.ORIGIN)
    code, said = run("verify", out, "--trust", trust(tmp_path))
    assert (code, said["verified"], said["conflict"]) == (0, True, kind)
    assert said["proof"] is (kind != "place_taken") and ("is the word of" in said["says"]) is not said["proof"]
    raw = Path(out).read_bytes()
    changed = raw.replace(EXAMPLES[kind].earlier.note.split("\n")[2][:8].encode(), b"AAAAAAAA")
    assert changed != raw
    Path(out).write_bytes(changed)
    code, said = run("verify", out, "--trust", trust(tmp_path))
    assert (code, said["error"]) == (4, "conflict_note_signature")


def test_there_is_no_evidence_where_nothing_happened(tmp_path: Path) -> None:
    Writer(tmp_path / "gateway").close()
    state, out = str(tmp_path / "gateway"), str(tmp_path / "none.json")
    for words, code in (((), "contradiction_none"), (("--alert", "0" * 32), "alert_unknown")):
        exit_code, said = run("gateway", "ledger-evidence", *words, "--out", out, "--state", state)
        assert (exit_code, said["error"]) == (3, code)
    assert not Path(out).exists()


def test_a_person_resolves_it_from_the_command_line(tmp_path: Path) -> None:
    async def scene() -> None:
        async with open_house(tmp_path / "gateway") as house:
            await told(house, FORK, "other_beginning")

    play(scene())
    state = str(tmp_path / "gateway")
    (alert,) = run("gateway", "alerts", "list", "--open", "--state", state)[1]["alerts"]
    assert run("gateway", "alerts", "resolve", alert["id"], "--by", "Eve", "--state", state)[0] == 0
    assert run("gateway", "alerts", "list", "--open", "--state", state)[1]["alerts"] == []
    code, said = run("gateway", "alerts", "resolve", alert["id"], "--state", state)
    assert (code, said["error"]) == (1, "alert_event_refused")


def test_the_times_in_a_file_are_those_at_which_it_was_seen() -> None:
    verdict = conflict.verify(FORK.encode(), POLICY)
    assert json.loads(FORK.encode())["later"]["at_ms"] == NOW_MS + 1000
    assert conflict.describe(verdict)["says"] == conflict.SAYS["other_beginning"]
