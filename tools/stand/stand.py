"""Stand: one cluster with everything the operator needs, and the operator under its own ServiceAccount, never admin.

`Stand` on a local cluster is what the demo, the integration tests and the bench use. Must not decide anything about
the story that runs on it.
"""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tools.localcluster import processes
from tools.localcluster.cluster import Cluster, ClusterError, current_cluster
from tools.localcluster.images import Image
from tools.stand import created_by, postgres
from tools.stand.current import MINE, CurrentCluster
from vulcan_contract import PodEnv

ROOT = Path(__file__).resolve().parents[2]
RUNNER_IMAGE = "vulcan-runner:local"
ACCOUNT = ("vulcan-system", "vulcan-operator")
Objects = list[dict[str, Any]]


class StandError(RuntimeError):
    """Something did not come up; the message says what, and where its log is."""


class Stand:
    """A local cluster plus operator. `with Stand(root, name) as stand:` removes it again."""

    def __init__(
        self, root: Path = ROOT, name: str = "default", say: Callable[[str], None] = lambda text: None
    ) -> None:
        self.cluster: Cluster | CurrentCluster
        if current_cluster():
            self.cluster, self.image = CurrentCluster(root), os.environ.get("RUNNER_IMAGE", "vulcan-runner:latest")
        else:
            self.image = RUNNER_IMAGE
            soda = {PodEnv.SODA_PYTHON: str(ROOT / ".venv-soda" / "bin" / "python")}
            runner = Image(str(ROOT / ".venv-runner"), variables=soda)
            self.cluster = Cluster(root, name, images={RUNNER_IMAGE: runner}, say=say)
        self._operators = 0

    def __enter__(self) -> "Stand":
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self, *, crds: bool = True) -> None:
        """Cluster, CRDs, RBAC and policies; the operator is started by `start_operator`."""
        self.cluster.up()
        self.install(crds=crds)

    def install(self, *, crds: bool = True) -> None:
        """Apply what an administrator applies."""
        if crds:
            self.kubectl(
                "apply",
                "--server-side",
                *(a for f in sorted((ROOT / "crds").glob("vulcan*.yaml")) for a in ("-f", str(f))),
            )
        for name in ("namespace", "rbac", "policies"):
            self.kubectl("apply", "--server-side", "-f", str(ROOT / "deploy" / f"{name}.yaml"))
        if crds:
            created_by.install(self.kubectl)

    def in_use(self) -> bool:
        """Whether somebody's local cluster runs here."""
        return isinstance(self.cluster, Cluster) and any(line.process for line in self.cluster.status())

    def down(self) -> None:
        """End everything, also what a killed process left behind, and delete all data."""
        state = self.cluster.state
        records = state / "postgres"
        folders = [json.loads(r.read_text())["folder"] for r in records.glob("*.json")] if records.is_dir() else []
        if folders:
            postgres.remove_recorded(state)
        self.cluster.down()

    def start_operator(self, *, binary: Path | None = None, **env: str) -> "Operator":
        """Start an operator with the rights of deploy/rbac.yaml; returns at once, see `Operator.wait_ready`."""
        self._operators += 1
        name = f"operator-{self._operators}"
        config = self.cluster.service_account_kubeconfig(*ACCOUNT, self.cluster.state / f"{name}.kubeconfig")
        settings = {
            "VULCAN_RUNNER_IMAGE": self.image,
            "VULCAN_HEALTH_PORT": "0",
            "VULCAN_HEALTH_HOST": "127.0.0.1",
            "VULCAN_IDENTITY": name,
            **env,
        }
        python = binary or ROOT / ".venv-operator" / "bin" / "python"
        return Operator(
            name, [str(python), "-m", "vulcan_operator", "run", "--kubeconfig", str(config)], self, settings
        )

    def namespace(self, name: str, *, operator: bool = True, gateway: bool = True) -> None:
        """A namespace in which the operator may work. On somebody's own cluster never one that is there already: `down`
        deletes what was made here, with all that is in it."""
        if isinstance(self.cluster, CurrentCluster):
            self.cluster.require_free(name)
        meta = {"name": name, "labels": {MINE: "true"}}
        objects: Objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": meta}]
        if operator:
            role = "vulcan-gateway" if gateway else "vulcan-environment"
            objects.append(binding(name, role, {"kind": "ServiceAccount", "namespace": ACCOUNT[0], "name": ACCOUNT[1]}))
        self.apply(*objects)

    def grant(self, namespace: str, role: str, user: str) -> None:
        """Bind a ClusterRole to a person in one namespace."""
        self.apply(binding(namespace, role, {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}))

    def kubectl(self, *arguments: str, user: str = "admin", stdin: str | None = None) -> str:
        """Output of kubectl; ClusterError with its complaint."""
        return self.cluster.kubectl(*arguments, user=user, stdin=stdin)

    def apply(self, *objects: Mapping[str, Any], user: str = "admin") -> None:
        """Create or update, client-side as people do."""
        items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "-f", "-", stdin=items, user=user)

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, or None."""
        try:
            found = json.loads(self.kubectl("get", kind, "-n", namespace, name, "-o", "json"))
        except ClusterError as error:
            if "NotFound" in str(error):
                return None
            raise
        return dict(found)

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> Objects:
        """All objects of a kind."""
        where = ["-n", namespace] if namespace else ["-A"]
        more = ["-l", selector] if selector else []
        return list(json.loads(self.kubectl("get", kind, *where, *more, "-o", "json"))["items"])


class Operator:
    """One running operator process."""

    def __init__(self, name: str, argv: list[str], stand: Stand, env: Mapping[str, str]) -> None:
        self.name = name
        self.log = stand.cluster.logs / f"{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._record = stand.cluster.state / f"{name}.json"
        base = {k: v for k, v in os.environ.items() if not k.startswith(("VULCAN_", "KUBECONFIG"))}
        marked = {**base, **env, processes.MARKER: str(stand.cluster.state)}
        self.process = processes.start_detached(argv, self._record, self.log, marked)

    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.alive()

    def stop(self, grace: float = 20) -> None:
        """SIGTERM, as Kubernetes does."""
        processes.end([self.process], grace)

    def kill(self) -> None:
        """SIGKILL."""
        processes.end([self.process], 0)

    def entries(self) -> list[dict[str, Any]]:
        """Its log: one JSON object per line; other lines are left out."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def health_port(self) -> int | None:
        """The port of /healthz, /readyz and /metrics, once it is logged."""
        ports = [e["port"] for e in self.entries() if "port" in e]
        return int(ports[-1]) if ports else None

    def wait_ready(self, seconds: float = 30) -> None:
        """Until /readyz says that caches are synced."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            port = self.health_port()
            if port is not None:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                        if answer.status == 200:
                            return
                except (urllib.error.URLError, ConnectionError, TimeoutError):
                    pass
            if not self.alive():
                raise StandError(f"{self.name} ended; its log is {self.log}")
            time.sleep(0.05)
        raise StandError(f"{self.name} is not ready after {seconds:g} s; its log is {self.log}")


def binding(namespace: str, role: str, subject: Mapping[str, str]) -> dict[str, Any]:
    """A RoleBinding of a ClusterRole in one namespace."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{role}-{subject['name']}", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [dict(subject)],
    }
