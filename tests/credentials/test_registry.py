"""Reading the ledger: what is believed, what is refused, what a stop leaves; and verdicts over what was read."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.client import AsyncClient, ContractEntries
from ledger.credentials import model, types
from ledger.credentials.model import Listing
from ledger.credentials.registry import Follower, Registry, following
from ledger.credentials.registry.store import FILE, Store
from ledger.credentials.vc import secured
from ledger.credentials.verdict import Ages, steps
from ledger.credentials.verifying import Answer
from ledger.monitor.edge import Edge
from ledger.signing import Signed
from protocol import documents, receipt, statement
from protocol.documents import Revocation
from protocol.errors import Malformed, NotFound, Unavailable, VerificationFailed, VigilError
from protocol.evidence import Trust
from tests.support import registrants
from tests.support.reading import BOARD, CLINIC, Town, town
from tests.support.registrants import DAY_MS
from tests.support.vouching import HOLDER, LICENCE

NEXT = registrants.key(62)


def bad(answer: Answer) -> dict[str, str]:
    """The steps that did not pass, but for the holder's, who is not asked here."""
    (one,) = answer.judged
    left = [each for each in one.verdict.steps if each.outcome != steps.PASS and each.name != "holder"]
    return {each.name: each.code for each in left}


def read(found: Town, registry: Registry, **changed: Any) -> None:
    asyncio.run(found.read(registry, **changed))


@pytest.mark.parametrize("form", secured.FORMATS)
def test_what_was_read_of_a_ledger_and_its_lists_is_enough_for_a_verdict(tmp_path: Path, form: str) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        made = found.licence(format=form)
        read(found, registry)
        verifier = found.verifier(registry)
        assert bad(verifier.check(made.raw)) == {}
        assert len(found.asked) == 2
        other = found.licence(format=form)
        read(found, registry)
        assert bad(verifier.check(other.raw)) == {}
        assert len(found.asked) == 2, "no list is fetched for a credential"


def test_a_revocation_is_known_with_the_next_reading_and_its_list_is_fetched_once(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        made = found.licence()
        read(found, registry)
        lists = found.lists(registry)
        online, offline = found.verifier(registry, lists), found.verifier(registry, prepare=lambda *_: None)
        assert bad(online.check(made.raw)) == {}
        day = found.clock.at_ms
        found.clock.at_ms += DAY_MS // 2
        found.change(made, "revoke")
        read(found, registry)
        stale = {"revocation": "status_stale", "suspension": "status_stale"}
        assert bad(offline.check(made.raw)) == stale and len(registry.behind()) == 2
        assert lists.refresh() == 2 and registry.behind() == [] and lists.refresh() == 0
        assert bad(offline.check(made.raw)) == {"revocation": "revoked"}
        assert bad(offline.check(made.raw, at_ms=day)) == {}, "the list of then is kept"
        assert len(found.asked) == 4


def test_a_list_of_a_day_is_fetched_by_who_was_not_there(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        made = found.licence()
        day = found.clock.at_ms
        found.clock.at_ms += DAY_MS // 2
        found.change(made, "revoke")
        read(found, registry)
        verifier = found.verifier(registry)
        assert bad(verifier.check(made.raw)) == {"revocation": "revoked"}
        assert bad(verifier.check(made.raw, at_ms=day)) == {}
        assert sum("?timestamp=" in each for each in found.asked) == 2


def test_a_copy_answers_without_a_network_and_says_how_old_it_is(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        made = found.licence()
        read(found, registry)
        assert bad(found.verifier(registry).check(made.raw)) == {}
        registry.pack(tmp_path / "pack.db")
        with pytest.raises(Unavailable, match="out_exists"):
            registry.pack(tmp_path / "pack.db")
        for path in (tmp_path / "pack.db", tmp_path / "clinic"):
            laptop = Registry.reader(path)
            found.clock.at_ms += DAY_MS // 2
            verifier = found.verifier(laptop, prepare=lambda *_: None)
            assert bad(verifier.check(made.raw)) == {}
            age_ms = found.clock.at_ms - laptop.as_of_ms
            assert verifier.check(made.raw).judged[0].verdict.step("logged").age_ms == age_ms
            found.clock.at_ms += DAY_MS
            assert bad(verifier.check(made.raw))["logged"] == "facts_old"
            later = found.verifier(laptop, prepare=lambda *_: None, ages=Ages(facts_ms=3 * DAY_MS))
            assert bad(later.check(made.raw)) == {}
            laptop.close()
            found.clock.at_ms -= 3 * DAY_MS // 2
        copied = Registry.reader(tmp_path / "pack.db")
        copied.pack(tmp_path / "again.db")
        copied.close()
        with pytest.raises(NotFound, match="registry_missing"):
            Registry.reader(tmp_path / "nothing")
        (tmp_path / "other.db").write_bytes(b"not ours" * 1000)
        with pytest.raises(Unavailable, match="state_unreadable"):
            Registry.reader(tmp_path / "other.db")


def test_a_commitment_that_is_brought_along_counts_where_the_copy_is_older(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        early = found.licence()
        read(found, registry)
        assert bad(found.verifier(registry).check(early.raw)) == {}
        registry.pack(tmp_path / "pack.db")
        late = found.issuer.issue(types.draft("StateLicence", LICENCE), holder=HOLDER.public)
        index = found.engine.size - 1

        def brought(index: int) -> bytes:
            raw = found.engine.statement(index)
            assert statement.parse(raw).content_type == model.CREDENTIAL
            return receipt.attach(raw, [found.engine.receipt(index)])

        with contextlib.closing(Registry.reader(tmp_path / "pack.db")) as laptop:
            policy = found.trust().policy
            verifier = found.verifier(laptop, prepare=lambda *_: None, policy=policy)
            assert bad(verifier.check(late.raw))["logged"] == "not_logged"
            found.clock.at_ms += 1000
            answer = verifier.check(late.raw, brought=[brought(index)])
            assert bad(answer) == {} and answer.judged[0].verdict.step("accredited").age_ms == 1000
            forged = found.issuer.issue(types.draft("StateLicence", LICENCE), holder=HOLDER.public)
            assert bad(verifier.check(forged.raw, brought=[brought(index)]))["logged"] == "not_logged"
            other = found.verifier(laptop, prepare=lambda *_: None)
            assert bad(other.check(late.raw, brought=[brought(index)]))["logged"] == "not_logged", "nobody is trusted"
            whole = brought(index)
            for at in range(0, len(whole), 7):
                changed = bytearray(whole)
                changed[at] ^= 1
                with contextlib.suppress(VigilError):
                    answer = verifier.check(late.raw, brought=[bytes(changed)])
                    assert bad(answer)["logged"] == "not_logged"
            with pytest.raises(Malformed, match="brought_many"):
                verifier.check(late.raw, brought=[whole] * 65)
            key = receipt.attach(found.engine.statement(5), [found.engine.receipt(5)])
            with pytest.raises(Malformed, match="brought_other"):
                verifier.check(late.raw, brought=[key])


def test_a_registry_that_is_thrown_away_is_built_again_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with town(tmp_path) as found, found.registry() as registry, found.registry("other") as other:
        made = found.licence()
        read(found, registry)
        found.change(made, "suspend")
        found.issuer.rotate()
        found.licence()
        read(found, registry)
        whole = registry.dump()
        monkeypatch.setattr(following, "CHUNK", 3)
        read(found, other)
        assert other.dump() == whole
        registry.forget()
        assert registry.dump() != whole
        read(found, registry)
        assert registry.dump() == whole
        assert bad(found.verifier(registry).check(made.raw)) == {"suspension": "suspended"}


class Stopped(BaseException):
    """The process ends here."""


STEPS: dict[str, tuple[type, str]] = {
    "judged": (Store, "add_said"),
    "epoch": (Store, "begin_epoch"),
    "followed": (Store, "follow"),
    "taken": (Registry, "take"),
    "next": (Registry, "begin_next"),
    "carried": (Store, "carry"),
    "seen": (Registry, "seen"),
}


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_stop_at_any_step_is_read_on_from(
    tmp_path: Path, step: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "CHUNK", 4)
    kind, name = STEPS[step]
    kept = getattr(kind, name)
    with town(tmp_path) as found:
        made = found.licence()
        found.roll_over()
        again = found.licence()
        stops = 0
        while True:
            count = stops + 1

            def stopping(*values: Any, **named: Any) -> Any:
                nonlocal count
                count -= 1
                if count == 0 and when == "before":
                    raise Stopped
                came = kept(*values, **named)
                if count == 0:
                    raise Stopped
                return came

            with found.registry(f"r{stops}") as registry, pytest.MonkeyPatch.context() as patch:
                patch.setattr(kind, name, stopping)
                with contextlib.suppress(Stopped):
                    read(found, registry)
                ended = count > 0  # it came to the end without this step being reached so often
            with found.registry(f"r{stops}") as registry:
                read(found, registry)
                whole = registry.dump()
                assert bad(found.verifier(registry).check(made.raw)) == {}
                assert bad(found.verifier(registry).check(again.raw)) == {}
            if ended:
                assert stops > 0, "the step was never reached"
                break
            stops += 1
        for n in range(stops):
            with found.registry(f"r{n}") as registry:
                assert registry.dump() == whole


def test_what_was_logged_in_an_epoch_that_ended_counts_in_the_next(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry() as registry, found.registry("late") as late:
        made = found.licence()
        read(found, registry)
        found.roll_over()
        again = found.licence()
        found.change(made, "suspend")
        read(found, registry)
        read(found, late)
        assert late.dump() == registry.dump() and registry.followed.epoch == 2
        for each in (registry, late):
            assert bad(found.verifier(each).check(again.raw)) == {}
            assert bad(found.verifier(each).check(made.raw)) == {"suspension": "suspended"}


def revoke(found: Town, *, key: bytes | None = None, index: int | None = None) -> None:
    """The root's word that the board, or a key of it, counts no more: from an entry on, or from now on."""
    party = BOARD.public.thumbprint
    place = found.engine.size if index is None else index
    document = Revocation(log=found.engine.origin, party=party, key=key, epoch=found.engine.epoch, index=place)
    found.say(found.root, document.encode(), documents.REVOCATION, documents.registry_subject(party))


def test_an_institution_that_was_revoked_is_believed_about_nothing_from_then_on(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        made = found.licence()
        day = found.clock.at_ms
        found.clock.at_ms += DAY_MS // 2
        since = found.engine.size
        late = found.licence()
        found.clock.at_ms += 1000
        revoke(found, index=since)
        read(found, registry)
        verifier = found.verifier(registry)
        assert bad(verifier.check(made.raw))["accredited"] == "issuer_revoked"
        assert bad(verifier.check(late.raw))["logged"] == "signer_revoked"
        assert bad(verifier.check(made.raw, at_ms=day)) == {}, "then it was one"
        assert bad(verifier.check(late.raw, at_ms=day + DAY_MS // 2))["logged"] == "signer_revoked", "it never counted"
        with found.registry("clinic") as again:
            assert bad(found.verifier(again).check(late.raw))["logged"] == "signer_revoked"


def test_what_a_stolen_ledger_key_said_counts_for_nothing(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        made = found.licence()
        key = documents.PartyKey(
            log=found.engine.origin,
            party=BOARD.public.thumbprint,
            key=NEXT.public.x,
            until_ms=found.clock.at_ms + DAY_MS,
            proof=bytes(64),
        )
        key = replace(key, proof=NEXT.sign(key.signed_over()))
        sub = documents.registry_subject(BOARD.public.thumbprint)
        found.say(BOARD, key.encode(), documents.PARTY_KEY, sub)
        found.clock.at_ms += 1000
        since = found.engine.size
        thief = found.opened(found.folder / "thief")
        thief.begin()
        forged = thief.issue(types.draft("StateLicence", LICENCE), holder=HOLDER.public)
        found.change(made, "revoke")  # by who has the old key, for spite
        thief.close()
        read(found, registry)
        verifier = found.verifier(registry)
        assert bad(verifier.check(forged.raw)).keys() == {"revocation", "suspension"}
        assert bad(verifier.check(made.raw)) == {"revocation": "revoked"}
        revoke(found, key=BOARD.public.thumbprint, index=since)
        read(found, registry)
        found.clock.at_ms += 20_000
        assert bad(verifier.check(forged.raw))["issuer"] == "issuer_unknown"
        assert bad(verifier.check(made.raw, at_ms=found.clock.at_ms)) == {}


# -- what a ledger cannot make us believe


class Lying(AsyncClient):
    """A client on the way to whose ledger somebody changes what contracts were told."""

    change: Callable[[str, ContractEntries], ContractEntries]

    async def contract_entries(self, name: str, first: int = 0) -> ContractEntries:
        return type(self).change(name, await super().contract_entries(name, first))


def refused(
    found: Town, registry: Registry, code: str, change: Callable[[str, ContractEntries], ContractEntries]
) -> None:
    """The reading ends with this code, and the registry is as it was."""
    before = registry.dump()

    async def ask() -> None:
        kind = type("Liar", (Lying,), {"change": staticmethod(change)})
        auth = Signed(CLINIC, now_s=lambda: int(time.time()))
        async with kind("http://ledger.test", transport=found.transport(), auth=auth) as client:
            me = CLINIC.public.thumbprint
            await Follower(registry, client=client, trust=found.trust(), me=lambda: me, now_ms=found.clock).round()

    with pytest.raises(VigilError) as error:
        asyncio.run(ask())
    assert error.value.code == code
    assert registry.dump() == before


def without(content_type: str) -> Callable[[str, ContractEntries], ContractEntries]:
    def change(name: str, page: ContractEntries) -> ContractEntries:
        kept = [each for each in page.entries if statement.parse(each.statement).content_type != content_type]
        return replace(page, entries=tuple(kept))

    return change


def test_a_ledger_that_leaves_out_what_the_rest_builds_on_is_found_out(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        found.licence()
        for left in (documents.GENESIS, documents.POLICY, documents.REGISTRY, model.ACCREDITATION, model.ISSUER_KEY):
            refused(found, registry, "log_misjudged", without(left))


def test_a_version_of_a_list_that_is_left_out_is_missed(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        made = found.licence()
        found.change(made, "suspend")
        found.change(made, "reinstate")

        def change(name: str, page: ContractEntries) -> ContractEntries:
            def hidden(raw: bytes) -> bool:
                said = statement.parse(raw)
                return said.content_type == model.STATUS_LIST and Listing.decode(said.payload).n == 2

            return replace(page, entries=tuple(each for each in page.entries if not hidden(each.statement)))

        refused(found, registry, "log_misjudged", change)


def test_another_statement_a_time_that_goes_back_and_another_epoch_are_refused(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        found.licence()
        other = registrants.admission(registrants.STRANGER)

        def swapped(name: str, page: ContractEntries) -> ContractEntries:
            return replace(page, entries=tuple(replace(each, statement=other) for each in page.entries))

        def back(name: str, page: ContractEntries) -> ContractEntries:
            return replace(page, entries=tuple(replace(each, at_ms=each.at_ms - each.index) for each in page.entries))

        refused(found, registry, "entry_other", swapped)
        refused(found, registry, "log_misjudged", back)
        refused(found, registry, "feed_behind", lambda _, page: replace(page, epoch=7))


def test_a_ledger_with_another_root_or_under_another_key_is_refused(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        found.licence()
        right = found.trust()
        other = Trust(policy_text=right.policy_text, policy=right.policy, registry_root=CLINIC.public)
        with pytest.raises(VerificationFailed, match="root_other"):
            read(found, registry, trust=other)
        assert registry.followed.edge.size == 0
        read(found, registry)
        with pytest.raises(VerificationFailed, match="root_other"):
            read(found, registry, trust=other)  # nothing is new, and nobody trusts what was read any more
        with town(tmp_path / "x") as foreign, pytest.raises(VigilError, match="log_unsigned"):
            read(found, registry, trust=foreign.trust())


def test_another_past_and_an_older_checkpoint_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        found.licence()
        old = found.engine.signed()
        found.licence()
        read(found, registry)
        as_of_ms = registry.as_of_ms

        async def older(self: AsyncClient) -> str:
            return old

        found.clock.at_ms += 1000
        with monkeypatch.context() as patch:
            patch.setattr(AsyncClient, "checkpoint", older)
            with pytest.raises(Unavailable, match="checkpoint_old"):
                read(found, registry)
        edge = registry.followed.edge
        registry._followed = replace(registry.followed, edge=Edge(size=edge.size, nodes=(*edge.nodes[:-1], bytes(32))))
        with pytest.raises(VerificationFailed, match="tree_other"):
            read(found, registry)
        found.licence()
        with pytest.raises(VerificationFailed, match="consistency_bad"):
            read(found, registry)
        assert registry.as_of_ms == as_of_ms, "what was not read is no newer"


def test_who_is_no_member_knows_no_commitments_and_keeps_nothing_to_say_no_by(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry() as registry:
        found.licence()
        stranger = registrants.STRANGER
        with pytest.raises(VigilError):
            read(found, registry, by=stranger)
        with pytest.raises(Unavailable, match="party_not_admitted"):
            read(found, registry, by=None, me=lambda: stranger.public.thumbprint)
        assert registry.followed.edge.size == 0 and registry.dump()["state"] == []


def test_the_file_is_for_its_owner_alone_and_of_this_release(tmp_path: Path) -> None:
    with town(tmp_path) as found, found.registry():
        path = tmp_path / "clinic" / FILE
        assert path.stat().st_mode & 0o077 == 0
    path.unlink()
    path.write_bytes(b"x" * 5000)
    with pytest.raises(Unavailable, match="state_unreadable"):
        Registry.open(tmp_path / "clinic")
