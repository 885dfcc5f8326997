"""Who may do what, as a table: bob has neither verb, alice approve, fiona promote, gina both. All of them edit."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.crds.objects import NAMESPACE, approval, environment, promotion
from tests.crds.server import Answer, User

Raw = dict[str, Any]
pytestmark = pytest.mark.usefixtures("guarded")

NAMES = {
    "bob": "bob", "alice": "alice", "fiona": f"system:serviceaccount:{NAMESPACE}:fiona",
    "gina": f"system:serviceaccount:{NAMESPACE}:gina",
}  # fmt: skip
APPROVERS, PROMOTERS, EITHER = {"alice", "gina"}, {"fiona", "gina"}, {"alice", "fiona", "gina"}
FORWARD: Raw = {}
BACK = {"from": None, "rollbackTo": {"promotion": "to-prod"}}
BACK_TO_PLAN = {"from": None, "rollbackTo": {"planId": "abc"}}


@pytest.fixture(scope="session")
def people(bob: User, alice: User, fiona: User, gina: User) -> dict[str, User]:
    """By name."""
    return {"bob": bob, "alice": alice, "fiona": fiona, "gina": gina}


def to(name: str = "prod", namespace: str = "", **spec: Any) -> Raw:
    """A promotion to an environment; what is None is not there."""
    target = {"name": name, **({"namespace": namespace} if namespace else {})}
    made = promotion({"to": {"environmentRef": target}, **spec})
    made["spec"] = {field: value for field, value in made["spec"].items() if value is not None}
    return made


def allowed(people: dict[str, User], attempt: Callable[[User, str], Answer]) -> set[str]:
    """Who of them may. A refusal is one of a policy, for all of them edit."""
    found = set()
    for name, user in people.items():
        answer = attempt(user, NAMES[name])
        assert answer.ok or (answer.code == 403 and "ValidatingAdmissionPolicy" in answer.message), answer.message
        found |= {name} if answer.ok else set()
    return found


@pytest.mark.parametrize("protected", [True, False], ids=["protected", "unprotected"])
@pytest.mark.parametrize("spec", [FORWARD, BACK, BACK_TO_PLAN], ids=["forward", "back", "back to a plan"])
def test_creating_a_promotion(people: dict[str, User], admin: User, operator: User, spec: Raw, protected: bool) -> None:
    target = environment()
    assert admin.create(target).ok
    assert _status(operator, target, {"protected": protected}).ok
    document = to(target["metadata"]["name"], **spec)
    assert allowed(people, lambda user, _: user.create(document, dry_run=True)) == PROMOTERS


@pytest.mark.parametrize("spec", [FORWARD, BACK], ids=["forward", "back"])
def test_creating_one_to_another_namespace_needs_the_verb_there(people: dict[str, User], spec: Raw) -> None:
    assert allowed(people, lambda user, _: user.create(to(namespace="elsewhere", **spec), dry_run=True)) == set()
    answer = people["gina"].create(to(namespace="elsewhere", **spec), dry_run=True)
    assert 'verb promote on vulcanenvironments.vulcan.dev "prod" in namespace "elsewhere"' in answer.message


def test_creating_one_by_server_side_apply(people: dict[str, User]) -> None:
    assert allowed(people, lambda user, _: user.apply(to(), "argocd-controller", dry_run=True)) == PROMOTERS


def _approve(user: User, document: Raw, *items: Raw) -> Answer:
    body = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
    answer: Answer = user.apply({**body, "spec": {"approvals": list(items)}}, "vulcan-approval-2", dry_run=True)
    return answer


WORDS = [
    pytest.param(lambda user, me, doc: _approve(user, doc, approval(me)), APPROVERS, id="approve"),
    pytest.param(
        lambda user, me, doc: _approve(user, doc, approval(me, comment="no") | {"decision": "Reject"}), APPROVERS,
        id="reject",
    ),
    pytest.param(lambda user, me, doc: _approve(user, doc, approval("somebody")), set(), id="in another's name"),
    pytest.param(
        lambda user, me, doc: user.patch(doc, {"spec": {"approvals": [approval("admin", comment="x")]}}, dry_run=True),
        set(), id="edit another's word",
    ),
    pytest.param(
        lambda user, me, doc: user.patch(doc, {"spec": {"approvals": []}}, dry_run=True), APPROVERS,
        id="withdraw another's word",
    ),
    pytest.param(
        lambda user, me, doc: user.patch(doc, {"spec": {"approvals": [approval(me)]}}, dry_run=True), APPROVERS,
        id="put the own word in another's place",
    ),
    pytest.param(
        lambda user, me, doc: user.patch(doc, {"metadata": {"labels": {"a": "b"}}}, dry_run=True), set(NAMES),
        id="something else",
    ),
]  # fmt: skip


@pytest.mark.parametrize("make", [environment, to], ids=["environment", "promotion"])
@pytest.mark.parametrize(("attempt", "who"), WORDS)
def test_words(people: dict[str, User], admin: User, make: Any, attempt: Any, who: set[str]) -> None:
    document = make()
    assert admin.create(document).ok
    assert admin.patch(document, {"spec": {"approvals": [approval("admin")]}}).ok
    assert allowed(people, lambda user, me: attempt(user, me, document)) == who


@pytest.mark.parametrize(
    ("before", "change"),
    [
        pytest.param({"plan.approval.mode": "Always"}, {"plan": {"approval": {"mode": "Never"}}}, id="mode"),
        pytest.param({"plan.approval.count": 2}, {"plan": {"approval": {"count": 1}}}, id="count"),
        pytest.param(
            {"plan.approval.excludeAuthor": True}, {"plan": {"approval": {"excludeAuthor": False}}}, id="author"
        ),
        pytest.param({"plan.approval.excludeAuthor": True}, {"plan": {"approval": None}}, id="author by default"),
        pytest.param({}, {"plan": {"limits": {"maxBackfillIntervals": 5001}}}, id="limits"),
        pytest.param({}, {"checks": {"audits": False}}, id="checks"),
    ],
)
def test_lowering_the_rules_of_an_environment(people: dict[str, User], admin: User, before: Raw, change: Raw) -> None:
    document = environment(before)
    assert admin.create(document).ok
    assert allowed(people, lambda user, _: user.patch(document, {"spec": change}, dry_run=True)) == APPROVERS


def test_the_rules_of_a_promotion_are_changed_by_nobody(people: dict[str, User], admin: User) -> None:
    document = to(approval={"mode": "Always", "excludeAuthor": True})
    assert admin.create(document).ok
    for user in (*people.values(), admin):
        for change in ({"excludeAuthor": False}, {"mode": "Never"}, None):
            answer = user.patch(document, {"spec": {"approval": change}})
            assert answer.code == 422 and "a promotion is a record" in answer.message


def test_lifting_a_hold(people: dict[str, User], admin: User) -> None:
    document = environment()
    assert admin.create(document).ok
    lifted = {"metadata": {"annotations": {"vulcan.dev/hold-lifted": "abc"}}}
    assert allowed(people, lambda user, _: user.patch(document, lifted, dry_run=True)) == APPROVERS


@pytest.mark.parametrize("status", [{}, {"startedAt": "2026-11-26T10:00:00Z"}], ids=["pending", "in flight"])
def test_deleting_a_promotion_that_has_not_ended(
    people: dict[str, User], admin: User, operator: User, status: Raw
) -> None:
    document = to()
    assert admin.create(document).ok
    assert _status(operator, document, status).ok
    assert allowed(people, lambda user, _: user.delete(document, dry_run=True)) == EITHER
    away = to(namespace="elsewhere")
    assert admin.create(away).ok
    assert allowed(people, lambda user, _: user.delete(away, dry_run=True)) == set()


def test_deleting_the_record_of_one_that_has_ended(people: dict[str, User], admin: User, operator: User) -> None:
    document = to()
    assert admin.create(document).ok
    assert _status(operator, document, {"outcome": "Failed"}).ok
    assert allowed(people, lambda user, _: user.delete(document, dry_run=True)) == set(NAMES)


def test_a_namespace_with_a_promotion_in_flight_can_end(server: Any, admin: User) -> None:
    server.kubectl("create", "namespace", "ends-too")
    document = promotion()
    document["metadata"]["namespace"] = "ends-too"
    assert admin.create(document).ok
    server.kubectl("delete", "namespace", "ends-too", "--timeout=60s")


def _status(user: User, document: Raw, status: Raw) -> Answer:
    body = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
    answer: Answer = user.apply({**body, "status": status}, "vulcan-operator", "/status")
    return answer
