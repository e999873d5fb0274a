"""A ledger in a party's process. It learns nothing of the party, and never sees its key: the two meet over HTTP."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator

from ledger import service
from ledger.log.engine import Engine
from ledger.party.service import Beside
from ledger.questions import IsAdmitted
from ledger.registry import records
from ledger.rules import State
from ledger.settings import Settings
from protocol.evidence import Trust
from protocol.keys import PublicKey


@contextlib.contextmanager
def opened(
    chosen: Settings, *, now_ms: Callable[[], int]
) -> Iterator[Callable[[], contextlib.AbstractAsyncContextManager[Beside]]]:
    """The log of the ledger's settings while the block runs; what it yields serves it, in the caller's loop.

    Raises as `Engine.open`.
    """
    with contextlib.closing(Engine.open(chosen.state, now_ms=now_ms, origin=chosen.origin or None)) as log:

        @contextlib.asynccontextmanager
        async def serving() -> AsyncIterator[Beside]:
            trust = Trust.from_json(json.dumps(log.trust()).encode())
            async with service.running(log, chosen) as found:
                yield Beside(url=found.url, trust=trust, admitted=lambda thumbprint: acting(log, thumbprint, now_ms()))

        yield serving


def acting(log: Engine, thumbprint: bytes, now_ms: int) -> PublicKey | None:
    """The key with this thumbprint, when it is a party's that the log lets act now: not revoked, not past its end."""

    def found(state: State) -> PublicKey | None:
        held = records.key_of(state, thumbprint)
        if held is None or not log.contracts.ask(state, IsAdmitted(key=thumbprint), now_ms):
            return None
        return held.key

    return log.look(found)
