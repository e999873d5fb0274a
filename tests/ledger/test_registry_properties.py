"""Any order of admissions, changes of keys, revocations and policies: no key acts after its end, nothing enters without a
right, and the same statements lead to the same state again. An oracle keeps score in plain sets, with none of our code."""

import contextlib
import dataclasses
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import founding, policy
from ledger.contracts import STANDARD
from ledger.log import fsck, keyring
from ledger.log.engine import Engine
from ledger.questions import HasRole, IsAdmitted, IsTrusted
from protocol import cose, declarations, documents, statement
from protocol.documents import Policy, Rule
from protocol.errors import ProtocolError
from protocol.keys import SigningKey
from tests.support import ledgers, registrants
from tests.support.registrants import LOG, ORIGIN, ROOT, TEXT, Book

KEYS = [registrants.key(100 + n) for n in range(10)]
ROLES = ("gateway", "maker", "auditor")
keys = st.integers(0, len(KEYS) - 1)


def key_of(n: int) -> SigningKey:
    return {-1: ROOT, -2: LOG}.get(n) or KEYS[n]


@dataclasses.dataclass
class Held:
    """What the oracle knows of a key. since: entries from which it does not count."""

    party: int
    until_ms: float = float("inf")
    revoked: list[int] = dataclasses.field(default_factory=list)


class World:
    """A log in memory and what should be true of it."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.accepted: Counter[str] = Counter()
        self.log = Book()
        self.keys: dict[int, Held] = {}
        self.roles: dict[int, str] = {}
        self.newest: dict[int, int] = {}
        self.gone: dict[int, list[int]] = {}  # entries from which a whole party does not count
        self.writers, self.number = {"maker"}, 1
        self.signed: list[tuple[int, int]] = []  # (index, key) of every text
        self.times = 0

    def any(self) -> int:
        """One of the keys, whether known or not."""
        return self.rng.randrange(len(KEYS))

    def signer(self, root: float = 0.5) -> int:
        """Whoever signs: often the root, now and then the log."""
        return -1 if self.rng.random() < root else -2 if self.rng.random() < 0.05 else self.any()

    def acts(self, n: int) -> bool:
        held = self.keys.get(n)
        return (
            held is not None and self.log.now_ms < held.until_ms and not held.revoked and not self.gone.get(held.party)
        )

    def taken(self, raw: bytes) -> bool:
        """Whether the log takes a statement; one that is refused changes nothing, and says why with a code that is counted."""
        before, code = dict(self.log.state), ""
        try:
            self.log.add(raw)
        except ProtocolError as error:
            code = error.code
        if code:
            assert code in STANDARD.codes
            assert self.log.state == before
        else:
            self.accepted[statement.parse(raw).content_type] += 1
        return not code

    def step(self) -> None:
        """Something that somebody says, or time that goes by."""
        kinds = [
            self.admit,
            *[self.change] * 3,
            self.revoke,
            self.rule_otherwise,
            *[self.say] * 3,
            self.forge,
            self.wait,
        ]
        self.rng.choice(kinds)()

    def admit(self) -> None:
        who, role, by = self.any(), self.rng.choice(ROLES), self.signer()
        self.times += 1
        raw = registrants.admission(KEYS[who], role, f"name {self.times}", by=key_of(by))
        known = self.keys.get(who)
        if not self.taken(raw):
            return
        assert by == -1, "only the root admits"
        assert known is None or (known.party == who and not known.revoked and not self.gone.get(who))
        self.keys.setdefault(who, Held(who))
        self.newest.setdefault(who, who)
        self.roles[who] = role

    def change(self) -> None:
        old, new, overlap = self.any(), self.any(), self.rng.randint(-1000, 5000)
        if self.newest and self.rng.random() < 0.6:
            old = self.rng.choice(list(self.newest.values()))
        held = self.keys.get(old)
        party = old if held is None else held.party
        until_ms = self.log.now_ms + overlap
        right = self.acts(old)
        if not self.taken(registrants.rotation(KEYS[old], KEYS[new], party=KEYS[party], until_ms=until_ms)):
            return
        assert right and held is not None and self.newest[party] == old and new not in self.keys
        assert self.roles[party] != "gateway"
        held.until_ms = until_ms
        self.keys[new] = Held(party)
        self.newest[party] = new

    def revoke(self) -> None:
        by, about, whole, back = self.signer(), self.any(), self.rng.random() < 0.3, self.rng.randint(-1, 30)
        held = self.keys.get(about)
        party = about if held is None else held.party
        index = max(0, self.log.size - back)
        own = (
            by >= 0
            and self.acts(by)
            and self.keys[by].party == party
            and (self.newest[party] == by or (by == about and not whole))
        )
        raw = registrants.revocation(key_of(by), KEYS[party], index, only=None if whole else KEYS[about])
        if not self.taken(raw):
            return
        assert (by == -1 or own) and held is not None and index < self.log.size
        (self.gone.setdefault(party, []) if whole else held.revoked).append(index)

    def rule_otherwise(self) -> None:
        by, n, whole = self.signer(), self.rng.randint(-1, 2), self.rng.random() < 0.7
        writers = {role for role in ROLES if self.rng.random() < 0.7}
        rules = {**self.log.policy.rules, TEXT: Rule(roles=frozenset(writers))}
        if not whole:
            del rules[documents.REVOCATION]
        number = max(0, self.number + n)
        taken = self.taken(declarations.policy(key_of(by), Policy(log=ORIGIN, n=number, rules=rules)))
        assert taken is (by == -1 and number > self.number and whole)
        if taken:
            self.writers, self.number = writers, number

    def say(self) -> None:
        by = self.signer(root=0.05)
        self.times += 1
        role = None if by < 0 or by not in self.keys else self.roles[self.keys[by].party]
        taken = self.taken(registrants.text(key_of(by), self.times))
        assert taken is (self.acts(by) and role in self.writers)
        if taken:
            self.signed.append((self.log.size - 1, by))

    def forge(self) -> None:
        """Everything as `by` says it, signed by somebody else."""
        by, forger = self.any(), self.any()
        if by != forger:
            said = statement.parse(registrants.text(KEYS[by], self.times)).signed
            assert not self.taken(cose.sign1(KEYS[forger], protected=dict(said.protected), payload=said.payload or b""))

    def wait(self) -> None:
        self.log.now_ms += self.rng.randint(1, 3000)

    def who_may_sign_is_as_the_oracle_says(self) -> None:
        for n, key in enumerate(KEYS):
            asked = STANDARD.ask(self.log.state, IsAdmitted(key=key.public.thumbprint), self.log.now_ms)
            assert asked is self.acts(n)
        for party, role in self.roles.items():
            acting = any(self.acts(n) for n, held in self.keys.items() if held.party == party)
            name = KEYS[party].public.thumbprint
            assert STANDARD.ask(self.log.state, HasRole(party=name, role=role), self.log.now_ms) is acting

    def no_party_has_more_than_two_keys_that_act(self) -> None:
        for party in self.roles:
            assert sum(self.acts(n) for n, held in self.keys.items() if held.party == party) <= 2

    def a_signature_counts_until_it_was_revoked(self) -> None:
        for index, n in self.signed:
            held = self.keys[n]
            ends = [*held.revoked, *self.gone.get(held.party, [])]
            asked = IsTrusted(key=KEYS[n].public.thumbprint, index=index)
            assert STANDARD.ask(self.log.state, asked, self.log.now_ms) is all(index < end for end in ends)


def lived(seeds: range, steps: int) -> Counter[str]:
    """What was registered, by content type, in the worlds of these seeds, in which the oracle was right at every step."""
    accepted: Counter[str] = Counter()
    for seed in seeds:
        world = World(seed)
        for step in range(steps):
            try:
                world.step()
                world.who_may_sign_is_as_the_oracle_says()
                world.no_party_has_more_than_two_keys_that_act()
                world.a_signature_counts_until_it_was_revoked()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, step {step}") from error
        assert world.log.replayed() == world.log.state, f"seed {seed}"
        accepted += world.accepted
    return accepted


def test_no_order_of_statements_gives_a_right_that_nobody_gave() -> None:
    accepted = lived(range(40), 100)
    assert len(accepted) == 5 and min(accepted.values()) > 50, accepted


@pytest.mark.slow
def test_no_long_order_of_statements_does_either() -> None:
    lived(range(1000, 1060), 300)


ACTIONS = ("admit", "change", "revoke", "rule", "say")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), keys, keys, st.booleans()), min_size=5, max_size=40))
def test_a_ledger_that_registered_any_of_it_is_whole(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, int, int, bool]]
) -> None:
    folder: Path = tmp_path_factory.mktemp("ledger")
    clock = ledgers.Clock()
    with contextlib.closing(Engine.open(folder, now_ms=clock, origin=ORIGIN)) as log:
        root = keyring.load(folder, keyring.REGISTRY_KEY)
        for n, (action, one, other, flag) in enumerate(said):
            clock.at_ms += 500
            by = root if flag else KEYS[other]
            raw = _statement(action, KEYS[one], KEYS[other], root=root, by=by, n=n, at_ms=clock.at_ms, size=log.size)
            with contextlib.suppress(ProtocolError):
                log.register(raw)
        assert policy.in_force(log._store.state) is not None
        size = log.size
    assert fsck.check(folder).size == size


def _statement(
    action: str, one: SigningKey, other: SigningKey, *, root: SigningKey, by: SigningKey, n: int, at_ms: int, size: int
) -> bytes:
    """Something that one of the parties, or the root, says."""
    match action:
        case "admit":
            return registrants.admission(one, ROLES[n % 3], f"name {n}", by=root)
        case "change":
            return registrants.rotation(one, other, until_ms=at_ms + 900)
        case "revoke":
            return registrants.revocation(by, one, size - 1)
        case "rule":
            rules = {**founding.default_policy(ORIGIN, STANDARD).rules, TEXT: Rule(roles=frozenset({ROLES[n % 3]}))}
            return declarations.policy(root, Policy(log=ORIGIN, n=n + 2, rules=rules))
    return registrants.text(one, n)
