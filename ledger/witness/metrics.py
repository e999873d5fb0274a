"""What operators watch of a witness, and of the witnesses of a log."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from ledger.witness.judging import KINDS, STATUS
from ledger.witness.peer import OUTCOMES


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


class Asked:
    """A log's side, in the registry of the log; all is there from the start, also without witnesses."""

    def __init__(self, registry: CollectorRegistry) -> None:
        cosignatures = Counter(
            "vigil_ledger_witness_cosignatures", "Answers of witnesses to checkpoints", ("outcome",), registry=registry
        )
        self._cosignatures = {outcome: cosignatures.labels(outcome) for outcome in OUTCOMES}
        self._waiting = Gauge(
            "vigil_ledger_checkpoint_waiting_seconds",
            "How long entries have waited to be under a checkpoint that enough witnesses cosigned",
            registry=registry,
        )
        self._missing = Gauge("vigil_ledger_witnesses_missing", "Witnesses that do not cosign now", registry=registry)
        self._rolled_back = Gauge(
            "vigil_ledger_rolled_back", "1 when a witness holds more of this log than the log", registry=registry
        )

    def asked(self, outcome: str) -> None:
        """Count an answer."""
        self._cosignatures[outcome].inc()

    def waiting(self, seconds: float) -> None:
        """Show how long the oldest entry waits."""
        self._waiting.set(seconds)

    def missing(self, count: int) -> None:
        """Show how many witnesses are away."""
        self._missing.set(count)

    def rolled_back(self) -> None:
        """Show that this log is an old copy of itself."""
        self._rolled_back.set(1)
