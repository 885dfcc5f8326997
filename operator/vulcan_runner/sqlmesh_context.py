"""The two classes of SQLMesh that the runner extends: the Context, so that a stop ends a run
instead of restarting it, and the Scheduler, so that append-only batches are journalled.

Used by `engine` only. Overrides private methods of SQLMesh: look here first when its version
changes.
"""

from collections.abc import Callable, Iterable
from typing import Any

from sqlmesh import CustomMaterialization
from sqlmesh.core.context import Context
from sqlmesh.core.scheduler import Scheduler
from sqlmesh.core.snapshot.definition import DeployabilityIndex, Snapshot
from sqlmesh.utils import CompletionStatus
from sqlmesh.utils.errors import CircuitBreakerError

from vulcan_runner.journal import Journal
from vulcan_runner.stop import Stop


class _Scheduler(Scheduler):
    """Journals every batch of an append-only model."""

    journal: Journal

    def evaluate(self, snapshot: Snapshot, start: Any, end: Any, *args: Any, **kwargs: Any) -> Any:
        index: DeployabilityIndex = kwargs["deployability_index"]
        adapter = self.snapshot_evaluator.get_adapter(snapshot.model_gateway)
        with self.journal.batch(snapshot, start, end, index.is_deployable(snapshot), adapter):
            return super().evaluate(snapshot, start, end, *args, **kwargs)


class RunnerContext(Context):
    """A SQLMesh context that ends when told to stop and journals what it appends."""

    stop: Stop
    journal: Journal

    def create_scheduler(self, snapshots: Iterable[Snapshot], snapshot_evaluator: Any) -> Scheduler:
        plain = super().create_scheduler(snapshots, snapshot_evaluator)
        plain.__class__ = _Scheduler
        assert isinstance(plain, _Scheduler)
        plain.journal = self.journal
        return plain

    def load_kept(self, names: Iterable[str]) -> None:
        """Loads custom materialisations, once, before snapshots of their kinds are read. Those of
        which only names are given are stood in for: SQLMesh then reads snapshots of their kinds,
        and cannot compute them."""
        self._load_materializations()
        bases = (CustomMaterialization,)
        self._stand_ins = [type("StandIn", bases, {"NAME": name}) for name in names]
        self._loaded = True

    def _select_models_for_run(
        self, select_models: Any, no_auto_upstream: bool, snapshots: Any
    ) -> set[str]:
        """We select by exact names, which need not be parsable as SQLMesh's selectors."""
        return set(select_models)

    def _run(
        self, *args: Any, circuit_breaker: Callable[[], bool] | None = None, **kwargs: Any
    ) -> CompletionStatus:
        """`Context.run` restarts when its own breaker fires; ours must end it."""
        try:
            return super()._run(
                *args,
                circuit_breaker=lambda: self.stop() or bool(circuit_breaker and circuit_breaker()),
                **kwargs,
            )
        except CircuitBreakerError:
            self.stop.check()
            raise
