"""The story: two isolated systems, three environments, an approval, a refusal, a failure, a schedule."""

import datetime as dt
import json
import shlex
from typing import Any

from tools.demo import systems
from tools.demo.narrator import DemoError, Narrator
from tools.demo.project import ConfigMapProject, GitProject
from tools.localcluster.cluster import Cluster, ClusterError
from tools.stand.stand import Operator, Stand

NONPROD, PROD = "analytics-nonprod", "analytics-prod"
ENGINES = ("postgres", "duckdb")
_SALES = "select ordered_on, orders, cents from {schema}.daily_sales order by 1 desc limit 3"


class Story:
    """Acts in order; each leaves the stand in a state the next one needs."""

    def __init__(self, stand: Stand, narrator: Narrator, engine: str) -> None:
        self.stand, self.tell, self.engine = stand, narrator, engine
        self.operator: Operator | None = None
        self.databases: dict[str, systems.Databases] = {}
        self.project: GitProject | ConfigMapProject

    def play(self) -> None:
        """The whole story."""
        self.cluster()
        self.gateways()
        self.environments()
        self.approval()
        self.isolation()
        self.failure()
        self.schedule()
        self.promotion()

    def cluster(self) -> None:
        """Cluster, CRDs, RBAC, policies, operator."""
        self.tell.act("A Kubernetes control plane, and the operator on it")
        self.stand.up()
        self.tell.say("CRDs, RBAC and admission policies are applied; the operator runs under its own ServiceAccount:")
        self.operator = self.stand.start_operator()
        self.operator.wait_ready()
        self.tell.say(
            "It may create Jobs only where an administrator binds ClusterRole vulcan-gateway, and read no Secret:"
        )
        account = "system:serviceaccount:vulcan-system:vulcan-operator"
        for question in ("create jobs", "get secrets"):
            self._command(f"kubectl auth can-i {question} --as {account} -n {PROD}", may_fail=True)

    def gateways(self) -> None:
        """Two systems in two namespaces."""
        self.tell.act("Two isolated systems: nonproduction and production")
        for namespace in (NONPROD, PROD):
            self.stand.namespace(namespace)
            self.stand.grant(namespace, "vulcan-editor", "bob")
            self.stand.grant(namespace, "vulcan-editor", "alice")
            self.stand.grant(namespace, "vulcan-approver", "alice")
        for name, namespace in (("nonproduction", NONPROD), ("production", PROD)):
            self.databases[name] = self._databases(name, namespace)
            self.stand.apply(
                systems.secret(namespace, name),
                systems.gateway(name, namespace, self.databases[name], protected=name == "production"),
            )
        what = "files" if self.engine == "duckdb" else "servers"
        self.tell.say(
            f"Two {self.engine} {what}, warehouse and state apart in each; alice may approve, bob may only edit."
        )
        self._watch("vulcangateways", lambda: all(self._ready("vulcangateway", *g) for g in self._gateways()), "Ready")

    def environments(self) -> None:
        """nonproduction/prod, nonproduction/dev, production/prod."""
        self.tell.act("Three environments: a baseline, a development branch, and production")
        if isinstance(self.stand.cluster, Cluster):
            self.project = GitProject(self.stand.cluster.state / "shop")
        else:
            self.project = ConfigMapProject(self.stand, [NONPROD, PROD])
        self.project.change(
            "dev", "models/best_day.sql", lambda sql: sql.replace("LIMIT 1", "LIMIT 3"), "The three best days"
        )
        for name, namespace, system, branch, approval in (
            ("prod", NONPROD, "nonproduction", "main", "Never"),
            ("dev", NONPROD, "nonproduction", "dev", "Never"),
            ("prod", PROD, "production", "main", "Always"),
        ):
            source = self.project.source(namespace, branch)
            self.stand.apply(systems.environment(name, namespace, system, source, approval))
        self._watch(
            "vulcangateways,vulcanenvironments",
            lambda: (
                self._ready("vulcanenvironment", NONPROD, "dev")
                and self._ready("vulcanenvironment", NONPROD, "prod")
                and self._reason(PROD, "prod") == "AwaitingApproval"
            ),
            "dev applied, production waiting for approval",
            seconds=180,
        )

    def approval(self) -> None:
        """bob is refused, alice approves."""
        self.tell.act("Production is protected: somebody must look at the plan")
        plan = self._status(PROD, "prod")["plan"]
        self.tell.say(f"[bold]{plan['summary']['text']}[/]  (plan {plan['digest'][:19]}…)")
        self.tell.table(
            ["model", "change", "category", "intervals"],
            [(m["name"], m["change"], m["category"], m["intervals"]) for m in plan["summary"]["models"]],
        )
        self.tell.say("bob may edit, not approve:")
        refusal = self._approve("bob", plan["digest"])
        if refusal is None:
            raise DemoError("bob's approval was accepted")
        self.tell.show(refusal, "red")
        self.tell.keep("bob$ kubectl patch vulcanenvironment prod --type=json -p '[…approvals…]'", "bold cyan")
        self.tell.keep(refusal, "red")
        self.tell.keep("alice$ kubectl patch vulcanenvironment prod --type=json -p '[…approvals…]'", "bold cyan")
        self.tell.keep("vulcanenvironment.vulcan.dev/prod patched")
        self.tell.say("alice holds the verb `approve`, and the API server vouches for her name:")
        refused = self._approve("alice", plan["digest"])
        if refused is not None:
            raise DemoError(f"alice was refused: {refused}")
        self._watch(
            "vulcanenvironments",
            lambda: bool(self._status(PROD, "prod").get("lastRun")),
            "production applied and run",
        )
        self.tell.keep("$ kubectl get vulcangateways,vulcanenvironments -A", "bold cyan")
        self.tell.keep(self.stand.kubectl("get", "vulcangateways,vulcanenvironments", "-A"))
        applied = self._status(PROD, "prod")["applied"]
        self.tell.say(
            f"Applied, approved by {', '.join(applied['approvedBy'])}; SQLMesh plan {applied['planId'][:12]}."
        )

    def isolation(self) -> None:
        """Rows from both; neither sees the other."""
        self.tell.act("Data in both warehouses; neither sees the other")
        for name, schema in (("production", "shop"), ("nonproduction", "shop__dev")):
            self.tell.say(f"{name}, {schema}.daily_sales:")
            self.tell.table(["ordered_on", "orders", "cents"], self.databases[name].rows(_SALES.format(schema=schema)))
        schemas = (
            "select distinct table_schema from information_schema.tables where table_schema like 'shop%' order by 1"
        )
        for name in ("production", "nonproduction"):
            found = ", ".join(str(row[0]) for row in self.databases[name].rows(schemas))
            self.tell.say(f"schemas in the {name} warehouse: {found}")
        inside = {str(row[0]) for row in self.databases["production"].rows(schemas)}
        if "shop__dev" in inside:
            raise DemoError("production has schemas of nonproduction")
        mounted = self._secrets_of_jobs()
        if self.engine == "postgres":
            self.tell.say(f"Secrets that Jobs mount, by namespace: {mounted}; no Job has those of the other.")

    def failure(self) -> None:
        """A broken model, seen in status, then fixed."""
        self.tell.act("A model breaks on dev; status says what, where and what next")
        good, bad = "(n.n + 1)::INT AS quantity", "((n.n + 1) / (n.n - n.n))::INT AS quantity"
        self.tell.say(f"A commit on branch dev changes models/orders.sql: {good}  ->  {bad}")
        self.project.change("dev", "models/orders.sql", lambda sql: sql.replace(good, bad), "Break orders")
        self._request(NONPROD, "dev", "plan")
        self._watch(
            "vulcanenvironments", lambda: self._reason(NONPROD, "dev") == "ModelFailed", "the failure in status"
        )
        self._command(
            f"kubectl get vulcanenvironment dev -n {NONPROD} -o jsonpath="
            "'{.status.conditions[?(@.type==\"Ready\")].message}'"
        )
        self.tell.say("prod of the same system goes on. The fix is another commit:")
        self.project.change("dev", "models/orders.sql", lambda sql: sql.replace(bad, good), "Fix orders")
        self._request(NONPROD, "dev", "plan")
        self._watch("vulcanenvironments", lambda: self._ready("vulcanenvironment", NONPROD, "dev"), "dev Ready again")

    def schedule(self) -> None:
        """A run every minute."""
        self.tell.act("A schedule of its own: every minute")
        patch = json.dumps({"spec": {"schedule": {"mode": "Cron", "cron": {"cron": "* * * * *"}}}})
        before = self._status(NONPROD, "dev").get("lastRun", {}).get("time", "")
        self._command(f"kubectl patch vulcanenvironment dev -n {NONPROD} --type merge -p {shlex.quote(patch)}")
        self._watch(
            "vulcanenvironments",
            lambda: (
                "by its own schedule" in self._why_of_last_run(NONPROD, "dev")
                and self._status(NONPROD, "dev").get("lastRun", {}).get("time", "") > before
            ),
            "a scheduled run",
        )
        run = self._status(NONPROD, "dev")["lastRun"]
        self.tell.say(f"Due at {run['due']}, ended at {run['time']}: {run['reason']}. {run['message']}")

    def promotion(self) -> None:
        """dev's revision becomes that of its system's prod, and is taken back."""
        self.tell.act("What was tested on dev moves to prod of the same system, by a swap of views; and back")
        patch = json.dumps({"spec": {"revisionFrom": "Promotion", "project": None}})
        self._command(f"kubectl patch vulcanenvironment prod -n {NONPROD} --type merge -p {shlex.quote(patch)}")
        best = "select count(*) from shop.best_day"
        before = self.databases["nonproduction"].rows(best)[0][0]
        self.stand.apply(systems.promotion("dev-to-prod", NONPROD, {"from": {"environmentRef": {"name": "dev"}}}))
        self._watch("vulcanpromotions", lambda: bool(self._outcome("dev-to-prod")), "the promotion is over")
        steps = self._promotion("dev-to-prod")["steps"]
        self.tell.table(
            ["step", "state", "message"], [(s["name"], s["state"], s.get("message", "")[:90]) for s in steps]
        )
        self._require("dev-to-prod", "Succeeded")
        after = self.databases["nonproduction"].rows(best)[0][0]
        self.tell.say(f"shop.best_day had {before} row and has {after}; nothing was computed twice. And back, by name:")
        self.stand.apply(systems.promotion("back", NONPROD, {"rollbackTo": {"promotion": "dev-to-prod"}}))
        self._watch("vulcanpromotions", lambda: bool(self._outcome("back")), "it is back")
        self._require("back", "Succeeded")
        self.tell.say(f"shop.best_day has {self.databases['nonproduction'].rows(best)[0][0]} row again.")

    # --- small things

    def _promotion(self, name: str) -> dict[str, Any]:
        return dict((self.stand.get("vulcanpromotion", NONPROD, name) or {}).get("status", {}))

    def _outcome(self, name: str) -> str:
        return str(self._promotion(name).get("outcome", ""))

    def _require(self, name: str, outcome: str) -> None:
        if self._outcome(name) != outcome:
            ready = _condition({"status": self._promotion(name)}, "Ready")
            raise DemoError(f"VulcanPromotion {name}: {ready.get('message', '')}")

    def _databases(self, name: str, namespace: str) -> systems.Databases:
        if self.engine == "duckdb" and isinstance(self.stand.cluster, Cluster):
            return systems.DuckDBSystem.create(self.stand.cluster, name)
        return systems.PostgresSystem.create(self.stand, name, namespace)

    def _gateways(self) -> tuple[tuple[str, str], ...]:
        return (NONPROD, "nonproduction"), (PROD, "production")

    def _watch(self, kinds: str, until: Any, what: str, seconds: float = 120) -> None:
        self.tell.command(f"kubectl get {kinds} -A")
        self.tell.watch(lambda: self.stand.kubectl("get", kinds, "-A"), until, what, seconds)

    def _command(self, text: str, *, may_fail: bool = False) -> str:
        self.tell.command(text)
        try:
            out = self.stand.kubectl(*shlex.split(text)[1:])
        except ClusterError as error:
            if not may_fail:
                raise
            out = str(error).rpartition(": ")[2] or "no"
        self.tell.show(out)
        return out

    def _approve(self, user: str, digest: str) -> str | None:
        """The command from status; the API server's refusal, or None."""
        item = {"plan": digest, "by": user}
        change = json.dumps([{"op": "add", "path": "/spec/approvals", "value": [item]}])
        patch = ("patch", "vulcanenvironment", "prod", "-n", PROD, "--field-manager=vulcan-approval-by-hand")
        self.tell.command(f"kubectl {' '.join(patch)} --type=json -p '{change}'   # as {user}")
        try:
            self.stand.kubectl(*patch, "--type=json", "-p", change, user=user)
        except ClusterError as error:
            return str(error).partition("denied request: ")[2] or str(error)
        return None

    def _request(self, namespace: str, name: str, task: str) -> None:
        now = dt.datetime.now(dt.timezone.utc).isoformat()
        self._command(
            f"kubectl annotate --overwrite vulcanenvironment {name} -n {namespace} vulcan.dev/{task}-requested-at={now}"
        )

    def _status(self, namespace: str, name: str) -> dict[str, Any]:
        found = self.stand.get("vulcanenvironment", namespace, name)
        return dict((found or {}).get("status", {}))

    def _ready(self, kind: str, namespace: str, name: str) -> bool:
        found = self.stand.get(kind, namespace, name) or {}
        ready = _condition(found, "Ready")
        return ready.get("status") == "True" and ready.get("observedGeneration") == found["metadata"]["generation"]

    def _reason(self, namespace: str, name: str) -> str:
        return str(_condition({"status": self._status(namespace, name)}, "Ready").get("reason", ""))

    def _why_of_last_run(self, namespace: str, name: str) -> str:
        job = self.stand.get("job", namespace, self._status(namespace, name).get("lastRun", {}).get("job", "-")) or {}
        return str(job.get("metadata", {}).get("annotations", {}).get("vulcan.dev/why", ""))

    def _secrets_of_jobs(self) -> str:
        seen: dict[str, set[str]] = {NONPROD: set(), PROD: set()}
        for job in self.stand.list("jobs", selector="vulcan.dev/managed=true"):
            volumes = job["spec"]["template"]["spec"]["volumes"]
            seen[job["metadata"]["namespace"]] |= {v["secret"]["secretName"] for v in volumes if "secret" in v}
        return "; ".join(
            f"{namespace}/{', '.join(sorted(names)) or 'none'}" for namespace, names in sorted(seen.items())
        )


def _condition(found: dict[str, Any], kind: str) -> dict[str, Any]:
    conditions = found.get("status", {}).get("conditions", [])
    return next((dict(c) for c in conditions if c["type"] == kind), {})
