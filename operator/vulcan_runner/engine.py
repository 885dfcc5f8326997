"""The SQLMesh calls Vulcan uses, under our own names. Everything that leans on SQLMesh's insides is here.

Called by `planning`, `applying` and `running`. Two classes of SQLMesh are extended: the Context, so that a stop ends a
run instead of restarting it, and the Scheduler, so that append-only batches are journalled.
"""

import importlib.metadata
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sqlmesh.core.console import set_console
from sqlmesh.core.context import Context
from sqlmesh.core.context_diff import ContextDiff
from sqlmesh.core.environment import Environment
from sqlmesh.core.plan import Plan, PlanBuilder
from sqlmesh.core.plan.stages import (
    AuditOnlyRunStage,
    CreateSnapshotRecordsStage,
    MigrateSchemasStage,
    build_plan_stages,
)
from sqlmesh.core.scheduler import Scheduler
from sqlmesh.core.schema_diff import get_schema_differ, has_drop_alteration
from sqlmesh.core.snapshot.definition import (
    DeployabilityIndex,
    Snapshot,
    SnapshotChangeCategory,
    SnapshotId,
    missing_intervals,
    parent_snapshots_by_name,
)
from sqlmesh.utils import CompletionStatus, columns_to_types_all_known
from sqlmesh.utils.date import now, to_datetime
from sqlmesh.utils.errors import CircuitBreakerError

from vulcan_contract import REFERENCE
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Failure
from vulcan_contract.task import Task
from vulcan_runner import config, kept_project, names
from vulcan_runner.console import Recorder
from vulcan_runner.journal import Journal
from vulcan_runner.kept_project import KeptProject
from vulcan_runner.problem import Problem
from vulcan_runner.secrets import cut, without_data
from vulcan_runner.stop import Stop

SQLMESH_VERSION = importlib.metadata.version("sqlmesh")
SQLGLOT_VERSION = importlib.metadata.version("sqlglot")


class _Scheduler(Scheduler):
    journal: Journal

    def evaluate(self, snapshot: Snapshot, start: Any, end: Any, *args: Any, **kwargs: Any) -> Any:
        index: DeployabilityIndex = kwargs["deployability_index"]
        adapter = self.snapshot_evaluator.get_adapter(snapshot.model_gateway)
        with self.journal.batch(snapshot, start, end, index.is_deployable(snapshot), adapter):
            return super().evaluate(snapshot, start, end, *args, **kwargs)


class _Context(Context):
    stop: Stop
    journal: Journal

    def create_scheduler(self, snapshots: Iterable[Snapshot], snapshot_evaluator: Any) -> Scheduler:
        plain = super().create_scheduler(snapshots, snapshot_evaluator)
        plain.__class__ = _Scheduler
        assert isinstance(plain, _Scheduler)
        plain.journal = self.journal
        return plain

    def load_kept(self) -> None:
        """The project's own materialisations, before any snapshot is read: its kind may be a class of theirs. Once."""
        self._load_materializations()
        self._loaded = True

    def _select_models_for_run(self, select_models: Any, no_auto_upstream: bool, snapshots: Any) -> set[str]:
        """We select by exact names, which need not be parsable as SQLMesh's selectors."""
        return set(select_models)

    def _run(self, *args: Any, circuit_breaker: Callable[[], bool] | None = None, **kwargs: Any) -> CompletionStatus:
        """`Context.run` starts over when its own breaker fires (the environment moved); ours must end it."""
        try:
            return super()._run(
                *args,
                circuit_breaker=lambda: self.stop() or bool(circuit_breaker and circuit_breaker()),
                **kwargs,
            )
        except CircuitBreakerError:
            self.stop.check()
            raise


class Engine:
    """One SQLMesh context for one task."""

    def __init__(
        self, task: Task, folder: Path | None, connections: config.Connections, work: Path,
        recorder: Recorder, stop: Stop, journal: Journal, kept: KeptProject | None = None,
    ) -> None:  # fmt: skip
        cache = work / "cache" / ((task.source and task.source.digest) or "none").replace(":", "-")
        cache.mkdir(parents=True, exist_ok=True)
        set_console(recorder)
        self.recorder = recorder
        self.config, self.ignored = config.build(
            task, folder, connections, cache, kept_project.settings_of(kept) if kept else None
        )
        root = (folder or work / "empty").absolute()
        root.mkdir(parents=True, exist_ok=True)
        if kept is not None:
            kept.lay_out(root)
        self.context = _Context(paths=[root], config={root: self.config}, gateway=task.gateway.sqlmesh_name, load=False)
        self.context.stop, self.context.journal = stop, journal
        if kept is not None:
            self.context.load_kept()
        self.catalog: str | None = None

    def connect(self) -> None:
        """Learns the default catalog; most engines have it in their configuration and need no connection for it."""
        self.catalog = self.recorder.catalog = self.context.default_catalog

    def load(self) -> int:
        """Parses the project; the number of models it has."""
        self.connect()
        self.context.load()
        return len(self.context.models)

    def lint(self) -> tuple[Failure, ...]:
        """The violations of rules that the project calls errors."""
        self.context.lint_models(raise_on_error=False)
        return tuple(Failure(model, Reason.LINT_FAILED, cut(text, 300)) for model, text in self.recorder.violations)

    def test(self) -> tuple[int, tuple[Failure, ...]]:
        """Runs the project's unit tests on its test connection (DuckDB in memory unless it says otherwise)."""
        result = self.context.test(stream=io.StringIO())
        bad = [*result.failures, *result.errors]
        return result.testsRun, tuple(
            Failure(
                _test_model(test),
                Reason.TESTS_FAILED,
                f"{_test_name(test)}: {cut(without_data(text), 300)}",
            )
            for test, text in bad
        )

    def environment(self, name: str) -> Any:
        """The environment's record, read afresh."""
        return self.context.state_sync.get_environment(name)

    def builder(self, environment: str, **options: Any) -> PlanBuilder:
        """Lint and tests have their own steps."""
        return self.context.plan_builder(environment, skip_tests=True, skip_linter=True, **options)

    def statements(self, environment: str) -> list[Any]:
        """What runs before and after all, as the state has it."""
        return list(self.context.state_reader.get_environment_statements(environment))

    def snapshots_by_id(self, wanted: dict[str, str]) -> dict[str, Snapshot]:
        """Those of name -> identifier that the state still has, with their intervals, by name."""
        ids = [SnapshotId(name=name, identifier=identifier) for name, identifier in wanted.items()]
        found = self.context.state_reader.get_snapshots(ids).values()
        self.context.state_sync.refresh_snapshot_intervals(found)
        return {s.name: s for s in found}

    def plan_from_state(
        self, environment: str, snapshots: dict[str, Snapshot], requirements: dict[str, str], statements: list[Any],
        *, catch_up: bool,
    ) -> Plan:  # fmt: skip
        """A plan that gives an environment these snapshots. `catch_up`: computed as far as the environment is; else no
        further than they are. What `Context.plan_builder` does after it has loaded a project."""
        context, reader = self.context, self.context.state_reader
        diff = ContextDiff.create(
            environment, snapshots=snapshots, create_from=REFERENCE, state_reader=reader,
            provided_requirements=requirements, excluded_requirements=set(), environment_statements=statements,
            gateway_managed_virtual_layer=self.config.gateway_managed_virtual_layer, infer_python_dependencies=False,
        )  # fmt: skip
        context.state_sync.refresh_snapshot_intervals(diff.snapshots.values())
        if catch_up:
            ends = {n: to_datetime(t) for n, t in context.state_sync.max_interval_end_per_model(environment).items()}
        else:
            ends = {s.name: to_datetime(s.intervals[-1][1]) for s in diff.snapshots.values() if s.intervals}
        changed = {*diff.modified_snapshots, *(s.name for s in diff.added)}
        start, end = context._get_plan_default_start_end(diff.snapshots_by_name, ends, None, changed)
        return PlanBuilder(
            context_diff=diff, apply=context.apply, is_dev=environment != REFERENCE, include_unmodified=True,
            allow_destructive_models=["*"], environment_suffix_target=self.config.environment_suffix_target,
            environment_catalog_mapping=context.environment_catalog_mapping, default_start=start, default_end=end,
            end_bounded=True, end_override_per_model=ends, console=context.console,
        ).build()  # fmt: skip

    def display(self, name: str) -> str:
        """A model's name as people write it."""
        return names.display(name, self.catalog)

    def apply(self, plan: Plan) -> None:
        """Ends with Stopped when told to stop."""
        try:
            self.context.apply(plan, circuit_breaker=self.context.stop)
        except CircuitBreakerError:
            self.context.stop.check()
            raise

    def run(self, environment: str, names: set[str] | None, end: Any) -> CompletionStatus:
        """`names`: fully qualified names of the only models to run. The project's models come from the state."""
        select = None if names is None else sorted(names)
        return self.context.run(environment, end=end, skip_janitor=True, select_models=select, no_auto_upstream=True)

    def invalidate(self, environment: str) -> None:
        self.context.invalidate_environment(environment, sync=True)

    def snapshots(self, environment: Any) -> dict[str, Snapshot]:
        """An environment's snapshots with their intervals, by name."""
        found = self.context.state_reader.get_snapshots(environment.snapshots).values()
        self.context.state_sync.refresh_snapshot_intervals(found)
        return {s.name: s for s in found}

    def missing(self, environment: Any, snapshots: dict[str, Snapshot]) -> dict[str, list[tuple[int, int]]]:
        """Complete intervals that are not computed yet, by model."""
        index = deployability(environment.name, snapshots)
        found = missing_intervals(list(snapshots.values()), execution_time=now(), deployability_index=index)
        return {s.name: list(intervals) for s, intervals in found.items() if intervals and not s.is_symbolic}

    def audit(self, environment: Any, names: Iterable[str]) -> tuple[int, int, tuple[Failure, ...]]:
        """Audits models over what is computed of them: audits run, warnings, blocking failures."""
        snapshots = self.snapshots(environment)
        by_id = {s.snapshot_id: s for s in snapshots.values()}
        index, count, warned, failed = deployability(environment.name, snapshots), 0, 0, []
        for snapshot in (snapshots[n] for n in sorted(names) if n in snapshots):
            deployable = index.is_deployable(snapshot)
            done = snapshot.intervals if deployable else snapshot.dev_intervals
            if not (snapshot.is_model and snapshot.node.audits_with_args and done):
                continue
            # With its parents, as SQLMesh's scheduler does: each audit looks for the tables of all that it is given.
            upstream = parent_snapshots_by_name(snapshot, by_id)
            for result in self.context.snapshot_evaluator.audit(
                snapshot=snapshot, snapshots=upstream, start=done[0][0], end=done[-1][1], execution_time=now(),
                deployability_index=index,
            ):  # fmt: skip
                count += 1
                if result.count and result.blocking and not result.skipped:
                    name = self.recorder.name(snapshot)
                    text = f"audit {result.audit.name} found {result.count} rows"
                    failed.append(Failure(name, Reason.AUDIT_FAILED, text, audit=result.audit.name))
                elif result.count:
                    warned += 1
        return count, warned, tuple(failed)

    def close(self) -> None:
        self.context.close()


def environment_name(name: str) -> str:
    """`Dev-A` is dev_a."""
    return str(Environment.sanitize_name(name)) if name else name


def deployability(environment: str, snapshots: dict[str, Snapshot]) -> DeployabilityIndex:
    """Which snapshots of the environment of that name write to the table that other environments share."""
    if environment == REFERENCE:
        return DeployabilityIndex.all_deployable()
    return DeployabilityIndex.create({s.snapshot_id: s for s in snapshots.values()})


def worked_on(context: Context, plan: Plan, catalog: str | None) -> set[str]:
    """Models for which a plan does more than compute intervals: new versions, altered tables, audits alone."""
    found: set[str] = set()
    # A copy: a plan keeps what it once made of its id, and a resumed apply gives it another one.
    for stage in build_plan_stages(plan.copy().to_evaluatable(), context.state_reader, catalog):
        match stage:
            case CreateSnapshotRecordsStage() | AuditOnlyRunStage() | MigrateSchemasStage():
                found |= {s.name for s in stage.snapshots}
            case _:
                pass
    return found


def is_recent(snapshot: Snapshot, missing: list[tuple[int, int]]) -> bool:
    """Whether what is missing comes after all that is there: time has passed since it was computed, nothing else."""
    done = snapshot.intervals
    return bool(done) and missing[0][0] >= done[-1][1]


def loses_columns(plan: Plan, snapshot_id: Any) -> bool:
    """Whether a forward-only change drops columns of a table that has data (a new version's table is a new one)."""
    pair = plan.context_diff.modified_snapshots.get(snapshot_id.name)
    if pair is None or not (plan.snapshots[snapshot_id].is_forward_only or plan.forward_only):
        return False
    new, old = pair
    if not (new.is_model and old.is_model and new.model.is_sql | new.model.is_python):
        return False
    before, after = old.model.columns_to_types or {}, new.model.columns_to_types or {}
    if new.model.on_destructive_change.is_ignore or not (
        columns_to_types_all_known(before) and columns_to_types_all_known(after)
    ):
        return False
    differ = get_schema_differ(new.model.dialect)
    return has_drop_alteration([*differ.compare_columns(new.name, before, after)])


def category(name: str) -> SnapshotChangeCategory:
    """Breaking | NonBreaking, as `plan.categories` says it."""
    known = {
        "Breaking": SnapshotChangeCategory.BREAKING,
        "NonBreaking": SnapshotChangeCategory.NON_BREAKING,
    }
    if name not in known:
        raise Problem(Reason.PLAN_REJECTED, f"The category {name} is none of {', '.join(known)}.")
    return known[name]


def next_due(snapshots: Iterable[Snapshot], restates: bool) -> Any:
    """When the next model's cron (or auto-restatement) fires; None when none ever does."""
    moment = now()
    due = [s.node.cron_next(moment) for s in snapshots if s.is_model and not s.is_symbolic and not s.is_seed]
    if restates:
        due += [to_datetime(s.next_auto_restatement_ts) for s in snapshots if s.next_auto_restatement_ts]
    return min(due) if due else None


def _test_model(test: Any) -> str:
    return str(getattr(getattr(test, "model", None), "name", ""))


def _test_name(test: Any) -> str:
    return str(getattr(test, "test_name", test))
