"""Who may not use a gateway is not woken by what others claim there: a thousand of them would wake each other."""

from typing import Any

from tests.builders import environment
from tests.unit.shell.test_cache import PROD, WAREHOUSE, Town, stored
from vulcan_operator.kube.resources import ENVIRONMENTS
from vulcan_operator.plan.core.actions import Key, Kind

REFUSED = {
    "conditions": [
        {"type": "Ready", "status": "False", "reason": "NotGranted", "lastTransitionTime": "2026-11-22T12:00:00Z"}
    ]
}


def claim(number: int, version: int, **status: Any) -> dict[str, Any]:
    return stored(environment(f"x{number}", environment="prod"), version, **status)


def test_those_who_were_refused_sleep_on() -> None:
    town = Town()
    town.woken_by(ENVIRONMENTS, stored(environment("prod"), 1))
    for number in range(5):
        town.woken_by(ENVIRONMENTS, claim(number, 10 + number))
        town.woken_by(ENVIRONMENTS, claim(number, 20 + number, **REFUSED))
    another = Key(Kind.ENVIRONMENT, "data", "x9")
    assert town.woken_by(ENVIRONMENTS, claim(9, 30)) - {WAREHOUSE} == {another, PROD}
    pending = Key(Kind.ENVIRONMENT, "data", "x8")
    assert town.woken_by(ENVIRONMENTS, claim(8, 31)) - {WAREHOUSE} == {pending, another, PROD}
    assert town.woken_by(ENVIRONMENTS, claim(9, 32, **REFUSED)) - {WAREHOUSE} == {another, pending, PROD}
