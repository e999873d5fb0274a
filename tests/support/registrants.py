"""A log's state in memory with its root, its log key and parties, for tests of who may register what."""

from collections.abc import Mapping

from ledger import contracts, founding
from ledger.contracts import STANDARD, Contracts
from protocol import declarations, statement
from protocol.documents import Admission, Policy, Revocation, Rule
from protocol.keys import SigningKey
from protocol.statement import Statement

ORIGIN = "log.example/test"
NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
TEXT = "text/plain"  # a content type that no contract claims


def key(n: int) -> SigningKey:
    """The key with this number."""
    return SigningKey.from_seed(n.to_bytes(32, "big"))


LOG, ROOT = key(1), key(2)
MAKER, CARRIER, GATEWAY, STRANGER = key(10), key(11), key(12), key(99)


class Book:
    """A log without a disk: statements are judged one after the other, at times that the test sets."""

    def __init__(self, rules: Contracts = STANDARD) -> None:
        self.rules, self.now_ms, self.state = rules, NOW_MS, dict[bytes, bytes]()
        self.judged: list[tuple[bytes, int, str]] = []
        self.head = contracts.FIRST_HEAD
        begun = founding.default_policy(ORIGIN, rules)
        self.policy = Policy(log=ORIGIN, n=1, rules={**begun.rules, TEXT: Rule(roles=frozenset({"maker"}))})
        for raw in founding.statements(
            origin=ORIGIN, epoch=1, log_key=LOG, root=ROOT, contracts=rules, policy=self.policy
        ):
            self.add(raw)

    @property
    def size(self) -> int:
        """How many statements are in the log."""
        return len(self.judged)

    def add(self, raw: bytes) -> Mapping[bytes, bytes]:
        """Register a statement; what it changed. Raises ProtocolError."""
        found = statement.parse(contracts.bare(raw))
        name, changes = self.rules.judge(self.state, found, self.now_ms, index=self.size)
        self.state.update(changes.puts)
        self.head = contracts.next_head(self.head, entry=found.entry, contract=name, at_ms=self.now_ms, changes=changes)
        self.judged.append((raw, self.now_ms, name))
        return changes.puts

    def replayed(self) -> dict[bytes, bytes]:
        """The state that the same statements lead to again, at the times at which they came."""
        state: dict[bytes, bytes] = {}
        for index, (raw, at_ms, name) in enumerate(self.judged):
            again, changes = self.rules.judge(state, statement.parse(contracts.bare(raw)), at_ms, index=index)
            assert again == name
            state.update(changes.puts)
        return state

    def admit(self, who: SigningKey, role: str = "maker", name: str = "Maker") -> None:
        """A party, by the root."""
        self.add(admission(who, role, name))


def admission(who: SigningKey, role: str = "maker", name: str = "Maker", *, by: SigningKey = ROOT) -> bytes:
    """The root's word."""
    return declarations.admission(by, Admission(role=role, key=who.public.x, name=name))


def text(who: SigningKey, n: int = 0, *, content_type: str = TEXT) -> bytes:
    """A statement that no contract claims."""
    return statement.sign(who, iss=who.public.urn, sub="anything", payload=b"text %d" % n, content_type=content_type)


def rotation(
    old: SigningKey,
    new: SigningKey,
    *,
    party: SigningKey | None = None,
    until_ms: int = NOW_MS + DAY_MS,
    log: str = ORIGIN,
) -> bytes:
    """A party's next key. party: by its first key, when that is not `old`."""
    name = (party or old).public.thumbprint
    return declarations.party_key(old, new, log=log, party=name, until_ms=until_ms)


def revocation(
    by: SigningKey,
    party: SigningKey,
    index: int,
    *,
    only: SigningKey | None = None,
    epoch: int = 1,
    log: str = ORIGIN,
) -> bytes:
    """The end of a party, or of one key of it, from an entry on."""
    document = Revocation(
        log=log,
        party=party.public.thumbprint,
        key=None if only is None else only.public.thumbprint,
        epoch=epoch,
        index=index,
    )
    return declarations.revocation(by, document)


def parsed(raw: bytes) -> Statement:
    """The statement in `raw`."""
    return statement.parse(raw)


def restated(raw: bytes, by: SigningKey, *, sub: str | None = None, payload: bytes | None = None) -> bytes:
    """A statement with another subject or payload, signed by whoever."""
    found = statement.parse(raw)
    return statement.sign(
        by,
        iss=by.public.urn,
        sub=sub or found.sub,
        payload=found.payload if payload is None else payload,
        content_type=found.content_type,
    )


def hashed(raw: bytes, by: SigningKey) -> bytes:
    """The hash envelope over what a statement says in full."""
    found = statement.parse(raw)
    return statement.sign_hash_envelope(
        by, iss=by.public.urn, sub=found.sub, preimage=found.payload, preimage_content_type=found.content_type
    )
