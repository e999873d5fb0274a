"""What the leads say together: the steadier a lead, the more it counts, and none of the trusted ones may disagree."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.detect.finding import Detail
from gateway.detect.rhythm import Verdict
from gateway.detect.settings import DetectSettings

STEADY_MIN = 0.5
"""A lead whose beats resemble each other less than this is noise taken for beats."""
HEARD_MIN = 0.4
"""A lead from this steadiness on that shows beats is enough against standstill: one electrode often comes off alone."""
STEADY_SHARE = 0.75
"""A lead is trusted beside a better one when it is this steady in proportion."""
BEATS_MIN = 5
"""Beats that must have been seen on a lead before their absence means anything."""


@dataclass(frozen=True, slots=True)
class View:
    """One usable lead: its verdict, its steadiness and how many beats it ever gave."""

    verdict: Verdict
    steady: float
    beats_seen: int


@dataclass(frozen=True, slots=True)
class Holds:
    """A condition that holds: since when (s in the segment), and the figures for people."""

    since_s: float
    detail: Detail


def trusted(views: Sequence[View]) -> list[View]:
    """The leads that may decide, the steadiest first; none when all are noise."""
    best = max((view.steady for view in views), default=0.0)
    least = max(STEADY_MIN, STEADY_SHARE * best)
    return sorted((view for view in views if view.steady >= least), key=lambda view: -view.steady)


def conditions(views: Sequence[View], settings: DetectSettings) -> dict[str, Holds]:
    """The conditions on beats that hold, by kind. Without a trusted lead only standstill can be told, when every usable
    lead shows it: noise adds beats, it takes none away."""
    leads = trusted(views)
    found: dict[str, Holds] = {}
    silent = [view for view in views if view.steady >= HEARD_MIN] or views
    since_s = _all([view.verdict.asystole for view in silent], latest=True)
    if since_s is not None and any(view.beats_seen >= BEATS_MIN for view in silent):
        found["asystole"] = Holds(since_s, {"limit": settings.asystole_s, "unit": "s"})
    if not leads:
        return found
    verdicts = [view.verdict for view in leads]
    rates = [verdict.rate for verdict in verdicts if verdict.rate is not None]
    runs = [verdict.ventricular for verdict in verdicts if verdict.ventricular is not None]
    fast_all = all(rate > settings.ventricular_rate - settings.rate_hysteresis for rate in rates)
    if runs and fast_all:
        found["ventricular_tachycardia"] = Holds(min(runs), _rate(max(rates), settings.ventricular_rate))
    since_s = _all([verdict.tachycardia for verdict in verdicts], latest=False)
    if since_s is not None:
        found["extreme_tachycardia"] = Holds(since_s, _rate(min(rates), settings.tachycardia_rate))
    since_s = _all([verdict.bradycardia for verdict in verdicts], latest=False)
    if since_s is not None:
        found["extreme_bradycardia"] = Holds(since_s, _rate(max(rates, default=0.0), settings.bradycardia_rate))
    return found


def _all(times: Sequence[float | None], *, latest: bool) -> float | None:
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return None
    return max(known) if latest else min(known)


def _rate(rate: float, limit: float) -> Detail:
    return {"value": round(rate), "limit": limit, "unit": "/min"}
