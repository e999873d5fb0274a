"""A party changes its key: the new one is on disk before the log hears of it, and signs once the log has receipted it."""

import asyncio
import contextlib
import json
import random
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import vigil
from ledger import files, keyfile
from ledger.log.engine import Engine
from ledger.party import node, rotation
from ledger.party.outbox import Outbox
from ledger.party.peer import PeerRefused
from ledger.party.rotation import Rotation
from ledger.party.store import Store
from ledger.questions import PartyOf
from protocol import statement
from protocol.documents import PartyKey
from protocol.errors import Unavailable
from protocol.keys import PublicKey, SigningKey
from tests.support import ledgers, paper, parties
from tests.support.gatehouse import until
from tests.support.paper import Paper
from tests.support.parties import Standing

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000


def party_command(command: str, state: Path, *words: str) -> Result:
    """A command of the party in this process."""
    cleared = {"VIGIL_STATE": None, "VIGIL_CONFIG": None}
    return CliRunner().invoke(vigil.cli, ["party", command, "--state", str(state), *words], env=cleared)


def rotated(state: Path, *words: str) -> Result:
    """`vigil party rotate`, and the object that it prints."""
    return party_command("rotate", state, *words, "--json")


def begun(folder: Path, key: SigningKey, store: Store) -> Rotation:
    """The next key, declared for the log on paper."""
    return rotation.begin(folder, key, store, log=paper.ORIGIN, until_ms=NOW_MS + DAY_MS, now_ms=NOW_MS)


def drained(store: Store, log: Paper) -> None:
    """All that waits is with the log on paper."""
    outbox = Outbox(store=store, client=log, policy=paper.trusted(), now_ms=lambda: NOW_MS, rng=random.Random(1))
    while asyncio.run(outbox.attempt()) is not None:
        pass


def declared(store: Store, log: Paper) -> list[PartyKey]:
    """What the log on paper was told of keys, in order."""
    found = [statement.parse(store.find(digest).statement) for digest in log.entries[1:]]
    return [PartyKey.decode(each.payload) for each in found]


@contextlib.asynccontextmanager
async def running(tmp_path: Path, url: str) -> Any:
    """The party in tmp_path, as its settings stay the same all along."""
    with parties.folder(tmp_path / "party") as (key, store):
        chosen = {"ledger_url": url, "trust": str(tmp_path / "trust.json"), "admission": str(tmp_path / "admission")}
        async with parties.standing(tmp_path / "party", key=key, store=store, **chosen) as party:
            yield party


async def receipted(party: Standing, document: bytes, by: SigningKey) -> PublicKey:
    """A document of `by`, once the log has it; whose key the party signed it with."""
    digest = await party.queue(document, by=by)
    await until(lambda: party.store.find(digest).state == "receipted")
    found = statement.parse(party.store.find(digest).statement)
    (about,) = [(await party.client.get("/.well-known/vigil-party")).json()]
    assert bytes.fromhex(about["thumbprint"]) == found.kid
    return PublicKey(bytes.fromhex(about["key"]))


def on_a_ledger(tmp_path: Path, told: Callable[[Engine, str], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine with a ledger that takes what the party in tmp_path says, once the admission there is registered."""

    async def story() -> None:
        parties.open_to_parties(tmp_path / "ledger")
        with ledgers.checked(tmp_path / "ledger", ledgers.Clock(parties.now_ms())) as engine:
            parties.trust(engine, tmp_path / "trust.json")
            with parties.folder(tmp_path / "party") as (key, _):
                parties.admission(tmp_path / "ledger", key, tmp_path / "admission")
            async with parties.ledger(engine, tmp_path / "ledger") as url:
                await told(engine, url)

    asyncio.run(story())


def test_the_next_key_takes_over_when_the_log_has_receipted_it_and_the_party_keeps_its_name(tmp_path: Path) -> None:
    state = tmp_path / "party"

    async def told(engine: Engine, url: str) -> None:
        async with running(tmp_path, url) as party:
            old = party.key
            assert await receipted(party, b"1", old) == old.public
        result = rotated(state)
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        assert node.load_key(state).public == old.public, "nobody has receipted it yet"
        assert party_command("status", state, "--json").stdout.count(said["key"]) == 1
        assert f"next public key {said['key']}" in party_command("status", state).stdout
        async with running(tmp_path, url) as party:
            digest = bytes.fromhex(said["statement"])
            await until(lambda: party.store.find(digest).state == "receipted")
            await until(lambda: node.load_key(state).public.x.hex() == said["key"])
            new = node.load_key(state)
            assert await receipted(party, b"2", new) == new.public
            async with party.called_by(old) as peer:
                with pytest.raises(PeerRefused, match="signature_key_unknown"):
                    await peer.whoami()
        async with running(tmp_path, url) as party:  # with the admission of its first key
            assert party.key.public == new.public and await receipted(party, b"3", new) == new.public
        for key in (old, new):
            found = engine.look(
                lambda view, key=key: engine.contracts.ask(view, PartyOf(key=key.public.thumbprint), parties.now_ms())
            )
            assert found.thumbprint == old.public.thumbprint
        assert rotation.name_of(state, new.public) == old.public.thumbprint
        again = json.loads(rotated(state).stdout)
        async with running(tmp_path, url) as party:  # two keys at a time are enough: the log refuses a third
            digest = bytes.fromhex(again["statement"])
            await until(lambda: party.store.find(digest).refused == "overlap_running")
            assert await receipted(party, b"4", new) == new.public

    on_a_ledger(tmp_path, told)


def test_the_next_key_is_on_disk_for_its_owner_alone_before_its_declaration_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with parties.folder(tmp_path) as (key, store):
        queue, seen = store.queue, []

        def watched(digest: bytes, raw: bytes, **more: Any) -> None:
            document = PartyKey.decode(statement.parse(raw).payload)
            following = SigningKey.from_pem((tmp_path / rotation.NEXT).read_text())
            seen.append(following.public.x == document.key and statement.parse(raw).kid == key.public.thumbprint)
            assert stat.S_IMODE((tmp_path / rotation.NEXT).stat().st_mode) == 0o600
            queue(digest, raw, **more)

        monkeypatch.setattr(store, "queue", watched)
        found = begun(tmp_path, key, store)
        assert seen == [True] and found.document.party == key.public.thumbprint
        found.document.check_proof()


STEPS: dict[str, tuple[object, str]] = {
    "next.key": (keyfile, "make"),
    "rotation.cose": (files, "write"),
    "queue": (Store, "queue"),
    "receipt": (Store, "settle"),
    "party.key": (rotation, "_put_in_place"),
}


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_stop_at_any_step_loses_no_key_and_the_next_try_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, persisted: bool
) -> None:
    class Stopped(BaseException):
        """As a kill: nobody catches it."""

    log = Paper()
    with parties.folder(tmp_path) as (first, _):
        pass
    place, name = STEPS[step]
    right: Callable[..., Any] = getattr(place, name)

    def stops(*words: Any, **more: Any) -> None:
        if name == "make" and words[0].name != rotation.NEXT:
            right(*words, **more)
            return
        if persisted:
            right(*words, **more)
        raise Stopped

    def tried() -> None:
        with parties.folder(tmp_path) as (key, store):
            if key.public == first.public:
                begun(tmp_path, key, store)
                drained(store, log)
        with parties.folder(tmp_path):  # a restart
            pass

    with monkeypatch.context() as patched:
        patched.setattr(place, name, stops)
        with pytest.raises(Stopped):
            tried()
    tried()
    with parties.folder(tmp_path) as (key, store):
        assert key.public != first.public and not (tmp_path / rotation.NEXT).exists()
        (said,) = declared(store, log)
        assert said.key == key.public.x and said.party == first.public.thumbprint == rotation.name_of(
            tmp_path, key.public
        )
        assert store.counts().waiting == 0


def test_a_declaration_that_waits_stays_and_one_that_was_refused_is_made_anew_for_the_same_key(tmp_path: Path) -> None:
    log = Paper()
    with parties.folder(tmp_path) as (key, store):
        one = begun(tmp_path, key, store)
        assert begun(tmp_path, key, store) == one
        log.refusals[one.digest] = "log_other"
        drained(store, log)
        two = rotation.begin(tmp_path, key, store, log=paper.ORIGIN, until_ms=NOW_MS + 2 * DAY_MS, now_ms=NOW_MS)
        assert two.digest != one.digest and two.document.key == one.document.key
        drained(store, log)
    with parties.folder(tmp_path) as (key, _):
        assert key.public.x == two.document.key


def test_a_second_change_is_made_in_the_partys_first_name(tmp_path: Path) -> None:
    log = Paper()
    with parties.folder(tmp_path) as (first, store):
        begun(tmp_path, first, store)
        drained(store, log)
    with parties.folder(tmp_path) as (second, store):
        begun(tmp_path, second, store)
        drained(store, log)
    with parties.folder(tmp_path) as (third, store):
        assert [each.party for each in declared(store, log)] == [first.public.thumbprint] * 2
        assert len({key.public for key in (first, second, third)}) == 3


def test_a_next_key_that_is_gone_when_the_log_has_it_stops_the_party(tmp_path: Path) -> None:
    log = Paper()
    with parties.folder(tmp_path) as (key, store):
        begun(tmp_path, key, store)
        drained(store, log)
    keyfile.put(tmp_path / rotation.NEXT, parties.STRANGER.pem())
    with pytest.raises(Unavailable, match="key_unreadable"), parties.folder(tmp_path):
        pass
    (tmp_path / rotation.NEXT).unlink()
    result = rotated(tmp_path)
    assert result.exit_code == 3 and "[key_missing]" in result.stderr
    assert node.load_key(tmp_path).public == key.public


def test_a_party_whose_next_key_goes_while_it_runs_stays_up_and_signs_with_the_old_one(tmp_path: Path) -> None:
    async def told(url: str) -> None:
        async with running(tmp_path, url) as party:
            old = party.key
            await receipted(party, b"1", old)
        said = json.loads(rotated(tmp_path / "party").stdout)
        (tmp_path / "party" / rotation.NEXT).unlink()
        async with running(tmp_path, url) as party:
            await until(lambda: party.store.find(bytes.fromhex(said["statement"])).state == "receipted")
            assert await receipted(party, b"2", old) == old.public

    on_a_ledger(tmp_path, lambda _, url: told(url))


def test_rotate_needs_a_party_that_is_there_at_rest_and_admitted(tmp_path: Path) -> None:
    result = rotated(tmp_path / "nowhere")
    assert result.exit_code == 3 and "[key_missing]" in result.stderr and not (tmp_path / "nowhere").exists()
    with parties.folder(tmp_path):
        result = rotated(tmp_path)
        assert result.exit_code == 2 and "[state_in_use]" in result.stderr
    result = rotated(tmp_path)
    assert result.exit_code == 2 and "[party_not_admitted]" in result.stderr
    assert not (tmp_path / rotation.NEXT).exists()
    assert rotated(tmp_path, "--overlap-days", "366").exit_code == 2
