"""`deploy/` as a whole: it builds, the server takes it, nothing in it is more than it says."""

import json
import subprocess
from typing import Any

import pytest
import yaml

from tests.crds.conftest import ACCOUNT, ROOT, until
from tests.crds.server import User

Raw = dict[str, Any]


def documents(name: str) -> list[Raw]:
    """All objects of one file."""
    return [document for document in yaml.safe_load_all((ROOT / "deploy" / name).read_text()) if document]


@pytest.fixture(scope="module")
def built(server: Any) -> list[Raw]:
    """What kustomize makes of it."""
    done = subprocess.run(
        [str(server.kubectl_path), "kustomize", str(ROOT / "deploy")], capture_output=True, text=True, check=True
    )
    return list(yaml.safe_load_all(done.stdout))


def test_everything_is_in_the_kustomization(built: list[Raw]) -> None:
    kinds = [document["kind"] for document in built]
    assert kinds.count("CustomResourceDefinition") == 3
    assert kinds.count("ValidatingAdmissionPolicy") == kinds.count("ValidatingAdmissionPolicyBinding") == 15
    files = ("namespace.yaml", "rbac.yaml", "policies.yaml", "operator.yaml")
    assert len(built) == 3 + sum(len(documents(file)) for file in files)


def test_the_server_takes_all_of_it(server: Any) -> None:
    server.kubectl("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-k", str(ROOT / "deploy"))


def test_policies_are_well_typed(server: Any) -> None:
    """The controller compiles every expression against the schemas and reports what cannot be right."""

    def statuses() -> list[Raw]:
        listed = json.loads(server.kubectl("get", "validatingadmissionpolicies", "-o", "json"))["items"]
        return [p for p in listed if p["metadata"]["name"].startswith("vulcan-")]

    until(lambda: all("typeChecking" in p.get("status", {}) for p in statuses()), "type checks are made", 60)
    for policy in statuses():
        assert policy["status"]["typeChecking"] == {}, policy["metadata"]["name"]


def test_pods_of_the_operator_are_restricted(admin: User) -> None:
    """The namespace enforces Pod Security `restricted`; the template's pod is taken, one with less is not."""
    template = next(d for d in documents("operator.yaml") if d["kind"] == "Deployment")["spec"]["template"]
    path = "/api/v1/namespaces/vulcan-system/pods?dryRun=All"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try"}, "spec": template["spec"]}
    answer = admin.call("POST", path, pod)
    assert answer.ok, answer.message
    loose = {**template["spec"], "securityContext": {}}
    assert "restricted" in admin.call("POST", path, {**pod, "spec": loose}).message


def test_the_account_has_one_name_everywhere() -> None:
    policies = (ROOT / "deploy" / "policies.yaml").read_text()
    assert policies.count(f"request.userInfo.username == '{ACCOUNT}'") == 3
    assert policies.count("system:serviceaccount:vulcan") == policies.count(ACCOUNT)
    deployment = next(d for d in documents("operator.yaml") if d["kind"] == "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    variables = {item["name"]: item.get("value") for item in spec["containers"][0]["env"]}
    assert variables["VULCAN_ACCOUNT"] == ACCOUNT
    assert f"{deployment['metadata']['namespace']}:{spec['serviceAccountName']}" == ACCOUNT.removeprefix(
        "system:serviceaccount:"
    )
    lease = next(d for d in documents("rbac.yaml") if d["kind"] == "Role")["rules"][1]["resourceNames"]
    assert lease == [variables["VULCAN_LEASE_NAME"]]


def test_no_role_mentions_secrets_or_wildcards() -> None:
    for role in documents("rbac.yaml"):
        for rule in role.get("rules", ()):
            urls = rule.get("nonResourceURLs", ())
            resources = () if urls else (*rule["resources"], *rule["apiGroups"])
            assert "secrets" not in resources
            assert not any("*" in name for name in (*resources, *rule["verbs"], *urls))


def test_approving_is_in_no_role_but_one() -> None:
    roles = [r["metadata"]["name"] for r in documents("rbac.yaml") if "approve" in str(r.get("rules"))]
    assert roles == ["vulcan-approver"]


@pytest.mark.parametrize(
    ("role", "environments", "gateways"),
    [
        ("view", {"get", "list", "watch"}, {"get", "list", "watch"}),
        ("edit", {"get", "list", "watch", "create", "update", "patch", "delete"}, {"get", "list", "watch"}),
        ("admin", {"get", "list", "watch", "create", "update", "patch", "delete"},
         {"get", "list", "watch", "create", "update", "patch", "delete"}),
    ],
)  # fmt: skip
def test_kubernetes_own_roles(server: Any, account: Any, role: str, environments: set[str], gateways: set[str]) -> None:
    server.kubectl("create", "serviceaccount", f"{role}er", "-n", "default")
    server.kubectl("create", "rolebinding", f"{role}er", f"--clusterrole={role}", f"--serviceaccount=default:{role}er")
    user = account("default", f"{role}er")
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "approve")

    def has(resource: str) -> set[str]:
        return {verb for verb in verbs if user.may(verb, "vulcan.dev", resource, "default")}

    until(lambda: has("vulcangateways") == gateways, f"{role} is aggregated: {has('vulcangateways')}")
    assert has("vulcanenvironments") == has("vulcanpromotions") == environments


def test_who_administers_a_namespace_may_let_the_operator_in(server: Any, account: Any) -> None:
    """The commands in rbac.yaml work without a cluster administrator: RBAC lets people give what they have."""
    server.kubectl("create", "namespace", "owned")
    server.kubectl("create", "serviceaccount", "owner", "-n", "owned")
    server.kubectl(
        "create", "rolebinding", "owner", "-n", "owned", "--clusterrole=admin", "--serviceaccount=owned:owner"
    )
    owner = account("owned", "owner")
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/owned/rolebindings"
    for role, allowed in (("vulcan-gateway", True), ("vulcan-environment", True), ("vulcan-approver", False)):
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "vulcan-operator", "namespace": "vulcan-system"}],
        }
        until(lambda b=binding, a=allowed: owner.call("POST", path, b).code == (201 if a else 403), role)  # type: ignore[misc]
