"""The ECG of one wearer, from waves to findings: joins, finds beats on every lead, weighs the leads against each other
and raises the one alarm that fits best."""

from collections import deque
from collections.abc import Sequence

from gateway.detect.beats import Shape
from gateway.detect.blocks import Block, Joiner
from gateway.detect.episodes import Episode
from gateway.detect.fibrillation import WINDOW_N, scores
from gateway.detect.finding import Detail, Finding
from gateway.detect.leads import BLOCK_N, DELAY_N, PEAK_N, RATE_HZ, Leads
from gateway.detect.quality import faults
from gateway.detect.rhythm import Rhythm, Seen, Verdict
from gateway.detect.settings import DetectSettings
from protocol.content import Wave

LAG_S = (DELAY_N + PEAK_N) / RATE_HZ
"""Beats are known up to this long before the newest sample."""
FAULT_N = 2 * RATE_HZ
VOTES = 6
"""Fibrillation scores (one each half second) whose mean decides: with a four-second window, 6.5 s of signal."""
GRAVE = (
    "ventricular_fibrillation",
    "asystole",
    "ventricular_tachycardia",
    "extreme_tachycardia",
    "extreme_bradycardia",
)
"""Gravest first: of several that hold at once the first is raised, since they are one illness, not five alarms."""


class Ecg:
    """All ECG detectors of one enrolment."""

    def __init__(self, settings: DetectSettings) -> None:
        self._settings = settings
        self.joiner = Joiner(rate_hz=RATE_HZ, block_n=BLOCK_N)
        self._leads = Leads(0)
        self._rhythms: list[Rhythm] = []
        self._shapes: list[Shape] = []
        self._votes: deque[float] = deque(maxlen=VOTES)
        self._starts_ms = 0.0
        self._place = ""
        self._poor_from_ms: int | None = None
        self._episodes = {kind: Episode(kind, clear_after_ms=5_000) for kind in GRAVE}
        self._poor = Episode("poor_signal", clear_after_ms=5_000)

    def add(self, wave: Wave, *, channels: int) -> list[Finding]:
        """One wave, in the order of its time."""
        found: list[Finding] = []
        for block in self.joiner.add(wave, channels=channels):
            found += self._block(block)
        return found

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
        for number in range(leads.count):
            self._beats(number)
        if leads.raw.shape[1] < FAULT_N:
            return []
        bad = faults(leads.raw[:, -FAULT_N:])
        usable = [number for number, fault in enumerate(bad) if not fault]
        end_s = leads.made_n / RATE_HZ
        at_ms = round(self._starts_ms + end_s * 1000)
        found = self._quality(usable, bad, at_ms)
        if not usable:
            self._votes.clear()
            return found
        return found + self._decide(usable, end_s, at_ms)

    def _beats(self, number: int) -> None:
        rhythm, shape = self._rhythms[number], self._shapes[number]
        for beat in self._leads.beats[number]:
            at_s = beat.index / RATE_HZ
            last_s = rhythm.last_at_s
            interval_s = at_s - last_s if last_s is not None else 1.0
            rhythm.add(Seen(at_s, shape.is_ventricular(beat, interval_s=interval_s)))

    def _quality(self, usable: list[int], bad: Sequence[str], at_ms: int) -> list[Finding]:
        if usable:
            self._poor_from_ms = None
            return self._poor.absent(at_ms=at_ms)
        if self._poor_from_ms is None:
            self._poor_from_ms = at_ms
        if at_ms - self._poor_from_ms < self._settings.poor_signal_after_s * 1000:
            return []
        detail: Detail = {"reason": bad[0], "stream": "ecg"}
        return self._poor.present(onset_ms=self._poor_from_ms, at_ms=at_ms, detail=detail)

    def _decide(self, usable: list[int], end_s: float, at_ms: int) -> list[Finding]:
        fibrillating = self._fibrillating(usable)
        verdicts = [self._rhythms[number].judge(end_s - LAG_S) for number in usable]
        holds: dict[str, tuple[float, Detail]] = {}
        if fibrillating:
            holds["ventricular_fibrillation"] = (end_s - 6.5, {"score": round(sum(self._votes) / len(self._votes), 2)})
        else:
            holds = self._rules(usable, verdicts)
        return self._tell(holds, at_ms)

    def _fibrillating(self, usable: list[int]) -> bool:
        raw = self._leads.raw
        if raw.shape[1] < WINDOW_N:
            return False
        votes = [vote for vote in scores(raw[usable, -WINDOW_N:]) if vote is not None]
        self._votes.append(sum(votes) / len(votes) if votes else -1.0)
        return len(self._votes) == VOTES and sum(self._votes) / VOTES > 0.5

    def _rules(self, usable: list[int], verdicts: list[Verdict]) -> dict[str, tuple[float, Detail]]:
        rules = self._settings
        holds: dict[str, tuple[float, Detail]] = {}
        stopped = [v.asystole for v in verdicts]
        if all(s is not None for s in stopped) and any(self._rhythms[n].beats_seen >= 5 for n in usable):
            holds["asystole"] = (max(s for s in stopped if s is not None), {"limit": rules.asystole_s, "unit": "s"})
        runs = [v.ventricular for v in verdicts]
        if any(r is not None for r in runs) and all(v.fast for v in verdicts):
            detail: Detail = {
                "value": round(max(v.rate or 0 for v in verdicts)),
                "limit": rules.ventricular_rate,
                "unit": "/min",
            }
            holds["ventricular_tachycardia"] = (min(r for r in runs if r is not None), detail)
        for kind, each, limit in (
            ("extreme_tachycardia", [v.tachycardia for v in verdicts], rules.tachycardia_rate),
            ("extreme_bradycardia", [v.bradycardia for v in verdicts], rules.bradycardia_rate),
        ):
            if all(e is not None for e in each):
                rate = min((v.rate or 0 for v in verdicts), key=lambda r: abs(r - limit))
                holds[kind] = (
                    min(e for e in each if e is not None),
                    {"value": round(rate), "limit": limit, "unit": "/min"},
                )
        return holds

    def _tell(self, holds: dict[str, tuple[float, Detail]], at_ms: int) -> list[Finding]:
        found: list[Finding] = []
        told = False
        for kind in GRAVE:
            episode = self._episodes[kind]
            if kind in holds and (episode.open or not told):
                since_s, detail = holds[kind]
                onset_ms = round(self._starts_ms + max(0.0, since_s) * 1000)
                found += episode.present(onset_ms=onset_ms, at_ms=at_ms, detail=detail)
            elif kind not in holds:
                found += episode.absent(at_ms=at_ms)
            told = told or kind in holds
        return found
