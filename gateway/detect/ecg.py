"""The ECG of one wearer, from waves to findings: joins, finds beats on every lead, weighs the leads against each other
and raises the one alarm that fits best."""

from collections import deque
from collections.abc import Mapping, Sequence

from gateway.detect.beats import Shape
from gateway.detect.blocks import Block, Joiner
from gateway.detect.consensus import STEADY_MIN, Holds, View, conditions
from gateway.detect.episodes import Episode, Standing
from gateway.detect.fibrillation import WINDOW_N, scores
from gateway.detect.finding import Detail, Finding
from gateway.detect.leads import BLOCK_N, DELAY_N, PEAK_N, RATE_HZ, Leads
from gateway.detect.quality import faults
from gateway.detect.rhythm import Rhythm, Seen
from gateway.detect.settings import DetectSettings
from protocol.waves import Wave

LAG_S = (DELAY_N + PEAK_N) / RATE_HZ
"""Beats are known up to this long before the newest sample."""
FAULT_N = 2 * RATE_HZ
FAULT_HOLD_BLOCKS = 10
"""A lead that was flat or at its rail counts again after this many good blocks (5 s)."""
VOTES = 6
"""Fibrillation scores (one each half second) whose mean decides: with a four-second window, 6.5 s of signal."""
SEEN_N = WINDOW_N + (VOTES - 1) * BLOCK_N
"""So long a stretch without a gap shows every rhythm that is told here; what never reaches it is not watched."""
RATE_MIN_MHZ = 100_000
"""An ECG sampled slower than 100 Hz is left out: a QRS would be a few samples."""
TURN_S = 2.0
"""A four-second window turns when about half of it fibrillates: the onset lies this long before the first vote for it."""
CLEAR_MS = {
    "ventricular_fibrillation": 10_000,
    "asystole": 5_000,
    "ventricular_tachycardia": 10_000,
    "extreme_tachycardia": 10_000,
    "extreme_bradycardia": 10_000,
}
"""How long each must be away before it is over."""
GRAVER = {
    "ventricular_fibrillation": (),
    "asystole": (),
    "ventricular_tachycardia": ("ventricular_fibrillation",),
    "extreme_tachycardia": ("ventricular_fibrillation", "ventricular_tachycardia"),
    "extreme_bradycardia": ("asystole",),
}
"""What keeps a kind from being raised while it lasts: they are one illness, and one alarm for it is enough."""
ENDS = {
    "ventricular_fibrillation": ("asystole", "extreme_bradycardia"),
    "asystole": ("ventricular_fibrillation", "ventricular_tachycardia", "extreme_tachycardia"),
}
"""What a newly raised kind ends at once: a heart that stands still no longer fibrillates."""

NOT_CLEARED_BY_NOISE = frozenset({"ventricular_fibrillation"})
"""Only beats that resemble each other end these: who handles a patient or presses the chest shakes the leads, and a
noisy lead does not fibrillate."""


class Ecg:
    """All ECG detectors of one enrolment. looks: blocks that came after enough signal to tell everything."""

    def __init__(self, settings: DetectSettings) -> None:
        self._settings = settings
        self.joiner = Joiner(rate_hz=RATE_HZ, block_n=BLOCK_N, rate_min_mhz=RATE_MIN_MHZ)
        self.looks = 0
        self._leads = Leads(0)
        self._rhythms: list[Rhythm] = []
        self._shapes: list[Shape] = []
        self._good_blocks: list[int] = []
        self._votes: deque[float] = deque(maxlen=VOTES)
        self._starts_ms = 0.0
        self._place = ""
        self._poor_from_ms: int | None = None
        self._episodes = {kind: Episode(kind, clear_after_ms=after_ms) for kind, after_ms in CLEAR_MS.items()}
        self._poor = Episode("poor_signal", clear_after_ms=5_000)

    def add(self, wave: Wave, *, channels: int) -> list[Finding]:
        """One wave, in the order of its time."""
        found: list[Finding] = []
        for block in self.joiner.add(wave, channels=channels):
            found += self._block(block)
        return found

    def resume(self, opened: Mapping[str, Standing]) -> None:
        """Alarms that stood open before a restart, by kind."""
        for episode in (*self._episodes.values(), self._poor):
            episode.resume(opened)

    def _start(self, block: Block) -> None:
        count = block.samples.shape[0]
        if count != self._leads.count or self._place != self.joiner.place:
            self._leads = Leads(count)
            self._rhythms = [Rhythm(self._settings) for _ in range(count)]
            self._shapes = [Shape() for _ in range(count)]
            self._place = self.joiner.place
        self._leads.start()
        for rhythm in self._rhythms:
            rhythm.restart()
        self._good_blocks = [FAULT_HOLD_BLOCKS] * count
        self._votes.clear()
        self._poor_from_ms = None
        self._starts_ms = block.starts_ms
        for episode in self._episodes.values():
            episode.unknown()

    def _block(self, block: Block) -> list[Finding]:
        if block.fresh:
            self._start(block)
        leads = self._leads
        leads.add(block)
        self.looks += leads.made_n >= SEEN_N
        for number in range(leads.count):
            self._beats(number)
        if leads.raw.shape[1] < FAULT_N:
            return []
        bad = faults(leads.raw[:, -FAULT_N:])
        for number, fault in enumerate(bad):
            self._good_blocks[number] = 0 if fault else self._good_blocks[number] + 1
        usable = [number for number, good in enumerate(self._good_blocks) if good >= FAULT_HOLD_BLOCKS]
        end_s = leads.made_n / RATE_HZ
        at_ms = round(self._starts_ms + end_s * 1000)
        if not usable:
            self._votes.clear()
            return self._quality("" if all(not fault for fault in bad) else next(f for f in bad if f), at_ms)
        return self._decide(usable, end_s, at_ms)

    def _beats(self, number: int) -> None:
        rhythm, shape = self._rhythms[number], self._shapes[number]
        for beat in self._leads.beats[number]:
            at_s = beat.index / RATE_HZ
            last_s = rhythm.last_at_s
            judged = shape.judge(beat, interval_s=at_s - last_s if last_s is not None else 1.0)
            rhythm.add(Seen(at_s, judged.ventricular, judged.alike))

    def _quality(self, reason: str, at_ms: int) -> list[Finding]:
        if not reason:
            self._poor_from_ms = None
            return self._poor.absent(at_ms=at_ms)
        if self._poor_from_ms is None:
            self._poor_from_ms = at_ms
        if at_ms - self._poor_from_ms < self._settings.poor_signal_after_s * 1000:
            return []
        detail: Detail = {"reason": reason, "stream": "ecg"}
        return self._poor.present(onset_ms=self._poor_from_ms, at_ms=at_ms, detail=detail)

    def _decide(self, usable: list[int], end_s: float, at_ms: int) -> list[Finding]:
        holding = frozenset(kind for kind, episode in self._episodes.items() if episode.open)
        fibrillating = self._fibrillating(usable, holding)
        views = [
            View(
                self._rhythms[number].judge(end_s - LAG_S, holding=holding),
                self._shapes[number].steady,
                self._rhythms[number].beats_seen,
            )
            for number in usable
        ]
        fibrillation = {"ventricular_fibrillation": fibrillating} if fibrillating is not None else None
        holds = fibrillation or conditions(views, self._settings)
        steady = max(view.steady for view in views) >= STEADY_MIN
        unsteady = not holds and not holding and not steady
        return self._quality("noise" if unsteady else "", at_ms) + self._tell(holds, at_ms, steady=steady)

    def _fibrillating(self, usable: Sequence[int], holding: frozenset[str]) -> Holds | None:
        raw, rules = self._leads.raw, self._settings
        if raw.shape[1] < WINDOW_N:
            return None
        votes = [vote for vote in scores(raw[usable, -WINDOW_N:]) if vote is not None]
        self._votes.append(sum(votes) / len(votes) if votes else -2.0)
        limit = rules.fibrillation_score
        if "ventricular_fibrillation" in holding:
            limit = rules.fibrillation_holds
        elif "asystole" in holding:
            limit = rules.fibrillation_after_asystole
        mean = sum(self._votes) / len(self._votes)
        if len(self._votes) < VOTES or mean <= limit:
            return None
        since_s = self._leads.made_n / RATE_HZ - self._streak() * BLOCK_N / RATE_HZ - TURN_S
        return Holds(since_s, {"score": round(mean, 2), "limit": limit})

    def _streak(self) -> int:
        """Votes since the score turned for fibrillation."""
        streak = 0
        for vote in reversed(self._votes):
            if vote <= 0:
                break
            streak += 1
        return streak

    def _tell(self, holds: dict[str, Holds], at_ms: int, *, steady: bool) -> list[Finding]:
        found: list[Finding] = []
        for kind, episode in self._episodes.items():
            held = holds.get(kind)
            if held is not None and (episode.open or not any(self._episodes[other].open for other in GRAVER[kind])):
                onset_ms = round(self._starts_ms + max(0.0, held.since_s) * 1000)
                raised = episode.present(onset_ms=onset_ms, at_ms=at_ms, detail=held.detail)
                for ended in ENDS.get(kind, ()) if raised else ():
                    found += self._episodes[ended].absent(at_ms=at_ms, at_once=True)
                found += raised
            elif held is None and not steady and kind in NOT_CLEARED_BY_NOISE:
                episode.unknown()
            elif held is None:
                found += episode.absent(at_ms=at_ms)
        return found
