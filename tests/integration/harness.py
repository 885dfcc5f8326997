"""What the integration tests are written with: a Stage per session, a System per test, a Thing per object.

`Stage` is a real API server with the operator as its own process under its own ServiceAccount, and a PostgreSQL server.
`System` is one namespace with one gateway on databases of its own. `Thing` is one VulcanGateway or VulcanEnvironment.
Waiting is done here and only here: it is woken by the API server's watch events and reads live.
"""

import datetime as dt
import itertools
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from tests.builders import merged
from tests.integration.projects import Files, Repository
from tests.integration.recorder import Api, Raw, Recorder, secret_value
from tools.localcluster.cluster import Cluster, ClusterError
from tools.stand.postgres import Server
from tools.stand.stand import Operator, Stand, StandError

API = "vulcan.dev/v1alpha1"
GATEWAYS, ENVIRONMENTS = "vulcangateways", "vulcanenvironments"
FAST_RETRY = {"limit": 5, "backoff": "1s", "maxBackoff": "4s"}
_KINDS = {GATEWAYS: "VulcanGateway", ENVIRONMENTS: "VulcanEnvironment"}
_numbers = itertools.count(1)


def patience() -> float:
    """A machine that is busy with other things gets more time; what succeeds is not slower for it."""
    return max(1.0, min(4.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


class Stage:
    """One cluster, one operator (until a test starts others), one PostgreSQL server with a database for everybody."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.stand = Stand(folder, name)
        assert isinstance(self.stand.cluster, Cluster)
        self.cluster: Cluster = self.stand.cluster
        self.operators: list[Operator] = []

    def start(self) -> None:
        """Everything."""
        self.stand.up()
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        self.api = Api(self.cluster.kubeconfig)
        self.server = Server.create(state=self.cluster.state, name="shared")
        self.recorder = Recorder(self.api)
        self.start_operator()

    def end(self) -> None:
        """End it all; the canary is looked for in what was not watched."""
        for operator in self.operators:
            self._scan(operator)
        self.recorder.stop()
        self.stand.down()

    @property
    def operator(self) -> Operator:
        """The operator started last."""
        return self.operators[-1]

    def start_operator(self, **env: str) -> Operator:
        """Another operator, ready; leader once no other is."""
        operator = self.stand.start_operator(VULCAN_RETRY_PERIOD="0.5", **env)
        self.operators.append(operator)
        try:
            operator.wait_ready(30 * patience())
        except StandError as error:
            tail = "\n".join(operator.log.read_text(errors="replace").splitlines()[-20:])
            raise AssertionError(f"{error}\n{tail}") from error
        return operator

    def ensure_operator(self) -> None:
        """A test may have ended it; an operator that died by itself is a failure."""
        if not any(operator.alive() for operator in self.operators):
            self.start_operator()

    def metrics(self) -> str:
        """/metrics of the operator."""
        return self._metrics(self.operator)

    def kubectl(self, *arguments: str, user: str = "admin", stdin: str | None = None) -> str:
        """Output of kubectl; ClusterError with its complaint."""
        return self.stand.kubectl(*arguments, user=user, stdin=stdin)

    def system(self, name: str = "system", **options: Any) -> "System":
        """A namespace of its own with databases of its own; the gateway is not applied yet."""
        return System(self, f"{name}-{next(_numbers)}", **options)

    def wait_for(self, condition: Callable[[], Any], what: str | Callable[[], str], seconds: float = 60) -> Any:
        """The condition's value, once it is true. Looks whenever the API server reports a change."""
        end = time.monotonic() + seconds * patience()
        while not (found := condition()):
            if time.monotonic() > end:
                text = what if isinstance(what, str) else what()
                raise AssertionError(f"not within {seconds:g} s: {text}")
            self.recorder.wait(0.4)
        return found

    def throughout(self, holds: Callable[[], Any], what: str, seconds: float) -> None:
        """Something stays true for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert holds(), f"did not stay so for {seconds:g} s: {what}"
            self.recorder.wait(0.4)

    def _metrics(self, operator: Operator) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.health_port()}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def _scan(self, operator: Operator) -> None:
        self.recorder.scan(f"log of {operator.name}", operator.log.read_text(errors="replace"))
        if operator.alive():
            self.recorder.scan(f"metrics of {operator.name}", self._metrics(operator))


class Thing:
    """One VulcanGateway or VulcanEnvironment."""

    def __init__(self, system: "System", plural: str, name: str) -> None:
        self.system, self.plural, self.name = system, plural, name
        self.stage = system.stage
        self.path = f"/apis/{API}/namespaces/{system.namespace}/{plural}/{name}"

    def get(self) -> Raw | None:
        """It, as it is now."""
        return self.stage.api.get(self.path)

    def status(self) -> Raw:
        """Its status."""
        return dict((self.get() or {}).get("status", {}))

    def conditions(self) -> dict[str, Raw]:
        """Its conditions by type."""
        return {c["type"]: c for c in self.status().get("conditions", ())}

    def ready(self) -> bool:
        """Ready, and that is about the spec as it is now."""
        found = self.get()
        if found is None:
            return False
        ready = _ready(found)
        return ready.get("status") == "True" and ready.get("observedGeneration") == found["metadata"]["generation"]

    def reason(self) -> str:
        """Reason of condition Ready."""
        return str(_ready(self.get() or {}).get("reason", ""))

    def message(self) -> str:
        """Message of condition Ready."""
        return str(_ready(self.get() or {}).get("message", ""))

    def wait_ready(self, seconds: float = 90) -> Raw:
        """Its status, once it is Ready (an environment: and its run has ended)."""
        self.stage.wait_for(self.ready, lambda: f"{self} is Ready; {self.tell()}", seconds)
        return self.status()

    def wait_ran(self, seconds: float = 90) -> Raw:
        """Ready, and the run that follows every apply has ended."""

        def ran() -> bool:
            status = self.status()
            last, applied = status.get("lastRun"), status.get("applied")
            return bool(last and applied and last["time"] >= applied["time"] and "task" not in status and self.ready())

        self.stage.wait_for(ran, lambda: f"{self} has run; {self.tell()}", seconds)
        return self.status()

    def wait_reason(self, *reasons: str, seconds: float = 60) -> str:
        """The message of Ready, once its reason is one of these and about the spec as it is now."""

        def reached() -> bool:
            found = self.get() or {}
            ready = _ready(found)
            current = ready.get("observedGeneration") == found.get("metadata", {}).get("generation")
            return ready.get("reason") in reasons and current

        self.stage.wait_for(reached, lambda: f"{self} is {' or '.join(reasons)}; {self.tell()}", seconds)
        return self.message()

    def wait(self, condition: Callable[[Raw], Any], what: str, seconds: float = 60) -> Raw:
        """Its status, once that fulfils something."""
        self.stage.wait_for(lambda: condition(self.status()), lambda: f"{self}: {what}; {self.tell()}", seconds)
        return self.status()

    def wait_gone(self, seconds: float = 60) -> None:
        """Until the object does not exist any more."""
        self.stage.wait_for(lambda: self.get() is None, lambda: f"{self} is gone; {self.tell()}", seconds)

    def patch(self, user: str = "admin", **spec: Any) -> None:
        """Merge into spec."""
        self.stage.kubectl(
            "patch", self.plural, self.name, "-n", self.system.namespace, "--type=merge", "-p",
            json.dumps({"spec": spec}, ensure_ascii=False), user=user,
        )  # fmt: skip

    def request(self, task: str, **said: str) -> str:
        """Ask for a plan, a run or a probe by annotation, with further annotations; what was written."""
        now = dt.datetime.now(dt.timezone.utc).isoformat()
        self.stage.kubectl(
            "annotate", "--overwrite", self.plural, self.name, "-n", self.system.namespace,
            f"vulcan.dev/{task}-requested-at={now}", *(f"vulcan.dev/{name}={value}" for name, value in said.items()),
        )  # fmt: skip
        return now

    def answered(self, task: str, seconds: float = 90) -> Raw:
        """Ask, and wait for the answer; the status then."""
        asked = self.request(task)
        field_name = f"lastHandled{task.capitalize()}RequestedAt"
        return self.wait(lambda s: s.get(field_name) == asked, f"{task} request answered", seconds)

    def wait_plan(self, seconds: float = 60) -> str:
        """The digest of the plan that waits for approval."""
        self.wait_reason("AwaitingApproval", seconds=seconds)
        return str(self.status()["plan"]["digest"])

    def approve(self, user: str, digest: str, **item: str) -> None:
        """As the command in status does it."""
        refusal = self.refused(user, digest, **item)
        assert refusal == "", refusal

    def refused(self, user: str, digest: str, by: str | None = None, **item: str) -> str:
        """The same; the API server's refusal, or nothing."""
        value = {"plan": digest, "by": by or user, **item}
        first = "approvals" not in (self.get() or {})["spec"]
        add = {"op": "add", "path": f"/spec/approvals{'' if first else '/-'}", "value": [value] if first else value}
        where = (self.plural, self.name, "-n", self.system.namespace, "--field-manager=vulcan-approval-by-hand")
        try:
            self.stage.kubectl("patch", *where, "--type=json", "-p", json.dumps([add], ensure_ascii=False), user=user)
        except ClusterError as error:
            return str(error)
        return ""

    def run_approve_command(self, user: str) -> str:
        """What the message of Ready tells people to type, in a shell whose kubectl is this user's; its output."""
        command = self.message().partition("To approve: ")[2]
        shim = self.stage.folder / f"bin-{user}" / "kubectl"
        shim.parent.mkdir(exist_ok=True)
        cluster = self.stage.cluster
        shim.write_text(
            f'#!/bin/sh\nexec {cluster.kubectl_path} --kubeconfig {cluster.kubeconfig} --context {user} "$@"\n'
        )
        shim.chmod(0o755)
        env = {**os.environ, "PATH": f"{shim.parent}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def delete(self, *, wait: bool = False) -> None:
        """kubectl delete."""
        arguments = ("delete", self.plural, self.name, "-n", self.system.namespace, "--ignore-not-found")
        self.stage.kubectl(*arguments, f"--wait={str(wait).lower()}")

    def events(self) -> list[Raw]:
        """Kubernetes Events about it, the oldest first."""
        found = self.stage.api.get(f"/apis/events.k8s.io/v1/namespaces/{self.system.namespace}/events") or {}
        mine = [e for e in found["items"] if e["regarding"].get("name") == self.name]
        return [e for e in mine if e["regarding"]["kind"] == _KINDS[self.plural]]

    def jobs(self, *tasks: str) -> list[Raw]:
        """Its Jobs, the oldest first; only of these tasks."""
        found = self.stage.api.get(f"/apis/batch/v1/namespaces/{self.system.namespace}/jobs") or {}
        mine = [j for j in found["items"] if _label(j, "owner-name") == self.name]
        mine = [j for j in mine if _label(j, "owner-kind") == _KINDS[self.plural]]
        mine = [j for j in mine if not tasks or _label(j, "task") in tasks]
        return sorted(mine, key=lambda j: (j["metadata"]["creationTimestamp"], j["metadata"]["resourceVersion"]))

    def job_logs(self, *tasks: str) -> str:
        """Logs of its Jobs' pods that have ended."""
        names = [j["metadata"]["name"] for j in self.jobs(*tasks)]
        return "\n".join(self.stage.recorder.logs_of_job(self.system.namespace, name) for name in names)

    def tell(self) -> str:
        """For messages of failed tests."""
        found = self.get()
        if found is None:
            return "it does not exist"
        status = found.get("status", {})
        shown = {k: status.get(k) for k in ("task", "failure", "runFailure", "plan", "lastRun", "nextRunTime")}
        return json.dumps({"Ready": _ready(found), "generation": found["metadata"]["generation"], **shown})[:3000]

    def __str__(self) -> str:
        return f"{_KINDS[self.plural]} {self.system.namespace}/{self.name}"


@dataclass
class System:
    """A namespace with one gateway. `server` is the shared PostgreSQL unless a test brings its own."""

    stage: Stage
    namespace: str
    engine: str = "postgres"
    server: Server | None = None
    state_server: Server | None = None
    gateway_spec: Raw = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stage.ensure_operator()
        self.stage.stand.namespace(self.namespace)
        for user, role in (("alice", "editor"), ("alice", "approver"), ("bob", "editor")):
            self.stage.stand.grant(self.namespace, f"vulcan-{role}", user)
        self.server = self.server or self.stage.server
        self.state_server = self.state_server or self.server
        self.folder = self.stage.folder / self.namespace
        self.folder.mkdir()
        if self.engine == "postgres":
            for role, server in (("warehouse", self.server), ("state", self.state_server)):
                server.create_database(self.database(role), self.database(role), self.password(role))
            self.secret("credentials", {role: self.password(role) for role in ("warehouse", "state")})
        self.gateway = Thing(self, GATEWAYS, "system")

    def password(self, role: str) -> str:
        """Different everywhere, with the canary."""
        return secret_value(self.namespace, role)

    def database(self, role: str) -> str:
        """Name of the database, and of the role that owns it."""
        return f"{self.namespace}-{role}"

    def secret(self, name: str, values: dict[str, str]) -> None:
        """Create or replace a Secret."""
        meta = {"name": name, "namespace": self.namespace}
        self.stage.stand.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": values})

    def connection(self, role: str) -> Raw:
        """`spec.connection` (warehouse) or `spec.stateConnection` (state)."""
        if self.engine == "duckdb":
            return {"type": "duckdb", "options": {"database": str(self.folder / f"{role}.duckdb")}}
        server = self.state_server if role == "state" else self.server
        assert server is not None
        options = {
            "host": "127.0.0.1", "port": server.port, "database": self.database(role), "user": self.database(role),
            "connect_timeout": 3,
        }  # fmt: skip
        return {"type": "postgres", "options": options, "secrets": {"password": {"name": "credentials", "key": role}}}

    def apply_gateway(self, name: str = "system", **spec: Any) -> Thing:
        """Apply the gateway; `spec` is merged over the usual one."""
        usual = {"connection": self.connection("warehouse"), "stateConnection": self.connection("state")}
        self._apply(GATEWAYS, name, merged(merged(usual, self.gateway_spec), spec))
        return Thing(self, GATEWAYS, name)

    def up(self, **spec: Any) -> "System":
        """With the gateway applied and Ready."""
        self.apply_gateway(**spec).wait_ready()
        return self

    def environment(
        self, name: str = "prod", project: Files | Raw | Repository | None = None, *, approval: str = "Never",
        user: str = "admin", **spec: Any,
    ) -> Thing:  # fmt: skip
        """Apply an environment. A project given as files goes into a ConfigMap."""
        usual: Raw = {
            "gatewayRef": {"name": "system"}, "plan": {"approval": {"mode": approval}}, "retry": FAST_RETRY,
            "project": self.source(project if project is not None else {}, f"project-{name}"),
        }  # fmt: skip
        self._apply(ENVIRONMENTS, name, merged(usual, spec), user)
        return Thing(self, ENVIRONMENTS, name)

    def existing(self, name: str = "prod") -> Thing:
        """An environment that was applied before."""
        return Thing(self, ENVIRONMENTS, name)

    def source(self, project: Files | Raw | Repository, name: str) -> Raw:
        """`spec.project` for files (written to a ConfigMap), a repository or what is one already."""
        if isinstance(project, Repository):
            return project.source()
        if set(project) & {"git", "configMap", "image"}:
            return dict(project)
        self.config_map(name, project)
        return {"configMap": {"name": name}}

    def config_map(self, name: str, files: Files) -> None:
        """Create or replace a ConfigMap with a project."""
        data = {path.replace("/", "__"): text for path, text in files.items()}
        meta = {"name": name, "namespace": self.namespace}
        self.stage.stand.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})

    def repository(self, files: Files, name: str = "project") -> Repository:
        """A git repository on this machine."""
        return Repository(self.folder / name, files)

    def rows(self, sql: str, role: str = "warehouse") -> list[tuple[Any, ...]]:
        """Rows of a statement in the warehouse or the state, as the databases' administrator."""
        if self.engine == "duckdb":
            with duckdb.connect(str(self.folder / f"{role}.duckdb")) as session:
                return list(session.execute(sql).fetchall())
        server = self.state_server if role == "state" else self.server
        assert server is not None
        return server.execute(sql, self.database(role))

    def close(self) -> None:
        """Nothing of it may go on working beside the next tests."""
        things = (ENVIRONMENTS, GATEWAYS)
        for plural in things:
            where = ("-n", self.namespace, "--all", "--wait=false", "--ignore-not-found")
            self.stage.kubectl("delete", plural, *where)

    def _apply(self, plural: str, name: str, spec: Raw, user: str = "admin") -> None:
        meta = {"name": name, "namespace": self.namespace}
        self.stage.stand.apply({"apiVersion": API, "kind": _KINDS[plural], "metadata": meta, "spec": spec}, user=user)


def together(things: Sequence[Thing], wait: Callable[[Thing], Any]) -> list[Any]:
    """Wait for each in turn; they go on side by side meanwhile."""
    return [wait(thing) for thing in things]


def _ready(found: Raw) -> Raw:
    conditions = found.get("status", {}).get("conditions", ())
    return next((dict(c) for c in conditions if c["type"] == "Ready"), {})


def _label(job: Raw, name: str) -> str:
    return str(job["metadata"].get("labels", {}).get(f"vulcan.dev/{name}", ""))
