"""No spec that an editor of environments can write is larger than 64 KB, and those of earlier releases are still read."""

from typing import Any

import pytest

from tests import builders, worst
from vulcan_operator.cluster import views
from vulcan_operator.cluster.views import MOST_CHARACTERS, Unparsable
from vulcan_operator.plan.core.actions import Kind


@pytest.mark.parametrize("plural", ["vulcanenvironments", "vulcanpromotions"])
def test_no_valid_spec_is_larger(plural: str) -> None:
    assert worst.ceiling(worst.spec_of(plural)) <= worst.MOST < MOST_CHARACTERS


@pytest.mark.parametrize(
    ("plural", "spec"),
    [
        ("vulcanenvironments", worst.environment()),
        ("vulcanenvironments", worst.environment(promoted=True)),
        ("vulcanpromotions", worst.promotion()),
    ],
    ids=["environment", "promoted", "promotion"],
)
def test_the_largest_that_tests_use_are_near_to_it(plural: str, spec: dict[str, Any]) -> None:
    ceiling = worst.ceiling(worst.spec_of(plural))
    assert 0.75 * ceiling < worst.measured(spec) <= ceiling


OLD: dict[str, Any] = {
    "operations": [{"id": f"o{number}", "models": ["m"] * 200} for number in range(32)],
    "plan": {"selectModels": ["m" * 400] * 256, "categories": {f"m{n}": "Breaking" for n in range(256)}},
    "project": {"configMap": {"name": "c", "items": [{"key": f"k{n}", "path": f"p{n}"} for n in range(256)]}},
}


@pytest.mark.parametrize("field", OLD)
def test_what_an_earlier_release_let_in_is_read(field: str) -> None:
    raw = builders.environment("prod", **{field: OLD[field]})
    raw["metadata"]["uid"] = "u"
    assert not isinstance(views.custom(Kind.ENVIRONMENT, raw), Unparsable)


@pytest.mark.parametrize("rule", ["FREQ=DAILY;INTERVAL=99999", "FREQ=MONTHLY;BYDAY=" + ",".join(["-1FR"] * 40)])
def test_rules_that_an_earlier_release_let_in_are_read(rule: str) -> None:
    window = {"name": "w", "kind": "Deny", "rrule": rule, "start": "2026-11-27T22:00", "duration": "1h"}
    raw = builders.environment("prod", revisionFrom="Promotion", project=None, promotionWindows=[window])
    raw["metadata"]["uid"] = "u"
    assert not isinstance(views.custom(Kind.ENVIRONMENT, raw), Unparsable)
