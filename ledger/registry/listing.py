"""All parties of a log at a glance, for people who look after it. Rules never list: they ask about one party."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ledger.registry.records import KEY, PARTY, Key, Party

Under = Callable[[bytes], Iterable[tuple[bytes, bytes]]]  # the keys with a prefix and their values, in order


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A party and its keys by thumbprint. thumbprint: of its first key."""

    thumbprint: bytes
    party: Party
    keys: dict[bytes, Key]

    def acting(self, now_ms: int) -> list[bytes]:
        """The thumbprints of the keys that may sign now."""
        if self.party.revoked is not None:
            return []
        return [thumbprint for thumbprint, key in self.keys.items() if key.acts(now_ms)]


def parties(under: Under) -> Iterator[Listed]:
    """Every party of a state with its keys, in the order of their names."""
    keys: dict[bytes, dict[bytes, Key]] = {}
    for place, value in under(KEY):
        key = Key.decode(value)
        keys.setdefault(key.party, {})[place.removeprefix(KEY)] = key
    for place, value in under(PARTY):
        name = place.removeprefix(PARTY)
        yield Listed(thumbprint=name, party=Party.decode(value), keys=keys.get(name, {}))
