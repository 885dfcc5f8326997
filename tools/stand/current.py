"""The kubeconfig's current cluster in place of a local one (CLUSTER=current): kind or any other, with its own images.

Has what `Stand` uses of `localcluster.Cluster`. People are impersonated, so the current user needs that right. Ends
nothing but what was started here.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.localcluster import processes
from tools.localcluster.cluster import ClusterError

_HUMANS = ("alice", "bob")
MINE = "vulcan.dev/stand"
"""Label of namespaces that were made here and may go."""


class CurrentCluster:
    """Somebody else's cluster."""

    def __init__(self, root: Path) -> None:
        self.state = root.resolve() / ".local" / "current"
        self.logs = self.state / "logs"

    def up(self) -> None:
        """It must answer; nothing is started."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.kubectl("version")

    def down(self) -> None:
        """Ends our own processes and removes our own files and namespaces; CRDs, roles and policies stay installed."""
        processes.end(list(processes.marked(self.state)), 10)
        if self.state.exists():
            self.kubectl("delete", "namespace", "-l", f"{MINE}=true", "--ignore-not-found")
        shutil.rmtree(self.state, ignore_errors=True)

    def require_free(self, namespace: str) -> None:
        """Raises ClusterError for a namespace that somebody else has made."""
        found = self.kubectl("get", "namespace", namespace, "--ignore-not-found", "-o", "json")
        if found.strip() and MINE not in json.loads(found)["metadata"].get("labels", {}):
            raise ClusterError(
                f"namespace {namespace} exists on this cluster and was not made here; rename or delete it first"
            )

    def kubectl(self, *arguments: str, user: str = "admin", stdin: str | None = None) -> str:
        """The kubectl on PATH; alice and bob by impersonation."""
        program = shutil.which("kubectl")
        if program is None:
            raise ClusterError("CLUSTER=current needs kubectl on PATH")
        person = ["--as", user] if user in _HUMANS else []
        done = subprocess.run([program, *person, *arguments], input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def service_account_kubeconfig(self, namespace: str, name: str, path: Path, seconds: int = 86400) -> Path:
        """A kubeconfig for a ServiceAccount of this cluster, with a token that expires."""
        config = json.loads(self.kubectl("config", "view", "--minify", "--raw", "-o", "json"))
        token = self.kubectl("create", "token", name, "-n", namespace, f"--duration={seconds}s").strip()
        context = {"cluster": config["clusters"][0]["name"], "user": name, "namespace": namespace}
        config["users"] = [{"name": name, "user": {"token": token}}]
        config["contexts"] = [{"name": name, "context": context}]
        config["current-context"] = name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path


class PodServer:
    """PostgreSQL as a pod of the cluster; the image is POSTGRES_IMAGE, by default postgres:17."""

    port = 5432

    def __init__(self, cluster: CurrentCluster, namespace: str, name: str, password: str) -> None:
        self._cluster, self._namespace, self._name = cluster, namespace, name
        self.host = f"{name}.{namespace}.svc"
        labels = {"app": name}
        container = {
            "name": "postgres",
            "image": os.environ.get("POSTGRES_IMAGE", "postgres:17"),
            "env": [{"name": "POSTGRES_PASSWORD", "value": password}],
            "readinessProbe": {"exec": {"command": ["pg_isready", "-U", "postgres"]}, "periodSeconds": 1},
        }
        meta = {"name": name, "namespace": namespace, "labels": labels}
        objects: list[Mapping[str, Any]] = [
            {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}},
            {"apiVersion": "v1", "kind": "Service", "metadata": meta,
             "spec": {"selector": labels, "ports": [{"port": self.port}]}},
        ]  # fmt: skip
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        try:
            cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", namespace, "--timeout=180s")
        except ClusterError as error:
            why = "{.status.containerStatuses[*].state.waiting.reason} {.status.conditions[*].message}"
            said = cluster.kubectl("get", "pod", name, "-n", namespace, "-o", f"jsonpath={why}").strip()
            raise ClusterError(
                f"pod {name} with image {container['image']} is not ready: {said}; POSTGRES_IMAGE names another"
            ) from error

    def create_database(self, database: str, user: str, password: str) -> None:
        """A database that a role of its own owns."""
        quoted = password.replace("'", "''")
        self.execute(f"create role \"{user}\" login password '{quoted}'")
        self.execute(f'create database "{database}" owner "{user}"')
        self.execute(f'revoke connect on database "{database}" from public')

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Rows as text."""
        psql = ["psql", "-U", "postgres", "-d", database, "-AtF", "\t", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        out = self._cluster.kubectl("exec", "-i", "-n", self._namespace, self._name, "--", *psql, stdin=sql)
        return [tuple(line.split("\t")) for line in out.splitlines() if "\t" in line or line]
