"""Soda checks on a real API server, with real Soda, on PostgreSQL."""

from tests.integration.harness import System
from tests.integration.projects import TINY, one

GOOD = "checks for t${schema_suffix}.one:\n  - row_count > 0\n  - max(x) < 2:\n      name: x stays small\n"


def test_a_failing_check_after_an_apply_is_told_until_the_data_is_right(system: System) -> None:
    system.config_map("quality", {"one.yml": GOOD})
    prod = system.environment("prod", TINY, checks={"soda": {"configMapRef": {"name": "quality"}}})
    first = prod.wait_ran(120)
    assert (first["checks"]["checks"], first["checks"]["planId"]) == (2, first["applied"]["planId"])

    system.config_map("project-prod", one("SELECT 7 AS x;"))
    prod.request("plan")
    message = prod.wait_reason("ChecksFailed", seconds=120)
    assert "1 of 2 Soda checks fail; t.one: check x stays small fails" in message
    assert "7" not in message.partition("Next attempt")[0]
    assert system.rows("select x from t.one") == [(7,)]

    system.config_map("project-prod", one("SELECT 1 AS x;"))
    prod.request("plan")
    last = prod.wait(lambda s: s.get("checks", {}).get("planId") == s["applied"]["planId"] != first["applied"]["planId"],
                     "what was applied last is checked", 120)  # fmt: skip
    assert last["checks"]["checks"] == 2
    prod.wait_ready()
