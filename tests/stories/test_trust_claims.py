"""What a plan's Job claims, and what happens around an approval: images of Jobs without a decision of their own, reports
that come back, votes that are withdrawn, names that are protected, statuses that are lost."""

import copy
from typing import Any

import pytest

from tests import builders
from tests.stories.lives import ALWAYS, DAY, HOUR, MINUTE, edit, fresh, managed
from tests.stories.promotions import ACROSS, moved, outcome, promote, steps, two
from tests.stories.sqlmesh import SqlMesh
from tests.stories.test_reports import plan_with_report, reports
from tests.stories.test_trust import NEVER, PROTECTED, exchange
from tests.world import NODE_DIGEST
from vulcan_contract.reasons import Reason
from vulcan_operator.kube.resources import CONFIG_MAPS, JOBS

OPEN = {"image": "runner:1", "allowedImages": ["*"]}
A, B = (f"reg/project@sha256:{digit * 64}" for digit in "ab")


def image(sqlmesh: SqlMesh, job: str) -> str:
    """What the Job of a task runs."""
    found = sqlmesh.world.job(job)
    raw = sqlmesh.world.kube.objects[JOBS.plural, found.namespace, found.name]
    text: str = raw["spec"]["template"]["spec"]["containers"][0]["image"]
    return text


def applied(sqlmesh: SqlMesh) -> dict[str, Any]:
    found: dict[str, Any] = sqlmesh.world.raw("venv/prod")["status"]["applied"]
    return found


def open_gateway(**spec: Any) -> dict[str, Any]:
    return builders.gateway(grants=[PROTECTED, {"environments": ["staging"]}], runner=OPEN, **spec)


def approved(**spec: Any) -> SqlMesh:
    """prod, which alice has approved, on a gateway that allows every image."""
    sqlmesh = fresh(open_gateway(), builders.environment(**spec)).work()
    sqlmesh.world.approve("venv/prod", by="alice")
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod")["Ready"] == "True/Ready"
    return sqlmesh


def approved_by_promotion() -> SqlMesh:
    """The same by a promotion from staging."""
    sqlmesh = managed()
    sqlmesh.world.apply(open_gateway()).settle()
    promote(sqlmesh.work())
    sqlmesh.world.approve("vpromo/to-prod", by="alice")
    assert outcome(sqlmesh.work()) == "Succeeded"
    return sqlmesh


@pytest.mark.parametrize("files", ["the same files", "other files"])
def test_an_image_that_an_author_names_runs_only_after_an_approval(files: str) -> None:
    sqlmesh = approved(runner={"image": "good:1"})
    assert applied(sqlmesh)["image"] == f"good@{NODE_DIGEST}"
    sqlmesh.world.change("venv/prod", runner={"image": "evil:1"}).settle()
    if files == "other files":
        edit(sqlmesh.world, "two")
    sqlmesh.work("plan")
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval"
    sqlmesh.world.annotate("venv/prod", run_requested_at="now").settle()
    assert image(sqlmesh, "run") == f"good@{NODE_DIGEST}"
    sqlmesh.work()
    sqlmesh.world.approve("venv/prod", by="alice").settle()
    assert image(sqlmesh, "apply") == f"evil@{NODE_DIGEST}"
    sqlmesh.work("apply")
    assert image(sqlmesh, "run") == f"evil@{NODE_DIGEST}" == applied(sqlmesh)["image"]


def test_another_project_image_runs_only_after_an_approval() -> None:
    sqlmesh = approved(project={"configMap": None, "image": A})
    sqlmesh.world.change("venv/prod", project={"image": B}).settle()
    sqlmesh.work("plan")
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval"
    sqlmesh.world.annotate("venv/prod", run_requested_at="now").settle()
    assert image(sqlmesh, "run") == A


def test_the_gateways_own_image_needs_no_approval() -> None:
    sqlmesh = approved()
    sqlmesh.world.change("vgw/warehouse", runner={"image": "runner:2"}).settle()
    sqlmesh.work("probe", "plan")
    assert sqlmesh.world.says("venv/prod")["Ready"] == "True/Ready"
    sqlmesh.world.annotate("venv/prod", run_requested_at="now").settle()
    assert image(sqlmesh, "run") == "runner:2"


def test_a_rollback_runs_in_the_image_that_was_applied() -> None:
    sqlmesh = approved_by_promotion()
    sqlmesh.world.change("venv/prod", runner={"image": "evil:1"}).settle()
    sqlmesh.work().world.apply(builders.promotion("back", **{"from": None, "rollbackTo": {"promotion": "to-prod"}}))
    sqlmesh.world.settle()
    assert image(sqlmesh, "rollback") == f"runner@{NODE_DIGEST}"


def test_a_report_that_was_exchanged_and_put_back_is_not_believed_again() -> None:
    sqlmesh = fresh(builders.environment(plan=ALWAYS))
    plan_with_report(sqlmesh)
    (name,) = reports(sqlmesh)
    real = copy.deepcopy(sqlmesh.world.kube.objects["configmaps", "data", name])
    exchange(sqlmesh, name)
    sqlmesh.world.approve("venv/prod").settle()
    sqlmesh.world.kube.remove(CONFIG_MAPS, "data", name)
    again = {"metadata": {"name": name, "namespace": "data"}, "binaryData": real["binaryData"]}
    sqlmesh.world.kube.put(CONFIG_MAPS, again)
    sqlmesh.world.advance(10 * MINUTE)
    assert sqlmesh.world.jobs("apply") == []
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/ReportTampered"


def test_files_that_a_promotion_claims_to_be_there_are_approved_by_nobody() -> None:
    sqlmesh = approved_by_promotion()
    had = applied(sqlmesh)
    moved(sqlmesh)
    sqlmesh.fails["plan"] = [builders.planned(base=had["planId"], changes=False)]
    assert outcome(promote(sqlmesh, "two"), "two") == "Succeeded"
    now = applied(sqlmesh)
    assert now["sourceDigest"] != had["sourceDigest"] and now["planId"] == had["planId"] and now["approvedBy"] == []


def test_a_promotion_is_not_told_by_a_job_which_plan_its_target_has() -> None:
    sqlmesh = approved_by_promotion()
    had = applied(sqlmesh)
    moved(sqlmesh)
    sqlmesh.fails["plan"] = [builders.planned(base="forged", changes=False)]
    assert outcome(promote(sqlmesh, "two"), "two") == "Failed"
    assert applied(sqlmesh) == had


def test_after_a_withdrawal_everything_is_asked_again() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(open_gateway()).settle()
    sqlmesh.work().world.change("vgw/warehouse", freeze={"reason": "x"}).settle()
    sqlmesh.world.apply(builders.promotion()).settle()
    plan_with_report(sqlmesh)
    sqlmesh.work().world.approve("vpromo/to-prod", by="alice")
    assert steps(sqlmesh.work())["Approval"] == "Succeeded"
    sqlmesh.world.change("vpromo/to-prod", approvals=[]).settle()
    assert steps(sqlmesh)["Approval"] == "Waiting"
    (name,) = [report for report in reports(sqlmesh) if report.startswith("to-prod")]
    exchange(sqlmesh, name)
    sqlmesh.world.change("vgw/warehouse", freeze=None).settle()
    sqlmesh.world.approve("vpromo/to-prod", by="bob")
    sqlmesh.work()
    assert sqlmesh.world.says("vpromo/to-prod")["Ready"] == "False/ReportTampered"
    sqlmesh.world.kube.remove(CONFIG_MAPS, "data", name)
    sqlmesh.world.advance(MINUTE)
    sqlmesh.work().world.approve("vpromo/to-prod", by="bob")
    assert outcome(sqlmesh.work()) == "Succeeded" and applied(sqlmesh)["approvedBy"] == ["bob"]


def test_the_targets_grant_judges_the_image_that_a_promotion_brings() -> None:
    sqlmesh = two(floor={"runnerImages": ["registry.acme.com/*"], "approval": {"mode": "Never"}})
    own = {"image": "registry.acme.com/runner:1", "allowedImages": ["*"]}
    sqlmesh.world.change("vgw/live/production", runner=own).change("vgw/warehouse", runner=OPEN).settle()
    sqlmesh.work().world.change("venv/staging", project={"configMap": None, "image": A}).settle()
    sqlmesh.work().world.apply(builders.promotion(**ACROSS)).settle()
    sqlmesh.work()
    assert outcome(sqlmesh) == "Failed"
    assert "minimum.runnerImages" in sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message
    assert [job for job in sqlmesh.world.jobs() if job.namespace == "live" and job.owner_name == "to-prod"] == []


def test_an_approval_does_not_count_again_after_the_status_was_lost() -> None:
    sqlmesh = fresh(builders.environment(plan=ALWAYS)).work()
    for text in ("two", None):
        sqlmesh.world.approve("venv/prod")
        sqlmesh.work()
        sqlmesh.world.apply(builders.config_map()).resync().settle() if text is None else edit(sqlmesh.world, text)
        sqlmesh.work()
    applies = sqlmesh.done.count("apply warehouse/prod")
    sqlmesh.world.raw("venv/prod").pop("status")
    sqlmesh.targets.clear()  # the code that was approved first claims now what it claimed then
    sqlmesh.plan_ids.clear()
    sqlmesh.world.advance(MINUTE).restart().settle()
    sqlmesh.work()
    assert sqlmesh.world.raw("venv/prod")["status"]["plan"]["number"] == 1
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval"
    assert sqlmesh.done.count("apply warehouse/prod") == applies


def test_a_protected_name_is_protected_from_every_namespace() -> None:
    gateway = builders.gateway(grants=[PROTECTED, {"namespaces": {"from": "All"}, "environments": ["*"]}])
    other = builders.environment("prod", "other", gatewayRef={"name": "warehouse", "namespace": "data"}, plan=NEVER)
    sqlmesh = fresh(gateway, builders.config_map("project", "other"), other).work()
    assert sqlmesh.world.says("venv/other/prod")["Ready"] == "False/AwaitingApproval"


def test_protection_does_not_go_with_a_label() -> None:
    gold = {"from": "Selector", "selector": {"matchLabels": {"tier": "gold"}}}
    sqlmesh = fresh(builders.gateway(grants=[{**PROTECTED, "namespaces": gold}, {"environments": ["*"]}]))
    sqlmesh.world.namespace("data", tier="gold").apply(builders.environment(plan=NEVER)).settle()
    sqlmesh.work().world.namespace("data").advance(DAY / 72).resync().settle()
    assert sqlmesh.work().world.says("venv/prod")["Ready"] == "False/AwaitingApproval"


def test_without_its_gateway_nothing_new_is_decided_on_a_plan() -> None:
    sqlmesh = fresh(builders.gateway(grants=[PROTECTED]), builders.environment(plan=NEVER)).work()
    before = sqlmesh.world.raw("venv/prod")["status"]["plan"]
    sqlmesh.world.delete("vgw/warehouse").settle()
    assert sqlmesh.world.raw("venv/prod")["status"]["plan"] == before


@pytest.mark.parametrize("reason", [Reason.UNFINALIZED, Reason.ENVIRONMENT_NOT_FOUND])
def test_a_run_that_says_gone_and_a_plan_that_says_there_do_not_loop(reason: Reason) -> None:
    sqlmesh = fresh(builders.environment(retry={"limit": 3, "backoff": "1m", "maxBackoff": "1h"})).work()
    sqlmesh.fails["run"] = [builders.failed("run", reason, "x")] * 100
    sqlmesh.world.clock.advance(13 * HOUR)
    sqlmesh.world.resync().settle()
    before = len(sqlmesh.world.kube.writes)
    sqlmesh.live(HOUR)
    assert 100 - len(sqlmesh.fails["run"]) <= 6
    assert sqlmesh.world.says("venv/prod")["Ready"].startswith("False/")
    assert len(sqlmesh.world.kube.writes) - before < 200
    sqlmesh.fails.clear()
    sqlmesh.world.annotate("venv/prod", run_requested_at="now")
    assert sqlmesh.work().world.says("venv/prod")["Ready"] == "True/Ready"


def test_files_of_which_only_some_models_are_looked_at_are_not_what_is_applied() -> None:
    sqlmesh = fresh(builders.environment()).work()
    had = applied(sqlmesh)
    sqlmesh.fails["plan"] = [builders.planned(base=had["planId"], changes=False)]
    sqlmesh.world.change("venv/prod", plan={"selectModels": ["s.unchanged"]})
    edit(sqlmesh.world, "others")
    sqlmesh.work()
    now = applied(sqlmesh)
    assert (now["sourceDigest"], now["revision"]) == (had["sourceDigest"], had["revision"])
    assert now["inputs"] != had["inputs"]
