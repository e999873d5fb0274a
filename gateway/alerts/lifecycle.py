"""The life of an alert, as one table.

raised -> escalated -> exhausted: nobody answers; exhausted again and again: everybody is told once more. Any of them,
acknowledged: somebody acts. resolved: over. A condition that ends by itself resolves its alert when the alert does not
latch, or when somebody has acknowledged it; one that latches keeps its state, and the book notes when it ended.
"""

from collections.abc import Mapping
from typing import Literal

from protocol.errors import VigilError

State = Literal["raised", "escalated", "exhausted", "acknowledged", "resolved"]
Event = Literal["escalate", "exhaust", "acknowledge", "clear", "resolve"]

UNANSWERED: frozenset[State] = frozenset({"raised", "escalated", "exhausted"})
TABLE: Mapping[tuple[State, Event], State] = {
    ("raised", "escalate"): "escalated",
    ("escalated", "exhaust"): "exhausted",
    ("exhausted", "exhaust"): "exhausted",
    ("raised", "acknowledge"): "acknowledged",
    ("escalated", "acknowledge"): "acknowledged",
    ("exhausted", "acknowledge"): "acknowledged",
    ("raised", "clear"): "resolved",
    ("escalated", "clear"): "resolved",
    ("exhausted", "clear"): "resolved",
    ("acknowledged", "clear"): "resolved",
    ("raised", "resolve"): "resolved",
    ("escalated", "resolve"): "resolved",
    ("exhausted", "resolve"): "resolved",
    ("acknowledged", "resolve"): "resolved",
}


class Refused(VigilError):
    """An event that does not fit the state of an alert."""


def after(state: State, event: Event) -> State:
    """The state that `event` leads to. Raises Refused: alert_event_refused."""
    found = TABLE.get((state, event))
    if found is None:
        raise Refused("alert_event_refused", f"an alert that is {state} cannot {event}")
    return found
