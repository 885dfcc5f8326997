"""The second half of the story: a revision moves from dev to prod, is stopped, is taken back, and crosses to production.

Played by `story`, which leaves dev with its own revision of shop.best_day and both prods with that of main.
"""

import functools
import shlex
from collections.abc import Sequence
from typing import Any

import yaml

from tools.demo import systems
from tools.demo.narrator import Narrator
from tools.demo.project import ConfigMapProject, GitProject
from tools.demo.scene import NONPROD, PROD, Scene, condition, require
from tools.demo.systems import Databases
from tools.stand.stand import Stand

_BEST = "select count(*) from shop.best_day"
_SOLD = "select sum(cents) from shop.daily_sales"
_COLUMNS = (
    "select column_name from {columns} where table_schema = 'shop' and table_name = 'best_day'"
    " order by ordinal_position"
)
_HONEST, _HALF = (
    "@in_cents(o.quantity * i.price)",
    ("@in_cents(o.quantity * CASE WHEN i.name = 'Apple' THEN i.price / 2 ELSE i.price END)"),
)
_AUDIT = """

AUDIT (
  name no_drafts_on_show
);

SELECT
  column_name
FROM {columns}
WHERE
  table_schema = 'shop' AND column_name LIKE 'draft%';
"""
_DRAFT = (
    ("  cents\nFROM", "  cents,\n  RANK() OVER (ORDER BY cents DESC) AS draft_rank\nFROM"),
    ("kind VIEW", "kind VIEW,\n  audits (\n    no_drafts_on_show\n  )"),
)


class Promotions(Scene):
    """Acts in order; each leaves dev and both prods as the next one needs them."""

    def __init__(
        self, stand: Stand, narrator: Narrator, project: GitProject | ConfigMapProject, databases: dict[str, Databases]
    ) -> None:
        super().__init__(stand, narrator)
        self.project, self.databases = project, databases

    def play(self) -> None:
        """All of them."""
        self.approved()
        self.stopped_by_its_data()
        self.taken_back()
        self.across()
        self.kept()

    def approved(self) -> None:
        """Within one system: views are swapped once alice says yes."""
        self.tell.act("Promotion: from dev to prod of the same system")
        self.tell.say("From now on prod of nonproduction has no project of its own; promotions give it what dev has.")
        self.patch("vulcanenvironment", NONPROD, "dev", schedule=None)
        self.patch("vulcanenvironment", NONPROD, "prod", revisionFrom="Promotion", project=None)
        before = self._one("nonproduction", _BEST)
        self._promote("dev-to-prod", NONPROD, "dev", approval={"mode": "Always"})
        self._approve("dev-to-prod", NONPROD)
        self._over("dev-to-prod", NONPROD, "Succeeded")
        after = self._one("nonproduction", _BEST)
        require((before, after) == ("1", "3"), f"shop.best_day of nonproduction went from {before} to {after} rows")
        self.tell.say(
            f"shop.best_day went from {before} row to {after}. Views were swapped; nothing was computed twice."
        )

    def stopped_by_its_data(self) -> None:
        """The data diff sees what tests and audits do not."""
        self.tell.act("A revision that changes data by mistake is stopped")
        self.tell.say("A commit on dev halves the price of apples in order_totals. No test knows apples: dev takes it.")
        self._commit("Apples, cheaper", order_totals=[(_HONEST, _HALF)])
        sold = self._one("nonproduction", _SOLD)
        self._promote("cheap-apples", NONPROD, "dev", gates={"dataDiff": {"maxChangedRowsPercent": 1}})
        steps = self._over("cheap-apples", NONPROD, "Failed")
        message = steps["Diff"]["message"]
        require(steps["Diff"]["state"] == "Failed" and "shop.daily_sales" in message, f"the data diff said: {message}")
        require(self._one("nonproduction", _SOLD) == sold, "prod's sales have changed")
        self.tell.say(f"Nobody touched daily_sales, yet its data differ. prod still shows {sold} cents in all.")

    def taken_back(self) -> None:
        """All gates say yes, the audits of the target say no."""
        self.tell.act("One that only fails in prod takes itself back")
        self.tell.say(
            "The next commit mends the price and adds a column draft_rank to best_day, with an audit: nothing in schema\n"
            "shop, which customers see, may be a draft. On dev the schema is shop__dev, so there the audit holds."
        )
        audit = _AUDIT.format(columns=self.databases["nonproduction"].columns)
        self._commit(
            "Draft ranks", order_totals=[(_HALF, _HONEST)], best_day=[*_DRAFT, ("LIMIT 3;", "LIMIT 3;" + audit)]
        )
        before = self._columns("nonproduction")
        self._promote("drafts", NONPROD, "dev", gates={"dataDiff": {}}, onFailure="Rollback")
        steps = self._over("drafts", NONPROD, "RolledBack")
        require(steps["Apply"]["state"] == "Succeeded" and steps["Verify"]["state"] == "Failed", f"steps: {steps}")
        after = self._columns("nonproduction")
        require(after == before, f"shop.best_day has columns {after}, not {before}")
        self.tell.say(f"The views are back: shop.best_day has {after}. The revision is held:")
        self._held()

    def _held(self) -> None:
        """Nobody tries it again, under any name."""
        where = f"-n {NONPROD}"
        self.watch(
            "vulcanenvironment prod", lambda: bool(self.status(NONPROD, "prod").get("held")), "held", where=where
        )
        self.command(f"kubectl get vulcanenvironment prod {where} -o jsonpath='{{.status.held}}'")
        held = self.status(NONPROD, "prod").get("held", [])
        require([h["promotion"] for h in held] == [f"{NONPROD}/drafts"], f"held: {held}")
        self.tell.say("bob tries again under another name:")
        self._promote("drafts-again", NONPROD, "dev")
        self._over("drafts-again", NONPROD, "Failed", table=False)
        message = self._ready_message("drafts-again", NONPROD)
        require(held[0]["id"] in message, f"the second promotion said: {message}")
        self.tell.show(message, "red")

    def across(self) -> None:
        """The same source, planned and computed again in production."""
        self.tell.act("To production: the same source in the other system")
        self.tell.say(
            "One more commit: the column is no draft any more. Production computes it with its own credentials."
        )
        self._commit("Places, for everybody", best_day=[("AS draft_rank", "AS place")])
        self.tell.say(
            "A grant lets promotions in analytics-prod take revisions of nonproduction; they read no data there."
        )
        theirs = {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": PROD}}}
        grants = [{"environments": ["*"]}, {"namespaces": theirs, "promotions": True, "maxEnvironments": 0}]
        self.patch("vulcangateway", NONPROD, "nonproduction", grants=grants)
        self.patch("vulcanenvironment", PROD, "prod", revisionFrom="Promotion", project=None)
        self._promote("to-production", PROD, "dev", source_namespace=NONPROD)
        self._approve("to-production", PROD, categories=True)
        self._over("to-production", PROD, "Succeeded")
        self._jobs("to-production")
        status = self.status(PROD, "to-production", "vulcanpromotion")
        wanted = self.status(NONPROD, "dev")["applied"]["sourceDigest"]
        require(status["sourceDigest"] == wanted, f"production has {status['sourceDigest']}, dev {wanted}")
        self.tell.say(f"Source {wanted[:19]}… on both sides. shop.best_day in the production warehouse:")
        rows = self.databases["production"].rows("select * from shop.best_day order by place")
        require(len(rows) == 3, f"shop.best_day in production has {len(rows)} rows")
        self.tell.table(["ordered_on", "cents", "place"], rows)

    def _jobs(self, name: str) -> None:
        """Where its Jobs were."""
        tasks: dict[str, list[str]] = {NONPROD: [], PROD: []}
        for job in self.stand.list(
            "jobs", selector=f"vulcan.dev/owner-kind=VulcanPromotion,vulcan.dev/owner-name={name}"
        ):
            meta = job["metadata"]
            tasks[meta["namespace"]].append(meta["labels"]["vulcan.dev/task"])
        require({"plan", "apply"} <= set(tasks[PROD]), f"Jobs in {PROD}: {tasks[PROD]}")
        require(set(tasks[NONPROD]) == {"audit"}, f"Jobs in {NONPROD}: {tasks[NONPROD]}")
        self.tell.say(
            "Its Jobs: " + "; ".join(f"{where}: {', '.join(sorted(set(what)))}" for where, what in tasks.items())
        )

    def kept(self) -> None:
        """Evidence, history, ways back."""
        self.tell.act("What is kept")
        self.watch(
            "vulcanpromotions",
            lambda: len(self.status(NONPROD, "prod").get("promotions", [])) == 4,
            "prod has noted its promotions",
        )
        status = self.status(NONPROD, "prod")
        rows = [
            (p["name"], p["outcome"], p["evidence"]["name"], p["evidence"]["sha256"][:16]) for p in status["promotions"]
        ]
        self.tell.say("status.promotions of nonproduction's prod; evidence is a ConfigMap that outlives the promotion:")
        self.tell.table(["promotion", "outcome", "evidence", "sha256"], rows)
        name = status["promotions"][-1]["evidence"]["name"]
        require(self.stand.get("configmap", NONPROD, name) is not None, f"ConfigMap {name} is not there")
        targets = [
            (t["state"], t["planId"], t.get("revision", "")[:12] or "-") for t in status.get("rollbackTargets", [])
        ]
        require(bool(targets), "prod has no status.rollbackTargets")
        self.tell.say("status.rollbackTargets: earlier revisions, and whether a swap of views leads back to them:")
        self.tell.table(["state", "plan", "revision"], targets)

    # --- small things

    def _promote(self, name: str, namespace: str, source: str, source_namespace: str = "", **spec: Any) -> None:
        """bob creates a VulcanPromotion."""
        ref = {"name": source, **({"namespace": source_namespace} if source_namespace else {})}
        made = systems.promotion(name, namespace, ref, **spec)
        self.tell.command("kubectl apply -f -   # as bob")
        self.tell.show(yaml.safe_dump(made, sort_keys=False, default_flow_style=None))
        self.stand.apply(made, user="bob")

    def _approve(self, name: str, namespace: str, *, categories: bool = False) -> None:
        """bob is refused, alice is not: the command is in the message of Ready."""

        def waits() -> bool:
            found = self.stand.get("vulcanpromotion", namespace, name) or {}
            return condition(found, "Ready").get("reason") == "AwaitingApproval" or self._outcome(name, namespace) != ""

        self.watch(f"vulcanpromotion {name}", waits, f"{name} waits for approval", where=f"-n {namespace}")
        if categories:
            self._categories(name, namespace)
        summary, _, command = self._ready_message(name, namespace).partition("To approve: ")
        require(bool(command), f"VulcanPromotion {name}: {summary}")
        self.tell.say(f"[bold]{summary}[/]The command is in its status:")
        self.tell.command(command)
        for user in ("bob", "alice"):
            refusal = self.refused(user, *shlex.split(command.partition("; ")[2].replace("$U", user))[1:])
            require((refusal is None) == (user == "alice"), f"{user}'s approval: {refusal or 'accepted'}")
            self.tell.show(f"{user}: {refusal or 'patched'}", "red" if refusal else "green")

    def _categories(self, name: str, namespace: str) -> None:
        """What this system makes of the change, and what the other has made of it."""
        models = self.status(namespace, name, "vulcanpromotion")["plan"]["summary"]["models"]
        both = [m for m in models if m.get("category") and m.get("sourceCategory")]
        require(bool(both), f"no category of both sides: {models}")
        self.tell.say("Production classifies the changes for itself; what nonproduction said is beside:")
        cells = [(m["name"], m["change"], m.get("category", ""), m.get("sourceCategory", "")) for m in models]
        self.tell.table(["model", "change", "production", "nonproduction"], cells)

    def _over(self, name: str, namespace: str, outcome: str, *, table: bool = True) -> dict[str, dict[str, Any]]:
        """Wait for its end, which must be this; its steps."""
        self.watch(
            f"vulcanpromotion {name}", lambda: self._outcome(name, namespace) != "", f"{name} is over", 180,
            where=f"-n {namespace}",
        )  # fmt: skip
        steps = self.status(namespace, name, "vulcanpromotion").get("steps", [])
        if table:
            cells = [(s["name"], s["state"], s.get("message", "")[:90]) for s in steps if s["state"] != "Pending"]
            self.tell.table(["step", "state", "message"], cells)
            for step in (s for s in steps if s["state"] == "Failed"):
                self.tell.show(f"{step['name']}: {step['message']}", "red")
        ended = self._outcome(name, namespace)
        require(ended == outcome, f"VulcanPromotion {name} is {ended}: {self._ready_message(name, namespace)}")
        self.tell.say(f"Outcome: [bold]{ended}[/]")
        return {s["name"]: s for s in steps}

    def _commit(self, message: str, **edits: Sequence[tuple[str, str]]) -> None:
        """Replace texts in models on branch dev; waits until dev has them."""
        before = self.status(NONPROD, "dev")["applied"]["planId"]
        for model, changes in edits.items():
            path = f"models/{model}.sql"
            for old, new in changes:
                self.tell.show(f"  {path}: {' '.join(old.split())}  ->  {' '.join(new.split())}")
            self.project.change("dev", path, functools.partial(_edited, changes=changes), message)
        self.request(NONPROD, "dev", "plan")
        self.watch(
            "vulcanenvironment dev",
            lambda: (
                self.status(NONPROD, "dev")["applied"]["planId"] != before
                and self.ready("vulcanenvironment", NONPROD, "dev")
            ),
            "dev has the commit",
            where=f"-n {NONPROD}",
        )

    def _outcome(self, name: str, namespace: str) -> str:
        return str(self.status(namespace, name, "vulcanpromotion").get("outcome", ""))

    def _ready_message(self, name: str, namespace: str) -> str:
        found = self.stand.get("vulcanpromotion", namespace, name) or {}
        return str(condition(found, "Ready").get("message", ""))

    def _one(self, system: str, sql: str) -> str:
        return str(self.databases[system].rows(sql)[0][0])

    def _columns(self, system: str) -> str:
        return ", ".join(
            str(row[0]) for row in self.databases[system].rows(_COLUMNS.format(columns=self.databases[system].columns))
        )


def _edited(sql: str, changes: Sequence[tuple[str, str]]) -> str:
    for old, new in changes:
        require(old in sql, f"a model of examples/shop has no {old}")
        sql = sql.replace(old, new)
    return sql
