"""What a gateway says of those that share it: protected environments with others, and its state with another gateway."""

from typing import Any

from tests import builders
from tests.stories.lives import MINUTE, fresh
from tests.stories.sqlmesh import SqlMesh
from tests.world import SETTINGS
from vulcan_contract.reasons import Reason
from vulcan_operator.plan.core.seen import JobState

PROD = {"environments": ["prod"], "protected": True, "minimum": {"approval": {"mode": "Never"}}}


def shared(sqlmesh: SqlMesh) -> str:
    """What condition CredentialsShared says, if it is there."""
    conditions: list[dict[str, Any]] = sqlmesh.world.raw("vgw/warehouse")["status"]["conditions"]
    return next((f"{c['status']} {c['message']}" for c in conditions if c["type"] == "CredentialsShared"), "")


def test_a_protected_environment_that_shares_credentials_shows_and_ceases_to() -> None:
    sqlmesh = fresh(builders.environment())
    sqlmesh.world.change("vgw/warehouse", grants=[PROD, {"environments": ["dev*"]}])
    sqlmesh.work()
    assert sqlmesh.world.environment("venv/prod").status.protected
    assert not shared(sqlmesh)
    sqlmesh.world.apply(builders.environment("dev")).settle()
    assert shared(sqlmesh).startswith("True protected prod shares credentials with unprotected dev:")
    sqlmesh.world.apply(builders.environment("dev2")).settle()
    assert "unprotected dev, dev2:" in shared(sqlmesh)
    sqlmesh.world.change("vgw/warehouse", grants=[PROD, {"environments": ["dev*"], "protected": True}])
    sqlmesh.work()
    assert not shared(sqlmesh)


def test_it_is_no_write_each_time_something_happens() -> None:
    sqlmesh = fresh(builders.environment(), builders.environment("dev"))
    sqlmesh.world.change("vgw/warehouse", grants=[PROD, {"environments": ["dev*"]}])
    sqlmesh.work()
    assert shared(sqlmesh)
    before = sqlmesh.world.kube.writes.count("apply-vulcangateways/status")
    sqlmesh.world.resync().settle()
    assert sqlmesh.world.kube.writes.count("apply-vulcangateways/status") == before


def test_a_takeover_has_the_former_owner_probed_which_then_says_so() -> None:
    sqlmesh = fresh()
    owner = f"{SETTINGS.cluster}/data/warehouse"
    sqlmesh.world.advance(MINUTE)
    sqlmesh.world.apply(builders.gateway("another", takeover=owner)).settle()
    (probe,) = sqlmesh.world.jobs("probe", state=JobState.UNFINISHED)
    sqlmesh.do(probe)
    sqlmesh.fails["probe"] = [builders.failed("probe", Reason.STATE_OWNERSHIP, "it belongs to another")]
    sqlmesh.work()
    assert sqlmesh.world.says("vgw/another")["Ready"] == "True/Ready"
    assert sqlmesh.world.says("vgw/warehouse")["Ready"] == f"False/{Reason.STATE_OWNERSHIP}"
    probes = len(sqlmesh.world.jobs("probe"))
    sqlmesh.live(60 * MINUTE)
    assert len(sqlmesh.world.jobs("probe")) == probes


def test_a_takeover_from_another_cluster_concerns_nobody_here() -> None:
    sqlmesh = fresh()
    before = len(sqlmesh.world.jobs("probe"))
    sqlmesh.world.advance(MINUTE)
    sqlmesh.world.apply(builders.gateway("another", takeover="elsewhere/data/warehouse")).settle()
    sqlmesh.work()
    assert len(sqlmesh.world.jobs("probe")) == before + 1


def test_two_that_name_each_other_do_not_take_turns() -> None:
    sqlmesh = fresh(builders.gateway("another", takeover=f"{SETTINGS.cluster}/data/warehouse"))
    sqlmesh.work()
    sqlmesh.world.change("vgw/warehouse", takeover=f"{SETTINGS.cluster}/data/another")
    before = len(sqlmesh.world.jobs("probe"))
    sqlmesh.live(60 * MINUTE)
    assert len(sqlmesh.world.jobs("probe")) <= before + 1
