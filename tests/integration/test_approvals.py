"""Who may let which plan through, and for how long a word holds. One gateway; prod is protected."""

import pytest

from tests.integration import outsider
from tests.integration.conftest import Systems
from tests.integration.harness import System, Thing
from tests.integration.projects import TINY, one

TWO, THREE = one("SELECT 2 AS x;"), one("SELECT 3 AS x;")
MANY = {**TINY, **{f"models/m{i}.sql": f"MODEL (name t.m{i}, kind FULL);\nSELECT {i} AS x;\n" for i in range(4)}}
OTHER_DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def company(module_systems: Systems) -> System:
    """prod waits for approval; `moved` and `shrinking` branch from it."""
    system = module_systems("approvals").up(
        grants=[{"environments": ["prod"], "protected": True}, {"environments": ["*"]}]
    )
    system.environment("prod", TINY, approval="Always", schedule={"mode": "Manual"})
    return system


@pytest.fixture
def begun(company: System) -> System:
    """prod has something; the first test did that, unless it was left out."""
    prod = company.existing("prod")
    if "applied" not in prod.status():
        prod.approve("alice", prod.wait_plan(120))
    prod.wait(lambda s: s.get("applied"), "prod exists", 120)
    return company


def change(environment: Thing, files: dict[str, str]) -> None:
    """Another content of the project's ConfigMap, and a word that it should be looked at."""
    environment.system.config_map(f"project-{environment.name}", files)
    environment.request("plan")


def next_plan(environment: Thing, *former: str) -> str:
    """The digest of a plan that waits and is none of the former ones."""
    environment.wait(
        lambda s: s.get("plan", {}).get("digest", "") not in (*former, "") and s["plan"]["state"] == "Pending",
        "another plan", 90,
    )  # fmt: skip
    return environment.wait_plan()


def test_only_the_right_word_of_the_right_person_counts(company: System) -> None:
    prod = company.existing("prod")
    digest = prod.wait_plan(120)
    message = prod.message()
    assert digest in message and "kubectl patch vulcanenvironment" in message
    assert prod.conditions()["AwaitingApproval"]["status"] == "True"

    assert 'user "bob" needs verb approve' in prod.refused("bob", digest)
    assert 'must be the requesting user "alice"' in prod.refused("alice", digest, by="bob")
    assert 'must be the requesting user "bob"' in prod.refused("bob", digest, by="alice")
    assert (prod.get() or {})["spec"].get("approvals", []) == []

    prod.approve("alice", OTHER_DIGEST)  # for some plan, but not this one
    prod.stage.throughout(lambda: prod.reason() == "AwaitingApproval", "it goes on waiting", 2)
    assert prod.jobs("apply") == []

    prod.wait(lambda s: "/spec/approvals/-" in prod.message(), "the command fits the list that is there now", 10)
    prod.run_approve_command("alice")
    status = prod.wait_ready(90)
    assert status["applied"]["approvedBy"] == ["alice"]
    assert status["applied"]["planDigest"] == digest
    assert company.rows("select x from t.one") == [(1,)]


def test_an_old_word_does_not_count_after_going_on_and_back(begun: System) -> None:
    company, prod = begun, begun.existing("prod")
    first = prod.wait_ready(90)["applied"]["planDigest"]
    change(prod, TWO)
    second = next_plan(prod, first)
    prod.approve("alice", second)
    prod.wait(lambda s: s.get("applied", {}).get("planDigest") == second, "the second is applied", 90)
    assert company.rows("select x from t.one") == [(2,)]

    change(prod, TINY)  # as it was when alice approved the first plan; both of her words may still be in the spec
    third = next_plan(prod, first, second)
    prod.stage.throughout(lambda: prod.reason() == "AwaitingApproval", "it asks again", 2)
    assert company.rows("select x from t.one") == [(2,)]
    prod.approve("alice", third, decision="Reject", comment='it\'s "no"\n💥 %s')
    assert 'it\'s "no"' in prod.wait_reason("PlanRejectedByHuman", seconds=30)
    assert len(prod.jobs("apply")) == 2


def test_a_change_from_outside_between_word_and_apply(begun: System) -> None:
    company = begun
    moved = company.environment("moved", THREE, approval="Always")
    digest = moved.wait_plan(90)
    outsider.plan(company, "moved", one("SELECT 4 AS x;"))
    moved.run_approve_command("alice")
    again = next_plan(moved, digest)
    assert "PlanChanged" in {e["reason"] for e in moved.events()}
    assert company.rows("select x from t__moved.one") == [(4,)], "nothing of the approved plan was applied"
    moved.approve("alice", again)
    moved.wait_ready(90)
    assert company.rows("select x from t__moved.one") == [(3,)]


def test_removing_most_models_needs_somebody_whatever_the_mode(begun: System) -> None:
    company = begun
    shrinking = company.environment("shrinking", MANY)
    shrinking.wait_ready(120)
    change(shrinking, TINY)
    digest = next_plan(shrinking)
    assert "maxRemovedPercent: 80" in shrinking.message()
    assert shrinking.status()["plan"]["summary"]["removed"] == 4
    assert company.rows("select x from t__shrinking.m3") == [(3,)], "nothing is removed yet"
    shrinking.approve("alice", digest)
    shrinking.wait_ready(90)
    views = "select count(*) from information_schema.views where table_schema = 't__shrinking'"
    assert company.rows(views) == [(1,)]


def test_who_created_it_does_not_approve_it(begun: System) -> None:
    company = begun
    policy = {"approval": {"mode": "Always", "excludeAuthor": True}}
    reviewed = company.environment("reviewed", TWO, user="admin", plan=policy)
    digest = reviewed.wait_plan(90)
    reviewed.approve("admin", digest)
    reviewed.wait(lambda s: "by others than admin, who created it" in reviewed.message(), "it says who is asked", 10)
    reviewed.stage.throughout(lambda: reviewed.reason() == "AwaitingApproval", "it goes on waiting", 2)
    assert reviewed.jobs("apply") == []
    reviewed.run_approve_command("alice")
    assert reviewed.wait_ready(90)["applied"]["approvedBy"] == ["alice"]
