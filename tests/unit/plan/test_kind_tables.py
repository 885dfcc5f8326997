"""Every table of the kinds that are reconciled has a row for each of them."""

from collections.abc import Mapping
from typing import Any

import pytest

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
