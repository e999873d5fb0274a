"""What operators watch of a ledger."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ledger.witness.metrics import Asked

OTHER = "other"


class Metrics:
    """In a registry of its own; codes outside the closed set count as `other`."""

    def __init__(self, codes: frozenset[str]) -> None:
        self.registry = CollectorRegistry()
        started = Gauge("vigil_ledger_start_time_seconds", "Unix time of the start", registry=self.registry)
        started.set_to_current_time()
        self.entries = Counter("vigil_ledger_entries", "Statements registered", registry=self.registry)
        self.tree_size = Gauge("vigil_ledger_tree_size", "Entries in the log", registry=self.registry)
        self.request_seconds = Histogram(
            "vigil_ledger_request_seconds", "Answering a request", ("route",), registry=self.registry
        )
        refusals = Counter("vigil_ledger_refusals", "Statements refused", ("code",), registry=self.registry)
        self.witnesses = Asked(self.registry)
        self._refusals = {code: refusals.labels(code) for code in (*sorted(codes), OTHER)}

    def refused(self, code: str) -> None:
        """Count a refusal."""
        self._refusals.get(code, self._refusals[OTHER]).inc()
