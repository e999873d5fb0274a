"""Whom an alert is sent to, and when the next one is: two steps, then the end of the policy, which is an alarm itself."""

from dataclasses import dataclass

from gateway.detect.finding import Priority

PAGE = "page"  # the caregivers' page is told by every commit; it needs no outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """first, second: channels by name, empty when there is none; second_after_s: without an acknowledgement; ends_after_s:
    then nobody could be reached, counted from the second step. Low priority and technical alerts stay at the first step."""

    first: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    second_after_s: float = 60.0
    ends_after_s: float = 240.0

    def escalates(self, *, priority: Priority, technical: bool) -> bool:
        """Whether nobody's answer leads to a second step."""
        return priority == "high" and not technical

    def second_ms(self, raised_ms: int) -> int:
        """When the second step is due."""
        return raised_ms + round(self.second_after_s * 1000)

    def end_ms(self, escalated_ms: int) -> int:
        """When the policy ends."""
        return escalated_ms + round(self.ends_after_s * 1000)
