"""Builds a plan the same way for the plan task and for the apply that rebuilds it; applies nothing.

Called by `revision` for a project's files. Owns what a Task's planning fields mean to SQLMesh.
"""

from dataclasses import dataclass
from typing import Any

from vulcan_contract import REFERENCE
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Operation, Task
from vulcan_runner.attempt import Attempt
from vulcan_runner.engine import Engine, Plan, PlanBuilder
from vulcan_runner.problem import Problem
from vulcan_runner.rows import ApplyRow
from vulcan_runner.snapshots import category


@dataclass(frozen=True)
class BuiltPlan:
    """A plan and what was found on the way. `before` is the environment's record, None when it is
    new. `catch_up` and `computed` are known of plans from the state only (`promoting`)."""

    plan: Plan
    before: Any
    tests_run: int
    warnings: tuple[str, ...]
    unaudited: bool  # the last apply is in place, and its audits have not passed
    source: str  # digest of the project's files as they were fetched
    destructive: frozenset[str]  # fully qualified names whose tables lose columns
    catch_up: int = 0  # recent intervals, up to what the target has
    computed: tuple[str, ...] = ()  # models that need more than that

    @property
    def has_work(self) -> bool:
        """Whether applying it changes anything."""
        plan = self.plan
        return bool(plan.has_changes or plan.requires_backfill or plan.has_unmodified_unpromoted)


def prepare(attempt: Attempt, *, check: bool) -> int:
    """Loads the project and, if `check`, lints and tests it. The number of unit tests that ran."""
    engine, lines, options = attempt.engine, attempt.lines, attempt.task.plan
    lines.enter("load")
    count = engine.load()
    if count == 0:
        message = "The source has no models; planning it would remove everything."
        raise Problem(Reason.PROJECT_EMPTY, message)
    lines.say(f"Loaded {count} models", models=count)
    for name in engine.ignored:
        lines.say(f"Ignored: {name}; connections come from the gateway", ignored=name)
    if check and not options.skip_linter:
        _lint(attempt)
    return _test(attempt) if check and not options.skip_tests else 0


def build(attempt: Attempt, source: str, record: ApplyRow | None, tests_run: int) -> BuiltPlan:
    """Raises ReferenceMissing, Uncategorized or PlanRejected."""
    task, engine = attempt.task, attempt.engine
    attempt.lines.enter("plan")
    require_reference(attempt)
    before = attempt.environment()
    plan = _categorised(task, engine, engine.builder(task.environment, **_options(task, engine)))
    _require_restated(task, plan)
    unaudited = is_unaudited(before, record)
    warnings = tuple(_warnings(task, engine, tests_run))
    destructive = engine.destructive(plan)
    return BuiltPlan(plan, before, tests_run, warnings, unaudited, source, destructive)


def is_unaudited(before: Any, record: ApplyRow | None) -> bool:
    """Whether the last apply is in place, but its audits have not passed."""
    return bool(record and before and record.phase != "done" and before.plan_id == record.plan_id)


def _lint(attempt: Attempt) -> None:
    attempt.lines.enter("lint")
    failed = attempt.engine.lint()
    if failed:
        message = f"{len(failed)} violations; {failed[0].model}: {failed[0].message}"
        raise Problem(Reason.LINT_FAILED, message, failures=failed)


def _test(attempt: Attempt) -> int:
    attempt.lines.enter("test")
    count, failed = attempt.engine.test()
    said = f"{count} unit tests, {len(failed)} failed"
    attempt.lines.say(said, tests=count, failed=len(failed))
    if failed:
        names = ", ".join(f.message.split(":", 1)[0] for f in failed[:5])
        message = f"{len(failed)} of {count} unit tests fail: {names}"
        raise Problem(Reason.TESTS_FAILED, message, failures=failed)
    return count


def require_reference(attempt: Attempt) -> None:
    """SQLMesh branches every environment from the reference."""
    name = attempt.task.environment
    if name != REFERENCE and attempt.engine.environment(REFERENCE) is None:
        message = f"The gateway has no environment {REFERENCE}, which {name} would branch from."
        raise Problem(Reason.REFERENCE_MISSING, message)


def _options(task: Task, engine: Engine) -> dict[str, Any]:
    """What is unset is left out, so that the project's own configuration decides."""
    options, dev = task.plan, task.environment != REFERENCE
    said: dict[str, Any] = {
        "start": options.start or (options.dev_start if dev else None),
        "forward_only": options.forward_only,
        "effective_from": options.effective_from,
        "select_models": list(options.select_models) or None,
        "allow_additive_models": list(options.allow_additive_models) or None,
        "no_gaps": options.no_gaps,
        "include_unmodified": True if dev else None,
        # The plan shows destructive changes and its decision covers them; `applying` verifies it.
        "allow_destructive_models": ["*"],
    }
    return {k: v for k, v in said.items() if v is not None} | _restatement(task.operations)


def _restatement(operations: tuple[Operation, ...]) -> dict[str, Any]:
    """One plan has one restatement window. Local changes are planned with it; otherwise SQLMesh
    would omit them from a plan that is to bring the environment to this source."""
    if not operations:
        return {}
    unknown = [o for o in operations if o.type != "Restate"]
    if unknown:
        message = f"Operation {unknown[0].id} has the unknown type {unknown[0].type}."
        raise Problem(Reason.PLAN_REJECTED, message)
    if len({(o.start, o.end) for o in operations}) > 1:
        ids = ", ".join(o.id for o in operations)
        raise Problem(
            Reason.PLAN_REJECTED,
            f"The operations {ids} restate different intervals; give them the same start and end,"
            " or one after the other.",
        )
    models = sorted({model for o in operations for model in o.models})
    window = {k: v for k, v in (("start", operations[0].start), ("end", operations[0].end)) if v}
    return {"restate_models": models, "always_include_local_changes": True, **window}


def _categorised(task: Task, engine: Engine, builder: PlanBuilder) -> Plan:
    plan = builder.build()
    chosen = {_normal(name): category(name_of) for name, name_of in task.plan.categories.items()}
    everything = category("Breaking") if task.plan.categorization == "Breaking" else None
    for snapshot in _choosable(plan):
        choice = chosen.get(_normal(engine.display(snapshot.name)), everything)
        if choice is not None and snapshot.change_category != choice:
            builder.set_choice(snapshot, choice)
    plan = builder.build()
    if plan.uncategorized:
        names = ", ".join(sorted(engine.display(s.name) for s in plan.uncategorized))
        raise Problem(Reason.UNCATEGORIZED, f"No category for {names}.")
    return plan


def _choosable(plan: Plan) -> list[Any]:
    """New versions of directly modified models; a resumed plan's already have their category."""
    new = plan.context_diff.new_snapshots
    known = [s for s in sorted(plan.directly_modified) if s in new]
    return [new[s] for s in known if plan.context_diff.directly_modified(s.name)]


def _require_restated(task: Task, plan: Plan) -> None:
    if task.operations and not plan.restatements:
        names = ", ".join(sorted({m for o in task.operations for m in o.models}))
        raise Problem(
            Reason.PLAN_REJECTED,
            f"Nothing of {names} can be restated in {task.environment}: its tables are"
            " production's, or do not allow it.",
        )


def _warnings(task: Task, engine: Engine, tests_run: int) -> list[str]:
    found = list(engine.warnings)
    if tests_run == 0 and not task.plan.skip_tests and task.approved is None:
        found.append("No unit tests ran. SQLMesh looks for tests/**/test*.yaml.")
    return found


def _normal(name: str) -> str:
    return name.replace('"', "").lower()
