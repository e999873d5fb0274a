"""Institutions on a log in this process, a hospital that reads it, and somebody with credentials, for benchmarks."""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import nacl.bindings

from ledger.credentials.simulate import world
from ledger.credentials.simulate.reading import Library
from ledger.credentials.simulate.town import Clock, Town
from ledger.credentials.verifying import Verifier
from protocol.keys import SigningKey

BARE_S = 0.6  # how long bare verification is measured
BARE_SIZE = 64  # bytes that a bare signature is over, as of a Data Integrity proof
LATER_MS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Who there is. verifier: the hospital's; key: of a holder's wallet; folder: for more."""

    town: Town
    library: Library
    verifier: Verifier
    key: SigningKey
    folder: Path

    def settle(self) -> None:
        """What was said is on the log and read, a moment later."""
        self.town.log.settle()
        self.town.clock.at_ms += LATER_MS
        self.library.follow()


@contextlib.contextmanager
def opened(seed: int = 7) -> Iterator[Place]:
    """Nine institutions, one of each kind and two hospitals."""
    rng = Random(seed)
    found = world.made(rng, institutions=9, staff=20, years=5)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as held:
        state, clock = Path(folder), Clock()
        town = held.enter_context(contextlib.closing(Town(found, state, clock, rng)))
        library = held.enter_context(contextlib.closing(Library(state / "registry", town)))
        verifier = Verifier(
            library.registry,
            audience="https://hospital.example",
            now_ms=clock,
            random_bytes=rng.randbytes,
            prepare=library.prepare,
        )
        key = SigningKey.from_seed(rng.randbytes(32))
        yield Place(town=town, library=library, verifier=verifier, key=key, folder=state)


def bare_per_s() -> float:
    """Bare PyNaCl: signatures verified a second on one core."""
    key = SigningKey.from_seed(bytes(32))
    claims = [key.sign(bytes([n]) * BARE_SIZE) + bytes([n]) * BARE_SIZE for n in range(200)]
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < BARE_S:
        for claim in claims:
            nacl.bindings.crypto_sign_open(claim, key.public.x)
        done += len(claims)
    return done / (time.perf_counter() - begun)


def p99(found: Sequence[float]) -> float:
    """The value that one in a hundred is above."""
    return statistics.quantiles(found, n=100)[98]
