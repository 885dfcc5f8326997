"""The two digests to which an approval is bound: `target`, everything the resulting environment
consists of, and `base`, what the plan starts from. They are equal in every process for the same
source, state and image, at any time.

Called by `summary` and `applying`. SQLMesh's own fingerprints are crc32, so the models' whole
definitions are hashed.
"""

import json
from typing import Any

from vulcan_contract import digest
from vulcan_contract.codec import encode
from vulcan_contract.task import Task
from vulcan_runner.engine import SQLGLOT_VERSION, SQLMESH_VERSION
from vulcan_runner.planning import BuiltPlan

_VERSION = 1


def target(task: Task, built: BuiltPlan, source: str) -> str:
    """Covers every model of the resulting environment (name, identifier, category, definition) and
    what shaped the plan. `source`: digest of the project's files as they were fetched."""
    plan = built.plan
    operations = sorted((encode(o) for o in task.operations), key=lambda o: str(o["id"]))
    whole = {
        "v": _VERSION,
        "source": source,
        "image": task.image,
        "sqlmesh": SQLMESH_VERSION,
        "sqlglot": SQLGLOT_VERSION,
        "environment": task.environment,
        "naming": plan.environment_naming_info.json(),
        "gateway": [task.gateway.sqlmesh_name, encode(task.gateway.variables)],
        "expires": task.expires,
        "options": encode(task.plan),
        **({"promotion": encode(task.promotion)} if task.promotion else {}),
        "operations": operations,
        "restated": sorted(s.name for s in plan.restatements) if task.operations else [],
        "models": sorted(_model(s) for s in plan.snapshots.values()),
        "requirements": plan.context_diff.requirements,
        "statements": sorted(s.json() for s in plan.context_diff.environment_statements),
    }
    return digest.of_json(whole)


def base(before: Any, state_identity: str, ended: str) -> str:
    """Covers the environment's record before the plan. A run does not change it, another apply
    does: `ended` is the token of the last one, which changes even when no model did, so that no
    approval counts twice."""
    whole = {
        "v": _VERSION,
        "state": state_identity,
        "ended": ended,
        "plan": before.plan_id if before else None,
        "finalized": bool(before and before.finalized_ts),
        "snapshots": sorted([s.name, s.identifier] for s in before.snapshots) if before else [],
    }
    return digest.of_json(whole)


def _model(snapshot: Any) -> list[str]:
    category = snapshot.change_category.name if snapshot.change_category else ""
    return [snapshot.name, snapshot.identifier, category, digest.of_json(_definition(snapshot))]


def _definition(snapshot: Any) -> Any:
    """The node as JSON, without the path of its seed in this pod; the seed's content is in it."""
    node = json.loads(snapshot.node.json())
    if isinstance(node.get("kind"), dict):
        node["kind"].pop("path", None)
    return node
