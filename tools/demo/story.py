"""The story: two isolated systems, three environments, an approval, a refusal, a failure, a schedule; then promotions."""

import json

from tools.demo import systems
from tools.demo.narrator import DemoError, Narrator
from tools.demo.project import ConfigMapProject, GitProject
from tools.demo.promotions import Promotions
from tools.demo.scene import NONPROD, PROD, Scene
from tools.localcluster.cluster import Cluster
from tools.stand.stand import Operator, Stand

ENGINES = ("postgres", "duckdb")
_SALES = "select ordered_on, orders, cents from {schema}.daily_sales order by 1 desc limit 3"


class Story(Scene):
    """Acts in order; each leaves the stand in a state the next one needs."""

    def __init__(self, stand: Stand, narrator: Narrator, engine: str) -> None:
        super().__init__(stand, narrator)
        self.engine = engine
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
        Promotions(self.stand, self.tell, self.project, self.databases).play()

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
            self.command(f"kubectl auth can-i {question} --as {account} -n {PROD}", may_fail=True)

    def gateways(self) -> None:
        """Two systems in two namespaces."""
        self.tell.act("Two isolated systems: nonproduction and production")
        for namespace in (NONPROD, PROD):
            self.stand.namespace(namespace)
            self.stand.grant(namespace, "vulcan-editor", "bob")
            self.stand.grant(namespace, "vulcan-promoter", "bob")
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
        self.watch("vulcangateways", lambda: all(self.ready("vulcangateway", *g) for g in self._gateways()), "Ready")

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
        self.watch(
            "vulcangateways,vulcanenvironments",
            lambda: (
                self.ready("vulcanenvironment", NONPROD, "dev")
                and self.ready("vulcanenvironment", NONPROD, "prod")
                and self.reason(PROD, "prod") == "AwaitingApproval"
            ),
            "dev applied, production waiting for approval",
            seconds=180,
        )

    def approval(self) -> None:
        """bob is refused, alice approves."""
        self.tell.act("Production is protected: somebody must look at the plan")
        plan = self.status(PROD, "prod")["plan"]
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
        self.tell.say("alice holds the verb `approve`, and the API server confirms her name:")
        refused = self._approve("alice", plan["digest"])
        if refused is not None:
            raise DemoError(f"alice was refused: {refused}")
        self.watch(
            "vulcanenvironments",
            lambda: bool(self.status(PROD, "prod").get("lastRun")),
            "production applied and run",
        )
        self.tell.keep("$ kubectl get vulcangateways,vulcanenvironments -A", "bold cyan")
        self.tell.keep(self.stand.kubectl("get", "vulcangateways,vulcanenvironments", "-A"))
        applied = self.status(PROD, "prod")["applied"]
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
        self.request(NONPROD, "dev", "plan")
        self.watch("vulcanenvironments", lambda: self.reason(NONPROD, "dev") == "ModelFailed", "the failure in status")
        self.command(
            f"kubectl get vulcanenvironment dev -n {NONPROD} -o jsonpath="
            "'{.status.conditions[?(@.type==\"Ready\")].message}'"
        )
        self.tell.say("prod of the same system goes on. The fix is another commit:")
        self.project.change("dev", "models/orders.sql", lambda sql: sql.replace(bad, good), "Fix orders")
        self.request(NONPROD, "dev", "plan")
        self.watch("vulcanenvironments", lambda: self.ready("vulcanenvironment", NONPROD, "dev"), "dev Ready again")

    def schedule(self) -> None:
        """A run every minute."""
        self.tell.act("A schedule of its own: every minute")
        before = self.status(NONPROD, "dev").get("lastRun", {}).get("time", "")
        self.patch("vulcanenvironment", NONPROD, "dev", schedule={"mode": "Cron", "cron": {"cron": "* * * * *"}})
        self.watch(
            "vulcanenvironments",
            lambda: (
                "by its own schedule" in self._why_of_last_run(NONPROD, "dev")
                and self.status(NONPROD, "dev").get("lastRun", {}).get("time", "") > before
            ),
            "a scheduled run",
        )
        run = self.status(NONPROD, "dev")["lastRun"]
        self.tell.say(f"Due at {run['due']}, ended at {run['time']}: {run['reason']}. {run['message']}")

    # --- small things

    def _databases(self, name: str, namespace: str) -> systems.Databases:
        if self.engine == "duckdb" and isinstance(self.stand.cluster, Cluster):
            return systems.DuckDBSystem.create(self.stand.cluster, name)
        return systems.PostgresSystem.create(self.stand, name, namespace)

    def _gateways(self) -> tuple[tuple[str, str], ...]:
        return (NONPROD, "nonproduction"), (PROD, "production")

    def _approve(self, user: str, digest: str) -> str | None:
        """The command from status; the API server's refusal, or None."""
        item = {"plan": digest, "by": user}
        change = json.dumps([{"op": "add", "path": "/spec/approvals", "value": [item]}])
        patch = ("patch", "vulcanenvironment", "prod", "-n", PROD, "--field-manager=vulcan-approval-by-hand")
        self.tell.command(f"kubectl {' '.join(patch)} --type=json -p '{change}'   # as {user}")
        return self.refused(user, *patch, "--type=json", "-p", change)

    def _why_of_last_run(self, namespace: str, name: str) -> str:
        job = self.stand.get("job", namespace, self.status(namespace, name).get("lastRun", {}).get("job", "-")) or {}
        return str(job.get("metadata", {}).get("annotations", {}).get("vulcan.dev/why", ""))

    def _secrets_of_jobs(self) -> str:
        seen: dict[str, set[str]] = {NONPROD: set(), PROD: set()}
        for job in self.stand.list("jobs", selector="vulcan.dev/managed=true"):
            volumes = job["spec"]["template"]["spec"]["volumes"]
            seen[job["metadata"]["namespace"]] |= {v["secret"]["secretName"] for v in volumes if "secret" in v}
        return "; ".join(
            f"{namespace}/{', '.join(sorted(names)) or 'none'}" for namespace, names in sorted(seen.items())
        )
