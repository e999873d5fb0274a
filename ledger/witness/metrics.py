"""What operators watch of a witness."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from ledger.witness.judging import KINDS, STATUS


class Metrics:
    """In a registry of its own; every verdict and kind is there from the start."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        started = Gauge("vigil_witness_start_time_seconds", "Unix time of the start", registry=self.registry)
        started.set_to_current_time()
        requests = Counter("vigil_witness_requests", "Checkpoints judged", ("verdict",), registry=self.registry)
        self._requests = {code: requests.labels(code) for code in sorted(STATUS)}
        evidence = Gauge("vigil_witness_evidence", "Contradictions kept", ("kind",), registry=self.registry)
        self._evidence = {kind: evidence.labels(kind) for kind in KINDS}

    def judged(self, code: str) -> None:
        """Count a verdict."""
        self._requests[code].inc()

    def kept(self, counts: Mapping[str, int]) -> None:
        """Show how much evidence there is."""
        for kind, count in counts.items():
            self._evidence[kind].set(count)
