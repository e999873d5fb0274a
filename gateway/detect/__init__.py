"""Streaming detectors: pure, one file each. `Watch` holds all of one enrolment; `Finding` is what it says."""

from gateway.detect.finding import KINDS, Finding, Kind
from gateway.detect.settings import DetectSettings
from gateway.detect.watch import Watch

__all__ = ["KINDS", "DetectSettings", "Finding", "Kind", "Watch"]
