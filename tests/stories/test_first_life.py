"""From `kubectl apply` to fresh data."""

from tests import builders
from tests.stories.lives import alive, edit, fresh
from tests.stories.sqlmesh import SqlMesh
from tests.world import World
from vulcan_contract.digest import of_files
from vulcan_operator.kube.resources import CONFIG_MAPS


def test_an_environment_is_planned_applied_run_and_fresh() -> None:
    sqlmesh = fresh(builders.environment())
    sqlmesh.work()
    assert sqlmesh.done == ["apply warehouse/prod", "run warehouse/prod"]
    assert sqlmesh.world.says("venv/prod") == {
        "Ready": "True/Ready", "Reconciling": "False/Ready", "Stalled": "False/Ready", "Applied": "True/UpToDate",
        "AwaitingApproval": "False/NotNeeded", "RunSucceeded": "True/Succeeded", "Fresh": "True/UpToDate",
        "Drifted": "False/InSync",
    }  # fmt: skip


def test_every_step_is_told_while_it_goes_on() -> None:
    world = World().apply(builders.gateway(), builders.config_map(), builders.environment()).settle()
    told = [world.says("venv/prod")["Ready"]]
    for task, result in [("probe", builders.probed()), ("plan", builders.planned()), ("apply", builders.applied())]:
        told.append(world.finish_job(task, result).settle().says("venv/prod")["Ready"])
    assert told == ["False/GatewayNotReady", "False/Planning", "False/Applying", "True/Ready"]


def test_a_whole_life_takes_three_status_writes_for_each_task() -> None:
    sqlmesh = fresh()
    sqlmesh.world.kube.writes.clear()
    sqlmesh.world.apply(builders.environment())
    sqlmesh.work()
    # Announced, seen, recorded; what is recorded announces the next.
    assert sqlmesh.world.kube.writes.count("apply-vulcanenvironments/status") == 2 * 3 + 1
    assert sqlmesh.world.kube.writes.count("create-jobs") == 3


def test_a_git_branch_is_resolved_to_a_commit_that_is_planned_and_applied() -> None:
    git = {"url": "https://git.acme.com/analytics.git", "ref": "main"}
    sqlmesh = fresh(builders.environment(project={"git": git, "configMap": None}))
    sqlmesh.refs["main"] = "c" * 40
    sqlmesh.work()
    status = sqlmesh.world.environment().status
    assert [j.task for j in sqlmesh.world.jobs()] == ["probe", "resolve", "plan", "apply", "run"]
    assert (status.applied.revision, status.applied.source_digest) == ("c" * 40, status.revision.digest)  # type: ignore[union-attr]


def test_a_full_commit_needs_no_resolving_but_another_path_is_another_source() -> None:
    git = {"url": "https://git.acme.com/analytics.git", "ref": "d" * 40}
    sqlmesh = fresh(builders.environment(project={"git": git, "configMap": None})).work()
    assert "resolve" not in [j.task for j in sqlmesh.world.jobs()]
    sqlmesh.world.change("venv/prod", project={"git": {"path": "other"}})
    sqlmesh.work()
    assert sqlmesh.done.count("apply warehouse/prod") == 2


def test_a_config_map_is_copied_beside_its_jobs_and_old_copies_go_when_a_newer_source_is_applied() -> None:
    sqlmesh = alive(plan={"approval": {"mode": "Always"}})
    first = _copies(sqlmesh)
    edit(sqlmesh.world, "two")
    sqlmesh.work()
    assert len(first) == 1 and len(_copies(sqlmesh)) == 2
    sqlmesh.world.approve("venv/prod")
    sqlmesh.work()
    assert len(_copies(sqlmesh)) == 1 and _copies(sqlmesh) != first


def test_a_source_that_was_never_applied_leaves_no_copy() -> None:
    sqlmesh = alive(plan={"approval": {"mode": "Always"}})
    first = _copies(sqlmesh)
    for text in ("two", "three"):
        edit(sqlmesh.world, text)
        sqlmesh.work()
    assert len(_copies(sqlmesh)) == 2 and set(first) < set(_copies(sqlmesh))


def test_the_status_names_the_digest_that_the_runner_computes_too() -> None:
    sqlmesh = alive()
    files = {k.replace("__", "/"): v.encode() for k, v in builders.PROJECT.items()}
    assert sqlmesh.world.environment().status.applied.source_digest == of_files(files)  # type: ignore[union-attr]


def test_a_missing_config_map_or_key_is_named_and_then_it_goes_on() -> None:
    source = {"configMap": {"name": "later", "items": [{"key": "a", "path": "models/a.sql"}]}}
    sqlmesh = fresh(builders.environment(project=source))
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/ConfigMapNotFound"
    sqlmesh.world.apply(builders.config_map("later", b="x")).resync().settle()
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/ConfigMapNotFound"
    sqlmesh.world.apply(builders.config_map("later", a="x")).resync()
    assert sqlmesh.work().done == ["apply warehouse/prod", "run warehouse/prod"]


def test_other_environments_wait_for_prod_while_somebody_makes_it() -> None:
    dev = builders.environment("dev")
    sqlmesh = fresh(dev, builders.environment())
    assert sqlmesh.world.says("venv/dev")["Ready"] == "False/ReferenceMissing"
    sqlmesh.work()
    assert sqlmesh.done.index("apply warehouse/prod") < sqlmesh.done.index("apply warehouse/dev")
    assert sqlmesh.world.says("venv/dev")["Ready"] == "True/Ready"


def _copies(sqlmesh: SqlMesh) -> list[str]:
    names = [c["metadata"]["name"] for c in sqlmesh.world.kube.all(CONFIG_MAPS)]
    return [name for name in names if "-source-" in name]
