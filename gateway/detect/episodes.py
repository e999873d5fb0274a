"""One alarm per episode: a condition that comes and goes is one "raised" and, once it stayed away, one "cleared"."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.detect.finding import Detail, Finding, finding


class Standing(NamedTuple):
    """An alarm that stood open before a restart. onset_ms: its episode's name; raised_ms: gateway time."""

    onset_ms: int
    raised_ms: int


class Episode:
    """The episode of one kind. A condition must be absent for `clear_after_ms` of stream time before it is cleared
    (hysteresis), so that an alarm does not flicker; until then its return is the same episode. Missing data neither
    raises nor clears: call nothing while nothing is known."""

    __slots__ = ("_absent_from_ms", "_clear_after_ms", "kind", "onset_ms")

    def __init__(self, kind: str, *, clear_after_ms: int) -> None:
        self.kind = kind
        self.onset_ms: int | None = None
        self._clear_after_ms = clear_after_ms
        self._absent_from_ms: int | None = None

    def resume(self, opened: Mapping[str, Standing]) -> None:
        """After a restart: the episode is the one whose alarm stands open, if one does. opened: by kind."""
        if self.kind in opened:
            self.onset_ms = opened[self.kind].onset_ms

    @property
    def open(self) -> bool:
        """The condition was raised and not cleared."""
        return self.onset_ms is not None

    def present(self, *, onset_ms: int, at_ms: int, detail: Detail) -> list[Finding]:
        """The condition holds at `at_ms`: a "raised" when the episode begins here, else nothing."""
        self._absent_from_ms = None
        if self.onset_ms is not None:
            return []
        self.onset_ms = onset_ms
        return [finding(self.kind, "raised", onset_ms=onset_ms, at_ms=at_ms, detail=detail)]

    def absent(self, *, at_ms: int, at_once: bool = False) -> list[Finding]:
        """The condition was looked for and is not there at `at_ms`; `at_once`: something is known that ends it now."""
        if self.onset_ms is None:
            return []
        if self._absent_from_ms is None or at_ms < self._absent_from_ms:
            self._absent_from_ms = at_ms
        if not at_once and at_ms - self._absent_from_ms < self._clear_after_ms:
            return []
        onset_ms, self.onset_ms, self._absent_from_ms = self.onset_ms, None, None
        return [finding(self.kind, "cleared", onset_ms=onset_ms, at_ms=at_ms, detail={})]

    def unknown(self) -> None:
        """Nothing is known for a while (a gap): absence has to be seen anew before the episode clears."""
        self._absent_from_ms = None
