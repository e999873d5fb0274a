"""What operators watch of a party."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from ledger.party.store import Counts
from ledger.signing import CODES

OTHER = "other"
STATES = ("waiting", "receipted", "refused")


class Metrics:
    """In a registry of its own; codes outside the closed set count as `other`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        started = Gauge("vigil_party_start_time_seconds", "Unix time of the start", registry=self.registry)
        started.set_to_current_time()
        self.ledger_failures = Counter(
            "vigil_party_ledger_failures",
            "Turns in which the ledger did not answer as it should",
            registry=self.registry,
        )
        self._conflicts = Gauge(
            "vigil_party_ledger_conflicts", "Pairs of checkpoints kept as evidence", registry=self.registry
        )
        statements = Gauge("vigil_party_statements", "Statements of this party", ("state",), registry=self.registry)
        self._statements = {state: statements.labels(state) for state in STATES}
        refusals = Counter("vigil_party_requests_refused", "Requests refused", ("code",), registry=self.registry)
        self._refusals = {code: refusals.labels(code) for code in (*sorted(CODES), OTHER)}

    def refused(self, code: str) -> None:
        """Count a refusal."""
        self._refusals.get(code, self._refusals[OTHER]).inc()

    def count(self, found: Counts) -> None:
        """Show how many statements stand where."""
        refused = sum(found.refused.values())
        for state, number in zip(STATES, (found.waiting, found.receipted, refused), strict=True):
            self._statements[state].set(number)
        self._conflicts.set(found.conflicts)
