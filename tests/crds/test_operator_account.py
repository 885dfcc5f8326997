"""The operator can do exactly what it needs: what `deploy/` gives it, tried as itself."""

from typing import Any

import pytest
import yaml

from tests.crds.conftest import ROOT
from tests.crds.objects import environment, gateway, promotion
from tests.crds.server import JSON_PATCH, User

Raw = dict[str, Any]
pytestmark = pytest.mark.usefixtures("guarded")

OURS = ("vulcangateways", "vulcanenvironments", "vulcanpromotions")
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
READ = {"get", "list", "watch"}

# group, resource, subresource -> verbs. What is not named here must be refused.
EVERYWHERE: dict[tuple[str, str, str], set[str]] = {
    ("vulcan.dev", "vulcangateways", ""): READ,
    ("vulcan.dev", "vulcanenvironments", ""): READ | {"patch", "delete"},
    ("vulcan.dev", "vulcanpromotions", ""): READ | {"patch"},
    **{("vulcan.dev", plural, "status"): {"patch"} for plural in OURS},
    ("batch", "jobs", ""): READ,
    ("", "pods", ""): READ,
    ("events.k8s.io", "events", ""): {"create", "patch"},
    **{
        ("admissionregistration.k8s.io", name, ""): {"list"}
        for name in ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
    },
    ("authentication.k8s.io", "tokenreviews", ""): {"create"},
    ("authorization.k8s.io", "subjectaccessreviews", ""): {"create"},
}
IN_GATEWAYS: dict[tuple[str, str, str], set[str]] = {
    ("batch", "jobs", ""): READ | {"create", "patch", "delete"},
    ("", "pods", ""): READ | {"delete"},
    ("", "pods", "log"): {"get"},
    ("", "configmaps", ""): {"get", "list", "create", "delete"},
    ("coordination.k8s.io", "leases", ""): {"get", "create", "update"},
}
IN_ENVIRONMENTS: dict[tuple[str, str, str], set[str]] = {
    ("", "configmaps", ""): {"get", "create", "delete"},
}
ASKED = {*EVERYWHERE, *IN_GATEWAYS, ("", "secrets", ""), ("", "serviceaccounts", ""), ("", "serviceaccounts", "token"),
         ("", "pods", "exec"), ("", "nodes", ""), ("apps", "deployments", ""),
         ("rbac.authorization.k8s.io", "rolebindings", ""),
         ("admissionregistration.k8s.io", "mutatingadmissionpolicies", "")}  # fmt: skip


@pytest.fixture(scope="module")
def bound(server: Any) -> None:
    """The namespaces an administrator has prepared."""
    for namespace in ("gateways", "environments"):
        server.kubectl("create", "namespace", namespace)
        role = f"vulcan-{namespace.removesuffix('s')}"
        server.kubectl("create", "rolebinding", role, "-n", namespace, f"--clusterrole={role}",
                       "--serviceaccount=vulcan-system:vulcan-operator")  # fmt: skip


@pytest.mark.usefixtures("bound")
@pytest.mark.parametrize(
    ("namespace", "more"),
    [("crds", {}), ("gateways", IN_GATEWAYS), ("environments", IN_ENVIRONMENTS)],
    ids=["anywhere", "where a gateway lives", "where environments live"],
)
def test_rights(operator: User, namespace: str, more: dict[tuple[str, str, str], set[str]]) -> None:
    wanted = EVERYWHERE | more
    for group, resource, sub in sorted(ASKED):
        has = {verb for verb in VERBS if operator.may(verb, group, resource, namespace, sub=sub)}
        assert has == wanted.get((group, resource, sub), set()), f"{resource}/{sub} in {namespace}"


def test_rights_on_namespaces(operator: User) -> None:
    assert {verb for verb in VERBS if operator.may(verb, "", "namespaces")} == READ


def test_its_leader_lease_and_no_other(operator: User) -> None:
    def verbs(name: str) -> set[str]:
        return {v for v in VERBS if operator.may(v, "coordination.k8s.io", "leases", "vulcan-system", name)}

    assert verbs("vulcan-operator") == {"get", "update", "create"}
    assert verbs("another") == {"create"}
    assert not operator.may("create", "coordination.k8s.io", "leases", "crds")


@pytest.mark.parametrize("name", OURS)
def test_it_may_not_approve(operator: User, name: str) -> None:
    assert not operator.may("approve", "vulcan.dev", name, "crds")


@pytest.mark.usefixtures("bound")
def test_secrets_stay_closed(operator: User, admin: User, server: Any) -> None:
    server.kubectl("create", "secret", "generic", "warehouse", "-n", "gateways", "--from-literal=password=x")
    path = "/api/v1/namespaces/gateways/secrets"
    assert admin.call("GET", f"{path}/warehouse").ok
    for tried in (path, f"{path}/warehouse", "/api/v1/secrets", f"{path}?watch=1"):
        assert operator.call("GET", tried).code == 403


@pytest.mark.usefixtures("bound")
def test_it_may_run_a_job_and_look_after_it(operator: User) -> None:
    path = "/apis/batch/v1/namespaces/gateways/jobs"
    job = yaml.safe_load((ROOT / "tests" / "golden" / "run.yaml").read_text())
    job["metadata"].update(namespace="gateways", name="run")
    job["spec"]["suspend"] = True
    assert operator.call("POST", path, job).ok
    patch = {"spec": {"ttlSecondsAfterFinished": 60}}
    assert operator.call("PATCH", f"{path}/run", patch, "application/merge-patch+json").ok
    assert operator.call("DELETE", f"{path}/run", {"propagationPolicy": "Background"}).ok
    job["metadata"]["namespace"] = "crds"
    assert operator.call("POST", path.replace("gateways", "crds"), job).code == 403


def test_it_may_set_finalizers(operator: User, admin: User) -> None:
    document = environment()
    version = admin.create(document).body["metadata"]["resourceVersion"]
    operations = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/metadata/finalizers", "value": ["vulcan.dev/invalidate"]},
    ]
    assert operator.patch(document, operations, JSON_PATCH).ok
    assert admin.delete(document).ok
    operations = [{"op": "add", "path": "/metadata/finalizers", "value": []}]
    assert operator.patch(document, operations, JSON_PATCH).ok
    assert admin.get(document).code == 404


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"suspend": True}, id="suspend"),
        pytest.param({"plan": {"approval": {"mode": "Never"}}}, id="approval"),
        pytest.param({"project": {"git": {"ref": "evil"}}}, id="project"),
        pytest.param({"ttl": "1s", "ttlAction": "Delete"}, id="ttl, to be allowed to delete"),
    ],
)
def test_it_may_not_change_spec(operator: User, admin: User, change: Raw) -> None:
    document = environment()
    assert admin.create(document).ok
    answer = operator.patch(document, {"spec": change})
    assert answer.code == 403
    assert "vulcan-operator-account" in answer.message or "vulcan-environment-rules" in answer.message


def test_it_may_not_change_spec_under_cover_of_an_approval(operator: User, admin: User) -> None:
    document = environment()
    assert admin.create(document).ok
    item = {"plan": "0" * 64, "by": "system:serviceaccount:vulcan-system:vulcan-operator", "decision": "Approve"}
    answer = operator.patch(document, {"spec": {"suspend": True, "approvals": [item]}})
    assert answer.code == 403
    assert "vulcan-approvals" in answer.message


def test_an_empty_list_of_approvals_is_no_cover_either(operator: User, admin: User) -> None:
    document = environment()
    assert admin.create(document).ok
    answer = operator.patch(document, {"spec": {"suspend": True, "approvals": []}})
    assert answer.code == 403
    assert "may not change spec" in answer.message


def test_the_policy_keeps_it_out_even_with_rights(server: Any, admin: User, account: Any) -> None:
    """With cluster-admin, RBAC says yes to everything: what is left is the policy."""
    server.kubectl("create", "clusterrolebinding", "too-much", "--clusterrole=cluster-admin",
                   "--serviceaccount=vulcan-system:vulcan-operator")  # fmt: skip
    try:
        operator = account("vulcan-system", "vulcan-operator")
        documents = (environment({"ttl": "1h"}), gateway(), promotion())
        for document in documents:
            assert admin.create(document).ok
            assert "may not create objects" in _refused(operator.create({**document, "metadata": _other(document)}))
            assert "may delete only environments with ttl" in _refused(operator.delete(document))
            if document["kind"] != "VulcanPromotion":  # whose spec nobody changes
                assert "may not change spec" in _refused(operator.patch(document, {"spec": {"suspend": True}}))
            assert operator.patch(document, {"metadata": {"finalizers": ["vulcan.dev/x"]}}).ok
    finally:
        server.kubectl("delete", "clusterrolebinding", "too-much")


def test_it_deletes_what_asks_for_it(operator: User, admin: User) -> None:
    kept, expired = environment({"ttl": "1h"}), environment({"ttl": "1h", "ttlAction": "Delete"})
    assert admin.create(kept).ok and admin.create(expired).ok
    assert operator.delete(kept).code == 403
    assert operator.delete(expired).ok


def _other(document: Raw) -> Raw:
    return {**document["metadata"], "name": f"{document['metadata']['name']}-2"}


def _refused(answer: Any) -> str:
    assert answer.code in (403, 422), answer.body
    message: str = answer.message
    return message
