"""What others read of an object: facts differ exactly when something that is read has changed."""

import datetime as dt
from typing import Any

import pytest

from tests import builders
from tests.builders import NOW
from tests.unit.plan.seen_objects import env, failure, gw, plan, task
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment_history import EvidenceRef, PromotionItem, RollbackTargetStatus
from vulcan_operator.api.environment_status import (
    AppliedStatus,
    ChecksStatus,
    EnvironmentStatus,
    HeldStatus,
    HistoryItem,
    ReportRef,
    RevisionStatus,
    RunStatus,
    StandingStatus,
)
from vulcan_operator.api.fields import Condition, ObjectMeta
from vulcan_operator.api.gateway import (
    ActiveWriter,
    GatewaySpec,
    GatewayStatus,
    ProbeStatus,
    WaitingWriter,
)
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.api.promotion_status import (
    PreviousStatus,
    PromotionStatus,
    RollbackStatus,
    SideStatus,
    StepStatus,
    VoteStatus,
)
from vulcan_operator.api.rules import ApprovalInForce, EffectiveRules
from vulcan_operator.api.source import Origin
from vulcan_operator.plan.core.facts import (
    EnvironmentFacts,
    GatewayFacts,
    Identity,
    PromotionFacts,
    ReadyFacts,
)
from vulcan_operator.plan.rules.promotion_facts import promotion_facts

LATER = NOW + dt.timedelta(hours=1)


def condition(
    kind: str = "Ready", status: str = "True", reason: str = "Ready", **fields: Any
) -> Condition:
    return Condition(
        **{"type": kind, "status": status, "reason": reason, "last_transition_time": NOW, **fields}
    )


APPLIED = AppliedStatus(
    revision="r", source_digest="d", inputs="i", plan_digest=plan().digest, time=NOW
)
HELD = HeldStatus(id="h", revision="r", promotion="data/x", time=NOW)
ITEM = PromotionItem(
    namespace="data", name="p", uid="u", outcome="Succeeded", finished_at=NOW,
    evidence=EvidenceRef(name="e", sha256="s")
)  # fmt: skip


def changed(base: Any, field: str, value: Any) -> Any:
    """The object with another value of a field of its status."""
    return base.but(status=base.status.but(**{field: value}))


def moved(base: Any, field: str, value: Any) -> Any:
    """The same of its metadata."""
    return base.but(metadata=base.metadata.but(**{field: value}))


META_READ: dict[str, Any] = {
    "name": "other", "namespace": "other", "uid": "other", "creation_timestamp": LATER,
    "deletion_timestamp": LATER,
    "annotations": {"vulcan.dev/writer-gone": "j"},
}  # fmt: skip
META_UNREAD: dict[str, Any] = {
    "resource_version": "9",
    "labels": {"a": "b"},
    "finalizers": ["vulcan.dev/invalidate"],
}

GATEWAY = gw()
GATEWAY_READ: dict[str, Any] = {
    "conditions": [condition(reason="Suspended")], "state_identity": "other",
    "probe": ProbeStatus(inputs="i", time=NOW),
}  # fmt: skip
GATEWAY_UNREAD: dict[str, Any] = {
    "versions": {"sqlmesh": "1"}, "active_writer": ActiveWriter(job="j"), "task": task("probe"),
    "failure": failure(),
    "waiting": [WaitingWriter(environment="e", task="run", since=NOW)], "next_attempt_time": NOW,
    "suspended_since": NOW, "last_contact_time": NOW, "last_handled_probe_requested_at": "1",
}  # fmt: skip

ENVIRONMENT = changed(changed(env(), "plan", plan()), "applied", APPLIED)
ENVIRONMENT_READ: dict[str, Any] = {
    "conditions": [condition()], "environment": "x", "protected": True,
    "applied": APPLIED.but(plan_id="p"),
    "revision": RevisionStatus(resolved="r", digest="d", inputs="i"),
    "plan": plan().but(revision="other"),
    "green_runs": 1, "held": [HELD], "history": [HistoryItem(revision="r", time=NOW)],
    "rollback_targets": [RollbackTargetStatus(plan_id="p")], "promotions": [ITEM],
    "suspended_since": NOW,
}  # fmt: skip
ENVIRONMENT_UNREAD: dict[str, Any] = {
    "plan_number": 1, "rules": EffectiveRules(approval=ApprovalInForce(mode="Always")),
    "task": task(), "failure": failure(), "standing": StandingStatus(status="False", reason="x"),
    "run_failure": failure(), "checks": ChecksStatus(inputs="i", time=NOW),
    "last_run": RunStatus(time=NOW, reason="x"),
    "promotion": "data/p", "next_run_time": NOW, "schedule": "Auto", "next_opening_time": NOW,
    "next_attempt_time": NOW,
    "observed_plan_id": "p", "intervals_behind": 1, "operations_done": ["o"],
    "last_handled_plan_requested_at": "1",
    "last_handled_run_requested_at": "1",
}  # fmt: skip

PROMOTION = VulcanPromotion.model_validate(
    {**(raw := builders.promotion()), "metadata": {**raw["metadata"], "uid": "u1", "generation": 1}}
).but(status=PromotionStatus(
    outcome="RolledBack", started_at=NOW, finished_at=NOW, applied_plan_id="p1",
    plan=plan(state="Applied"),
    previous=PreviousStatus(revision="r0", source_digest="d0"),
    evidence_ref=ReportRef(name="e", sha256="s"),
    rollback=RollbackStatus(state="Succeeded", plan_id="p0", time=NOW), revision="r",
    source_digest="d",
    observed_generation=1,
))  # fmt: skip
SUCCEEDED = changed(changed(PROMOTION, "outcome", "Succeeded"), "rollback", None)
PROMOTION_READ: dict[str, Any] = {
    "conditions": [condition("Stalled")], "steps": [StepStatus(name="Verify", state="Succeeded")],
    "outcome": "Failed",
    "revision": "r2", "source_digest": "d2", "plan": plan(state="NoChanges"),
    "applied_plan_id": "p2",
    "approved_by": ["ann"], "previous": PreviousStatus(revision="r1"), "evidence_ref": None,
    "rollback": RollbackStatus(state="Failed"), "origin": Origin(kind="Git"),
    "superseded_by": "data/other",
    "started_at": None, "finished_at": LATER,
}  # fmt: skip
SIDE = SideStatus(environment="e", gateway="data/warehouse")
PROMOTION_UNREAD: dict[str, Any] = {
    "observed_generation": 9, "step": "Verify", "relation": "SameSystem", "source": SIDE,
    "target": SIDE, "plans": 3,
    "approvals": [VoteStatus(plan="p", by="ann", decision="Approve", time=NOW)],
    "runner_images": ["i"],
    "supersedes": ["data/x"], "next_opening_time": NOW, "next_attempt_time": NOW,
}  # fmt: skip

FACTS: list[tuple[str, Any, Any]] = [
    ("gateway", GATEWAY, GatewayFacts.of), ("environment", ENVIRONMENT, EnvironmentFacts.of),
    ("promotion", PROMOTION, promotion_facts),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "read", "unread"),
    [
        (GatewayStatus, {*GATEWAY_READ, "observed_generation"}, GATEWAY_UNREAD.keys()),
        (EnvironmentStatus, {*ENVIRONMENT_READ, "observed_generation"}, ENVIRONMENT_UNREAD.keys()),
        (PromotionStatus, set(PROMOTION_READ), PROMOTION_UNREAD.keys()),
        (ObjectMeta, {*META_READ, "generation"}, META_UNREAD.keys()),
    ],
)
def test_of_every_field_it_is_known_whether_others_read_it(
    model: Any, read: set[str], unread: Any
) -> None:
    assert read | unread == model.model_fields.keys() and not read & unread


@pytest.mark.parametrize("field", GATEWAY_READ)
def test_what_is_read_of_a_gateway(field: str) -> None:
    assert GatewayFacts.of(changed(GATEWAY, field, GATEWAY_READ[field])) != GatewayFacts.of(GATEWAY)


@pytest.mark.parametrize("field", GATEWAY_UNREAD)
def test_what_nobody_reads_of_a_gateway(field: str) -> None:
    other = changed(GATEWAY, field, GATEWAY_UNREAD[field])
    assert other != GATEWAY and GatewayFacts.of(other) == GatewayFacts.of(GATEWAY)


@pytest.mark.parametrize("field", ENVIRONMENT_READ)
def test_what_is_read_of_an_environment(field: str) -> None:
    other = changed(ENVIRONMENT, field, ENVIRONMENT_READ[field])
    assert EnvironmentFacts.of(other) != EnvironmentFacts.of(ENVIRONMENT)


@pytest.mark.parametrize("field", ENVIRONMENT_UNREAD)
def test_what_nobody_reads_of_an_environment(field: str) -> None:
    other = changed(ENVIRONMENT, field, ENVIRONMENT_UNREAD[field])
    assert other != ENVIRONMENT and EnvironmentFacts.of(other) == EnvironmentFacts.of(ENVIRONMENT)


@pytest.mark.parametrize("field", PROMOTION_READ)
def test_what_is_read_of_a_promotion(field: str) -> None:
    of_success = ("revision", "source_digest", "origin", "approved_by", "steps")
    base = SUCCEEDED if field in of_success else PROMOTION
    assert promotion_facts(changed(base, field, PROMOTION_READ[field])) != promotion_facts(base)


@pytest.mark.parametrize("field", PROMOTION_UNREAD)
def test_what_nobody_reads_of_a_promotion(field: str) -> None:
    other = changed(PROMOTION, field, PROMOTION_UNREAD[field])
    assert other != PROMOTION and promotion_facts(other) == promotion_facts(PROMOTION)


@pytest.mark.parametrize(("name", "base", "of"), FACTS)
@pytest.mark.parametrize("field", META_UNREAD)
def test_what_nobody_reads_of_metadata(name: str, base: Any, of: Any, field: str) -> None:
    assert of(moved(base, field, META_UNREAD[field])) == of(base)


@pytest.mark.parametrize("field", META_READ)
def test_what_is_read_of_metadata(field: str) -> None:
    assert Identity.of(moved(GATEWAY, field, META_READ[field]).metadata) != Identity.of(
        GATEWAY.metadata
    )
    if field != "annotations":  # nobody reads those of a promotion
        assert promotion_facts(moved(PROMOTION, field, META_READ[field])) != promotion_facts(
            PROMOTION
        )


def test_annotations_of_others_do_not_count() -> None:
    foreign = {"kubectl.kubernetes.io/x": "y", "vulcan.dev.example/x": "y"}
    assert Identity.of(moved(GATEWAY, "annotations", foreign).metadata) == Identity.of(
        GATEWAY.metadata
    )


def test_the_whole_spec_is_read() -> None:
    other = GatewaySpec.model_validate({**GATEWAY.spec.to_json(), "suspend": True})
    assert GatewayFacts.of(GATEWAY.but(spec=other)) != GatewayFacts.of(GATEWAY)
    assert EnvironmentFacts.of(env(suspend=True)) != EnvironmentFacts.of(env())


@pytest.mark.parametrize(("name", "base", "of"), FACTS[:2])
def test_a_spec_that_was_not_looked_at_yet_makes_ready_out_of_date(
    name: str, base: Any, of: Any
) -> None:
    base = changed(base, "observed_generation", 1)
    assert of(base).ready.is_current
    assert not of(moved(base, "generation", 2)).ready.is_current
    assert not of(changed(base, "observed_generation", 0)).ready.is_current


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (condition(last_transition_time=LATER), True),
        (condition(observed_generation=9), True),
        (condition(status="False"), False),
        (condition(reason="Suspended"), False),
        (condition(message="m"), False),
    ],
)
def test_ready_is_read_without_its_time(other: Condition, same: bool) -> None:
    before, after = (
        ReadyFacts.of([condition("Stalled"), c], is_current=True) for c in (condition(), other)
    )
    assert (before == after) == same


def test_without_conditions_nothing_is_said() -> None:
    assert ReadyFacts.of([condition("Stalled")], is_current=True) == ReadyFacts(is_current=True)
    assert ReadyFacts() == ReadyFacts("", "", "", is_current=False)


@pytest.mark.parametrize("digest", ["", "sha256:other"])
def test_a_plan_that_is_not_applied_is_nobodys_business(digest: str) -> None:
    waits = changed(ENVIRONMENT, "applied", APPLIED.but(plan_digest=digest))
    assert EnvironmentFacts.of(ENVIRONMENT).plan == plan()
    assert EnvironmentFacts.of(waits).plan is None
    assert EnvironmentFacts.of(changed(ENVIRONMENT, "applied", None)).plan is None


NOWHERE = condition(reason=Why.ENVIRONMENT_NOT_FOUND)


def promotion(spec: Any = None, **status: Any) -> PromotionFacts:
    """The facts of a promotion that has not ended."""
    found = PROMOTION.but(spec=PROMOTION.spec.but(**(spec or {})), status=PromotionStatus(**status))
    return promotion_facts(found)


@pytest.mark.parametrize(
    ("found", "fact", "expected"),
    [
        (promotion(), "is_started", False),
        (promotion(started_at=NOW), "is_started", True),
        (promotion({"queue": "Supersede"}), "takes_places", True),
        (promotion(), "takes_places", False),
        (promotion(conditions=[condition(reason=Why.QUEUED)]), "is_queued", True),
        (promotion(conditions=[condition(Type.STALLED, reason=Why.QUEUED)]), "is_queued", False),
        (promotion(conditions=[condition(Type.STALLED)]), "goes_nowhere", True),
        (promotion(conditions=[condition(Type.STALLED, "False")]), "goes_nowhere", False),
        (promotion(conditions=[condition(reason=Why.CONFIG_MAP_MISSING)]), "goes_nowhere", True),
        (promotion(conditions=[NOWHERE]), "goes_nowhere", True),
        (promotion(conditions=[NOWHERE], started_at=NOW), "goes_nowhere", False),
        (promotion(steps=[StepStatus(name="Apply", job="j")]), "is_changing", True),
        (promotion(steps=[StepStatus(name="Apply")]), "is_changing", False),
        (promotion(steps=[StepStatus(name="Diff", job="j")]), "is_changing", False),
        (promotion(plan=plan(state="NoChanges")), "is_there", True),
        (promotion(plan=plan(state="Applied"), applied_plan_id="p"), "plan", None),
        (promotion_facts(PROMOTION), "plan", plan(state="Applied")),
        (promotion_facts(SUCCEEDED), "held", None),
        (promotion_facts(SUCCEEDED), "intervals_behind", None),
        (promotion_facts(PROMOTION), "intervals_behind", 0),
    ],
)  # fmt: skip
def test_what_a_promotion_is_for_others(found: PromotionFacts, fact: str, expected: Any) -> None:
    assert getattr(found, fact) == expected


def test_a_deleted_promotion_is_inert_unless_it_must_come_to_an_end() -> None:
    deleted = moved(PROMOTION, "deletion_timestamp", NOW)
    assert promotion_facts(deleted).is_inert and not promotion_facts(PROMOTION).is_inert
    assert not promotion_facts(moved(deleted, "finalizers", ["vulcan.dev/invalidate"])).is_inert
