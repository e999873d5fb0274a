"""Which positions of a device are durable: disjoint intervals of sequence numbers, for each lane and boot.

A set of intervals outlives the stored rows, so that a message which was receipted long ago is never taken twice, and a
spool of any age is welcome: there is no window.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

Range = tuple[int, int]
INTERVALS_MAX = 4096  # of readings of one boot
DEVICE_INTERVALS_MAX = 1 << 17  # of one device, over all its boots: about 15 MB of memory
"""A device that leaves more holes than this, or starts anew so often, is misbehaving: the gateway refuses readings at positions
that would open another interval, with `positions_scattered`. Alarms are never refused for it: their bucket keeps them few."""


class Intervals:
    """Disjoint, ascending, inclusive intervals that never touch each other."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            for seq in (first, last):
                self.add(seq)
            self._join(first, last)

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._firsts, seq) - 1
        return at >= 0 and seq <= self._lasts[at]

    def __len__(self) -> int:
        return len(self._firsts)

    def add(self, seq: int) -> bool:
        """Take `seq` in; False when it was there."""
        lasts = self._lasts
        if lasts and seq == lasts[-1] + 1:  # in order: nearly always
            lasts[-1] = seq
            return True
        if seq in self:
            return False
        firsts = self._firsts
        at = bisect_right(firsts, seq)
        left = at > 0 and lasts[at - 1] == seq - 1
        right = at < len(firsts) and firsts[at] == seq + 1
        if left and right:
            lasts[at - 1] = lasts[at]
            del firsts[at], lasts[at]
        elif left:
            lasts[at - 1] = seq
        elif right:
            firsts[at] = seq
        else:
            firsts.insert(at, seq)
            lasts.insert(at, seq)
        return True

    def opens_a_hole(self, seq: int) -> bool:
        """Whether taking `seq` in would need one more interval."""
        at = bisect_right(self._firsts, seq)
        left = at > 0 and self._lasts[at - 1] >= seq - 1
        right = at < len(self._firsts) and self._firsts[at] == seq + 1
        return not left and not right

    def ranges(self) -> list[Range]:
        """The intervals, ascending."""
        return list(zip(self._firsts, self._lasts, strict=True))

    def _join(self, first: int, last: int) -> None:
        """Make everything from `first` to `last`, both of which are in, one interval."""
        low = bisect_right(self._firsts, first) - 1
        high = bisect_left(self._lasts, last)
        self._lasts[low : high + 1] = [self._lasts[high]]
        self._firsts[low : high + 1] = [self._firsts[low]]


def ranges_of(seqs: Iterable[int]) -> list[Range]:
    """The intervals that ascending, distinct `seqs` make."""
    found: list[Range] = []
    for seq in seqs:
        if found and found[-1][1] == seq - 1:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return found
