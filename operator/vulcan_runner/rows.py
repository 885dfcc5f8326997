"""The rows of the tables that Vulcan keeps in a state database. All columns are text.

Read and written by `state` only. A state outlives runner images: a column keeps its name and
meaning.
"""

from dataclasses import dataclass

from vulcan_contract.task import Owner


@dataclass(frozen=True)
class OwnerRow:
    """Table `_vulcan_owner`: one row. `identity` is a uuid that marks this state where the engine
    has nothing of the kind."""

    cluster: str
    namespace: str
    name: str
    identity: str
    since: str

    @property
    def owner(self) -> Owner:
        return Owner(self.cluster, self.namespace, self.name)


@dataclass(frozen=True)
class ApplyRow:
    """Table `_vulcan_apply`: the last apply of an environment. `phase`: started | done. `models`:
    the changed ones. `project`: digest of what is kept of the environment's project, `ended`: token
    of the last apply that ended; both also while the next one is in flight."""

    environment: str
    token: str
    target: str
    base: str
    plan_id: str
    phase: str
    models: str
    job: str
    at: str
    project: str = ""
    ended: str = ""


@dataclass(frozen=True)
class ProjectRow:
    """Table `_vulcan_project`: see `kept_project`, which packs it."""

    digest: str
    packed: str


@dataclass(frozen=True)
class HistoryRow:
    """Table `_vulcan_history`: what an environment had after one apply, see `history`. JSON: names
    and identifiers of its snapshots, requirements, statements. `project`: as in ApplyRow."""

    environment: str
    plan_id: str
    source_digest: str
    project: str
    snapshots: str
    requirements: str
    statements: str
    at: str


@dataclass(frozen=True)
class InFlightRow:
    """Table `_vulcan_inflight`: an append-only batch that is being written."""

    job: str
    environment: str
    model: str
    physical_table: str
    start_at: str
    end_at: str


Row = OwnerRow | ApplyRow | ProjectRow | HistoryRow | InFlightRow
TABLES: dict[type[Row], str] = {
    OwnerRow: "_vulcan_owner",
    ApplyRow: "_vulcan_apply",
    ProjectRow: "_vulcan_project",
    HistoryRow: "_vulcan_history",
    InFlightRow: "_vulcan_inflight",
}
