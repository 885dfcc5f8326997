"""What the integration tests are written with: a Stage per session, a System per test, a Thing per object.

`Stage` is a real API server with the operator as its own process under its own ServiceAccount, and a PostgreSQL server.
`System` is one namespace with one gateway on databases of its own. `Thing` (see `things`) is one gateway or environment.
Waiting is done here and only here: it is woken by the API server's watch events and reads live.
"""

import itertools
import os
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from tests.builders import merged
from tests.integration.projects import Files, Repository
from tests.integration.recorder import Api, Raw, Recorder, secret_value
from tests.integration.things import API, ENVIRONMENTS, GATEWAYS, KINDS, PROMOTIONS, Thing
from tools.localcluster.cluster import Cluster
from tools.stand.postgres import Server
from tools.stand.stand import Operator, Stand, StandError

FAST_RETRY = {"limit": 5, "backoff": "1s", "maxBackoff": "4s"}
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
        """Apply an environment. A project given as files goes into a ConfigMap; promotions give a revision without."""
        usual: Raw = {
            "gatewayRef": {"name": "system"}, "plan": {"approval": {"mode": approval}}, "retry": FAST_RETRY,
        }  # fmt: skip
        if spec.get("revisionFrom") != "Promotion":
            usual["project"] = self.source(project if project is not None else {}, f"project-{name}")
        self._apply(ENVIRONMENTS, name, merged(usual, spec), user)
        return Thing(self, ENVIRONMENTS, name)

    def promotion(self, name: str = "to-prod", *, user: str = "admin", **spec: Any) -> Thing:
        """Create a promotion from staging to prod."""
        usual: Raw = {
            "from": {"environmentRef": {"name": "staging"}}, "to": {"environmentRef": {"name": "prod"}},
        }  # fmt: skip
        self._apply(PROMOTIONS, name, merged(usual, spec), user)
        return Thing(self, PROMOTIONS, name)

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
        things = (PROMOTIONS, ENVIRONMENTS, GATEWAYS)
        for plural in things:
            where = ("-n", self.namespace, "--all", "--wait=false", "--ignore-not-found")
            self.stage.kubectl("delete", plural, *where)

    def _apply(self, plural: str, name: str, spec: Raw, user: str = "admin") -> None:
        meta = {"name": name, "namespace": self.namespace}
        self.stage.stand.apply({"apiVersion": API, "kind": KINDS[plural], "metadata": meta, "spec": spec}, user=user)
