"""The SQLMesh calls Vulcan uses, under our own names: the one door to SQLMesh's insides, beside
`state` for its tables and `sqlmesh_context` for the classes that are extended.

Used by whatever plans, computes or compares. Nothing else may reach into a SQLMesh context.
"""

import importlib.metadata
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlmesh.core.console import set_console
from sqlmesh.core.context_diff import ContextDiff
from sqlmesh.core.environment import Environment, EnvironmentStatements
from sqlmesh.core.plan import Plan as Plan
from sqlmesh.core.plan import PlanBuilder as PlanBuilder
from sqlmesh.core.plan.stages import (
    AuditOnlyRunStage,
    CreateSnapshotRecordsStage,
    MigrateSchemasStage,
    build_plan_stages,
)
from sqlmesh.core.snapshot.definition import Snapshot as Snapshot
from sqlmesh.core.snapshot.definition import SnapshotId, missing_intervals, parent_snapshots_by_name
from sqlmesh.utils import CompletionStatus
from sqlmesh.utils.date import now, to_datetime
from sqlmesh.utils.errors import CircuitBreakerError

from vulcan_contract import REFERENCE
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Failure, Work
from vulcan_runner import config, kept_project, names
from vulcan_runner.config import Connections
from vulcan_runner.console import Counts
from vulcan_runner.context import TaskContext
from vulcan_runner.journal import Journal
from vulcan_runner.kept_project import KeptProject
from vulcan_runner.secrets import cut, without_data
from vulcan_runner.snapshots import deployability, loses_columns
from vulcan_runner.sqlmesh_context import RunnerContext

SQLMESH_VERSION = importlib.metadata.version("sqlmesh")
SQLGLOT_VERSION = importlib.metadata.version("sqlglot")


@dataclass(frozen=True)
class Audits:
    """What audits of an environment found: how many ran, how many warn, and those that block."""

    run: int
    warned: int
    failed: tuple[Failure, ...]

    def on(self, work: Work) -> Work:
        """What was done, with these audits."""
        run, warned = work.audits_run + self.run, work.audits_warned + self.warned
        return replace(work, audits_run=run, audits_warned=warned)


class Engine:
    """One SQLMesh context for one task."""

    def __init__(
        self,
        context: TaskContext,
        connections: Connections,
        journal: Journal,
        folder: Path | None,
        kept: KeptProject | None,
    ) -> None:
        task, work = context.task, context.pod.work
        cache = work / "cache" / ((task.source and task.source.digest) or "none").replace(":", "-")
        cache.mkdir(parents=True, exist_ok=True)
        set_console(context.recorder)
        self._recorder, self._stop = context.recorder, context.stop
        settings = kept_project.settings_of(kept) if kept else {}
        self.config, self.ignored = config.build(task, folder, connections, cache, settings)
        root = (folder or work / "empty").absolute()
        root.mkdir(parents=True, exist_ok=True)
        if kept is not None:
            kept.lay_out(root)
        self._context = RunnerContext(
            paths=[root], config={root: self.config}, gateway=task.gateway.sqlmesh_name, load=False
        )
        self._context.stop, self._context.journal = context.stop, journal
        if kept is not None:
            self._context.load_kept(kept.names)
        self.catalog: str | None = None

    @property
    def counts(self) -> Counts:
        """What was done so far."""
        return self._recorder.counts

    @property
    def errors(self) -> list[Any]:
        """The models that failed so far (SQLMesh's NodeExecutionFailedError)."""
        return self._recorder.errors

    @property
    def evaluated(self) -> set[str]:
        """Names of the models that have computed something so far, and were audited with it."""
        return self._recorder.evaluated

    @property
    def warnings(self) -> list[str]:
        """What SQLMesh has warned of so far."""
        return list(self._recorder.warnings)

    def connect(self) -> None:
        """Learns the default catalog; most engines need no connection for it."""
        self.catalog = self._recorder.catalog = self._context.default_catalog

    def load(self) -> int:
        """Parses the project and returns the number of its models."""
        self.connect()
        self._context.load()
        return len(self._context.models)

    def lint(self) -> tuple[Failure, ...]:
        """Violations of the rules that the project treats as errors."""
        self._context.lint_models(raise_on_error=False)
        found = self._recorder.violations
        return tuple(Failure(model, Reason.LINT_FAILED, cut(text, 300)) for model, text in found)

    def test(self) -> tuple[int, tuple[Failure, ...]]:
        """Runs the project's unit tests on its test connection, by default DuckDB in memory."""
        result = self._context.test(stream=io.StringIO())
        bad = [*result.failures, *result.errors]
        return result.testsRun, tuple(_test_failure(test, text) for test, text in bad)

    def environment(self, name: str) -> Any:
        """SQLMesh's record of an environment, read from the state each time."""
        return self._context.state_sync.get_environment(name)

    def builder(self, environment: str, **options: Any) -> PlanBuilder:
        """The builder of a plan from the loaded project. Lint and tests are steps of their own."""
        self._recorder.destructive.clear()
        return self._context.plan_builder(environment, skip_tests=True, skip_linter=True, **options)

    def statements(self, environment: str) -> list[str]:
        """What SQLMesh runs before and after everything else in an environment, as its JSON."""
        found = self._context.state_reader.get_environment_statements(environment)
        return [statements.json() for statements in found]

    def snapshots_by_id(self, wanted: dict[str, str]) -> dict[str, Snapshot]:
        """The snapshots of name -> identifier that the state still has; with intervals, by name."""
        ids = [SnapshotId(name=name, identifier=identifier) for name, identifier in wanted.items()]
        found = self._context.state_reader.get_snapshots(ids).values()
        self._context.state_sync.refresh_snapshot_intervals(found)
        return {s.name: s for s in found}

    def plan_from_state(
        self,
        environment: str,
        snapshots: dict[str, Snapshot],
        requirements: dict[str, str],
        statements: list[str],
        *,
        catch_up: bool,
    ) -> Plan:
        """A plan that gives an environment these snapshots. `catch_up`: computed as far as the
        environment is; else no further than they are. What `Context.plan_builder` does after it has
        loaded a project."""
        self._recorder.destructive.clear()
        context, config = self._context, self.config
        diff = ContextDiff.create(
            environment, snapshots=snapshots, create_from=REFERENCE,
            state_reader=context.state_reader, provided_requirements=requirements,
            excluded_requirements=set(), infer_python_dependencies=False,
            environment_statements=[EnvironmentStatements.parse_raw(s) for s in statements],
            gateway_managed_virtual_layer=config.gateway_managed_virtual_layer,
        )  # fmt: skip
        context.state_sync.refresh_snapshot_intervals(diff.snapshots.values())
        if catch_up:
            times = context.state_sync.max_interval_end_per_model(environment)
        else:
            times = {s.name: s.intervals[-1][1] for s in diff.snapshots.values() if s.intervals}
        ends = {name: to_datetime(time) for name, time in times.items()}
        changed = {*diff.modified_snapshots, *(s.name for s in diff.added)}
        models = diff.snapshots_by_name
        start, end = context._get_plan_default_start_end(models, ends, None, changed)
        return PlanBuilder(
            context_diff=diff, apply=context.apply, is_dev=environment != REFERENCE,
            include_unmodified=True, allow_destructive_models=["*"],
            environment_suffix_target=config.environment_suffix_target,
            environment_catalog_mapping=context.environment_catalog_mapping,
            default_start=start, default_end=end, end_bounded=True, end_override_per_model=ends,
            console=context.console,
        ).build()  # fmt: skip

    def destructive(self, plan: Plan) -> frozenset[str]:
        """Fully qualified names of models whose tables lose columns under the plan built last."""
        changed = {s.name for s in plan.directly_modified if loses_columns(plan, s)}
        return frozenset(changed | self._recorder.destructive)

    def worked_on(self, plan: Plan) -> set[str]:
        """Models for which a plan does more than compute intervals: versions, tables, audits."""
        found: set[str] = set()
        # A copy: a plan keeps what it derives from its id, and a resumed apply changes that.
        evaluatable = plan.copy().to_evaluatable()
        for stage in build_plan_stages(evaluatable, self._context.state_reader, self.catalog):
            match stage:
                case CreateSnapshotRecordsStage() | AuditOnlyRunStage() | MigrateSchemasStage():
                    found |= {s.name for s in stage.snapshots}
        return found

    def adapter(self, gateway: str | None) -> Any:
        """The adapter of the warehouse that a model's gateway names; None: the project's own."""
        return self._context.snapshot_evaluator.get_adapter(gateway)

    def display(self, name: str) -> str:
        """A model's name as people write it."""
        return names.display(name, self.catalog)

    def apply(self, plan: Plan) -> None:
        """Raises Stopped when told to stop."""
        try:
            self._context.apply(plan, circuit_breaker=self._stop)
        except CircuitBreakerError:
            self._stop.check()
            raise

    def run(self, environment: str, names: set[str] | None, end: Any) -> CompletionStatus:
        """`names`: fully qualified, of the only models to run. Models come from the state."""
        select = None if names is None else sorted(names)
        return self._context.run(
            environment, end=end, skip_janitor=True, select_models=select, no_auto_upstream=True
        )

    def invalidate(self, environment: str) -> None:
        """Drops an environment's views and its record."""
        self._context.invalidate_environment(environment, sync=True)

    def snapshots(self, environment: Any) -> dict[str, Snapshot]:
        """An environment's snapshots with their intervals, by name."""
        return self.snapshots_by_id({s.name: s.identifier for s in environment.snapshots})

    def missing(
        self, environment: Any, snapshots: dict[str, Snapshot]
    ) -> dict[str, list[tuple[int, int]]]:
        """Complete intervals that are not computed yet, by model."""
        known, index = list(snapshots.values()), deployability(environment.name, snapshots)
        found = missing_intervals(known, execution_time=now(), deployability_index=index)
        return {s.name: list(i) for s, i in found.items() if i and not s.is_symbolic}

    def audit(self, environment: Any, names: Iterable[str]) -> Audits:
        """Audits models over what is computed of them."""
        snapshots = self.snapshots(environment)
        by_id = {s.snapshot_id: s for s in snapshots.values()}
        index, count, warned, failed = deployability(environment.name, snapshots), 0, 0, []
        for snapshot in (snapshots[n] for n in sorted(names) if n in snapshots):
            deployable = index.is_deployable(snapshot)
            done = snapshot.intervals if deployable else snapshot.dev_intervals
            if not (snapshot.is_model and snapshot.node.audits_with_args and done):
                continue
            # With its parents, as in SQLMesh's scheduler: an audit looks for all their tables.
            upstream = parent_snapshots_by_name(snapshot, by_id)
            for result in self._context.snapshot_evaluator.audit(
                snapshot=snapshot, snapshots=upstream, start=done[0][0], end=done[-1][1],
                execution_time=now(), deployability_index=index,
            ):  # fmt: skip
                count += 1
                audit = result.audit.name
                if result.count and result.blocking and not result.skipped:
                    text = f"audit {audit} found {result.count} rows"
                    name = self.display(snapshot.name)
                    failed.append(Failure(name, Reason.AUDIT_FAILED, text, audit=audit))
                elif result.count:
                    warned += 1
        return Audits(count, warned, tuple(failed))

    def close(self) -> None:
        """Closes SQLMesh's connections."""
        self._context.close()


def environment_name(name: str) -> str:
    """`Dev-A` is dev_a."""
    return str(Environment.sanitize_name(name)) if name else name


def _test_failure(test: Any, text: str) -> Failure:
    model = str(getattr(getattr(test, "model", None), "name", ""))
    name = str(getattr(test, "test_name", test))
    return Failure(model, Reason.TESTS_FAILED, f"{name}: {cut(without_data(text), 300)}")
