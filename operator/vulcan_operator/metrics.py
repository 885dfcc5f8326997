"""Every metric, and the few functions that record them.

Counters and histograms have few labels, never an object's name or an error text. Series per object
come from a collector over the cache, so that they vanish with their object. Served by `health`.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric

from vulcan_contract.tasks import TaskKind
from vulcan_operator import metrics_promotions
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.actions import Key, Note
from vulcan_operator.plan.core.seen import JobSeen, Waiter

T = TypeVar("T", VulcanGateway, VulcanEnvironment)
_Series = Mapping[str, tuple[str, Callable[[T], float | None]]]
"""Gives by the name of a metric what it means and what its value is for an object."""
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_PROMOTION_SECONDS = (10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 72 * 3600)
_TASKS = frozenset(kind.value for kind in TaskKind)
_JOB_SECONDS = (5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)


def _counter(name: str, about: str, *labels: str) -> Counter:
    return Counter(name, about, labels, registry=REGISTRY)


def _histogram(name: str, about: str, *labels: str, buckets: Sequence[float]) -> Histogram:
    return Histogram(name, about, labels, buckets=buckets, registry=REGISTRY)


_about = "Requests to the API server, by verb, resource and HTTP status code."
API_REQUESTS = _counter("vulcan_api_requests", _about, "verb", "resource", "code")
_about = "Duration of a request to the API server."
API_SECONDS = _histogram("vulcan_api_request_seconds", _about, "verb", buckets=_SECONDS)
_about = "Reconciliations, by kind and result."
RECONCILES = _counter("vulcan_reconciles", _about, "kind", "result")
_about = "Duration of a reconciliation."
RECONCILE_SECONDS = _histogram("vulcan_reconcile_seconds", _about, "kind", buckets=_SECONDS)
_about = "Finished tasks (plans, applies, runs, probes and others), by outcome and reason."
TASKS = _counter("vulcan_tasks", _about, "task", "outcome", "reason")
PROMOTIONS = _counter("vulcan_promotions", "Ended promotions, by outcome.", "outcome")
_about = "Time from the start of a promotion to its end, including the wait for approvals."
PROMOTION_SECONDS = _histogram(
    "vulcan_promotion_seconds", _about, "outcome", buckets=_PROMOTION_SECONDS
)
_about = "Time from the creation of a Job to its end."
JOB_SECONDS = _histogram("vulcan_job_seconds", _about, "task", "state", buckets=_JOB_SECONDS)
EVENTS_SEEN = _counter("vulcan_watch_events", "Watch events, by resource.", "resource")
_about = "Resyncs, which list all watched objects, by result."
RESYNCS = _counter("vulcan_resyncs", _about, "result")
_about = "Objects that a resync found deleted without a watch event."
DRIFT = _counter("vulcan_resync_drift", _about)
_about = "Jobs that were deleted because their owner is gone."
ORPHANS = _counter("vulcan_orphaned_jobs", _about)
LEADER = Gauge("vulcan_leader", "1 on the leader, 0 on a standby.", registry=REGISTRY)
_about = "Time of the last complete resync."
RESYNC_TIME = Gauge("vulcan_last_resync_timestamp_seconds", _about, registry=REGISTRY)
_about = "Objects that wait in the queue for a worker."
QUEUE_DEPTH = Gauge("vulcan_queue_depth", _about, registry=REGISTRY)
_about = "Time that the first object in the queue has waited."
QUEUE_WAIT = Gauge("vulcan_queue_longest_wait_seconds", _about, registry=REGISTRY)
_about = "Delay of the event loop at its last check."
LOOP_LAG = Gauge("vulcan_event_loop_lag_seconds", _about, registry=REGISTRY)
_about = "1: admission policies protect approvals, 0: they do not, -1: not checked yet."
GUARDED = Gauge("vulcan_approvals_guarded", _about, registry=REGISTRY)
_about = "1 for each admission policy that does not hold or is not that of this release."
UNGUARDED = Gauge("vulcan_policy_unguarded", _about, ["policy"], registry=REGISTRY)
_about = "Status fields that are left out because the installed CRDs do not have them."
PRUNED = Gauge("vulcan_status_fields_dropped", _about, registry=REGISTRY)


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


def guarded(missing: Sequence[str] | None) -> None:
    """Record which policies do not hold, None while that is not known; called by `guard`."""
    GUARDED.set(-1 if missing is None else int(not missing))
    UNGUARDED.clear()
    for policy in missing or ():
        UNGUARDED.labels(policy).set(1)


def job_finished(job: JobSeen) -> None:
    """Record the end of a Job; called by `cluster.wake` for Jobs whose owner is known.

    Labels of Jobs are texts that users may write: only known kinds get a series.
    """
    if job.task in _TASKS and job.created is not None and job.finished is not None:
        seconds = (job.finished - job.created).total_seconds()
        JOB_SECONDS.labels(job.task, job.state.value).observe(seconds)


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
        now, promotions = self._now(), self._cache.all_promotions()
        yield from _conditions([*gateways, *environments])
        yield from _gauges(environments, _environment_series(now))
        yield from metrics_promotions.series(promotions, environments, now)
        yield from _gauges(gateways, self._gateway_series(now))

    def _gateway_series(self, now: dt.datetime) -> _Series[VulcanGateway]:
        def waits(gateway: VulcanGateway) -> list[float]:
            place = (gateway.metadata.namespace, gateway.metadata.name)
            return [(now - w.since).total_seconds() for w in self._cache.waiters(place)]

        return {
            "vulcan_gateway_suspended": (
                "1 while the gateway is suspended.",
                lambda g: g.spec.suspend,
            ),
            "vulcan_gateway_waiting_writers": (
                "Tasks that wait for the writer slot of the gateway.",
                lambda g: len(waits(g)),
            ),
            "vulcan_gateway_writer_wait_seconds": (
                "Longest time that a task has waited for the writer slot of the gateway.",
                lambda g: max(waits(g), default=0.0),
            ),
            "vulcan_gateway_last_contact_timestamp_seconds": (
                "Time when a Job last reached warehouse and state database.",
                lambda g: _stamp(g.status.last_contact_time),
            ),
        }


def _environment_series(now: dt.datetime) -> _Series[VulcanEnvironment]:
    return {
        "vulcan_environment_suspended": (
            "1 while the environment is suspended.",
            lambda e: e.spec.suspend,
        ),
        "vulcan_environment_last_run_timestamp_seconds": (
            "Time when the last scheduled run ended.",
            lambda e: _stamp(e.status.last_run.time if e.status.last_run else None),
        ),
        "vulcan_environment_last_run_succeeded": (
            "1 if the last scheduled run succeeded, 0 if it failed.",
            lambda e: e.status.last_run.succeeded if e.status.last_run else None,
        ),
        "vulcan_environment_last_apply_timestamp_seconds": (
            "Time when a plan was last applied.",
            lambda e: _stamp(e.status.applied.time if e.status.applied else None),
        ),
        "vulcan_environment_next_run_timestamp_seconds": (
            "Time when the next scheduled run is due.",
            lambda e: _stamp(e.status.next_run_time),
        ),
        "vulcan_environment_intervals_behind": (
            "Missing intervals at the last check.",
            lambda e: e.status.intervals_behind,
        ),
        "vulcan_environment_pending_approval_seconds": (
            "Time that the plan of the environment has waited for approval.",
            lambda e: _pending(e, now),
        ),
    }


def _pending(environment: VulcanEnvironment, now: dt.datetime) -> float | None:
    for condition in environment.status.conditions:
        if condition.type == "AwaitingApproval" and condition.status == "True":
            return (now - condition.last_transition_time).total_seconds()
    return None


def _conditions(found: list[VulcanGateway | VulcanEnvironment]) -> Iterator[Metric]:
    labels = ["kind", "namespace", "name", "type"]
    about = "Status of a condition of a gateway or environment: 1: True, 0: False, -1: Unknown."
    family = GaugeMetricFamily("vulcan_condition", about, labels=labels)
    for item in found:
        place = [type(item).__name__, item.metadata.namespace, item.metadata.name]
        for condition in item.status.conditions:
            value = {"True": 1.0, "False": 0.0}.get(condition.status, -1.0)
            family.add_metric([*place, condition.type], value)
    yield family


def _gauges(found: list[T], series: _Series[T]) -> Iterator[Metric]:
    for name, (about, value) in series.items():
        family = GaugeMetricFamily(name, about, labels=["namespace", "name"])
        for item in found:
            if (number := value(item)) is not None:
                family.add_metric([item.metadata.namespace, item.metadata.name], float(number))
        yield family


def _stamp(time: dt.datetime | None) -> float | None:
    return time.timestamp() if time else None
