"""What makes an environment wait or stop, in which order."""

from typing import Any

import pytest

from tests.builders import NOW
from tests.unit.plan.seen_objects import SETTINGS, env, gw, seen, sibling
from vulcan_operator.plan.core.world import EnvironmentSeen
from vulcan_operator.plan.environments import preconditions
from vulcan_operator.plan.environments.context import Context


def shut(what: EnvironmentSeen) -> str | None:
    verdict = preconditions.first(Context(what, NOW))
    return verdict.reason if verdict else None


OLDER, YOUNGER = (
    sibling("other", environment="prod", minutes=-1),
    sibling("other", environment="prod", minutes=1),
)
DEV = env("dev")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        pytest.param(seen(env()), None, id="nothing in the way"),
        pytest.param(seen(env(suspend=True)), "Suspended", id="suspended"),
        pytest.param(seen(env(suspend=True, suspendUntil="2026-11-22T12:00:00Z")), None, id="a suspension that ended"),
        pytest.param(seen(env(suspend=True, suspendUntil="2026-11-22T12:00:01Z")), "Suspended", id="not yet ended"),
        pytest.param(EnvironmentSeen(env(), SETTINGS), "GatewayNotFound", id="no gateway"),
        pytest.param(EnvironmentSeen(env(suspend=True), SETTINGS), "GatewayNotFound", id="no gateway, suspended or not"),
        pytest.param(seen(env("prod", "other", suspend=True)), "NotGranted", id="no grant, suspended or not"),
        pytest.param(seen(env("prod", "other")), "NotGranted", id="another namespace without grants"),
        pytest.param(seen(env(), claims=(OLDER,)), "EnvironmentNameTaken", id="an older one has the name"),
        pytest.param(seen(env(), claims=(YOUNGER,)), None, id="a younger one does not"),
        pytest.param(
            seen(env(), claims=(sibling("a", environment="prod"),)), "EnvironmentNameTaken", id="same second: by name"
        ),
        pytest.param(seen(env(), claims=(sibling("z", environment="prod"),)), None, id="same second, later name"),
        pytest.param(
            seen(env(), claims=(sibling("a", environment="prod", minutes=-9, refused=True),)), None, id="a refused one"
        ),
        pytest.param(seen(env(runner={"image": "x:1"})), "ImageNotAllowed", id="an image of its own"),
        pytest.param(seen(env(), gw(ready="False")), "GatewayNotReady", id="the gateway is not ready"),
        pytest.param(seen(env(), gw(ready="Unknown")), "GatewayNotReady", id="nobody knows yet"),
        pytest.param(seen(env(), gw(reason="Suspended")), "GatewayNotReady", id="the gateway is suspended"),
        pytest.param(seen(DEV, claims=(sibling("prod"),)), "ReferenceMissing", id="prod is not applied yet"),
        pytest.param(seen(DEV, claims=(sibling("prod", applied=True),)), None, id="prod is applied"),
        pytest.param(seen(DEV), None, id="nobody makes a prod: the runner says it"),
        pytest.param(seen(DEV, claims=(sibling("prod", deleting=True),)), None, id="prod is going"),
        pytest.param(seen(env("x", environment="prod"), claims=(sibling("dev"),)), None, id="prod waits for nobody"),
    ],
)  # fmt: skip
def test_gates(what: EnvironmentSeen, reason: str | None) -> None:
    assert shut(what) == reason


def test_an_applied_environment_does_not_wait_for_prod() -> None:
    applied = {"revision": "r", "sourceDigest": "d", "inputs": "i", "time": "2026-11-22T12:00:00Z"}
    assert shut(seen(env("dev", status={"applied": applied}), claims=(sibling("prod"),))) is None


def test_a_gateway_whose_spec_was_not_looked_at_yet_is_not_ready() -> None:
    gateway = gw()
    gateway = gateway.but(metadata=gateway.metadata.but(generation=2))
    assert shut(seen(env(), gateway)) == "GatewayNotReady"


@pytest.mark.parametrize(
    ("siblings", "reason"),
    [
        pytest.param([], None, id="none yet"),
        pytest.param([("dev_1", -2, {})], None, id="one place left"),
        pytest.param(
            [("dev_1", -2, {}), ("dev_2", -1, {})], "EnvironmentQuotaExceeded", id="two older ones"
        ),
        pytest.param([("dev_1", -2, {}), ("dev_2", 1, {})], None, id="the oldest have the places"),
        pytest.param(
            [("dev_1", -2, {}), ("prod", -1, {"applied": True})],
            None,
            id="other names do not count",
        ),
        pytest.param(
            [("dev_1", -2, {}), ("dev_2", -1, {"refused": True})], None, id="refused ones neither"
        ),
        pytest.param(
            [("dev_1", -2, {}), ("dev_2", -1, {"namespace": "b"})],
            "EnvironmentQuotaExceeded",
            id="any namespace",
        ),
    ],
)
def test_quota(siblings: list[tuple[str, int, dict[str, Any]]], reason: str | None) -> None:
    grants = [{"namespaces": {"from": "All"}, "environments": ["dev_*"], "maxEnvironments": 2}]
    others = tuple(sibling(name, minutes=minutes, **fields) for name, minutes, fields in siblings)
    assert shut(seen(env("x", environment="dev_x"), gw(grants=grants), claims=others)) == reason


def test_a_suspension_says_since_when_until_when_and_why_and_keeps_saying_so() -> None:
    environment = env(
        suspend=True, suspendReason="12:30Z is close", suspendUntil="2026-12-01T00:00:00Z"
    )
    verdict = preconditions.suspended(Context(seen(environment), NOW))
    assert verdict is not None
    assert (
        verdict.message
        == "suspended since 2026-11-22T12:00Z until 2026-12-01T00:00Z: 12:30Z is close"
    )
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Suspended",
        "lastTransitionTime": "2026-11-01T00:00:00Z",
    }
    status = {"conditions": [ready], "suspendedSince": "2026-11-22T12:00:00Z"}
    later = env(
        suspend=True,
        suspendReason="12:30Z is close",
        suspendUntil="2026-12-01T00:00:00Z",
        status=status,
    )
    again = preconditions.suspended(Context(seen(later), NOW.replace(hour=20)))
    assert again is not None and (again.message, again.ready) == (verdict.message, "True")
