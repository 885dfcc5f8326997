"""A real API server with our CRDs, roles and policies; users admin, alice (editor and approver), bob (editor)."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crds import objects
from tests.crds.server import Answer, User
from tools.localcluster import build
from tools.localcluster.cluster import Cluster
from tools.stand import created_by

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "system:serviceaccount:vulcan-system:vulcan-operator"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster with everything of `deploy/` but the Deployment."""
    try:
        build.ensure(print)
    except build.BuildError as error:
        pytest.skip(f"cannot build the control plane: {error}")
    with Cluster(tmp_path_factory.mktemp("crds"), "crds") as cluster:
        install(cluster)
        yield cluster


def install(cluster: Cluster) -> None:
    """CRDs, roles, policies, namespaces and who has which role."""
    for folder in ("crds/", "deploy/namespace.yaml", "deploy/rbac.yaml", "deploy/policies.yaml"):
        files = sorted((ROOT / folder).glob("vulcan.dev_*.yaml")) or [ROOT / folder]
        for file in files:
            cluster.kubectl("apply", "--server-side", "-f", str(file))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    cluster.kubectl("api-resources", "--api-group=vulcan.dev")  # renews what kubectl remembers of an earlier server
    created_by.install(cluster.kubectl)
    for namespace in (objects.NAMESPACE, "other"):
        cluster.kubectl("create", "namespace", namespace)
        for user, role in (("alice", "vulcan-editor"), ("alice", "vulcan-approver"), ("bob", "vulcan-editor")):
            bind(cluster, namespace, role, f"--user={user}")


def bind(cluster: Cluster, namespace: str, role: str, subject: str) -> None:
    """Give somebody a role in a namespace."""
    name = f"{role}-{subject.rpartition('=')[2].replace(':', '-')}"
    cluster.kubectl("create", "rolebinding", name, "-n", namespace, f"--clusterrole={role}", subject)


@pytest.fixture(scope="session")
def admin(server: Cluster) -> User:
    """Member of system:masters: may do everything that policies let through."""
    return User(server.kubeconfig, "admin")


@pytest.fixture(scope="session")
def alice(server: Cluster) -> User:
    """Edits and approves."""
    return User(server.kubeconfig, "alice")


@pytest.fixture(scope="session")
def bob(server: Cluster) -> User:
    """Edits, may not approve."""
    return User(server.kubeconfig, "bob")


@pytest.fixture(scope="session")
def account(server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], User]:
    """Any ServiceAccount as user."""

    def become(namespace: str, name: str) -> User:
        path = tmp_path_factory.mktemp("kubeconfig") / "config"
        server.service_account_kubeconfig(namespace, name, path)
        return User(path, name)

    return become


@pytest.fixture(scope="session")
def operator(account: Callable[[str, str], User]) -> User:
    """The operator's own account, with the rights of deploy/rbac.yaml."""
    return account("vulcan-system", "vulcan-operator")


@pytest.fixture(scope="session")
def gina(server: Cluster, account: Callable[[str, str], User]) -> User:
    """May promote and approve, and edit."""
    return _person(server, account, "gina", "vulcan-editor", "vulcan-promoter", "vulcan-approver")


@pytest.fixture(scope="session")
def carol(server: Cluster, account: Callable[[str, str], User]) -> User:
    """Writes gateways, may not approve."""
    return _person(server, account, "carol", "vulcan-admin")


@pytest.fixture(scope="session")
def dave(server: Cluster, account: Callable[[str, str], User]) -> User:
    """May approve promotions, but no environment."""
    server.kubectl(
        "create", "clusterrole", "promotions-only", "--verb=approve", "--resource=vulcanpromotions.vulcan.dev"
    )
    return _person(server, account, "dave", "vulcan-editor", "promotions-only")


@pytest.fixture(scope="session")
def fiona(server: Cluster, account: Callable[[str, str], User]) -> User:
    """May promote, and edit."""
    return _person(server, account, "fiona", "vulcan-editor", "vulcan-promoter")


def _person(server: Cluster, account: Callable[[str, str], User], name: str, *roles: str) -> User:
    server.kubectl("create", "serviceaccount", name, "-n", objects.NAMESPACE)
    for role in roles:
        bind(server, objects.NAMESPACE, role, f"--serviceaccount={objects.NAMESPACE}:{name}")
    return account(objects.NAMESPACE, name)


@pytest.fixture(scope="session")
def guarded(admin: User, bob: User, carol: User, dave: User, operator: User) -> None:
    """Waits until every policy works: a new one takes about a second."""
    environment = objects.environment()
    gateway = objects.gateway({"grants": [{"protected": True}], "freeze": {"reason": "x"}})
    promotion = objects.promotion()
    assert admin.create(environment).ok and admin.create(gateway).ok and admin.create(promotion).ok
    status = {**{k: environment[k] for k in ("apiVersion", "kind", "metadata")}, "status": {"protected": True}}
    assert operator.apply(status, "vulcan-operator", "/status").ok
    own = objects.approval(f"system:serviceaccount:{objects.NAMESPACE}:dave")
    trials: dict[str, Callable[[], Answer]] = {
        "vulcan-approvals": lambda: bob.patch(
            environment, {"spec": {"approvals": [objects.approval("bob")]}}, dry_run=True
        ),
        "vulcan-promotion-approvals": lambda: dave.patch(promotion, {"spec": {"approvals": [own]}}, dry_run=True),
        "vulcan-environment-rules": lambda: bob.patch(
            environment, {"spec": {"checks": {"audits": False}}}, dry_run=True
        ),
        "vulcan-promotion-creation": lambda: bob.create(objects.promotion(), dry_run=True),
        "vulcan-promotion-deletion": lambda: bob.delete(promotion, dry_run=True),
        "vulcan-created-by": lambda: bob.patch(
            environment, {"metadata": {"annotations": {"vulcan.dev/created-by": "x"}}}, dry_run=True
        ),
        "vulcan-environment-deletion": lambda: bob.delete(environment, dry_run=True),
        "vulcan-gateway-grants": lambda: carol.patch(gateway, {"spec": {"grants": []}}, dry_run=True),
        "vulcan-gateway-freeze": lambda: carol.patch(gateway, {"spec": {"freeze": None}}, dry_run=True),
        "vulcan-ownership": lambda: bob.patch(environment, objects.OWNED, dry_run=True),
        "vulcan-gateway-rules": lambda: carol.patch(gateway, {"spec": {"takeover": "x"}}, dry_run=True),
        "vulcan-gateway-options": lambda: admin.patch(
            gateway, {"spec": {"connection": {"options": {"PASSWORD": "x"}}}}, dry_run=True
        ),
        "vulcan-operator-account": lambda: operator.patch(environment, {"spec": {"suspend": True}}, dry_run=True),
    }
    for policy, trial in trials.items():
        until(lambda trial=trial, policy=policy: f"'{policy}'" in trial().message, f"{policy} is active")  # type: ignore[misc]


def until(reached: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Poll until something holds."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
