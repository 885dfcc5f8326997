"""The table of who may change what: complete, without rows for nothing, and the CRDs agree where they can."""

from collections.abc import Iterator
from typing import Any

import pytest

from tools import crdgen, crdlint
from tools.kinds import KINDS
from vulcan_operator.api.changes import CHANGES, Change

SPECS: dict[str, Any] = {kind.name: crdgen.root_schema(kind)["properties"]["spec"] for kind in KINDS}

WHOLE = {
    "connection", "stateConnection", "planning", "additionalConnections", "gitCredentials", "grants",
    "runner.env", "runner.volumes", "operations", "approvals", "promotionWindows",
}  # fmt: skip
"""Rows that policies compare as a whole: with ==, or item by item."""


def fields(kind: str) -> set[str]:
    """Paths of a spec with nothing below them; of what is free inside only the whole."""
    found = {path for path, node in crdlint.walk(SPECS[kind], "") if path and not is_option(path)}
    return {path[1:] for path in found if not any(other.startswith((f"{path}.", f"{path}[")) for other in found)}


def is_option(path: str) -> bool:
    """Options of connections are a free map; the schema only names what is refused there."""
    return ".options." in path


def rows_of(kind: str, field: str) -> Iterator[str]:
    """The rows that cover a field, the most particular first."""
    return iter(sorted((row for row in CHANGES[kind] if covers(row, field)), key=len, reverse=True))


def covers(row: str, field: str) -> bool:
    return field == row or field.startswith((f"{row}.", f"{row}["))


def test_every_kind_has_its_table() -> None:
    assert CHANGES.keys() == SPECS.keys()


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind in SPECS for field in sorted(fields(kind))])
def test_every_field_is_free_a_rule_or_immutable(kind: str, field: str) -> None:
    row = next(rows_of(kind, field), None)
    assert row is not None, (
        f"{field} is new: list it in api/changes.py, and what is a rule in deploy/policies.yaml, too"
    )
    assert CHANGES[kind][row] is not Change.FREE or row == field, f"{field} is not free because {row} is: list it"


@pytest.mark.parametrize("kind", SPECS)
def test_a_rule_for_several_fields_is_one_that_a_policy_compares_as_a_whole(kind: str) -> None:
    """Otherwise a new field below it would look covered, and no policy would look at it."""
    for row, change in CHANGES[kind].items():
        below = [field for field in fields(kind) if next(rows_of(kind, field), None) == row]
        assert change is not Change.RULE or len(below) == 1 or row in WHOLE, row


@pytest.mark.parametrize("field", ["plan.approval.new", "plan.new", "runner.new", "new", "promotionHistory.new"])
def test_a_field_that_is_new_has_no_row(field: str) -> None:
    for kind in ("VulcanGateway", "VulcanEnvironment"):
        assert next(rows_of(kind, field), None) is None


@pytest.mark.parametrize("kind", SPECS)
def test_no_row_is_about_nothing(kind: str) -> None:
    for row in CHANGES[kind]:
        covered = [field for field in fields(kind) if next(rows_of(kind, field), None) == row]
        assert covered, f"{row}: no field has this row"


@pytest.mark.parametrize("kind", SPECS)
def test_the_crd_keeps_what_is_immutable(kind: str) -> None:
    said = [rule["message"] for rule in SPECS[kind]["x-kubernetes-validations"]]
    found = {message.partition(" is immutable: ")[0] for message in said if " is immutable: " in message}
    assert found == {row for row, change in CHANGES[kind].items() if change is Change.IMMUTABLE}
