"""Rules are weakened only by those who may approve: alice (may), bob and carol (may not)."""

import time
from typing import Any

import pytest

from tests.crds.conftest import bind, until
from tests.crds.objects import GONE, NOBODY, OWNED, approval, changed, environment, gateway, promotion
from tests.crds.server import User, path_of

Raw = dict[str, Any]
pytestmark = pytest.mark.usefixtures("guarded")

ALWAYS = {"plan.approval.mode": "Always"}
NEVER = {"plan.approval.mode": "Never"}
STRICT = {
    "plan.approval": {
        "mode": "OnRisk",
        "risks": ["Breaking", "Destructive", "Backfill"],
        "count": 2,
    },
    "plan.limits": {"maxBackfillIntervals": 10, "maxRebuiltModels": 5, "maxHistory": "30d", "maxRemovedPercent": 0},
    "checks": {"audits": True},
}
SODA = {"checks.soda.configMapRef.name": "quality"}
PROMOTED = {"revisionFrom": "Promotion", "project": GONE}
NIGHTS = {"name": "nights", "kind": "Allow", "cron": "0 22 * * *", "duration": "4h"}
WINDOWED = {**PROMOTED, "promotionWindows": [NIGHTS]}
SOURCE = {"git": {"url": "https://git.example.com/a.git"}}

WEAKER = [
    ("Always to OnRisk", ALWAYS, {"plan.approval.mode": "OnRisk"}, "plan.approval.mode"),
    ("Always to Never", ALWAYS, NEVER, "plan.approval.mode"),
    ("Always to the default", ALWAYS, {"plan.approval": GONE}, "plan.approval.mode"),
    ("Always to no plan at all", ALWAYS, {"plan": GONE}, "plan.approval.mode"),
    ("OnRisk to Never", {}, NEVER, "plan.approval.mode"),
    ("fewer people", STRICT, {"plan.approval.count": 1}, "plan.approval.count"),
    ("fewer people by default", STRICT, {"plan.approval.count": GONE}, "plan.approval.count"),
    ("a risk less", STRICT, {"plan.approval.risks": ["Breaking", "Destructive"]}, "plan.approval.risks"),
    ("no risks", STRICT, {"plan.approval.risks": []}, "plan.approval.risks"),
    ("another risk", {}, {"plan.approval.risks": ["Breaking", "Backfill"]}, "plan.approval.risks"),
    (
        "risks that count with the next mode",
        NEVER,
        {"plan.approval.mode": "OnRisk", "plan.approval.risks": ["Breaking"]},
        "plan.approval.risks",
    ),
    ("risks that do not count yet", ALWAYS, {"plan.approval.risks": []}, "plan.approval.risks"),
    ("more intervals", STRICT, {"plan.limits.maxBackfillIntervals": 11}, "maxBackfillIntervals"),
    ("intervals by default", STRICT, {"plan.limits.maxBackfillIntervals": GONE}, "maxBackfillIntervals"),
    ("more models", STRICT, {"plan.limits.maxRebuiltModels": 6}, "maxRebuiltModels"),
    ("any number of models", STRICT, {"plan.limits.maxRebuiltModels": GONE}, "maxRebuiltModels"),
    ("longer history", STRICT, {"plan.limits.maxHistory": "31d"}, "maxHistory"),
    ("history in other units", STRICT, {"plan.limits.maxHistory": "720h"}, "maxHistory"),
    ("any history", STRICT, {"plan.limits.maxHistory": GONE}, "maxHistory"),
    ("more removed", STRICT, {"plan.limits.maxRemovedPercent": 1}, "maxRemovedPercent"),
    ("no limits", STRICT, {"plan.limits": GONE}, "plan.limits"),
    ("no audits", {}, {"checks.audits": False}, "checks.audits"),
    ("no Soda", SODA, {"checks.soda": GONE}, "checks.soda"),
    ("no checks at all", SODA, {"checks": GONE}, "checks.soda"),
    ("no promotions", PROMOTED, {"revisionFrom": "Source", "project": SOURCE}, "revisionFrom"),
    ("another opening", WINDOWED, {"promotionWindows": [NIGHTS, {**NIGHTS, "name": "noon"}]}, "promotionWindows"),
    ("longer nights", WINDOWED, {"promotionWindows": [{**NIGHTS, "duration": "5h"}]}, "promotionWindows"),
    ("no windows", WINDOWED, {"promotionWindows": []}, "promotionWindows"),
    ("no windows by default", WINDOWED, {"promotionWindows": GONE}, "promotionWindows"),
    ("no promotions by default", PROMOTED, {"revisionFrom": GONE, "project": SOURCE}, "revisionFrom"),
]

NOT_WEAKER = [
    ("stricter", {}, STRICT | ALWAYS),
    ("Never to OnRisk", NEVER, {"plan.approval.mode": "OnRisk"}),
    ("risks in another order", {}, {"plan.approval.risks": ["Destructive", "Breaking"]}),
    ("expiry", STRICT, {"plan.approval.expireAfter": "1000h"}),
    ("fewer intervals", STRICT, {"plan.limits.maxBackfillIntervals": 9}),
    ("shorter history", STRICT, {"plan.limits.maxHistory": "7d"}),
    ("shorter history, more digits", {"plan.limits.maxHistory": "30d"}, {"plan.limits.maxHistory": "007d"}),
    ("a history at all", {}, {"plan.limits.maxHistory": "400d"}),
    ("audits by default", STRICT, {"checks": GONE}),
    ("Soda", {}, SODA),
    ("other files for Soda", SODA, {"checks.soda.configMapRef.name": "more"}),
    ("from promotions", {}, PROMOTED),
    ("windows at all", PROMOTED, WINDOWED),
    ("something beside windows", WINDOWED, {"suspend": True}),
    ("something else", STRICT, {"plan.skipLinter": True, "schedule.mode": "Manual"}),
    ("already weak", NEVER | {"checks.audits": False}, {"suspend": True}),
]


@pytest.mark.parametrize(("before", "change", "says"), [pytest.param(*row[1:], id=row[0]) for row in WEAKER])
def test_weakening_needs_approve(admin: User, bob: User, alice: User, before: Raw, change: Raw, says: str) -> None:
    document = environment(before)
    assert admin.create(document).ok
    weaker = changed(admin.get(document).body, change)
    answer = bob.replace(weaker)
    assert answer.code == 403
    assert says in answer.message and "needs verb approve on the environment" in answer.message
    assert alice.replace(weaker).ok


@pytest.mark.parametrize(("before", "change"), [pytest.param(*row[1:], id=row[0]) for row in NOT_WEAKER])
def test_everything_else_is_an_editors(admin: User, bob: User, before: Raw, change: Raw) -> None:
    document = environment(before)
    assert admin.create(document).ok
    answer = bob.replace(changed(admin.get(document).body, change))
    assert answer.ok, answer.message


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(NEVER, id="never asks"),
        pytest.param({"plan.approval.risks": ["Breaking"]}, id="a risk less"),
        pytest.param({"plan.limits.maxBackfillIntervals": 5001}, id="more intervals"),
        pytest.param({"plan.limits.maxRemovedPercent": 21}, id="more removed"),
        pytest.param({"checks.audits": False}, id="no audits"),
    ],
)
def test_deleting_and_creating_prod_again_is_no_way_around(bob: User, alice: User, change: Raw) -> None:
    for document in (environment(change, name="prod"), environment(change | {"environment": "prod"})):
        assert bob.create(document, dry_run=True).code == 403
        assert alice.create(document, dry_run=True).ok
    assert bob.create(environment(change), dry_run=True).ok


def test_prod_with_the_defaults_may_be_created_by_editors(bob: User) -> None:
    assert bob.create(environment(name="prod"), dry_run=True).ok
    assert bob.create(environment(STRICT, name="prod"), dry_run=True).ok


def test_a_hold_is_lifted_by_approvers(bob: User, alice: User, admin: User) -> None:
    document = environment()
    assert admin.create(document).ok
    lifted = {"metadata": {"annotations": {"vulcan.dev/hold-lifted": "crds/bad"}}}
    answer = bob.patch(document, lifted)
    assert answer.code == 403
    assert "lifting a hold needs verb approve" in answer.message
    assert alice.patch(document, lifted).ok
    assert bob.patch(document, {"metadata": {"annotations": {"note": "x"}}}).ok


PROTECTED = {"environments": ["prod"], "protected": True}
DEV = {"environments": ["dev_*"]}


@pytest.mark.parametrize(
    "grants",
    [
        pytest.param([DEV], id="removed"),
        pytest.param(None, id="all removed"),
        pytest.param([{**PROTECTED, "protected": False}, DEV], id="unprotected"),
        pytest.param([{"environments": ["prod"]}, DEV], id="unprotected by default"),
        pytest.param([{**PROTECTED, "environments": ["prod2"]}, DEV], id="another environment"),
        pytest.param([{**PROTECTED, "namespaces": {"from": "All"}}, DEV], id="other namespaces"),
        pytest.param([{**PROTECTED, "promotions": True}, DEV], id="promotions out"),
    ],
)
def test_protected_grants_are_changed_by_approvers(admin: User, carol: User, grants: Any) -> None:
    document = gateway({"grants": [PROTECTED, DEV]})
    assert admin.create(document).ok
    answer = carol.patch(document, {"spec": {"grants": grants}})
    assert answer.code == 403
    assert "to change, unprotect or remove a protected grant" in answer.message
    assert admin.patch(document, {"spec": {"grants": grants}}).ok


def test_a_gateway_with_protected_grants_is_deleted_by_approvers(admin: User, carol: User) -> None:
    document, other = gateway({"grants": [PROTECTED, DEV]}), gateway({"grants": [DEV]})
    assert admin.create(document).ok and admin.create(other).ok
    answer = carol.delete(document)
    assert answer.code == 403
    assert "to change, unprotect or remove a protected grant" in answer.message
    assert carol.delete(other).ok
    assert admin.delete(document).ok


@pytest.mark.parametrize(
    "grants",
    [
        pytest.param([PROTECTED], id="another removed"),
        pytest.param([DEV, PROTECTED], id="order"),
        pytest.param([PROTECTED, {**DEV, "protected": True}], id="another protected"),
        pytest.param([PROTECTED, DEV, {"namespaces": {"from": "All"}}], id="one added"),
    ],
)
def test_other_grants_are_an_administrators(admin: User, carol: User, grants: Any) -> None:
    document = gateway({"grants": [PROTECTED, DEV]})
    assert admin.create(document).ok
    answer = carol.patch(document, {"spec": {"grants": grants}})
    assert answer.ok, answer.message


FREEZE = {"reason": "year-end", "until": "2027-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(FREEZE, None, id="removed"),
        pytest.param(FREEZE, {**FREEZE, "until": "2026-12-31T23:59:59Z"}, id="ended sooner"),
        pytest.param({"reason": "x"}, {"until": "2099-01-01T00:00:00Z"}, id="ended at all"),
        pytest.param({"reason": "x", "until": "2020-01-01T00:00:00Z"}, None, id="removed when it is over"),
    ],
)
def test_a_freeze_is_ended_by_approvers(admin: User, carol: User, before: Raw, after: Any) -> None:
    document = gateway({"freeze": before})
    assert admin.create(document).ok
    answer = carol.patch(document, {"spec": {"freeze": after}})
    assert answer.code == 403
    assert "to end a freeze, or to end it sooner" in answer.message
    assert "to end a freeze" in carol.delete(document).message
    assert admin.patch(document, {"spec": {"freeze": after}}).ok


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, FREEZE, id="set"),
        pytest.param(
            FREEZE, {"reason": "still", "until": "2027-01-01T01:00:00+01:00"}, id="another reason, the same time"
        ),
        pytest.param(FREEZE, {"until": "2027-01-02T00:00:00Z"}, id="longer"),
        pytest.param(FREEZE, {"until": None}, id="until somebody ends it"),
        pytest.param(FREEZE, FREEZE, id="as it is"),
    ],
)
def test_freezing_is_an_administrators(admin: User, carol: User, before: Any, after: Raw) -> None:
    document = gateway({"freeze": before} if before else {})
    assert admin.create(document).ok
    answer = carol.patch(document, {"spec": {"freeze": after, "suspend": True}})
    assert answer.ok, answer.message


@pytest.fixture
def protected(admin: User, operator: User) -> Raw:
    """An environment that the operator has found to be protected."""
    document = environment()
    assert admin.create(document).ok
    assert _status(operator, document, {"protected": True}).ok
    return document


def test_a_protected_environment_is_deleted_by_approvers(bob: User, alice: User, protected: Raw) -> None:
    answer = bob.delete(protected)
    assert answer.code == 403
    assert "to delete a protected environment" in answer.message
    assert bob.call("DELETE", path_of(protected).rpartition("/")[0]).code == 403
    assert alice.delete(protected).ok


def test_other_environments_are_deleted_by_editors(admin: User, bob: User) -> None:
    document = environment()
    assert admin.create(document).ok
    assert bob.delete(document).ok


def test_a_namespace_with_a_protected_environment_can_end(server: Any, admin: User, operator: User) -> None:
    server.kubectl("create", "namespace", "ends")
    document = environment(namespace="ends")
    assert admin.create(document).ok
    assert _status(operator, document, {"protected": True}).ok
    server.kubectl("delete", "namespace", "ends", "--timeout=60s")


def test_ttl_is_no_way_around(bob: User, alice: User, protected: Raw) -> None:
    change = {"spec": {"ttl": "1s", "ttlAction": "Delete"}}
    assert bob.patch(protected, {"spec": {"ttl": "1s"}}).ok
    assert "deleted by ttl needs verb approve" in bob.patch(protected, change).message
    assert alice.patch(protected, change).ok


def test_nobody_but_the_operator_writes_status(bob: User, alice: User, carol: User, admin: User) -> None:
    """Otherwise an editor could change which plan an approval is for, or that an environment is protected."""
    for document in (environment(), gateway(), promotion()):
        assert admin.create(document).ok
        for user in (bob, alice, carol):
            assert _status(user, document, {"observedGeneration": 5}).code == 403
            whole = admin.get(document).body
            assert user.call("PUT", f"{path_of(document)}/status", whole).code == 403


def _status(user: User, document: Raw, status: Raw) -> Any:
    body = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
    return user.apply({**body, "status": status}, "vulcan-operator", "/status")


def test_the_largest_objects_are_within_the_budget(admin: User, alice: User) -> None:
    """Rules have a cost limit at run time, above which the server refuses the request."""
    items = [approval("alice", plan=f"{number:064x}", comment="x" * 91) for number in range(64)]
    many = environment({"plan.categories": {f"model_{i}": "Breaking" for i in range(128)}, **STRICT})
    assert admin.create(many).ok
    assert alice.patch(many, {"spec": {"approvals": items}}).ok
    assert alice.patch(many, {"spec": {"approvals": [{**item, "comment": "y" * 91} for item in items]}}).ok
    names = [f"{'e' * 38}{number:02d}" for number in range(64)]
    grants = [{"environments": names, "protected": True, "maxEnvironments": number} for number in range(32)]
    large = gateway({"grants": grants})
    assert admin.create(large).ok
    assert admin.patch(large, {"spec": {"grants": grants[::-1]}}).ok


def test_editors_may_not_touch_gateways(bob: User, admin: User) -> None:
    document = gateway()
    assert admin.create(document).ok
    assert bob.get(document).ok
    assert bob.patch(document, {"spec": {"suspend": True}}).code == 403
    assert bob.create(gateway(), dry_run=True).code == 403
    assert bob.delete(document, dry_run=True).code == 403


def test_controllers_of_kubernetes_delete_what_is_protected_only_with_its_namespace(
    server: Any, admin: User, operator: User, account: Any, protected: Raw
) -> None:
    """Where controllers have own accounts, each may act for somebody who may not: the garbage collector does."""
    server.kubectl("create", "serviceaccount", "some-controller", "-n", "kube-system")
    server.kubectl("create", "namespace", "held")
    for namespace in (protected["metadata"]["namespace"], "held"):
        for role in ("vulcan-editor", "vulcan-admin"):
            bind(server, namespace, role, "--serviceaccount=kube-system:some-controller")
    controller = account("kube-system", "some-controller")
    grants, promoted = {"grants": [PROTECTED], "freeze": {"reason": "x"}}, promotion()
    granting, frozen = gateway({"grants": [PROTECTED]}), gateway({"freeze": {"reason": "x"}})
    assert all(admin.create(document).ok for document in (granting, frozen, promoted))
    refused = {
        "to delete a protected environment": protected, "a protected grant": granting, "to end a freeze": frozen,
        "not ended": promoted,
    }  # fmt: skip
    for says, document in refused.items():
        answer = controller.delete(document)
        assert answer.code == 403 and says in answer.message, answer.message

    inside = [environment(namespace="held"), gateway(grants, namespace="held"), promotion(namespace="held")]
    for document in inside:
        held = {**document, "metadata": {**document["metadata"], "finalizers": ["example.com/held"]}}
        assert admin.create(held).ok
    assert _status(operator, inside[0], {"protected": True}).ok
    assert controller.delete(inside[0]).code == 403, "the namespace does not end yet"
    server.kubectl("delete", "namespace", "held", "--wait=false")
    for document in inside:
        until(lambda document=document: controller.delete(document).ok, "the namespace ends")  # type: ignore[misc]
        admin.patch(document, {"metadata": {"finalizers": None}})
    server.kubectl("wait", "--for=delete", "namespace/held", "--timeout=60s")


def test_the_garbage_collector_deletes_nothing_protected(admin: User, bob: User, carol: User, protected: Raw) -> None:
    guarded, other = gateway({"grants": [PROTECTED]}), environment()
    assert admin.create(guarded).ok and admin.create(other).ok
    for user, document in ((bob, protected), (carol, guarded), (bob, other)):
        answer = user.patch(document, OWNED)
        assert answer.code == 403 and "to give it an owner" in answer.message
    # Whoever may approve may set it; what is protected stays all the same, because the collector may not delete it.
    for document in (protected, guarded, other):
        assert admin.patch(document, OWNED).ok
    until(lambda: admin.get(other).code == 404, "the collector deletes what is not protected")
    time.sleep(2)
    assert admin.get(protected).ok and admin.get(guarded).ok


@pytest.mark.parametrize("make", [environment, gateway, promotion], ids=lambda make: make.__name__)
def test_owners_are_set_by_approvers(admin: User, gina: User, carol: User, make: Any) -> None:
    """Also at the creation, and a change of one is another; taking one away is anybody's."""
    user = carol if make is gateway else gina
    document = make()
    space = document["metadata"]["namespace"]
    owner = admin.call("GET", f"/api/v1/namespaces/{space}/serviceaccounts/default").body["metadata"]
    reference = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "default", "uid": owner["uid"]}
    owned = {**document, "metadata": {**document["metadata"], "ownerReferences": [reference]}}
    assert carol.create(owned).code == 403
    assert admin.create(owned).ok
    for change in ({"name": "nope"}, {"uid": NOBODY["uid"]}, {"kind": "ConfigMap"}, {"apiVersion": "v2"}):
        references = {"metadata": {"ownerReferences": [{**reference, **change}]}}
        assert "to give it an owner" in carol.patch(document, references).message, change
    same = {"metadata": {"ownerReferences": [{**reference, "blockOwnerDeletion": True}], "labels": {"a": "b"}}}
    assert carol.patch(document, same).ok, "which the collector itself may change"
    assert user.patch(document, {"metadata": {"ownerReferences": None}}).ok


def test_the_operators_account_sets_no_owners(server: Any, operator: User, admin: User) -> None:
    document = environment()
    assert admin.create(document).ok
    answer = operator.patch(document, OWNED)
    assert answer.code == 403 and ("vulcan-ownership" in answer.message or "ownerReferences" in answer.message)
    server.kubectl("create", "clusterrole", "approves", "--verb=approve", "--resource=vulcanenvironments.vulcan.dev")
    bind(server, "crds", "approves", "--serviceaccount=vulcan-system:vulcan-operator")
    try:
        until(lambda: operator.may("approve", "vulcan.dev", "vulcanenvironments", "crds"), "it may approve")
        answer = operator.patch(document, OWNED)
        assert answer.code == 403 and "may not change ownerReferences" in answer.message
    finally:
        server.kubectl("delete", "rolebinding", "approves-vulcan-system-vulcan-operator", "-n", "crds")
