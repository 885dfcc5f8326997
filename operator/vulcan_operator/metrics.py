"""Every metric, and the few functions that record them.

Counters and histograms have few labels, never an object's name or an error text. Series per object
come from a collector over the cache, so that they vanish with their object. Served by `health`.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric

from vulcan_operator import metrics_promotions
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.actions import Key, Note
from vulcan_operator.plan.core.seen import JobSeen, Waiter

T = TypeVar("T", VulcanGateway, VulcanEnvironment)
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_PROMOTION_SECONDS = (10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 72 * 3600)
_JOB_SECONDS = (5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)

API_REQUESTS = Counter(
    "vulcan_api_requests",
    "Requests to the API server, by verb, resource and HTTP status code.",
    ["verb", "resource", "code"],
    registry=REGISTRY,
)
API_SECONDS = Histogram(
    "vulcan_api_request_seconds",
    "Duration of a request to the API server.",
    ["verb"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
RECONCILES = Counter(
    "vulcan_reconciles",
    "Reconciliations, by kind and result.",
    ["kind", "result"],
    registry=REGISTRY,
)
RECONCILE_SECONDS = Histogram(
    "vulcan_reconcile_seconds",
    "Duration of a reconciliation.",
    ["kind"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
TASKS = Counter(
    "vulcan_tasks",
    "Finished tasks (plans, applies, runs, probes and others), by outcome and reason.",
    ["task", "outcome", "reason"],
    registry=REGISTRY,
)
PROMOTIONS = Counter(
    "vulcan_promotions", "Ended promotions, by outcome.", ["outcome"], registry=REGISTRY
)
PROMOTION_SECONDS = Histogram(
    "vulcan_promotion_seconds",
    "Time from the start of a promotion to its end, including the wait for approvals.",
    ["outcome"],
    buckets=_PROMOTION_SECONDS,
    registry=REGISTRY,
)
JOB_SECONDS = Histogram(
    "vulcan_job_seconds",
    "Time from the creation of a Job to its end.",
    ["task", "state"],
    buckets=_JOB_SECONDS,
    registry=REGISTRY,
)
EVENTS_SEEN = Counter(
    "vulcan_watch_events", "Watch events, by resource.", ["resource"], registry=REGISTRY
)
RESYNCS = Counter(
    "vulcan_resyncs",
    "Resyncs, which list all watched objects, by result.",
    ["result"],
    registry=REGISTRY,
)
DRIFT = Counter(
    "vulcan_resync_drift",
    "Objects that a resync found deleted without a watch event.",
    registry=REGISTRY,
)
ORPHANS = Counter(
    "vulcan_orphaned_jobs", "Jobs that were deleted because their owner is gone.", registry=REGISTRY
)
LEADER = Gauge("vulcan_leader", "1 on the leader, 0 on a standby.", registry=REGISTRY)
RESYNC_TIME = Gauge(
    "vulcan_last_resync_timestamp_seconds", "Time of the last complete resync.", registry=REGISTRY
)
QUEUE_DEPTH = Gauge(
    "vulcan_queue_depth", "Objects that wait in the queue for a worker.", registry=REGISTRY
)
QUEUE_WAIT = Gauge(
    "vulcan_queue_longest_wait_seconds",
    "Time that the first object in the queue has waited.",
    registry=REGISTRY,
)
LOOP_LAG = Gauge(
    "vulcan_event_loop_lag_seconds", "Delay of the event loop at its last check.", registry=REGISTRY
)
GUARDED = Gauge(
    "vulcan_approvals_guarded",
    "1: admission policies protect approvals, 0: they do not, -1: not checked yet.",
    registry=REGISTRY,
)
PRUNED = Gauge(
    "vulcan_status_fields_dropped",
    "Status fields that are left out because the installed CRDs do not have them.",
    registry=REGISTRY,
)


def api_request(verb: str, resource: str, status: int, seconds: float) -> None:
    """Record a request; called by `kube.transport`."""
    API_REQUESTS.labels(verb, resource, str(status)).inc()
    API_SECONDS.labels(verb).observe(seconds)


def reconciled(key: Key, result: str, seconds: float) -> None:
    """Record a reconciliation; called by `worker`."""
    RECONCILES.labels(key.kind.value, result).inc()
    RECONCILE_SECONDS.labels(key.kind.value).observe(seconds)


def noted(key: Key, note: Note) -> None:
    """Record a finished task or promotion, from its line in the audit log."""
    entry = note.audit
    if entry is None:
        return
    if entry.operation != "promotion":
        TASKS.labels(entry.operation, entry.outcome, entry.reason or note.reason).inc()
    elif entry.seconds is not None:  # a cancellation has none; the end is noted with its evidence
        PROMOTIONS.labels(entry.outcome).inc()
        PROMOTION_SECONDS.labels(entry.outcome).observe(entry.seconds)


def job_finished(job: JobSeen) -> None:
    """Record the end of a Job; called by `cluster.wake`."""
    if job.created is not None and job.finished is not None:
        JOB_SECONDS.labels(job.task, job.state.value).observe(
            (job.finished - job.created).total_seconds()
        )


class Objects(Protocol):
    """What the collector reads of the cache."""

    def all_gateways(self) -> list[VulcanGateway]:
        """Return all gateways that could be parsed."""

    def all_environments(self) -> list[VulcanEnvironment]:
        """Return all environments that could be parsed."""

    def all_promotions(self) -> list[VulcanPromotion]:
        """Return all promotions that could be parsed."""

    def waiters(self, gateway: tuple[str, str]) -> tuple[Waiter, ...]:
        """Return the queue for the writer slot of a gateway (namespace, name)."""


class ObjectCollector:
    """Makes the series per object from the cache when Prometheus asks; only the leader has them."""

    def __init__(
        self, cache: Objects, now: Callable[[], dt.datetime], leads: Callable[[], bool]
    ) -> None:
        self._cache, self._now, self._leads = cache, now, leads

    def collect(self) -> Iterable[Metric]:
        """Return the families; called by prometheus_client."""
        if not self._leads():
            return
        gateways, environments = self._cache.all_gateways(), self._cache.all_environments()
        yield from _conditions([*gateways, *environments])
        yield from _environments(environments, self._now())
        yield from metrics_promotions.series(
            self._cache.all_promotions(), environments, self._now()
        )
        yield _gauge(
            "vulcan_gateway_suspended",
            "1 while the gateway is suspended.",
            gateways,
            lambda g: float(g.spec.suspend),
        )
        yield _gauge(
            "vulcan_gateway_waiting_writers",
            "Tasks that wait for the writer slot of the gateway.",
            gateways,
            lambda g: float(self._waiting(g)),
        )
        yield _gauge(
            "vulcan_gateway_writer_wait_seconds",
            "Longest time that a task has waited for the writer slot of the gateway.",
            gateways,
            self._longest_wait,
        )
        yield _gauge(
            "vulcan_gateway_last_contact_timestamp_seconds",
            "Time when a Job last reached warehouse and state database.", gateways,
            lambda g: _stamp(g.status.last_contact_time),
        )  # fmt: skip

    def _waiting(self, gateway: VulcanGateway) -> int:
        return len(self._cache.waiters((gateway.metadata.namespace, gateway.metadata.name)))

    def _longest_wait(self, gateway: VulcanGateway) -> float:
        waiters = self._cache.waiters((gateway.metadata.namespace, gateway.metadata.name))
        return max(((self._now() - w.since).total_seconds() for w in waiters), default=0.0)


def _environments(found: list[VulcanEnvironment], now: dt.datetime) -> Iterator[Metric]:
    yield _gauge(
        "vulcan_environment_suspended",
        "1 while the environment is suspended.",
        found,
        lambda e: float(e.spec.suspend),
    )
    yield _gauge(
        "vulcan_environment_last_run_timestamp_seconds", "Time when the last scheduled run ended.", found,
        lambda e: _stamp(e.status.last_run.time if e.status.last_run else None),
    )  # fmt: skip
    yield _gauge(
        "vulcan_environment_last_run_succeeded", "1 if the last scheduled run succeeded, 0 if it failed.", found,
        lambda e: float(e.status.last_run.succeeded) if e.status.last_run else None,
    )  # fmt: skip
    yield _gauge(
        "vulcan_environment_last_apply_timestamp_seconds", "Time when a plan was last applied.", found,
        lambda e: _stamp(e.status.applied.time if e.status.applied else None),
    )  # fmt: skip
    yield _gauge(
        "vulcan_environment_next_run_timestamp_seconds", "Time when the next scheduled run is due.", found,
        lambda e: _stamp(e.status.next_run_time),
    )  # fmt: skip
    yield _gauge(
        "vulcan_environment_intervals_behind", "Missing intervals at the last check.", found,
        lambda e: None if e.status.intervals_behind is None else float(e.status.intervals_behind),
    )  # fmt: skip
    yield _gauge(
        "vulcan_environment_pending_approval_seconds",
        "Time that the plan of the environment has waited for approval.", found,
        lambda e: _pending(e, now),
    )  # fmt: skip


def _pending(environment: VulcanEnvironment, now: dt.datetime) -> float | None:
    for condition in environment.status.conditions:
        if condition.type == "AwaitingApproval" and condition.status == "True":
            return (now - condition.last_transition_time).total_seconds()
    return None


def _conditions(found: list[VulcanGateway | VulcanEnvironment]) -> Iterator[Metric]:
    labels = ["kind", "namespace", "name", "type"]
    family = GaugeMetricFamily(
        "vulcan_condition",
        "Status of a condition of a gateway or environment: 1: True, 0: False, -1: Unknown.",
        labels=labels,
    )
    for item in found:
        for condition in item.status.conditions:
            value = {"True": 1.0, "False": 0.0}.get(condition.status, -1.0)
            family.add_metric(
                [type(item).__name__, item.metadata.namespace, item.metadata.name, condition.type],
                value,
            )
    yield family


def _gauge(name: str, about: str, found: list[T], value: Callable[[T], float | None]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=["namespace", "name"])
    for item in found:
        if (number := value(item)) is not None:
            family.add_metric([item.metadata.namespace, item.metadata.name], number)
    return family


def _stamp(time: dt.datetime | None) -> float | None:
    return time.timestamp() if time else None
