"""Two parties and a ledger on loopback: what one says is on the log, and each knows the other by its key."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from ledger.party import beside, outbox
from ledger.party.peer import PeerRefused
from protocol import declarations, growth, statement
from protocol.documents import Revocation
from protocol.keys import PublicKey, SigningKey
from tests.support import ledgers, parties
from tests.support.gatehouse import until


def test_two_parties_call_each_other_and_have_their_statements_receipted(tmp_path: Path) -> None:
    async def story() -> None:
        parties.open_to_parties(tmp_path / "ledger")
        with contextlib.ExitStack() as held:
            engine = held.enter_context(ledgers.checked(tmp_path / "ledger"))
            one_key, one_store = held.enter_context(parties.folder(tmp_path / "one"))
            two_key, two_store = held.enter_context(parties.folder(tmp_path / "two"))
            trust = parties.trust(engine, tmp_path / "trust.json")
            async with parties.ledger(engine, tmp_path / "ledger") as url:
                sending = {"ledger_url": url, "trust": str(tmp_path / "trust.json")}
                of_one = parties.admission(tmp_path / "ledger", one_key, tmp_path / "one.admission")
                of_two = parties.admission(tmp_path / "ledger", two_key, tmp_path / "two.admission")
                async with (
                    parties.standing(
                        tmp_path / "one",
                        key=one_key,
                        store=one_store,
                        admission=str(of_one),
                        peers=(two_key.public.x.hex(),),
                        **sending,
                    ) as one,
                    parties.standing(
                        tmp_path / "two",
                        key=two_key,
                        store=two_store,
                        admission=str(of_two),
                        writers=(one_key.public.x.hex(),),
                        **sending,
                    ) as two,
                ):
                    async with one.called_by(two_key) as peer:
                        assert await peer.whoami() == two_key.public.thumbprint
                        with pytest.raises(PeerRefused, match="caller_not_allowed"):
                            await peer.queue(b"x", content_type=parties.TYPE, sub="x")
                    digests = [await one.queue(b"%d" % number) for number in range(3)]
                    digests.append(await two.queue(b"by the other", by=one_key))
                    await until(lambda: one_store.counts().receipted == 4 and two_store.counts().receipted == 2)
                    async with two.called_by(one_key) as peer:
                        said = await peer.statement(digests[-1])
                    found = growth.placed(trust.policy, said.receipt, digest=digests[-1])
                    assert engine.statement(found.index) == two_store.find(digests[-1]).statement
            for kept in (one_store, two_store):
                (head,) = kept.heads()
                assert head.checkpoint.size <= engine.size and kept.counts().conflicts == 0
            logged = {statement.entry(engine.statement(index)) for index in range(engine.size)}
            assert logged >= set(digests)

    asyncio.run(story())


def test_a_party_whose_ledger_comes_late_keeps_what_it_says_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BACKOFF_MIN_S", 0.02)

    async def story() -> None:
        parties.open_to_parties(tmp_path / "ledger")
        with contextlib.ExitStack() as held:
            engine = held.enter_context(ledgers.checked(tmp_path / "ledger"))
            key, store = held.enter_context(parties.folder(tmp_path / "one"))
            parties.trust(engine, tmp_path / "trust.json")
            admission = parties.admission(tmp_path / "ledger", key, tmp_path / "admission")
            async with parties.ledger(engine, tmp_path / "ledger") as url:
                pass
            async with parties.standing(
                tmp_path / "one",
                key=key,
                store=store,
                admission=str(admission),
                ledger_url=url,
                trust=str(tmp_path / "trust.json"),
            ) as party:
                digest = await party.queue(b"early")
                assert store.find(digest).state == "waiting"
                async with parties.ledger(engine, tmp_path / "ledger", port=int(url.rsplit(":", 1)[1])):
                    await until(lambda: store.find(digest).state == "receipted")

    asyncio.run(story())


def test_whom_the_log_beside_has_admitted_may_call_until_it_is_revoked(tmp_path: Path) -> None:
    key = SigningKey.from_seed(bytes([31]) * 32)
    parties.open_to_parties(tmp_path / "ledger")
    with ledgers.checked(tmp_path / "ledger") as engine:
        root = ledgers.keyring.load(tmp_path / "ledger", ledgers.keyring.REGISTRY_KEY)

        def admitted(thumbprint: bytes) -> PublicKey | None:
            return beside.acting(engine, thumbprint, parties.now_ms())

        async def story() -> None:
            async with parties.spoken_to(tmp_path / "party", admitted=admitted) as party, party.called_by(key) as peer:
                with pytest.raises(PeerRefused, match="signature_key_unknown"):
                    await peer.whoami()
                engine.register(parties.admission(tmp_path / "ledger", key, tmp_path / "admission").read_bytes())
                assert await peer.whoami() == key.public.thumbprint
                with pytest.raises(PeerRefused, match="caller_not_allowed"):
                    await peer.queue(b"x", content_type=parties.TYPE, sub="x")
                name = key.public.thumbprint
                end = Revocation(log=engine.origin, party=name, key=None, epoch=engine.epoch, index=engine.size)
                engine.register(declarations.revocation(root, end))
                with pytest.raises(PeerRefused, match="signature_key_unknown"):
                    await peer.whoami()

        asyncio.run(story())
