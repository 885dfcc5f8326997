"""The SQLMesh calls of a plan, an apply and a promotion without Vulcan, in a project's folder:
`python bare_sqlmesh.py init | plan | apply | promote ENVIRONMENT FILE`.

Run by `runner` and `promotions_switch` in the runner's environment. What anybody would write who uses the API for this and
nothing else.
"""

import io
import sys
import time
from pathlib import Path

from sqlmesh.core.console import NoopConsole, set_console
from sqlmesh.core.context import Context
from sqlmesh.core.context_diff import ContextDiff
from sqlmesh.core.plan import Plan, PlanBuilder


def main(step: str, *arguments: str) -> None:
    """Raises when something fails."""
    set_console(NoopConsole())
    context = Context(paths=[Path.cwd()], load=False)
    match step:
        case "init":
            context.state_sync.migrate()
            return
        case "promote":
            promote(context, *arguments)
        case _:
            deploy(context, step)
    context.close()


def deploy(context: Context, step: str) -> None:
    """A plan of the project, with lint and tests; or its apply."""
    context.load()
    if step == "plan":
        context.lint_models(raise_on_error=True)
        result = context.test(stream=io.StringIO())
        if not result.wasSuccessful() or not result.testsRun:
            raise SystemExit("tests failed")
    plan = context.plan_builder("prod", skip_tests=True, skip_linter=True).build()
    if not plan.requires_backfill:
        raise SystemExit("nothing to do")
    if step == "apply":
        apply(context, plan)


def promote(context: Context, environment: str, file: str) -> None:
    """prod gets what another environment has, from the state alone; the seconds of applying go into a file."""
    reader = context.state_reader
    source = reader.get_environment(environment)
    if source is None:
        raise SystemExit(f"no environment {environment}")
    snapshots = reader.get_snapshots(source.snapshots).values()
    context.state_sync.refresh_snapshot_intervals(snapshots)
    diff = ContextDiff.create(
        "prod", snapshots={s.name: s for s in snapshots}, create_from="prod", state_reader=reader,
        provided_requirements=source.requirements, excluded_requirements=set(), infer_python_dependencies=False,
        environment_statements=reader.get_environment_statements(environment),
    )  # fmt: skip
    plan = PlanBuilder(diff, apply=context.apply, console=context.console).build()
    if plan.requires_backfill or not plan.has_changes:
        raise SystemExit("not a change of views alone")
    began = time.perf_counter()
    apply(context, plan)
    Path(file).write_text(str(time.perf_counter() - began))


def apply(context: Context, plan: Plan) -> None:
    """And look whether it is there."""
    context.apply(plan)
    environment = context.state_sync.get_environment("prod")
    if environment is None or environment.plan_id != plan.plan_id or not environment.finalized_ts:
        raise SystemExit("not applied")


if __name__ == "__main__":
    main(*sys.argv[1:])
