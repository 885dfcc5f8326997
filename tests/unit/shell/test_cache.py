"""Cache and intake: what is news, what is forgotten, who is woken."""

from typing import Any

import pytest

from tests.builders import environment, gateway, promotion
from vulcan_operator import metrics
from vulcan_operator.api import names
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.kinds import BY_RESOURCE
from vulcan_operator.cluster.views import Unparsable
from vulcan_operator.cluster.wake import Intake
from vulcan_operator.kube.resources import ENVIRONMENTS, GATEWAYS, JOBS, PODS, PROMOTIONS
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.seen import JobSeen

PROD = Key(Kind.ENVIRONMENT, "data", "prod")
DEV = Key(Kind.ENVIRONMENT, "data", "dev")
WAREHOUSE = Key(Kind.GATEWAY, "data", "warehouse")


class Town:
    """A cache, and who was woken."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.orphans: list[JobSeen] = []
        self.cache = Cache()
        self.intake = Intake(self.cache, "test", self.woken.append, self.orphans.append)

    def woken_by(self, resource: Any, raw: dict[str, Any], deleted: bool = False) -> set[Key]:
        self.woken.clear()
        self.intake.event(resource, raw, deleted=deleted)
        return set(self.woken)


@pytest.fixture
def town() -> Town:
    return Town()


def stored(raw: dict[str, Any], version: int = 1, uid: str = "", **status: Any) -> dict[str, Any]:
    name = raw["metadata"]["name"]
    meta = {
        **raw["metadata"],
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "managedFields": [{"big": 1}],
    }
    return {**raw, "metadata": meta, "status": status}


def task(state: str = "Started", job: str = "j", priority: int = 0) -> dict[str, Any]:
    since = "2026-11-22T12:00:00Z"
    return {"kind": "run", "job": job, "inputs": "0", "state": state, "priority": priority, "since": since}


def job(
    owner: Key, uid: str, name: str = "j", version: int = 1, install: str = "test", **status: Any
) -> dict[str, Any]:
    labels = {
        names.INSTALL: install, names.OWNER_KIND: owner.kind.value, names.OWNER_NAMESPACE: owner.namespace,
        names.OWNER_NAME: owner.name, names.OWNER_UID: uid, names.TASK: "run", names.ATTEMPT: "1",
    }  # fmt: skip
    meta = {"name": name, "namespace": "data", "uid": f"uid-{name}", "resourceVersion": str(version), "labels": labels}
    return {"metadata": meta, "spec": {}, "status": status}


def test_old_news_is_dropped(town: Town) -> None:
    assert PROD in town.woken_by(ENVIRONMENTS, stored(environment(), 5))
    assert town.woken_by(ENVIRONMENTS, stored(environment(), 5)) == set()
    assert town.woken_by(ENVIRONMENTS, stored(environment(), 4)) == set()
    assert PROD in town.woken_by(ENVIRONMENTS, stored(environment(), 6))


def test_a_deleted_object_is_not_brought_back_by_a_late_answer(town: Town) -> None:
    town.woken_by(ENVIRONMENTS, stored(environment(), 5))
    town.woken_by(ENVIRONMENTS, stored(environment(), 9), deleted=True)
    town.woken_by(ENVIRONMENTS, stored(environment(), 7))
    assert town.cache.custom(PROD) is None


def test_a_late_deletion_does_not_touch_the_successor(town: Town) -> None:
    town.woken_by(ENVIRONMENTS, stored(environment(), 5, uid="old"))
    town.woken_by(ENVIRONMENTS, stored(environment(), 8, uid="new"))
    town.woken_by(ENVIRONMENTS, stored(environment(), 7, uid="old"), deleted=True)
    found = town.cache.custom(PROD)
    assert found is not None
    assert found.metadata.uid == "new"


def test_a_list_forgets_what_it_lacks_but_not_what_came_after_it(town: Town) -> None:
    town.woken_by(ENVIRONMENTS, stored(environment("old"), 5))
    town.woken_by(ENVIRONMENTS, stored(environment("new"), 20))
    assert town.intake.listed(ENVIRONMENTS, set(), "10") == 1
    assert [e.metadata.name for e in town.cache.all_environments()] == ["new"]


def test_after_an_etcd_restore_the_list_is_believed(town: Town) -> None:
    town.intake.listed(ENVIRONMENTS, set(), "100")
    town.woken_by(ENVIRONMENTS, stored(environment("future"), 120))
    assert town.intake.listed(ENVIRONMENTS, set(), "50") == 1


def test_an_environment_wakes_itself_and_its_gateway(town: Town) -> None:
    town.woken_by(GATEWAYS, stored(gateway()))
    assert town.woken_by(ENVIRONMENTS, stored(environment())) == {PROD, WAREHOUSE}


def test_a_status_that_says_nothing_to_the_gateway_does_not_wake_it(town: Town) -> None:
    town.woken_by(ENVIRONMENTS, stored(environment(), 1))
    assert town.woken_by(ENVIRONMENTS, stored(environment(), 2, observedGeneration=3)) == {PROD}
    assert town.woken_by(ENVIRONMENTS, stored(environment(), 3, task=task())) == {PROD, WAREHOUSE}


def test_a_gateway_wakes_its_environments_only_for_what_they_look_at(town: Town) -> None:
    town.woken_by(GATEWAYS, stored(gateway(), 1))
    town.woken_by(ENVIRONMENTS, stored(environment(), 1))
    assert town.woken_by(GATEWAYS, stored(gateway(), 2, activeWriter={"job": "j"})) == {WAREHOUSE}
    assert town.woken_by(GATEWAYS, stored(gateway(), 3, stateIdentity="s")) == {WAREHOUSE, PROD}
    assert town.woken_by(GATEWAYS, stored(gateway(), 4), deleted=True) == {WAREHOUSE, PROD}


def test_a_job_wakes_its_owner_and_so_does_its_pod(town: Town) -> None:
    town.woken_by(ENVIRONMENTS, stored(environment()))
    assert town.woken_by(JOBS, job(PROD, "uid-prod")) == {PROD}
    pod = {
        "metadata": {
            "name": "p", "namespace": "data", "uid": "p", "resourceVersion": "3",
            "labels": {"batch.kubernetes.io/job-name": "j", names.OWNER_UID: "uid-prod"},
        },
        "status": {"phase": "Pending"},
    }  # fmt: skip
    assert town.woken_by(PODS, pod) == set(), "on its way to its start"
    running = {"name": "main", "state": {"running": {"startedAt": "2026-11-22T12:00:00Z"}}}
    pod["metadata"]["resourceVersion"], pod["spec"] = "4", {"containers": [{"name": "main"}]}
    pod["status"] = {"phase": "Running", "containerStatuses": [running]}
    assert town.woken_by(PODS, pod) == {PROD}


def test_a_job_of_somebody_gone_is_an_orphan(town: Town) -> None:
    assert town.woken_by(JOBS, job(PROD, "uid-prod")) == set()
    assert [j.name for j in town.orphans] == ["j"]


def test_jobs_of_another_installation_are_not_seen(town: Town) -> None:
    town.woken_by(ENVIRONMENTS, stored(environment()))
    assert town.woken_by(JOBS, job(PROD, "uid-prod", install="other")) == set()
    assert len(town.cache.jobs) == 0


@pytest.mark.parametrize(
    ("namespace", "uid", "task", "counts"),
    [
        pytest.param("data", "uid-prod", "run", True, id="ours"),
        pytest.param("data", "uid-prod", "evil-1", False, id="no task of ours"),
        pytest.param("data", "uid-nobody", "run", False, id="of nobody"),
        pytest.param("elsewhere", "uid-prod", "run", False, id="where no Job of its can be"),
    ],
)
def test_only_jobs_of_ours_make_series(town: Town, namespace: str, uid: str, task: str, counts: bool) -> None:
    town.intake.finished = metrics.job_finished
    town.woken_by(GATEWAYS, stored(gateway()))
    town.woken_by(ENVIRONMENTS, stored(environment()))
    raw = job(PROD, uid)
    raw["metadata"] |= {"namespace": namespace, "creationTimestamp": "2026-11-22T12:00:00Z"}
    raw["metadata"]["labels"][names.TASK] = task
    before = _series()
    town.woken_by(JOBS, raw)
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-22T12:01:00Z"}
    raw["metadata"]["resourceVersion"] = "2"
    woken = town.woken_by(JOBS, {**raw, "status": {"conditions": [ended]}})
    assert (_series() != before) is counts
    assert woken == ({PROD} if (namespace, uid) == ("data", "uid-prod") else set())


def _series() -> dict[tuple[str, ...], float]:
    found = [s for m in metrics.JOB_SECONDS.collect() for s in m.samples if s.name.endswith("_count")]
    return {tuple(sorted(s.labels.values())): s.value for s in found}


def test_a_label_of_an_installation_hides_no_object_of_a_user(town: Town) -> None:
    town.woken_by(GATEWAYS, stored(gateway()))
    for resource, raw in ((GATEWAYS, gateway()), (ENVIRONMENTS, environment()), (PROMOTIONS, promotion())):
        labelled = {**raw, "metadata": {**raw["metadata"], "labels": {names.INSTALL: "elsewhere"}}}
        key = Key(BY_RESOURCE[resource], raw["metadata"]["namespace"], raw["metadata"]["name"])
        assert key in town.woken_by(resource, stored(labelled, 7)), "created with the label"
        suspended = {**labelled, "spec": {**labelled["spec"], "suspend": True}}
        town.woken_by(resource, stored(suspended, 8))
        found = town.cache.custom(key)
        assert found is not None and found.metadata.resource_version == "8", "changed while it has the label"
        town.intake.live(resource, stored(labelled, 5))
        found = town.cache.custom(key)
        assert found is not None and found.metadata.resource_version == "5", "read live"


def test_who_gives_the_task_up_wakes_the_first_in_line(town: Town) -> None:
    town.woken_by(ENVIRONMENTS, stored(environment("prod"), 1, task=task(job="a")))
    town.woken_by(ENVIRONMENTS, stored(environment("later"), 1, task=task("Waiting", "b", priority=5)))
    town.woken_by(ENVIRONMENTS, stored(environment("dev"), 1, task=task("Waiting", "c", priority=2)))
    assert town.woken_by(ENVIRONMENTS, stored(environment("prod"), 2)) == {PROD, WAREHOUSE, DEV}
    assert [w.key.name for w in town.cache.waiters(("data", "warehouse"))] == ["dev", "later"]


def test_the_first_apply_wakes_all_who_may_have_waited_for_it(town: Town) -> None:
    town.woken_by(ENVIRONMENTS, stored(environment("prod"), 1))
    town.woken_by(ENVIRONMENTS, stored(environment("dev"), 1))
    done = {"revision": "r", "sourceDigest": "d", "inputs": "i", "time": "2026-11-22T12:00:00Z"}
    assert town.woken_by(ENVIRONMENTS, stored(environment("prod"), 2, applied=done)) == {PROD, WAREHOUSE, DEV}


def test_an_object_that_cannot_be_read_is_kept_as_such(town: Town) -> None:
    broken = stored(environment())
    broken["spec"] = {"gatewayRef": 7}
    town.woken_by(ENVIRONMENTS, broken)
    found = town.cache.custom(PROD)
    assert isinstance(found, Unparsable)
    assert found.error.startswith("spec.gatewayRef")


def test_claims_are_those_of_all_on_the_gateway(town: Town) -> None:
    town.woken_by(ENVIRONMENTS, stored(environment("prod"), 1))
    first = town.cache.at_gateway(("data", "warehouse")).claims.all()
    assert town.cache.at_gateway(("data", "warehouse")).claims.all() is first
    town.woken_by(ENVIRONMENTS, stored(environment("dev"), 1))
    town.woken_by(ENVIRONMENTS, stored(environment("far", gatewayRef={"name": "other"}), 1))
    index = town.cache.at_gateway(("data", "warehouse"))
    assert sorted(c.environment for c in index.claims.all().all()) == ["dev", "prod"]
    assert [c.key for c in index.claims.all().named("dev")] == [DEV]
    town.woken_by(ENVIRONMENTS, stored(environment("prod"), 3), deleted=True)
    assert [c.environment for c in index.claims.all().all()] == ["dev"]


def test_a_new_environment_wakes_only_those_of_its_name(town: Town) -> None:
    town.woken_by(ENVIRONMENTS, stored(environment("dev"), 1))
    assert town.woken_by(ENVIRONMENTS, stored(environment("feature"), 1)) == {
        Key(Kind.ENVIRONMENT, "data", "feature"), WAREHOUSE,
    }  # fmt: skip
    twin = Key(Kind.ENVIRONMENT, "data", "twin")
    assert town.woken_by(ENVIRONMENTS, stored(environment("twin", environment="dev"), 1)) == {twin, DEV, WAREHOUSE}
    assert DEV in town.woken_by(ENVIRONMENTS, stored(environment("twin", environment="dev"), 2), deleted=True)


def test_a_promotion_that_may_not_go_yet_is_told_when_its_environment_has_noted_it(town: Town) -> None:
    over = {"outcome": "Failed", "finishedAt": "2026-11-22T12:00:00Z"}
    ended, other = stored(promotion(), **over), stored(promotion("other"), **over)
    ended["metadata"]["finalizers"] = [names.FINALIZER]
    for raw in (ended, other):
        town.woken_by(PROMOTIONS, raw)
    town.woken_by(ENVIRONMENTS, stored(environment(), 1))
    item = {
        "namespace": "data", "name": "to-prod", "uid": "uid-to-prod", "outcome": "Failed",
        "finishedAt": "2026-11-22T12:00:00Z", "evidence": {"name": "e", "sha256": "0"},
    }  # fmt: skip
    woken = town.woken_by(ENVIRONMENTS, stored(environment(), 2, promotions=[item]))
    assert woken == {PROD, Key(Kind.PROMOTION, "data", "to-prod")}


def test_an_environment_looks_when_a_promotion_to_it_has_left_its_evidence(town: Town) -> None:
    ended = {"outcome": "Failed", "finishedAt": "2026-11-22T12:00:00Z"}
    town.woken_by(PROMOTIONS, stored(promotion(), 1, **ended))
    left = {**ended, "evidenceRef": {"name": "e", "sha256": "0"}}
    assert PROD in town.woken_by(PROMOTIONS, stored(promotion(), 2, **left))


def promotions_of(town: Town, *names_: str, **status: Any) -> set[Key]:
    for name in names_:
        town.woken_by(PROMOTIONS, stored(promotion(name), **status))
    return {Key(Kind.PROMOTION, "data", name) for name in names_}


def test_a_new_generation_of_a_gateway_is_a_fact(town: Town) -> None:
    town.woken_by(GATEWAYS, stored(gateway(), 1, observedGeneration=0))
    town.woken_by(ENVIRONMENTS, stored(environment(), 1))
    assert town.woken_by(GATEWAYS, stored(gateway(), 2, observedGeneration=1)) == {WAREHOUSE, PROD}


def test_rivals_and_the_target_are_woken_by_what_they_read_of_a_promotion(town: Town) -> None:
    town.woken_by(ENVIRONMENTS, stored(environment(), 1))
    both = promotions_of(town, "to-prod", "rival")
    stalled = {
        "type": "Stalled",
        "status": "True",
        "reason": "SpecInvalid",
        "lastTransitionTime": "2026-11-22T12:00:00Z",
    }
    assert town.woken_by(PROMOTIONS, stored(promotion(), 2, conditions=[stalled])) == {*both, PROD}
    assert town.woken_by(PROMOTIONS, stored(promotion(), 3, conditions=[stalled], observedGeneration=4)) == {
        Key(Kind.PROMOTION, "data", "to-prod")
    }


def test_a_sibling_that_is_let_in_may_use_up_a_quota(town: Town) -> None:
    grants = [{"environments": ["*"], "maxEnvironments": 1}]
    refused = {"type": "Ready", "status": "False", "reason": "NotGranted", "lastTransitionTime": "2026-11-22T12:00:00Z"}
    town.woken_by(GATEWAYS, stored(gateway(grants=grants)))
    town.woken_by(ENVIRONMENTS, stored(environment("dev"), 1, conditions=[refused]))
    town.woken_by(ENVIRONMENTS, stored(environment("prod"), 1))
    assert PROD in town.woken_by(ENVIRONMENTS, stored(environment("dev"), 2))
