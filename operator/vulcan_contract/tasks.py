"""What a task kind is: one row of traits for each, so that no planner keeps a list of kinds.

The operator reads the table to launch, to preempt, to collect and to judge what a Job brought; the
runner to lock and to refuse. What a kind *does* is not here: a planner's step orders it and
`vulcan_runner.tasks` runs it.
"""

import enum
from dataclasses import dataclass


class TaskKind(enum.StrEnum):
    """What a Job does. Fetching is no kind: it is the init container of tasks with a git source."""

    PROBE = "probe"
    RESOLVE = "resolve"
    PLAN = "plan"
    APPLY = "apply"
    RUN = "run"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    AUDIT = "audit"
    DIFF = "diff"
    CHECKS = "checks"
    INVALIDATE = "invalidate"

    @property
    def traits(self) -> "Traits":
        """This kind's row of the table."""
        return TASKS[self]

    @property
    def writes(self) -> bool:
        """Whether it changes a warehouse or a state, so that it needs the gateway's writer slot."""
        return TASKS[self].writes


class Reports(enum.Enum):
    """Whether a success leaves a report in the pod's log that the operator keeps."""

    NEVER = enum.auto()
    CHANGES = enum.auto()  # only when its summary has changes: nobody reads the report of others
    ALWAYS = enum.auto()


@dataclass(frozen=True)
class Traits:
    """One row of the table. Every default is the harmless answer."""

    # Changes a warehouse or a state: needs the gateway's writer slot, and the lock in the state.
    writes: bool = False
    # Is no writer, but a gateway's first one creates the state's tables: it then needs the slot,
    # its Job is not created for an owner that is gone, and it runs to its end like a writer.
    may_initialise: bool = False
    # Opens the warehouse or the state. On an engine for one process (`engines`) it needs the slot.
    connects: bool = True
    # Computes rows of models: not before a human has checked the batches that a lost Job left.
    computes: bool = False
    stoppable: bool = False  # ends at the next batch and resumes: urgent work may preempt it
    needs_decision: bool = False  # gives an environment what was decided on: carries `approved`
    needs_source: bool = False  # reads a project's files; promotions in one system read the state
    weak_credentials: bool = False  # uses the gateway's weaker ones (`spec.planning`), if any
    reports: Reports = Reports.NEVER  # whether its report is kept
    brings: str = ""  # the field of Result without which a success is not believed; "": none

    @property
    def ends_by_itself(self) -> bool:
        """Whether its Job, once created, is left to end, even if its owner is gone."""
        return self.writes or self.may_initialise


TASKS: dict[TaskKind, Traits] = {
    TaskKind.PROBE: Traits(may_initialise=True, brings="probe"),
    TaskKind.RESOLVE: Traits(
        connects=False, needs_source=True, weak_credentials=True, brings="digest"
    ),
    TaskKind.PLAN: Traits(
        needs_source=True, weak_credentials=True, reports=Reports.CHANGES, brings="summary"
    ),
    TaskKind.APPLY: Traits(
        writes=True, computes=True, stoppable=True, needs_decision=True, needs_source=True
    ),
    TaskKind.RUN: Traits(writes=True, computes=True, stoppable=True),
    TaskKind.PROMOTE: Traits(writes=True, computes=True, stoppable=True, needs_decision=True),
    TaskKind.ROLLBACK: Traits(writes=True, computes=True),
    TaskKind.AUDIT: Traits(weak_credentials=True, brings="work"),
    TaskKind.DIFF: Traits(weak_credentials=True, reports=Reports.ALWAYS, brings="report_sha256"),
    TaskKind.CHECKS: Traits(weak_credentials=True, brings="work"),
    TaskKind.INVALIDATE: Traits(writes=True),
}
