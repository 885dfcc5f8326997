"""Every table of the kinds that are reconciled has a row for each of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import kinds
from vulcan_operator.cluster.kinds import BY_RESOURCE, KINDS
from vulcan_operator.cluster.views import MODELS
from vulcan_operator.plan.core.actions import Kind
from vulcan_operator.reconcile.reconcile import LOOKS


@pytest.mark.parametrize("table", [KINDS, MODELS, LOOKS], ids=["KINDS", "MODELS", "LOOKS"])
def test_a_table_is_total(table: Mapping[Kind, Any]) -> None:
    assert table.keys() == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_the_rows_of_a_kind_agree(kind: Kind) -> None:
    assert MODELS[kind].__name__ == kind.value
    assert KINDS[kind].resource.plural == kind.plural and BY_RESOURCE[KINDS[kind].resource] is kind


def test_every_kind_has_its_definition() -> None:
    assert {kind.name for kind in kinds.KINDS} == {str(kind) for kind in Kind}


def test_the_operator_may_watch_every_kind_and_write_its_status() -> None:
    path = Path(__file__).parents[3] / "deploy" / "rbac.yaml"
    roles = [d for d in yaml.safe_load_all(path.read_text()) if d["kind"] == "ClusterRole"]
    role = next(role for role in roles if role["metadata"]["name"] == "vulcan-operator")
    may = {
        (resource, verb)
        for r in role["rules"]
        for resource in r["resources"]
        for verb in r["verbs"]
    }
    assert may >= {(kind.plural, verb) for kind in Kind for verb in ("get", "list", "watch")}
    assert may >= {(f"{kind.plural}/status", "patch") for kind in Kind}
