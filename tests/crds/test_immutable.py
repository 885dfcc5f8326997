"""What may not change once an object exists: changing, adding and removing are tried, and what may change, too."""

from typing import Any

import pytest

from tests.crds.objects import GONE, approval, changed, environment, gateway, promotion
from tests.crds.server import User

Raw = dict[str, Any]

_ENV = {"environment": "dev", "gatewayRef": {"name": "production", "namespace": "other"}}
_ALL = {
    "revision": "0123",
    "gates.tests": "Optional",
    "approval": {"mode": "Always"},
    "onFailure": "Hold",
    "rollback.data": "CatchUpThenSwap",
}
_SPEC = "is immutable: a promotion is a record; create another VulcanPromotion"

FORBIDDEN = [
    ("environment", environment(_ENV), {"environment": "dev2"}, "environment is immutable"),
    ("environment removed", environment(_ENV), {"environment": GONE}, "environment is immutable"),
    ("environment added", environment(), {"environment": "dev"}, "environment is immutable"),
    ("gateway", environment(_ENV), {"gatewayRef.name": "other"}, "gatewayRef is immutable"),
    ("gateway's namespace", environment(_ENV), {"gatewayRef.namespace": "a"}, "gatewayRef is immutable"),
    ("gateway's namespace removed", environment(_ENV), {"gatewayRef.namespace": GONE}, "gatewayRef is immutable"),
    ("gateway's namespace added", environment(), {"gatewayRef.namespace": "crds"}, "gatewayRef is immutable"),
    ("sqlmeshName", gateway({"sqlmeshName": "a"}), {"sqlmeshName": "b"}, "sqlmeshName is immutable"),
    ("sqlmeshName removed", gateway({"sqlmeshName": "a"}), {"sqlmeshName": GONE}, "sqlmeshName is immutable"),
    ("sqlmeshName added", gateway(), {"sqlmeshName": "a"}, "sqlmeshName is immutable"),
    ("from", promotion(), {"from.environmentRef.name": "dev"}, f"from {_SPEC}"),
    ("to", promotion(), {"to.environmentRef.name": "dev"}, f"to {_SPEC}"),
    ("from to rollbackTo", promotion(), {"from": GONE, "rollbackTo": {"promotion": "p"}}, f"rollbackTo {_SPEC}"),
    ("revision added", promotion(), {"revision": "0123"}, f"revision {_SPEC}"),
    ("approval added", promotion(), {"approval": {"mode": "Never"}}, f"approval {_SPEC}"),
    ("soak added", promotion(), {"gates.soak": {}}, f"gates {_SPEC}"),
    ("revision", promotion(_ALL), {"revision": "4567"}, f"revision {_SPEC}"),
    ("revision removed", promotion(_ALL), {"revision": GONE}, f"revision {_SPEC}"),
    ("gates", promotion(_ALL), {"gates.tests": "Skip"}, f"gates {_SPEC}"),
    ("gates removed", promotion(_ALL), {"gates": GONE}, f"gates {_SPEC}"),
    ("approval", promotion(_ALL), {"approval.mode": "Never"}, f"approval {_SPEC}"),
    ("approval removed", promotion(_ALL), {"approval": GONE}, f"approval {_SPEC}"),
    ("onFailure", promotion(_ALL), {"onFailure": "Rollback"}, f"onFailure {_SPEC}"),
    ("onFailure removed", promotion(_ALL), {"onFailure": GONE}, f"onFailure {_SPEC}"),
    ("rollback", promotion(_ALL), {"rollback.data": "SwapThenRun"}, f"rollback {_SPEC}"),
    (
        "rollbackTo",
        promotion({"from": GONE, "rollbackTo": {"promotion": "p"}}),
        {"rollbackTo.promotion": "q"},
        f"rollbackTo {_SPEC}",
    ),
]

ALLOWED = [
    ("project of an environment", environment(), {"project.git.ref": "next", "suspend": True}),
    ("connection of a gateway", gateway({"sqlmeshName": "a"}), {"connection.options.host": "db2"}),
    ("approval of a promotion", promotion(_ALL), {"approvals": [approval("admin")]}),
    ("the same again", promotion(_ALL), {}),
]


@pytest.mark.parametrize(("before", "change", "says"), [pytest.param(*row[1:], id=row[0]) for row in FORBIDDEN])
def test_may_not_change(admin: User, before: Raw, change: Raw, says: str) -> None:
    assert admin.create(before).ok
    answer = admin.replace(_next(admin, before, change))
    assert answer.code == 422
    assert says in answer.message


@pytest.mark.parametrize(("before", "change"), [pytest.param(*row[1:], id=row[0]) for row in ALLOWED])
def test_may_change(admin: User, before: Raw, change: Raw) -> None:
    assert admin.create(before).ok
    answer = admin.replace(_next(admin, before, change))
    assert answer.ok, answer.message


def _next(admin: User, before: Raw, change: Raw) -> Raw:
    return changed(admin.get(before).body, change)
