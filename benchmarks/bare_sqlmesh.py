"""The SQLMesh calls of a plan and an apply without Vulcan: `python bare_sqlmesh.py init|plan|apply` in a project's folder.

Run by `runner` in the runner's environment. What anybody would write who uses the API for this and nothing else.
"""

import io
import sys
from pathlib import Path

from sqlmesh.core.console import NoopConsole, set_console
from sqlmesh.core.context import Context


def main(step: str) -> None:
    """Raises when something fails."""
    set_console(NoopConsole())
    context = Context(paths=[Path.cwd()], load=False)
    if step == "init":
        context.state_sync.migrate()
        return
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
        context.apply(plan)
        environment = context.state_sync.get_environment("prod")
        if environment is None or environment.plan_id != plan.plan_id or not environment.finalized_ts:
            raise SystemExit("not applied")
    context.close()


if __name__ == "__main__":
    main(sys.argv[1])
