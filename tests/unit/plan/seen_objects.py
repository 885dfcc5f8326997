"""Parsed objects for tables of the pure functions."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from tests import builders
from tests.builders import NOW
from vulcan_contract.reasons import Reason, Retry
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import PlanStatus, PlanSummaryStatus
from vulcan_operator.api.fields import FailureStatus, TaskStatus
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.facts import Claim, Claims, GatewayFacts
from vulcan_operator.plan.core.seen import JobSeen, JobState, PodSeen, Settings
from vulcan_operator.plan.core.world import EnvironmentSeen

SETTINGS = Settings(install="test", cluster="cluster-uid", runner_image="runner:1")
_META = {
    "uid": "u1",
    "resourceVersion": "1",
    "generation": 1,
    "creationTimestamp": builders.stamp(NOW),
}


def env(
    name: str = "prod",
    namespace: str = "data",
    *,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> VulcanEnvironment:
    """A VulcanEnvironment."""
    raw = builders.environment(name, namespace, **spec)
    return VulcanEnvironment.model_validate(
        {**raw, "metadata": {**_META, **raw["metadata"]}, "status": status or {}}
    )


def gw(
    name: str = "warehouse", *, ready: str = "True", reason: str = "Ready", **spec: Any
) -> VulcanGateway:
    """A VulcanGateway that is Ready unless told otherwise."""
    raw = builders.gateway(name, **spec)
    condition = {
        "type": "Ready",
        "status": ready,
        "reason": reason,
        "lastTransitionTime": builders.stamp(NOW),
    }
    status = {"observedGeneration": 1, "conditions": [condition], "stateIdentity": "s"}
    return VulcanGateway.model_validate(
        {**raw, "metadata": {**_META, **raw["metadata"]}, "status": status}
    )


def facts(name: str = "warehouse", **fields: Any) -> GatewayFacts:
    """What others read of a VulcanGateway."""
    return GatewayFacts.of(gw(name, **fields))


def seen(
    environment: VulcanEnvironment,
    gateway: VulcanGateway | None = None,
    claims: Iterable[Claim] = (),
    **fields: Any,
) -> EnvironmentSeen:
    """What plan_environment sees; `claims` of the others on its gateway."""
    facts = GatewayFacts.of(gateway or gw())
    return EnvironmentSeen(
        environment, SETTINGS, facts, claims=Claims.of([*claims, Claim.of(environment)]), **fields
    )


def sibling(
    name: str, *, environment: str = "", minutes: int = 0, namespace: str = "data", **fields: Any
) -> Claim:
    """Another environment, created so many minutes after NOW."""
    created = NOW + dt.timedelta(minutes=minutes)
    key = Key(Kind.ENVIRONMENT, namespace, name)
    return Claim(key, environment or name, created, **fields)


def task(kind: str = "plan", state: str = "Running", job: str = "j") -> TaskStatus:
    """A current task."""
    return TaskStatus(kind=kind, job=job, inputs="i", state=state, since=NOW)


def job(state: JobState = JobState.UNFINISHED, **fields: Any) -> JobSeen:
    """The Job `j`, created at NOW."""
    default = {
        "namespace": "data",
        "name": "j",
        "uid": "x",
        "owner_kind": "VulcanEnvironment",
        "owner_namespace": "data",
    }
    more = {
        "owner_name": "prod",
        "owner_uid": "u1",
        "task": "plan",
        "inputs": "i",
        "attempt": 1,
        "gateway": "warehouse",
    }
    return JobSeen(
        **{**default, **more, "install": "test", "state": state, "created": NOW, **fields}
    )  # type: ignore[arg-type]


def pod(phase: str = "Running", **fields: Any) -> PodSeen:
    """The pod of Job `j`."""
    return PodSeen(
        **{
            "namespace": "data",
            "name": "p",
            "uid": "y",
            "job": "j",
            "owner_uid": "u1",
            "phase": phase,
            **fields,
        }
    )


def plan(
    digest: str = "sha256:" + "a" * 64,
    *,
    adopted: bool = False,
    state: str = "Pending",
    **summary: Any,
) -> PlanStatus:
    """A plan in status."""
    return PlanStatus(
        digest=digest, state=state, number=1, inputs="i", target="t", base="b", revision="r", source_digest="d", time=NOW,
        adopted=adopted, summary=PlanSummaryStatus(**summary),
    )  # fmt: skip


def failure(
    reason: Reason = Reason.MODEL_FAILED, retry: Retry = Retry.BACKOFF, **fields: Any
) -> FailureStatus:
    """A failure at NOW."""
    return FailureStatus(
        **{"task": "plan", "inputs": "i", "reason": reason, "retry": retry, "time": NOW, **fields}
    )
