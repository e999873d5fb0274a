"""What operators watch: every metric of the gateway, in a registry of its own. Labels come from closed sets; none names a person,
a device or a reading."""

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.admission import CLOCK_FLAGS
from gateway.detect.finding import KINDS
from protocol.topics import LANE_NAMES

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each would double every scrape

OTHER = "other"  # the label of whatever is not in its closed set
CHANNELS = ("first", "second")  # of the outbox: the steps of the escalation
LOG_FAILURES = (
    "checkpoint_old",
    "consistency_bad",
    "epoch_cut_short",
    "gateway_not_admitted",
    "ledger_answer",
    "ledger_busy",
    "ledger_unreachable",
    "log_contradicts",
    "log_unsigned",
    "quorum_missed",
    "store_failing",
)  # codes of tries with the ledger that are counted each by itself
LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
Health = Callable[[], tuple[bool, Mapping[str, object]]]


class Metrics:
    """Attributes are named as the metrics, without prefix and unit of counting. Counters with labels are there at 0 from the
    start: to Prometheus, a series that begins at 1 has not increased."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._waves_dropped = 0
        self._intake()
        self._alarms()
        self._rest()

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"vigil_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"vigil_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"vigil_{name}", text, buckets=LATENCY_S, registry=self.registry)

    def _intake(self) -> None:
        """Messages in, refusals, commits, receipts, connections."""
        self.messages = self._counter("messages", "Messages made durable", ("lane",))
        for lane in LANE_NAMES:
            self.messages.labels(lane)
        self.readings = self._counter("readings", "Vital signs in durable messages")
        self.refusals = self._counter("refusals", "Messages and packets that were refused", ("code",))
        self.clock_flags = self._counter(
            "clock_flags",
            "Messages that were taken although their device's clock is wrong or unsynchronised",
            ("flag",),
        )
        for flag in CLOCK_FLAGS:
            self.clock_flags.labels(flag)
        self.receipts = self._counter("receipts", "Signed receipts sent to devices")
        self.commits = self._counter("commits", "Transactions of the record")
        self.commit_seconds = self._histogram("commit_seconds", "One transaction with its fsync")
        self.arrival_to_durable_seconds = self._histogram(
            "arrival_to_durable_seconds", "From the oldest arrival of a commit until it was durable"
        )
        self.queue_messages = self._gauge("queue_messages", "Messages that wait for verification")
        self.connections = self._gauge("connections", "Open connections of devices to our own listener")
        self.broker_away = self._gauge(
            "broker_away", "1 while the broker of the settings is not connected; 0 without one"
        )

    def _alarms(self) -> None:
        """Alerts, their latency, and what is sent about them."""
        self.alerts = self._counter("alerts", "Alerts raised", ("kind",))
        for kind in (*KINDS, OTHER):
            self.alerts.labels(kind)
        self.alerts_open = self._gauge("alerts_open", "Alerts that are not resolved", ("priority",))
        self.alert_unacknowledged_seconds = self._gauge(
            "alert_unacknowledged_seconds",
            "Age of the oldest high-priority alert that nobody acknowledged; 0 when none",
        )
        self.alarm_latency_seconds = self._histogram(
            "alarm_latency_seconds", "From the arrival that raised an alarm until it was durable and pushed to the page"
        )
        self.outbox_pending = self._gauge("outbox_pending", "Notices that wait to be sent")
        self.outbox_failed = self._counter("outbox_failed", "Tries of a channel that failed", ("channel",))
        for channel in CHANNELS:
            self.outbox_failed.labels(channel)

    def _rest(self) -> None:
        """The build, storage, anchoring, devices, pages."""
        build = self._gauge("build_info", "1; the labels say what runs", ("version", "python"))
        build.labels(_version(), platform.python_version()).set(1)
        self._gauge("start_time_seconds", "Unix time of the start").set_to_current_time()
        self.store_healthy = self._gauge("store_healthy", "1 while commits succeed")
        self.store_healthy.set(1)
        self.store_errors = self._counter("store_errors", "Transactions that failed")
        self.anchors = self._counter("anchors", "Batches made")
        self.anchors_pending = self._gauge("anchors_pending", "Statements that wait for the ledger")
        self.anchor_age_seconds = self._gauge(
            "anchor_age_seconds", "Age of the oldest statement that waits; 0 when none"
        )
        self.log_failures = self._counter("log_failures", "Tries with the ledger that failed", ("code",))
        for code in (*LOG_FAILURES, OTHER):
            self.log_failures.labels(code)
        self.log_contradicted = self._gauge(
            "log_contradicted", "Open alarms that the ledger contradicts what it had signed before"
        )
        self.log_held_age_seconds = self._gauge(
            "log_held_age_seconds",
            "Since the ledger was last seen to hold all that it held, under a checkpoint with its quorum; 0 without a ledger",
        )
        self.devices = self._gauge("devices", "Enrolled devices", ("state",))
        self.page_clients = self._gauge("page_clients", "Open caregivers' pages")
        self.page_dropped_waves = self._counter("page_dropped_waves", "Stretches of curves that slow pages lost")

    def raised(self, kind: str) -> None:
        """Count an alert of a kind."""
        self.alerts.labels(kind if kind in KINDS else OTHER).inc()

    def log_failed(self, code: str) -> None:
        """Count a try with the ledger that failed."""
        self.log_failures.labels(code if code in LOG_FAILURES else OTHER).inc()

    def waves_dropped(self, total: int) -> None:
        """Take over how many stretches of curves slow pages have lost since the start."""
        self.page_dropped_waves.inc(total - self._waves_dropped)
        self._waves_dropped = total


def _version() -> str:
    try:
        return version("vigil")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "unknown"


class Refusals:
    """Counts refusals and closed connections by code; codes outside the closed set count as `other`."""

    def __init__(self, metrics: Metrics, codes: frozenset[str]) -> None:
        self._children = {code: metrics.refusals.labels(code) for code in (*sorted(codes), OTHER)}

    def count(self, code: str) -> None:
        """One more of `code`."""
        self._children.get(code, self._children[OTHER]).inc()


def app(metrics: Metrics, health: Health, refresh: Callable[[], None]) -> Starlette:
    """/metrics and /healthz. refresh: sets the gauges that are read on demand."""

    async def exposition(_: Request) -> Response:
        refresh()
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        good, facts = health()
        return JSONResponse({"ok": good, **facts}, status_code=200 if good else 503)

    return Starlette(routes=[Route("/metrics", exposition), Route("/healthz", healthz)])
