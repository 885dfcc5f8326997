"""What an environment claims on its gateway, and what its Jobs have found of it."""

import datetime as dt
from typing import Any

import pytest

from tests.builders import NOW
from tests.unit.plan.seen_objects import env, failure, plan, sibling
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import (
    AppliedStatus,
    EnvironmentStatus,
    RunStatus,
)
from vulcan_operator.api.fields import Condition
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.facts import (
    Claim,
    Claims,
    Contact,
)

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


def changed(base: Any, field: str, value: Any) -> Any:
    """The object with another value of a field of its status."""
    return base.but(status=base.status.but(**{field: value}))


def moved(base: Any, field: str, value: Any) -> Any:
    """The same of its metadata."""
    return base.but(metadata=base.metadata.but(**{field: value}))


CLAIM = Claim(Key(Kind.ENVIRONMENT, "data", "prod"), "prod", NOW)


@pytest.mark.parametrize(
    ("environment", "fields"),
    [
        pytest.param(env(), {}, id="nothing is known of it"),
        pytest.param(changed(env(), "protected", True), {"protected": True}, id="it is protected"),
        pytest.param(
            changed(env(), "applied", APPLIED), {"applied": True}, id="something is applied"
        ),
        pytest.param(
            moved(env(), "deletion_timestamp", NOW), {"deleting": True}, id="it is being deleted"
        ),
        pytest.param(
            changed(env(), "conditions", [condition(reason=Why.NOT_GRANTED)]), {"refused": True},
            id="no grant allows it",
        ),
        pytest.param(
            changed(env(), "conditions", [condition("Stalled", reason=Why.NOT_GRANTED)]), {},
            id="Ready tells that",
        ),
        pytest.param(changed(env(), "environment", "prod"), {"judged": True}, id="it is judged"),
        pytest.param(
            env(environment="x"), {"environment": "x"}, id="its name in SQLMesh is another"
        ),
        pytest.param(changed(env(), "green_runs", 9), {}, id="the rest is nobody's business"),
    ],
)  # fmt: skip
def test_what_an_environment_claims(environment: VulcanEnvironment, fields: dict[str, Any]) -> None:
    default = {"key": CLAIM.key, "environment": "prod", "created": NOW}
    assert Claim.of(environment) == Claim(**{**default, **fields})


def test_claims_are_found_by_name() -> None:
    a, b, c = (
        sibling("a"),
        sibling("b", environment="a", protected=True),
        sibling("c", protected=True),
    )
    claims = Claims.of([a, b, c])
    assert (claims.named("a"), claims.named("c"), claims.named("b")) == ((a, b), (c,), ())
    assert set(claims.all()) == {a, b, c} and claims.protected(besides=CLAIM.key) == ("a", "c")
    assert (
        Claims.of([c, a, b]) == Claims.of([a, b, c]) and Claims().protected(besides=CLAIM.key) == ()
    )
    assert claims.protected(besides=c.key) == ("a",)


RUN = RunStatus(time=LATER, reason="x")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({}, Contact(), id="none of its Jobs has ended"),
        pytest.param({"plan": plan()}, Contact(NOW), id="a plan has read both"),
        pytest.param(
            {"plan": plan(), "applied": APPLIED.but(time=LATER)}, Contact(LATER),
            id="the last one counts",
        ),
        pytest.param({"plan": plan(), "last_run": RUN}, Contact(LATER), id="a run has written"),
        pytest.param(
            {"plan": plan(), "last_run": RUN.but(succeeded=False)}, Contact(NOW),
            id="a run that failed proves nothing",
        ),
        pytest.param(
            {"failure": failure()}, Contact(None, "ModelFailed", NOW), id="a change failed"
        ),
        pytest.param(
            {"run_failure": failure()}, Contact(None, "ModelFailed", NOW), id="a run failed"
        ),
        pytest.param(
            {"failure": failure(), "run_failure": failure(time=LATER, reason="Lost")},
            Contact(None, "Lost", LATER),
            id="the last failure counts",
        ),
    ],
)  # fmt: skip
def test_what_jobs_have_found_of_a_gateway(status: dict[str, Any], expected: Contact) -> None:
    assert Contact.of(env().but(status=EnvironmentStatus(**status))) == expected
