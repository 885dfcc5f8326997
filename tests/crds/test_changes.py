"""The table of api/changes.py on a real server: what is a rule is refused, what is free is not, where it is protected.

bob edits environments and carol writes gateways; neither may approve.
"""

from typing import Any

import pytest

from tests import worst
from tests.crds.objects import GONE, changed, environment, gateway
from tests.crds.server import User
from vulcan_operator.api.changes import CHANGES, Change

Raw = dict[str, Any]
pytestmark = pytest.mark.usefixtures("guarded")

APPROVE = "needs verb approve"
PROTECTED = {"grants": [{"environments": ["prod"], "protected": True}]}
OTHER = {"type": "postgres", "options": {"host": "elsewhere"}}
MORE = {"sqlmeshName": "more", **OTHER}
RESTATE = {"id": "a", "type": "Restate", "models": ["shop.a", "shop.b"]}
FREEZE = {"freeze": {"reason": "x", "until": "2027-01-01T00:00:00Z"}}
NIGHTS = {"name": "nights", "kind": "Allow", "cron": "0 22 * * *", "duration": "4h"}
PROMOTED = {"revisionFrom": "Promotion", "project": GONE}
GIT = {"git": {"url": "https://git.example.com/a.git"}}
Rows = list[tuple[str, Raw, Raw]]
"""Row of the table, what is set before, and the change."""

OF_GATEWAYS: Rows = [
    ("connection", {}, {"connection.options.host": "elsewhere"}),
    ("connection", {}, {"connection.secrets.password.name": "another"}),
    ("stateConnection", {}, {"stateConnection.schema": "another"}),
    ("planning", {"planning.connection": OTHER}, {"planning": GONE}),
    ("planning", {}, {"planning.connection": OTHER}),
    ("additionalConnections", {}, {"additionalConnections": [MORE]}),
    ("additionalConnections", {"additionalConnections": [MORE]}, {"additionalConnections": GONE}),
    (
        "gitCredentials",
        {},
        {"gitCredentials": [{"urlPrefix": "https://evil.example.com/", "secretRef": {"name": "g"}}]},
    ),
    ("takeover", {}, {"takeover": "cluster/data/warehouse"}),
    ("runner.image", {}, {"runner.image": "evil:1"}),
    ("runner.image", {"runner.image": "good:1"}, {"runner.image": GONE}),
    ("runner.allowedImages", {}, {"runner.allowedImages": ["*"]}),
    ("runner.serviceAccountName", {}, {"runner.serviceAccountName": "strong"}),
    ("runner.podLabels", {}, {"runner.podLabels": {"inject": "true"}}),
    ("runner.podAnnotations", {}, {"runner.podAnnotations": {"inject": "true"}}),
    ("runner.env", {}, {"runner.env": [{"name": "PYTHONSTARTUP", "value": "/x"}]}),
    ("runner.volumes", {}, {"runner.volumes": [{"volume": {"emptyDir": {}}, "mountPath": "/x"}]}),
    ("runner.caBundle", {}, {"runner.caBundle.name": "mine"}),
    ("runner.proxy", {}, {"runner.proxy": "http://evil.example.com"}),
    ("grants", {}, {"grants": []}),
    ("freeze.until", FREEZE, {"freeze": GONE}),
    ("freeze.until", FREEZE, {"freeze.until": "2026-12-01T00:00:00Z"}),
]
OF_ENVIRONMENTS: Rows = [
    ("revisionFrom", PROMOTED, {"revisionFrom": "Source", "project": GIT}),
    ("plan.approval.mode", {}, {"plan.approval.mode": "Never"}),
    ("plan.approval.risks", {"plan.approval.mode": "Always"}, {"plan.approval.risks": []}),
    ("plan.approval.count", {"plan.approval.count": 2}, {"plan.approval.count": 1}),
    ("plan.approval.excludeAuthor", {"plan.approval.excludeAuthor": True}, {"plan.approval.excludeAuthor": False}),
    ("plan.limits.maxBackfillIntervals", {}, {"plan.limits.maxBackfillIntervals": 5001}),
    ("plan.limits.maxRemovedPercent", {}, {"plan.limits.maxRemovedPercent": 21}),
    ("plan.limits.maxRebuiltModels", {"plan.limits.maxRebuiltModels": 1}, {"plan.limits.maxRebuiltModels": 2}),
    ("plan.limits.maxHistory", {"plan.limits.maxHistory": "1d"}, {"plan.limits.maxHistory": "2d"}),
    ("plan.categorization", {}, {"plan.categorization": "Auto"}),
    ("plan.categories", {}, {"plan.categories": {"shop.a": "NonBreaking"}}),
    ("plan.categories", {"plan.categories": {"shop.a": "Breaking"}}, {"plan.categories": GONE}),
    ("plan.forwardOnly", {}, {"plan.forwardOnly": True}),
    ("plan.forwardOnly", {"plan.forwardOnly": False}, {"plan.forwardOnly": GONE}),
    ("plan.effectiveFrom", {}, {"plan.effectiveFrom": "2026-01-01"}),
    ("plan.allowDestructiveModels", {}, {"plan.allowDestructiveModels": ["shop.*"]}),
    ("plan.allowAdditiveModels", {}, {"plan.allowAdditiveModels": ["shop.*"]}),
    ("plan.skipTests", {}, {"plan.skipTests": True}),
    ("plan.skipLinter", {}, {"plan.skipLinter": True}),
    ("operations", {}, {"operations": [RESTATE]}),
    ("operations", {"operations": [RESTATE]}, {"operations": [{**RESTATE, "models": ["shop.c"]}]}),
    ("operations", {"operations": [RESTATE]}, {"operations": [RESTATE, {**RESTATE, "id": "b"}]}),
    ("approvals", {}, {"approvals": [{"plan": "0" * 64, "by": "bob", "decision": "Approve"}]}),
    ("promotionWindows", {**PROMOTED, "promotionWindows": [NIGHTS]}, {"promotionWindows": []}),
    ("promotionHistory.limit", {}, {"promotionHistory.limit": 49}),
    ("promotionHistory.limit", {"promotionHistory.limit": 100}, {"promotionHistory": GONE}),
    ("promotionHistory.maxAge", {}, {"promotionHistory.maxAge": "1s"}),
    ("promotionHistory.maxAge", {}, {"promotionHistory.maxAge": "364d"}),
    ("promotionHistory.maxAge", {"promotionHistory.maxAge": "400d"}, {"promotionHistory": GONE}),
    ("checks.audits", {}, {"checks.audits": False}),
    ("checks.soda.configMapRef.name", {"checks.soda.configMapRef.name": "q"}, {"checks.soda": GONE}),
    ("ttlAction", {"ttl": "1h"}, {"ttlAction": "Delete"}),
]
FREE_OF_GATEWAYS: Raw = {
    "freeze.reason": "another", "variables": {"region": "eu"}, "runner.imagePullSecrets": [{"name": "registry"}],
    "runner.resources": {"requests": {"cpu": "1"}}, "runner.nodeSelector": {"a": "b"},
    "runner.tolerations": [{"operator": "Exists"}], "runner.affinity": {"podAffinity": {}}, "runner.deadline": "1h",
    "runner.gracePeriod": "1m", "runner.startDeadline": "1m", "probe.interval": "1h", "janitor.schedule": "1 1 * * *",
    "suspend": True, "suspendReason": "x", "suspendUntil": "2027-01-01T00:00:00Z",
}  # fmt: skip
FREE_OF_ENVIRONMENTS: Raw = {
    "project.git.url": "https://git.example.com/b.git", "project.git.ref": "next", "project.git.path": "folder",
    "project.git.pollInterval": "1h", "runner.image": "another:1", "plan.approval.expireAfter": "1h",
    "plan.selectModels": ["a"], "plan.noGaps": True,
    "plan.start": "2026-01-01", "plan.devStart": "2026-01-01", "schedule.mode": "Cron",
    "schedule.cron": {"cron": "1 1 * * *", "timeZone": "Europe/Berlin"}, "freshness.maxLag": "1h", "retry.limit": 1,
    "retry.backoff": "1s", "retry.maxBackoff": "1m", "rollback.window": "1d", "deletionPolicy": "Expire", "ttl": "9d",
    "suspend": True, "suspendReason": "x", "suspendUntil": "2027-01-01T00:00:00Z",
}  # fmt: skip
ELSEWHERE = {"project.configMap", "project.image"}
"""Other sources, which cannot be set beside git: a test of their own."""


def protect(operator: User, document: Raw) -> None:
    """As the operator does when it finds a grant that protects it."""
    body = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
    assert operator.apply({**body, "status": {"protected": True}}, "vulcan-operator", "/status").ok


def replaced(user: User, admin: User, document: Raw, change: Raw) -> Any:
    return user.replace(changed(admin.get(document).body, change))


def test_every_rule_is_tried() -> None:
    for rows, kind in ((OF_GATEWAYS, "VulcanGateway"), (OF_ENVIRONMENTS, "VulcanEnvironment")):
        assert {row for row, _, _ in rows} == {row for row, c in CHANGES[kind].items() if c is Change.RULE}


@pytest.mark.parametrize(("row", "before", "change"), OF_GATEWAYS, ids=str)
def test_rules_of_gateways(admin: User, carol: User, row: str, before: Raw, change: Raw) -> None:
    document = gateway({**PROTECTED, **before})
    assert admin.create(document).ok
    answer = replaced(carol, admin, document, change)
    assert answer.code == 403 and APPROVE in answer.message, (row, answer.message)
    assert replaced(admin, admin, document, change).ok


@pytest.mark.parametrize(("row", "before", "change"), OF_GATEWAYS, ids=str)
def test_gateways_without_protected_grants_are_their_writers(
    admin: User, carol: User, row: str, before: Raw, change: Raw
) -> None:
    document = gateway({"grants": [{"environments": ["dev_*"]}], **before})
    assert admin.create(document).ok
    answer = replaced(carol, admin, document, change)
    assert answer.ok is (row not in ("takeover", "freeze.until")), answer.message


def test_a_new_gateway_takes_nothing_over(admin: User, carol: User) -> None:
    assert carol.create(gateway(), dry_run=True).ok
    answer = carol.create(gateway({"takeover": "cluster/data/warehouse"}), dry_run=True)
    assert answer.code == 403 and "setting takeover needs verb approve on the gateway" in answer.message
    taken = gateway({"takeover": "cluster/data/warehouse"})
    assert admin.create(taken).ok
    assert replaced(carol, admin, taken, {"suspend": True}).ok, "it stays"
    assert replaced(carol, admin, taken, {"takeover": GONE}).ok


@pytest.mark.parametrize(("row", "before", "change"), OF_ENVIRONMENTS, ids=str)
def test_rules_of_environments(
    admin: User, bob: User, operator: User, alice: User, row: str, before: Raw, change: Raw
) -> None:
    document = environment(before)
    assert admin.create(document).ok
    protect(operator, document)
    answer = replaced(bob, admin, document, change)
    assert answer.code == 403 and APPROVE in answer.message, (row, answer.message)
    if row != "approvals":  # which names bob
        assert replaced(alice, admin, document, change).ok


ALSO_UNPROTECTED = ("revisionFrom", "plan.approval.", "plan.limits.", "approvals", "promotionWindows", "checks.")


@pytest.mark.parametrize(("row", "before", "change"), OF_ENVIRONMENTS, ids=str)
def test_rules_of_environments_that_are_not_protected(
    admin: User, bob: User, row: str, before: Raw, change: Raw
) -> None:
    document = environment(before)
    assert admin.create(document).ok
    answer = replaced(bob, admin, document, change)
    assert answer.ok is not row.startswith(ALSO_UNPROTECTED), answer.message


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ({"operations": [RESTATE]}, {"operations": GONE}),
        ({"operations": [RESTATE]}, {"suspend": True}),
        ({"plan.skipTests": True, "plan.skipLinter": True}, {"plan.skipTests": False, "plan.skipLinter": GONE}),
        ({"plan.allowDestructiveModels": ["a"], "plan.allowAdditiveModels": ["a"]},
         {"plan.allowDestructiveModels": [], "plan.allowAdditiveModels": GONE}),
        ({"checks.soda.configMapRef.name": "q"}, {"checks.soda.configMapRef.name": "others"}),
        ({}, {"promotionHistory": {"limit": 51, "maxAge": "366d"}}),
        ({}, {"promotionHistory": {"limit": 50, "maxAge": "365d"}}),
        ({}, {"plan.categories": {}, "plan.categorization": "Project", "operations": []}),
    ],
    ids=str,
)  # fmt: skip
def test_stricter_is_an_editors(admin: User, bob: User, operator: User, before: Raw, change: Raw) -> None:
    document = environment(before)
    assert admin.create(document).ok
    protect(operator, document)
    answer = replaced(bob, admin, document, change)
    assert answer.ok, answer.message


def test_what_is_free_is_free(admin: User, bob: User, carol: User, operator: User) -> None:
    guarded = gateway({**PROTECTED, **FREEZE})
    prod = environment()
    assert admin.create(guarded).ok and admin.create(prod).ok
    protect(operator, prod)
    for user, document, changes in ((carol, guarded, FREE_OF_GATEWAYS), (bob, prod, FREE_OF_ENVIRONMENTS)):
        rows = {row for row, change in CHANGES[document["kind"]].items() if change is Change.FREE}
        tried = {row for row in rows for path in changes if row == path or row.startswith((f"{path}.", f"{path}["))}
        assert {row for row in rows - tried if not row.startswith(tuple(ELSEWHERE))} == set()
        answer = replaced(user, admin, document, changes)
        assert answer.ok, answer.message
    for source in (
        {"configMap": {"name": "c", "items": [{"key": "a", "path": "b"}]}},
        {"image": f"a@sha256:{'0' * 64}"},
    ):
        answer = replaced(bob, admin, prod, {"project": source, "runner": GONE})
        assert answer.ok, answer.message


def test_the_largest_objects_are_within_the_budget(admin: User, operator: User, bob: User) -> None:
    document = environment({})
    largest = {k: v for k, v in worst.environment().items() if k not in ("approvals", "ttl", "suspend", "environment")}
    document["spec"] = {**largest, "gatewayRef": document["spec"]["gatewayRef"]}
    answer = admin.create(document)
    assert answer.ok, answer.message
    protect(operator, document)
    assert replaced(bob, admin, document, {"suspend": True}).ok
    options = {f"option_{n}": "x" * 1000 for n in range(100)}
    wide = gateway({**PROTECTED, "connection.options": options, "stateConnection.options": options})
    assert admin.create(wide).ok
    assert replaced(admin, admin, wide, {"connection.options.option_1": "y" * 1000}).ok
    queries = {f"option_{n}": "a=b&" * 250 for n in range(60)}
    assert replaced(admin, admin, wide, {"connection.options": queries}).ok
