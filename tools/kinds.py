"""The kinds as `kubectl` shows them: short names, categories, columns, selectors, rules on `metadata.name`.

Read by `tools.generate` and by tests. The fields of a kind are defined in `vulcan_operator.api`, not here.
"""

from typing import Any

from tools.crdgen import Kind
from vulcan_operator.api import GROUP, VERSION
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.api.schemas import NAME_MAX, cel

SHORT_NAME = cel(
    f"self.metadata.name.size() <= {NAME_MAX}",
    f"metadata.name may have at most {NAME_MAX} characters: names of Jobs are made from it",
)
_ENVIRONMENT = "(has(self.spec.environment) ? self.spec.environment : self.metadata.name)"


def _column(name: str, path: str, type_: str = "string", description: str = "", wide: bool = False) -> dict[str, Any]:
    column = {"name": name, "jsonPath": path, "type": type_, "description": description, "priority": 1 if wide else 0}
    return {key: value for key, value in column.items() if value != ""}


_READY = _column("READY", ".status.conditions[?(@.type=='Ready')].status", description="Status of condition Ready.")
_MESSAGE = _column(
    "MESSAGE", ".status.conditions[?(@.type=='Ready')].message", description="Message of condition Ready.", wide=True
)
_AGE = _column("AGE", ".metadata.creationTimestamp", "date", "Time since creation.")

GATEWAY = Kind(
    model=VulcanGateway,
    group=GROUP,
    version=VERSION,
    plural="vulcangateways",
    short_names=("vgw",),
    categories=("vulcan",),
    columns=(
        _READY,
        _column("WAREHOUSE", ".spec.connection.type", description="Engine of the warehouse."),
        _column("STATE", ".spec.stateConnection.type", description="Engine of the state database."),
        _column("WRITER", ".status.activeWriter.environment", description="Object whose task has the writer slot."),
        _AGE,
        _column("SUSPENDED", ".spec.suspend", "boolean", "Whether spec.suspend stops new Jobs.", wide=True),
        _MESSAGE,
    ),
    rules=(
        SHORT_NAME,
        cel(
            "has(self.spec.sqlmeshName) || !has(self.spec.additionalConnections) ||"
            " !self.spec.additionalConnections.exists(c, c.sqlmeshName == self.metadata.name)",
            "additionalConnections need names other than the gateway's own (metadata.name unless sqlmeshName is set)",
        ),
    ),
)

ENVIRONMENT = Kind(
    model=VulcanEnvironment,
    group=GROUP,
    version=VERSION,
    plural="vulcanenvironments",
    short_names=("venv",),
    categories=("vulcan",),
    columns=(
        _READY,
        _column("ENV", ".status.environment", description="Name of the SQLMesh environment."),
        _column("GATEWAY", ".spec.gatewayRef.name", description="VulcanGateway of the environment."),
        _column("REVISION", ".status.applied.shortRevision", description="Applied revision, shortened."),
        _column("PLAN", ".status.plan.state", description="State of the current plan."),
        _column("LAST-RUN", ".status.lastRun.time", "date", "Time since the last scheduled run ended."),
        # A date in the future is printed as <invalid>, so this one is a string.
        _column("NEXT-RUN", ".status.nextRunTime", description="When the next run is due."),
        _column("BEHIND", ".status.intervalsBehind", "integer", "Missing intervals at the last check."),
        _AGE,
        _column("SUSPENDED", ".spec.suspend", "boolean", "Whether spec.suspend stops new Jobs.", wide=True),
        _MESSAGE,
    ),
    selectable=(".spec.gatewayRef.name", ".spec.environment"),
    rules=(
        SHORT_NAME,
        cel(
            f"!has(self.spec.deletionPolicy) || self.spec.deletionPolicy != 'Invalidate' || {_ENVIRONMENT} != 'prod'",
            "deletionPolicy: Invalidate is not for environment prod; choose Retain",
        ),
        cel(
            f"!has(self.spec.ttl) || {_ENVIRONMENT} != 'prod'",
            "ttl is for previews, not for environment prod; leave it out",
        ),
        cel(
            f"!has(self.spec.plan) || !has(self.spec.plan.start) || {_ENVIRONMENT} != 'prod'",
            "plan.start is not for environment prod; the models' own start dates count there, or use operations",
        ),
    ),
)

PROMOTION = Kind(
    model=VulcanPromotion,
    group=GROUP,
    version=VERSION,
    plural="vulcanpromotions",
    short_names=("vpromo",),
    categories=("vulcan",),
    columns=(
        _READY,
        _column("FROM", ".spec.from.environmentRef.name", description="Environment that the revision comes from."),
        _column("TO", ".spec.to.environmentRef.name", description="Environment that is changed."),
        _column("STEP", ".status.step", description="Current or last step of the promotion."),
        _column("OUTCOME", ".status.outcome", description="Outcome of the promotion."),
        _AGE,
        _column("REVISION", ".status.shortRevision", description="Promoted revision, shortened.", wide=True),
        _MESSAGE,
    ),
    selectable=(".spec.to.environmentRef.name",),
    rules=(SHORT_NAME,),
)

KINDS = (GATEWAY, ENVIRONMENT, PROMOTION)
