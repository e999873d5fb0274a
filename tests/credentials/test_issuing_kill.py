"""An issuer that is killed at each of its durable steps, one after the other: what it handed out is there, and the log takes all
that it says."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ledger.credentials import types
from ledger.credentials.issuing import Issuer
from ledger.credentials.issuing.store import STOLEN
from ledger.credentials.vc import secured, status
from ledger.credentials.verdict import Facts
from ledger.party.store import Store as Outbox
from protocol import statement
from tests.support import killing, registrants
from tests.support.vouching import HOLDER, LICENCE, World

STEPS_MAX = 600  # far above what the work below takes; reaching it would mean that it never ends
TOLD = "told.jsonl"  # what the issuer let out before it died, one JSON object a line
WEB = "did:web:board.example"
PARTY = registrants.key(200)
STATES = {"valid": {}, "suspended": {"suspension": "suspended"}, "revoked": {"revocation": "revoked"}}


@contextlib.contextmanager
def opened(folder: Path, seed: int) -> Any:
    """The issuer in a folder, whose statements wait in its party's outbox."""
    outbox = Outbox.open(folder)

    def say(document: bytes, content_type: str, sub: str) -> bytes:
        raw = statement.sign(PARTY, iss=PARTY.public.urn, sub=sub, payload=document, content_type=content_type)
        outbox.queue(statement.entry(raw), raw, now_ms=registrants.NOW_MS)
        return statement.entry(raw)

    with contextlib.closing(outbox):
        issuer = Issuer.open(
            folder,
            say=say,
            base=lambda: "https://board.example/credentials",
            log=registrants.ORIGIN,
            party=PARTY.public.thumbprint,
            now_ms=lambda: registrants.NOW_MS,
            random_bytes=Random(seed).randbytes,
            web=WEB,
            answer=lambda digest: outbox.find(digest).state,
        )
        with contextlib.closing(issuer):
            yield issuer, outbox


def work(folder: Path, tell: Callable[[dict[str, str]], None], seed: int = 1) -> None:
    """Two licences, a suspension, a new key, a renewal, a theft, and lists in between."""
    draft = types.draft("StateLicence", LICENCE)
    with opened(folder, seed) as (issuer, _):
        issuer.begin()
        first, second = (issuer.issue(draft, holder=HOLDER.public, format=form) for form in secured.FORMATS[:2])
        tell({"id": first.id.hex(), "raw": first.raw.hex()})
        tell({"id": second.id.hex(), "raw": second.raw.hex()})
        issuer.publish()
        issuer.change(first.id, "suspend", reason="x")
        tell({"id": first.id.hex(), "state": "suspended"})
        issuer.rotate()
        renewed = issuer.refresh(second.id)
        tell({"id": second.id.hex(), "state": "revoked"})
        tell({"id": renewed.id.hex(), "raw": renewed.raw.hex()})
        issuer.stolen(since=(1, 0))
        issuer.publish()


def killed_at(step: int, folder: Path) -> bool:
    """Does the work in a process that kills itself before its durable step number `step`. Whether it did."""

    def telling() -> None:
        with (folder.parent / TOLD).open("a") as told:
            work(folder, lambda said: print(json.dumps(said), file=told, flush=True))

    return killing.killed_at(step, telling)


def check_what_was_told(folder: Path, world: World) -> None:
    """Takes the issuer up after the kill; the log takes all that waits, and a verifier finds all as it was told."""
    path = folder.parent / TOLD
    told = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    with opened(folder, 2) as (issuer, outbox):
        issuer.begin()
        made = issuer.issue(types.draft("StateLicence", LICENCE), holder=HOLDER.public)
        issuer.publish(again=True)
        for waiting in outbox.waiting(most=1000):
            world.log.add(waiting.statement)  # raises what the log refuses
        assert not issuer._store.unsaid()
        ended = {each.thumbprint for each in issuer._store.issuer_keys() if each.ended == STOLEN}
        rows = {row.id.hex(): row for row in issuer.issued()}
        assert len({row.place for row in rows.values()}) == len(rows)
        for one in told:
            row = rows[one["id"]]
            assert row.raw.hex() == one.get("raw", row.raw.hex()) and row.state == one.get("state", row.state)
        facts = read_up(world, issuer)
        world.facts = facts
        assert world.bad(made.raw) == {}
        for row in rows.values():
            stolen = {"issuer": "key_compromised"} if row.key in ended else {}
            assert world.bad(row.raw) == {**stolen, **STATES[row.state]}


def read_up(world: World, issuer: Issuer) -> Facts:
    """What a verifier knows after the whole log, with the newest lists."""
    facts = world.follow()
    for name, version in facts.newest().items():
        raw = issuer.status_list(name, digest=version.digest)
        found = secured.read(raw)
        facts.hold(raw, status.read_list(found.claims), method=found.method)
    return facts


@pytest.mark.faults
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the issuer is killed in a process of its own")
def test_a_kill_before_each_durable_step_loses_and_doubles_nothing(tmp_path: Path) -> None:
    for step in range(STEPS_MAX):
        folder = tmp_path / str(step) / "board"
        folder.mkdir(parents=True)
        dead = killed_at(step, folder)
        world = World(tmp_path)
        world.log.admit(PARTY, "institution", "board")
        world.accredit(PARTY, WEB)
        check_what_was_told(folder, world)
        if not dead:
            break
    assert not dead and step > 100
