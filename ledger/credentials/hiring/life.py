"""The life of a hiring file, and of a capability in it, each as one table; what is absent is refused by name.

requested -> collecting -> complete -> verified -> hired: the person is asked, something came, nothing is missing, all of it
counted at one time, they work. hired <-> suspended: they may not, for now. ended, refused: over, and erased after a time.
"""

from collections.abc import Mapping
from typing import Literal

from protocol.errors import VigilError

State = Literal["requested", "collecting", "complete", "verified", "hired", "suspended", "ended", "refused"]
Event = Literal["receive", "fill", "lack", "verify", "hire", "suspend", "reinstate", "renew", "end", "refuse"]

TABLE: Mapping[tuple[State, Event], State] = {
    ("requested", "receive"): "collecting",
    ("requested", "refuse"): "refused",
    ("collecting", "receive"): "collecting",
    ("collecting", "fill"): "complete",
    ("collecting", "refuse"): "refused",
    ("complete", "receive"): "complete",
    ("complete", "lack"): "collecting",
    ("complete", "verify"): "verified",
    ("complete", "refuse"): "refused",
    ("verified", "receive"): "verified",
    ("verified", "lack"): "collecting",
    ("verified", "verify"): "verified",
    ("verified", "hire"): "hired",
    ("verified", "refuse"): "refused",
    ("hired", "receive"): "hired",
    ("hired", "suspend"): "suspended",
    ("hired", "renew"): "hired",
    ("hired", "end"): "ended",
    ("suspended", "receive"): "suspended",
    ("suspended", "reinstate"): "hired",
    ("suspended", "renew"): "suspended",
    ("suspended", "end"): "ended",
}
OVER: frozenset[State] = frozenset({"ended", "refused"})
AT_WORK: frozenset[State] = frozenset({"hired", "suspended"})  # watched every day

Permit = Literal["granted", "blocked", "withdrawn"]
PERMITS: Mapping[tuple[Permit, str], Permit] = {
    ("granted", "block"): "blocked",
    ("blocked", "lift"): "granted",
    ("granted", "withdraw"): "withdrawn",
    ("blocked", "withdraw"): "withdrawn",
    ("withdrawn", "grant"): "granted",
}
"""Of a capability in a file. block: a cause came up; lift: it is gone; withdraw, grant: somebody said so."""


class Refused(VigilError):
    """An event that does not fit the state of a file or a capability."""


def after(state: State, event: Event) -> State:
    """The state that `event` leads to. Raises Refused: file_event_refused."""
    found = TABLE.get((state, event))
    if found is None:
        raise Refused("file_event_refused", f"a hiring file that is {state} cannot {event}")
    return found


def permit_after(state: Permit, event: str) -> Permit:
    """The state of a capability that `event` leads to. Raises Refused: permit_event_refused."""
    found = PERMITS.get((state, event))
    if found is None:
        raise Refused("permit_event_refused", f"a capability that is {state} cannot {event}")
    return found
