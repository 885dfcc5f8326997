"""Builds a plan the same way for the plan task and for the apply that rebuilds it; never applies anything.

Called by `tasks` and `applying`. Owns what a Task's planning fields mean to SQLMesh.
"""

from dataclasses import dataclass
from typing import Any

from sqlmesh.core.plan import Plan, PlanBuilder

from vulcan_contract import REFERENCE
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Operation, Task
from vulcan_runner import engine as engines
from vulcan_runner.engine import Engine
from vulcan_runner.lines import Lines
from vulcan_runner.problem import Problem
from vulcan_runner.state import ApplyRow


@dataclass(frozen=True)
class BuiltPlan:
    """A plan and what was found on the way. `before` is the environment's record, None when it is new."""

    plan: Plan
    before: Any
    tests_run: int
    warnings: tuple[str, ...]
    unaudited: bool  # the environment has what the last apply gave it, and its audits have not passed
    source: str  # digest of the project's files as they were got
    destructive: frozenset[str]  # fully qualified names whose physical schema loses columns

    @property
    def has_work(self) -> bool:
        plan = self.plan
        return bool(plan.has_changes or plan.requires_backfill or plan.has_unmodified_unpromoted)


def prepare(task: Task, engine: Engine, lines: Lines, check: bool) -> int:
    """Loads the project and, if `check`, lints and tests it. The number of unit tests that ran."""
    lines.enter("load")
    count = engine.load()
    if count == 0:
        raise Problem(Reason.PROJECT_EMPTY, "The source has no models; planning it would remove everything.")
    lines.say(f"Loaded {count} models", models=count)
    for name in engine.ignored:
        lines.say(f"Ignored: {name}; connections come from the gateway", ignored=name)
    if check and not task.plan.skip_linter:
        _lint(engine, lines)
    return _test(engine, lines) if check and not task.plan.skip_tests else 0


def build(
    task: Task,
    engine: Engine,
    lines: Lines,
    source: str,
    record: ApplyRow | None,
    tests_run: int = 0,
) -> BuiltPlan:
    """Raises ReferenceMissing, Uncategorized or PlanRejected."""
    lines.enter("plan")
    require_reference(task, engine)
    before = engine.environment(task.environment)
    engine.recorder.destructive.clear()
    builder = engine.builder(task.environment, **_options(task, engine))
    plan = _categorised(task, engine, builder)
    _require_restated(task, plan)
    unaudited = is_unaudited(before, record)
    warnings = tuple(_warnings(task, engine, tests_run))
    return BuiltPlan(plan, before, tests_run, warnings, unaudited, source, destructive(engine, plan))


def is_unaudited(before: Any, record: ApplyRow | None) -> bool:
    """Whether an environment has what the last apply gave it, and that apply's audits have not passed."""
    if record is None or record.phase == "done" or before is None:
        return False
    return bool(before.plan_id == record.plan_id)


def _lint(engine: Engine, lines: Lines) -> None:
    lines.enter("lint")
    failed = engine.lint()
    if failed:
        message = f"{len(failed)} violations; {failed[0].model}: {failed[0].message}"
        raise Problem(Reason.LINT_FAILED, message, failures=failed)


def _test(engine: Engine, lines: Lines) -> int:
    lines.enter("test")
    count, failed = engine.test()
    lines.say(f"{count} unit tests, {len(failed)} failed", tests=count, failed=len(failed))
    if failed:
        names = ", ".join(f.message.split(":", 1)[0] for f in failed[:5])
        raise Problem(
            Reason.TESTS_FAILED,
            f"{len(failed)} of {count} unit tests fail: {names}",
            failures=failed,
        )
    return count


def require_reference(task: Task, engine: Engine) -> None:
    """SQLMesh branches every environment from prod."""
    if task.environment != REFERENCE and engine.environment(REFERENCE) is None:
        raise Problem(
            Reason.REFERENCE_MISSING,
            f"The gateway has no environment {REFERENCE}, which {task.environment} would branch from.",
        )


def _options(task: Task, engine: Engine) -> dict[str, Any]:
    """What is unset stays None, so that the project's own configuration decides."""
    options, dev = task.plan, task.environment != REFERENCE
    said: dict[str, Any] = {
        "start": options.start or (options.dev_start if dev else None),
        "forward_only": options.forward_only,
        "effective_from": options.effective_from,
        "select_models": list(options.select_models) or None,
        "allow_additive_models": list(options.allow_additive_models) or None,
        "no_gaps": options.no_gaps,
        "include_unmodified": True if dev else None,
        # Destructive changes are shown in the plan and decided on there; `applying` asks for that decision.
        "allow_destructive_models": ["*"],
    }
    return {k: v for k, v in said.items() if v is not None} | _restatement(task.operations)


def _restatement(operations: tuple[Operation, ...]) -> dict[str, Any]:
    """One plan has one restatement window. Local changes are planned with it: otherwise SQLMesh would leave them out
    of a plan that says it brings the environment to this source."""
    if not operations:
        return {}
    unknown = [o for o in operations if o.type != "Restate"]
    if unknown:
        raise Problem(
            Reason.PLAN_REJECTED,
            f"Operation {unknown[0].id} has the unknown type {unknown[0].type}.",
        )
    if len({(o.start, o.end) for o in operations}) > 1:
        ids = ", ".join(o.id for o in operations)
        raise Problem(
            Reason.PLAN_REJECTED,
            f"The operations {ids} restate different intervals; give them the same start and end, or one after the other.",
        )
    models = sorted({model for o in operations for model in o.models})
    window = {k: v for k, v in (("start", operations[0].start), ("end", operations[0].end)) if v}
    return {"restate_models": models, "always_include_local_changes": True, **window}


def _categorised(task: Task, engine: Engine, builder: PlanBuilder) -> Plan:
    plan = builder.build()
    chosen = {_normal(name): engines.category(name_of) for name, name_of in task.plan.categories.items()}
    everything = engines.category("Breaking") if task.plan.categorization == "Breaking" else None
    for snapshot in _choosable(plan):
        choice = chosen.get(_normal(engine.recorder.name(snapshot)), everything)
        if choice is not None and snapshot.change_category != choice:
            builder.set_choice(snapshot, choice)
    plan = builder.build()
    if plan.uncategorized:
        names = ", ".join(sorted(engine.recorder.name(s) for s in plan.uncategorized))
        raise Problem(Reason.UNCATEGORIZED, f"No category for {names}.")
    return plan


def _choosable(plan: Plan) -> list[Any]:
    """Only new versions of directly modified models; a resumed plan's are in state with their category already."""
    new = plan.context_diff.new_snapshots
    return [new[s] for s in sorted(plan.directly_modified) if s in new and plan.context_diff.directly_modified(s.name)]


def _require_restated(task: Task, plan: Plan) -> None:
    if task.operations and not plan.restatements:
        names = ", ".join(sorted({m for o in task.operations for m in o.models}))
        raise Problem(
            Reason.PLAN_REJECTED,
            f"Nothing of {names} can be restated in {task.environment}: its tables are production's, or do not allow it.",
        )


def destructive(engine: Engine, plan: Plan) -> frozenset[str]:
    """SQLMesh only says it for models that are not allowed to; so ask the same questions it asks."""
    return (
        frozenset(s.name for s in plan.directly_modified if engines.loses_columns(plan, s))
        | engine.recorder.destructive
    )


def _warnings(task: Task, engine: Engine, tests_run: int) -> list[str]:
    found = list(engine.recorder.warnings)
    if tests_run == 0 and not task.plan.skip_tests and task.approved is None:
        found.append("No unit tests ran. SQLMesh looks for tests/**/test*.yaml.")
    return found


def _normal(name: str) -> str:
    return name.replace('"', "").lower()
