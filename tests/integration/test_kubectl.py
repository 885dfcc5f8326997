"""What people see with kubectl: columns, explanations, events."""

import pytest

from tests.integration.harness import Stage, System
from tests.integration.projects import TINY

COLUMNS = ["NAME", "READY", "ENV", "GATEWAY", "REVISION", "PLAN", "LAST-RUN", "NEXT-RUN", "BEHIND", "AGE"]


def test_columns_and_events(system: System) -> None:
    prod = system.environment("my-team", TINY, environment="prod")
    prod.wait_ran(120)
    show = system.stage.kubectl
    header, row = show("get", "venv", "-n", system.namespace).splitlines()
    assert header.split() == COLUMNS
    assert row.split()[:6] == ["my-team", "True", "prod", "system", "project-my-team", "Applied"]
    assert "<invalid>" not in row
    wide = show("get", "venv", "-n", system.namespace, "-o", "wide")
    assert "MESSAGE" in wide and "is applied" in wide
    gateways = show("get", "vgw", "-n", system.namespace)
    assert gateways.splitlines()[1].split()[:2] == ["system", "True"]
    described = show("describe", "venv", "my-team", "-n", system.namespace)
    assert "Succeeded" in described.partition("Events:")[2]
    jobs = show("get", "jobs", "-n", system.namespace, "-l", "vulcan.dev/owner-name=my-team")
    assert len(jobs.splitlines()) == 4, "plan, apply, run"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("vulcangateway.spec.connection", "SQLMesh"),
        ("vulcanenvironment.spec.plan.approval", "need approval"),
        ("vulcanenvironment.status.plan", "approval"),
        ("venv.spec.schedule", "Cron"),
        ("vulcanpromotion.spec", "from"),
    ],
)
def test_explain(stage: Stage, path: str, words: str) -> None:
    assert words in stage.kubectl("explain", path)
