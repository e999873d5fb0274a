"""Whom an alert is sent to, and when the next one is: two steps, then the end of the policy, which is told to everybody,
again and again."""

from dataclasses import dataclass

from gateway.detect.finding import Priority

FIRST, SECOND, END = 1, 2, 3  # steps of an alert; from END on each step tells everybody
REPEATS_MAX = 12  # times that the end of the policy is told; then the alert stands on the page, open and exhausted
TOLD_TO_ALL = frozenset({"channel_failed"})  # kinds whose first channel may be the very one that fails


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """first, second: channels by name, empty when there is none; second_after_s: without an acknowledgement; ends_after_s:
    then nobody could be reached, counted from the second step, and so often is that repeated. Low and medium priority and
    technical alerts stay at the first step. The caregivers' page needs no channel: every commit tells it."""

    first: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    second_after_s: float = 60.0
    ends_after_s: float = 240.0

    @property
    def everybody(self) -> tuple[str, ...]:
        """Every channel once."""
        return tuple(dict.fromkeys((*self.first, *self.second)))

    def escalates(self, *, priority: Priority, technical: bool) -> bool:
        """Whether nobody's answer leads to a second step."""
        return priority == "high" and not technical

    @property
    def longest_ms(self) -> int:
        """No step is ever due later than this."""
        return round(max(self.second_after_s, self.ends_after_s) * 1000)

    def channels(self, step: int, kind: str) -> tuple[str, ...]:
        """Whom a step tells."""
        if step >= END or kind in TOLD_TO_ALL:
            return self.everybody
        return tuple(dict.fromkeys(self.first if step == FIRST else self.second))

    def next_ms(self, step: int, now_ms: int) -> int | None:
        """When the step after `step`, taken at `now_ms`, is due; None when none is."""
        if step == FIRST:
            return now_ms + round(self.second_after_s * 1000)
        if step < END + REPEATS_MAX:
            return now_ms + round(self.ends_after_s * 1000)
        return None
