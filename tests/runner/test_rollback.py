"""What an environment can have again by a view swap, and until when: told by every task that has looked."""

import dataclasses
import datetime as dt
import subprocess

from tests.runner import projects
from tests.runner.system import ROOT, RUNNER, Ended, System
from tests.runner.test_promote import back, plan_id
from vulcan_contract.reasons import Reason
from vulcan_contract.result import RollbackOption
from vulcan_contract.task import TaskKind

WEEK = dt.timedelta(days=7)  # SQLMesh's snapshot_ttl
JANITOR = """
import sys
from sqlmesh import Context
from sqlmesh.core.config import Config, DuckDBConnectionConfig, GatewayConfig, ModelDefaultsConfig
warehouse, state = (DuckDBConnectionConfig(database=path) for path in sys.argv[1:])
gateway = GatewayConfig(connection=warehouse, state_connection=state)
config = Config(gateways={"main": gateway}, model_defaults=ModelDefaultsConfig(dialect="duckdb"))
assert Context(paths=["/nonexistent"], config=config, load=False).run_janitor(ignore_ttl=False)
"""


def changed(number: int) -> dict[str, str]:
    """Another revision of the project."""
    return {"models/days.sql": projects.DAYS.replace("1 AS n", f"{number} AS n")}


def deployed(system: System, number: int, environment: str = "prod") -> str:
    """A revision is applied; its plan id."""
    system.write(changed(number))
    system.deploy(environment)
    return plan_id(system, environment)


def options(ended: Ended) -> list[RollbackOption]:
    """What it tells; it must have looked."""
    assert ended.result.work is not None and ended.result.work.rollback is not None, ended.result
    return list(ended.result.work.rollback)


def clean(system: System) -> None:
    """SQLMesh's own janitor, as somebody runs it beside the operator."""
    paths = [str(system.gateway.connection.options["database"])]
    assert system.gateway.state_connection is not None
    paths += [str(system.gateway.state_connection.options["database"])]
    done = subprocess.run([str(RUNNER), "-c", JANITOR, *paths], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def aged(system: System, days: int) -> None:
    """All snapshots were touched so long before."""
    system.query_state(f"update sqlmesh._snapshots set updated_ts = updated_ts - {days * 86_400_000}")


def test_earlier_revisions_newest_first_and_when_the_janitor_may_take_them(anywhere: System) -> None:
    anywhere.write(projects.SMALL)
    first = deployed(anywhere, 1)
    assert options(anywhere.run()) == []
    second = deployed(anywhere, 2)
    anywhere.write(changed(3))
    third = anywhere.deploy()
    told = options(third)
    assert [o.plan_id for o in told] == [second, first]
    assert options(anywhere.run(source=None)) == told
    for option in told:
        assert option.unavailable == "" and option.source_digest.startswith("sha256:")
        assert option.applied and option.replaced and option.expires
        applied, replaced, expires = map(dt.datetime.fromisoformat, (option.applied, option.replaced, option.expires))
        # The last environment lets go of it when the views change, a moment before the apply is recorded.
        assert applied < replaced and abs(expires - WEEK - replaced) < dt.timedelta(minutes=1)
    assert told[0].applied == told[1].replaced


def test_what_it_has_again_is_no_way_back_and_what_it_had_twice_is_one(local: System) -> None:
    first, second = deployed(local, 1), deployed(local, 2)
    ended = back(local, first)
    assert ended.result.reason is Reason.SUCCEEDED, ended.result.message
    assert [o.plan_id for o in options(ended)] == [second]
    again = plan_id(local, "prod")
    assert [o.plan_id for o in options(back(local, second))] == [again]


def test_after_the_janitor_they_are_gone_and_named(local: System) -> None:
    first, second = deployed(local, 1), deployed(local, 2)
    assert [(o.plan_id, o.unavailable) for o in options(local.run())] == [(first, "")]
    aged(local, 6)
    clean(local)
    (kept,) = options(local.run())
    assert kept.unavailable == "" and kept.expires is not None
    assert dt.datetime.fromisoformat(kept.expires) - dt.datetime.now(dt.UTC) < dt.timedelta(days=1, minutes=5)
    aged(local, 1)
    clean(local)
    (gone,) = options(local.run())
    assert gone.plan_id == first and "t.days" in gone.unavailable and gone.expires is None
    refused = back(local, first).result
    assert refused.reason is Reason.ROLLBACK_UNAVAILABLE and "t.days" in refused.message
    assert plan_id(local, "prod") == second and local.query("select sum(n) from t.days") == [(6,)]


def test_what_another_environment_has_is_kept_as_long_as_that(local: System) -> None:
    deployed(local, 1)
    deployed(local, 2, "staging")
    second = deployed(local, 2)
    deployed(local, 3)
    told = {o.plan_id: o.expires for o in options(local.run())}
    assert told[second] is None
    aged(local, 8)
    clean(local)
    assert {o.plan_id: o.unavailable == "" for o in options(local.run())}[second]
    later = int((dt.datetime.now(dt.UTC) + dt.timedelta(days=3)).timestamp() * 1000)
    local.query_state(f"update sqlmesh._environments set expiration_ts = {later} where name = 'staging'")
    ends = {o.plan_id: o.expires for o in options(local.run())}[second]
    assert ends is not None and abs(dt.datetime.fromisoformat(ends).timestamp() - later / 1000) <= 1


def test_tables_that_were_altered_since_are_named(local: System) -> None:
    first = deployed(local, 1)
    local.write({"models/days.sql": projects.DAYS.replace("1 AS n,", "1 AS n, 3 AS more,")})
    forward = dataclasses.replace(local.task(TaskKind.PLAN).plan, forward_only=True)
    ended = local.apply(local.plan(plan=forward), plan=forward)
    (told,) = options(ended)
    assert told.plan_id == first and "t.days" in told.unavailable and "altered" in told.unavailable
