"""Who may approve: alice may, bob may only edit, the administrator may but not in somebody else's name."""

from typing import Any

import pytest

from tests.crds.conftest import ACCOUNT, until
from tests.crds.objects import NAMESPACE, OTHER_DIGEST, approval, environment, promotion
from tests.crds.server import User

Raw = dict[str, Any]
pytestmark = pytest.mark.usefixtures("guarded")

NEEDS = '.vulcan.dev "{name}" to add an approval'


@pytest.fixture(params=["environment", "promotion"])
def document(request: pytest.FixtureRequest, admin: User) -> Raw:
    """A stored object without approvals."""
    made: Raw = {"environment": environment, "promotion": promotion}[request.param]()
    assert admin.create(made).ok
    return made


@pytest.fixture
def approved(document: Raw, alice: User) -> Raw:
    """The same, approved by alice."""
    assert approve(alice, document, approval("alice")).ok
    return document


def approve(user: User, document: Raw, *items: Raw, manager: str = "vulcan-approval-1", dry_run: bool = False) -> Any:
    """As `kubectl vulcan approve` does: server-side apply of nothing but the own item, under an own manager."""
    body = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
    return user.apply({**body, "spec": {"approvals": list(items)}}, manager, dry_run=dry_run)


def approvals(user: User, document: Raw) -> list[Raw]:
    """What is stored."""
    stored: list[Raw] = user.get(document).body["spec"].get("approvals", [])
    return stored


def test_an_approver_approves_in_her_own_name(alice: User, document: Raw) -> None:
    answer = approve(alice, document, approval("alice"))
    assert answer.ok, answer.message
    assert approvals(alice, document) == [approval("alice")]


def test_nobody_writes_in_the_name_of_another(alice: User, admin: User, document: Raw) -> None:
    for user, name in ((alice, "bob"), (admin, "alice")):
        answer = approve(user, document, approval(name))
        assert answer.code == 403
        assert "approvals[].by must be the requesting user" in answer.message


def test_the_administrator_approves_in_the_own_name(admin: User, document: Raw) -> None:
    assert approve(admin, document, approval("admin")).ok


def test_an_editor_may_not_approve(bob: User, document: Raw) -> None:
    answer = approve(bob, document, approval("bob"))
    assert answer.code == 403
    # A promotion meets two policies; which of them answers is not defined.
    wanted = NEEDS.format(name=document["metadata"]["name"]), 'user "bob" needs verb approve on vulcanenvironments'
    assert any(text in answer.message for text in wanted[: 1 + (document["kind"] == "VulcanPromotion")])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"approvals": []}, id="removes"),
        pytest.param({"approvals": None}, id="sends null"),
        pytest.param({"approvals": [approval("alice", comment="not mine")]}, id="edits the comment"),
        pytest.param({"approvals": [approval("alice") | {"decision": "Reject"}]}, id="turns it into a rejection"),
        pytest.param({"approvals": [approval("alice", plan=OTHER_DIGEST)]}, id="moves it to another plan"),
        pytest.param({"approvals": [approval("alice"), approval("bob")]}, id="adds his own"),
    ],
)
def test_an_editor_may_not_touch_approvals_of_others(bob: User, approved: Raw, change: Raw) -> None:
    answer = bob.patch(approved, {"spec": change})
    assert answer.code == 403
    assert "ValidatingAdmissionPolicy 'vulcan-" in answer.message
    assert approvals(bob, approved) == [approval("alice")]


def test_an_editor_may_change_something_else(bob: User, approved: Raw) -> None:
    answer = bob.patch(approved, {"metadata": {"labels": {"team": "a"}}})
    assert answer.ok
    assert approvals(bob, approved) == [approval("alice")]


def test_another_approver_adds_a_word_of_her_own(alice: User, admin: User, approved: Raw) -> None:
    assert approve(admin, approved, approval("admin"), manager="vulcan-approval-2").ok
    assert [item["by"] for item in approvals(alice, approved)] == ["alice", "admin"]


def test_an_approver_takes_her_word_back(alice: User, approved: Raw) -> None:
    assert approve(alice, approved).ok
    assert approvals(alice, approved) == []


def test_an_approver_changes_her_mind(alice: User, approved: Raw) -> None:
    assert approve(alice, approved, approval("alice") | {"decision": "Reject"}).ok


def test_one_who_may_no_longer_approve_may_still_withdraw(bob: User, admin: User, server: Any) -> None:
    document = environment()
    assert admin.create(document).ok
    server.kubectl(
        "create", "rolebinding", "bob-approves", "-n", NAMESPACE, "--clusterrole=vulcan-approver", "--user=bob"
    )
    try:
        until(lambda: approve(bob, document, approval("bob")).ok, "bob may approve")
    finally:
        server.kubectl("delete", "rolebinding", "bob-approves", "-n", NAMESPACE)
    again = approval("bob", comment="again")
    until(lambda: not approve(bob, document, again, dry_run=True).ok, "bob may not approve any more")
    assert bob.patch(document, {"spec": {"approvals": []}}).ok


def test_nothing_is_created_with_approvals_of_others(alice: User, bob: User) -> None:
    for user, name in ((alice, "bob"), (bob, "alice"), (bob, "bob")):
        assert user.create(environment({"approvals": [approval(name)]})).code == 403
    assert alice.create(environment({"approvals": [approval("alice")]}), dry_run=True).ok


def test_a_generated_name_is_no_way_around(bob: User) -> None:
    document = environment({"approvals": [approval("bob")]})
    document["metadata"] = {"generateName": "p-", "namespace": NAMESPACE}
    assert bob.create(document).code == 403


def test_status_is_written_without_meeting_the_policy(operator: User, approved: Raw) -> None:
    body = {key: approved[key] for key in ("apiVersion", "kind", "metadata")}
    assert operator.apply({**body, "status": {"observedGeneration": 1}}, "vulcan-operator", "/status").ok


def test_the_operator_may_not_approve_and_learns_why(operator: User, alice: User, admin: User) -> None:
    """The trial it makes at start and hourly: by server-side apply in the own name, as dry run."""
    document = environment()
    assert admin.create(document).ok
    answer = approve(operator, document, approval(ACCOUNT), manager="vulcan-approval-selfcheck", dry_run=True)
    assert answer.code == 403
    assert "ValidatingAdmissionPolicy 'vulcan-approvals'" in answer.message
    assert approve(alice, document, approval("alice"), dry_run=True).ok
    assert approvals(admin, document) == []


def test_approving_a_promotion_needs_the_right_on_its_target(dave: User, admin: User) -> None:
    """dave may approve every promotion, but not the environment it changes."""
    name = f"system:serviceaccount:{NAMESPACE}:dave"
    document = promotion()
    assert admin.create(document).ok
    answer = approve(dave, document, approval(name))
    assert answer.code == 403
    assert 'needs verb approve on vulcanenvironments.vulcan.dev "prod" in namespace "crds"' in answer.message
    assert dave.create(promotion({"approvals": [approval(name)]})).code == 403


def test_nor_is_a_word_on_it_withdrawn_without(dave: User, alice: User, admin: User) -> None:
    document = promotion()
    assert admin.create(document).ok
    assert approve(alice, document, approval("alice") | {"decision": "Reject"}).ok
    answer = dave.patch(document, {"spec": {"approvals": []}})
    assert answer.code == 403
    assert "or to withdraw approvals of others" in answer.message


def test_the_target_may_be_in_another_namespace(alice: User, admin: User, server: Any) -> None:
    elsewhere = promotion({"to": {"environmentRef": {"name": "prod", "namespace": "default"}}})
    other = promotion({"to": {"environmentRef": {"name": "prod", "namespace": "other"}}})
    assert admin.create(elsewhere).ok and admin.create(other).ok
    answer = approve(alice, elsewhere, approval("alice"))
    assert answer.code == 403
    assert 'in namespace "default" to approve a promotion to it' in answer.message
    assert approve(alice, other, approval("alice")).ok


def test_the_right_can_be_given_for_one_environment(server: Any, admin: User, account: Any) -> None:
    server.kubectl("create", "role", "only-staging", "-n", NAMESPACE, "--verb=approve,patch,get",
                   "--resource=vulcanenvironments.vulcan.dev", "--resource-name=only-staging")  # fmt: skip
    server.kubectl("create", "serviceaccount", "erin", "-n", NAMESPACE)
    subject = f"--serviceaccount={NAMESPACE}:erin"
    server.kubectl("create", "rolebinding", "only-staging", "-n", NAMESPACE, "--role=only-staging", subject)
    erin, name = account(NAMESPACE, "erin"), f"system:serviceaccount:{NAMESPACE}:erin"
    allowed, other = environment(name="only-staging"), environment()
    assert admin.create(allowed).ok and admin.create(other).ok
    assert approve(erin, allowed, approval(name)).ok
    assert approve(erin, other, approval(name)).code == 403
