"""GitOps against approvals: manifests that say nothing of them neither take them away nor are held up by them.

As Argo CD applies (server-side, and client-side as kubectl does), and as Flux takes over what kubectl has written.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.crds.conftest import bind
from tests.crds.objects import DIGEST, NAMESPACE, approval, environment, promotion
from tests.crds.server import JSON_PATCH, User, path_of

Raw = dict[str, Any]
pytestmark = pytest.mark.usefixtures("guarded")

SYNC = f"system:serviceaccount:{NAMESPACE}:sync"
ARGO, FLUX, BY_HAND = "argocd-controller", "kustomize-controller", "vulcan-approval-by-hand"
KINDS = [pytest.param(environment, id="environment"), pytest.param(promotion, id="promotion")]
Kubectl = Callable[..., str]


@pytest.fixture(scope="session")
def sync(server: Any, account: Any) -> User:
    """The account of Argo CD or Flux: edits and promotes."""
    server.kubectl("create", "serviceaccount", "sync", "-n", NAMESPACE)
    for role in ("vulcan-editor", "vulcan-promoter"):
        bind(server, NAMESPACE, role, f"--serviceaccount={NAMESPACE}:sync")
    user: User = account(NAMESPACE, "sync")
    return user


@pytest.fixture(scope="session")
def kubectl(server: Any, sync: User, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """kubectl as that account; fails with the server's complaint."""
    path = server.service_account_kubeconfig(NAMESPACE, "sync", tmp_path_factory.mktemp("sync") / "config")

    def run(*arguments: str, document: Raw) -> str:
        as_sync = ("--kubeconfig", str(path), "--context", "sync")
        output: str = server.kubectl(*arguments, *as_sync, "-f", "-", stdin=json.dumps(document))
        return output

    return run


def by_hand(user: User, document: Raw, item: Raw, manager: str = BY_HAND) -> None:
    """As the command in the message of AwaitingApproval does."""
    add = [{"op": "add", "path": "/spec/approvals", "value": [item]}]
    answer = user.call("PATCH", f"{path_of(document)}?fieldManager={manager}", add, JSON_PATCH)
    assert answer.ok, answer.message


def by_program(user: User, document: Raw, item: Raw) -> None:
    """By server-side apply under a manager of the own."""
    body = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
    answer = user.apply({**body, "spec": {"approvals": [item]}}, "vulcan-approval-1")
    assert answer.ok, answer.message


def edited(document: Raw) -> Raw:
    """The manifest's next version."""
    spec = {"suspend": True} if document["kind"] == "VulcanEnvironment" else {}
    metadata = {**document["metadata"], "labels": {"version": "2"}}
    return {**document, "metadata": metadata, "spec": {**document["spec"], **spec}}


def holds(user: User, document: Raw, author: str | None = SYNC) -> None:
    """Alice's word is there, the new version of the manifest, and who created it."""
    stored = user.get(document).body
    assert stored["spec"]["approvals"] == [approval("alice")]
    assert stored["metadata"]["labels"] == {"version": "2"}
    assert stored["metadata"]["annotations"]["vulcan.dev/created-by"] == author


APPROVALS = pytest.mark.parametrize("approve", [by_hand, by_program])


@APPROVALS
@pytest.mark.parametrize("make", KINDS)
def test_server_side_apply(sync: User, alice: User, make: Any, approve: Any) -> None:
    document = make()
    assert sync.apply(document, ARGO).ok
    approve(alice, document, approval("alice"))
    assert sync.apply(edited(document), ARGO).ok
    holds(alice, document)


@APPROVALS
@pytest.mark.parametrize("make", KINDS)
def test_client_side_apply(kubectl: Kubectl, alice: User, make: Any, approve: Any) -> None:
    document = make()
    kubectl("apply", "--field-manager", ARGO, document=document)
    approve(alice, document, approval("alice"))
    kubectl("apply", "--field-manager", ARGO, document=edited(document))
    holds(alice, document)


@APPROVALS
@pytest.mark.parametrize("make", KINDS)
def test_client_side_and_then_server_side(kubectl: Kubectl, alice: User, make: Any, approve: Any) -> None:
    """kubectl moves what client-side applies own to the applying manager."""
    document = make()
    kubectl("apply", document=document)
    approve(alice, document, approval("alice"))
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager", ARGO, document=edited(document))
    holds(alice, document)


def take_over(user: User, document: Raw) -> None:
    """What Flux does before it applies: whatever managers that start with kubectl own becomes its own, as applied."""
    entries = user.get(document).body["metadata"]["managedFields"]
    theirs = [e for e in entries if e["manager"].startswith("kubectl") and not e.get("subresource")]
    others = [e for e in entries if e not in theirs]
    mine: Raw = next((e for e in others if e["manager"] == FLUX and e["operation"] == "Apply"), {})
    fields: Raw = mine.get("fieldsV1", {})
    for entry in theirs:
        fields = _union(fields, entry["fieldsV1"])
    assert theirs, "nothing to take over"
    own = {**(mine or theirs[0]), "manager": FLUX, "operation": "Apply", "fieldsV1": fields}
    replaced = [{"op": "replace", "path": "/metadata/managedFields", "value": [*(e for e in others if e != mine), own]}]
    answer = user.patch(document, replaced, JSON_PATCH)
    assert answer.ok, answer.message


def _union(one: Raw, other: Raw) -> Raw:
    return {key: _union(one.get(key, {}), other.get(key, {})) for key in {**one, **other}}


@APPROVALS
@pytest.mark.parametrize("make", KINDS)
def test_a_takeover_of_what_kubectl_has_written(
    kubectl: Kubectl, sync: User, alice: User, make: Any, approve: Any
) -> None:
    document = make()
    kubectl("create", document=document)
    approve(alice, document, approval("alice"))
    take_over(sync, document)
    for _ in range(2):
        answer = sync.apply(edited(document), FLUX)
        assert answer.ok, answer.message
        holds(alice, document)


@pytest.mark.parametrize("make", KINDS)
def test_why_an_approval_has_a_manager_of_its_own(kubectl: Kubectl, sync: User, alice: User, make: Any) -> None:
    """A word that kubectl owns goes over to Flux with all the rest, which then would take it away and is refused."""
    document = make()
    kubectl("create", document=document)
    by_hand(alice, document, approval("alice"), manager="kubectl-patch")
    take_over(sync, document)
    assert sync.apply(edited(document), FLUX).code == 403


@pytest.mark.parametrize("make", KINDS)
class TestWithAnApproval:
    """Synced once, approved by alice since."""

    @pytest.fixture
    def synced(self, sync: User, alice: User, make: Any) -> Raw:
        document: Raw = make()
        assert sync.apply(document, ARGO).ok
        by_program(alice, document, approval("alice"))
        return document

    def test_a_merge_patch_of_the_difference_leaves_it(self, sync: User, synced: Raw) -> None:
        assert sync.patch(synced, {"metadata": {"labels": {"version": "2"}}}).ok
        holds(sync, synced)

    def test_null_from_a_client_side_apply_is_refused(self, sync: User, synced: Raw) -> None:
        assert sync.patch(synced, {"spec": {"approvals": None}}).code == 403

    def test_replace_is_refused(self, sync: User, synced: Raw) -> None:
        metadata = sync.get(synced).body["metadata"]
        assert sync.replace({**synced, "metadata": metadata}).code == 403

    def test_a_manifest_may_repeat_it_and_drop_it_again(self, sync: User, synced: Raw) -> None:
        repeated = {**synced, "spec": {**synced["spec"], "approvals": [approval("alice")]}}
        assert sync.apply(repeated, ARGO).ok
        assert sync.apply(edited(synced), ARGO).ok
        holds(sync, synced)

    def test_a_manifest_without_defaults_is_no_difference(self, sync: User, synced: Raw) -> None:
        before = sync.get(synced).body["metadata"]["resourceVersion"]
        assert sync.apply(synced, ARGO).ok
        assert sync.get(synced).body["metadata"]["resourceVersion"] == before


@pytest.mark.parametrize("make", KINDS)
def test_creating_with_approvals_of_somebody_is_refused(sync: User, make: Any) -> None:
    assert sync.apply(make({"approvals": [approval("alice", DIGEST)]}), ARGO).code == 403


def test_weakening_from_git_is_refused(sync: User) -> None:
    document = environment()
    assert sync.apply(document, ARGO).ok
    weaker = {**document["spec"], "plan": {"approval": {"mode": "Never"}}}
    assert "plan.approval.mode" in sync.apply({**document, "spec": weaker}, ARGO).message
