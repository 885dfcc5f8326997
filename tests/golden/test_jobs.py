"""The Jobs of every task, byte by byte, and what no Job may be."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.golden.restricted import violations
from tests.unit.plan.seen_objects import env, facts
from vulcan_contract.task import Approved, Checks, Diff, Operation, Promotion, Source, SourceKind, Task, TaskKind
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.moves import Site
from vulcan_operator.plan.core.seen import Settings
from vulcan_operator.plan.tasks import values
from vulcan_operator.plan.tasks.manifest import JobParts, build_job

HERE = Path(__file__).parent
SETTINGS = Settings(install="test", cluster="cluster-uid", runner_image="runner:1")
FULL: dict[str, Any] = {
    "connection": {"secrets": {"password": {"name": "credentials", "key": "password"}}},
    "stateConnection": {"secrets": {"password": {"name": "state-credentials", "key": "password", "as": "Value"}}},
    "planning": {"connection": {"type": "postgres", "options": {"user": "reader"}, "secrets": {
        "password": {"name": "read-only", "key": "password"}}}},
    "variables": {"region": "eu", "price": "$(NOT_EXPANDED) $5"},
    "runner": {
        "image": "registry.acme.com/runner:1", "imagePullSecrets": [{"name": "pull"}], "serviceAccountName": "runner",
        "resources": {"limits": {"memory": "2Gi"}}, "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "jobs", "operator": "Exists"}], "podLabels": {"team": "bi", "vulcan.dev/task": "forged"},
        "podAnnotations": {"note": "x", "vulcan.dev/nonce": "forged"}, "env": [{"name": "LOG", "value": "debug"}],
        "volumes": [
            {"volume": {"emptyDir": {}}, "mountPath": "/scratch"},
            {"volume": {"hostPath": {"path": "/"}}, "mountPath": "/host"},
        ],
        "caBundle": {"name": "ca"}, "proxy": "http://proxy:3128", "deadline": "1h", "startDeadline": "2m",
    },
}  # fmt: skip
GIT = Source(SourceKind.GIT, "https://git.acme.com/a.git", "main", "project", "c" * 40)
MAP = Source(SourceKind.CONFIG_MAP, digest="sha256:" + "d" * 64)
IMAGE = Source(SourceKind.IMAGE)


def job(kind: TaskKind, source: Source | None = None, *, full: bool = False, **task: Any) -> dict[str, Any]:
    """The manifest of one task's Job."""
    gateway, environment = facts(**(FULL if full else {})), env()
    planning = kind in (TaskKind.PLAN, TaskKind.RESOLVE, TaskKind.CHECKS)
    built = Task(
        kind, f"prod-{kind}-0123456789", "n0nce", values.gateway_of(Site(gateway, "runner:1"), SETTINGS, planning=planning),
        environment="" if kind is TaskKind.PROBE else environment.sqlmesh_environment, source=source,
        plan=values.options_of(environment.spec.plan), image="runner:1", **task,
    )  # fmt: skip
    owner = Key(Kind.GATEWAY if kind is TaskKind.PROBE else Kind.ENVIRONMENT, "data", "prod")
    parts = JobParts(
        owner, "u1", "test", "0123456789abcdef", 2, "because", gateway.spec.runner.image or "runner:1", gateway,
        source_config_map="prod-source-0123456789ab" if source is MAP else None,
        git_secret="git-credentials" if source is GIT else None,
        checks_config_map="prod-checks-0123456789ab" if kind is TaskKind.CHECKS else None,
    )  # fmt: skip
    return dict(build_job(built, parts).manifest)


APPROVED = Approved("sha256:" + "a" * 64, "t" * 64, "b" * 64, "2026-11-22T12:00:00Z", 7, ("s.a",), by_human=True)
CASES = {
    "probe": job(TaskKind.PROBE),
    "resolve": job(TaskKind.RESOLVE, GIT),
    "plan-config-map": job(TaskKind.PLAN, MAP),
    "plan-git-everything-set": job(TaskKind.PLAN, GIT, full=True, operations=(Operation("fix", "Restate", ("s.a",)),)),
    "apply-image": job(TaskKind.APPLY, IMAGE, approved=APPROVED, protected=True),
    "run": job(TaskKind.RUN, protected_environments=("prod",)),
    "invalidate": job(TaskKind.INVALIDATE),
    "promote": job(TaskKind.PROMOTE, approved=APPROVED, promotion=Promotion("staging", "p" * 32), protected=True),
    "rollback": job(TaskKind.ROLLBACK, promotion=Promotion("prod", "q" * 32, catch_up=False, expected="p" * 32)),
    "audit": job(TaskKind.AUDIT),
    "diff": job(TaskKind.DIFF, diff=Diff("staging", "p" * 32)),
    "checks": job(TaskKind.CHECKS, checks=Checks("sha256:" + "e" * 64)),
}
every_job = pytest.mark.parametrize("name", list(CASES))


class Plain(yaml.SafeDumper):
    """Without anchors: what is there twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@every_job
def test_the_manifest_is_the_golden_one(name: str, request: pytest.FixtureRequest) -> None:
    path, text = HERE / f"{name}.yaml", yaml.dump(CASES[name], Dumper=Plain, sort_keys=False, width=120)
    if request.config.getoption("--update-golden", default=False):
        path.write_text(text)
    assert path.read_text() == text, "if this is meant: pytest --update-golden tests/golden, and look at the diff"


def test_there_is_no_golden_file_without_a_case_and_every_task_has_one() -> None:
    assert {p.stem for p in HERE.glob("*.yaml")} == set(CASES)
    assert {c["metadata"]["labels"]["vulcan.dev/task"] for c in CASES.values()} == {k.value for k in TaskKind}


@every_job
def test_a_namespace_with_pod_security_restricted_lets_it_in(name: str) -> None:
    assert violations(CASES[name]["spec"]["template"]["spec"]) == []


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("hostNetwork",), True, "hostNetwork"),
        (("volumes", 0), {"name": "x", "hostPath": {"path": "/"}}, "volume x: hostPath"),
        (("containers", 0, "securityContext", "privileged"), True, "main: privileged"),
        (
            ("containers", 0, "securityContext", "capabilities"),
            {"add": ["ALL"]},
            "main: does not drop all capabilities",
        ),
        (("containers", 0, "securityContext", "runAsUser"), 0, "main: runs as root"),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}, "main: no seccomp profile"),
        (("securityContext", "runAsNonRoot"), False, "main: runAsNonRoot is not true"),
        (("containers", 0, "ports"), [{"hostPort": 80}], "main: host ports"),
    ],
)
def test_the_checker_sees_what_is_wrong(path: tuple[Any, ...], value: Any, why: str) -> None:
    pod = copy.deepcopy(CASES["run"]["spec"]["template"]["spec"])
    at = pod
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    assert why in violations(pod)


@every_job
def test_one_pod_once_with_its_deadline_inside(name: str) -> None:
    spec = CASES[name]["spec"]
    pod = spec["template"]["spec"]
    assert (spec["backoffLimit"], pod["restartPolicy"], spec["podReplacementPolicy"]) == (0, "Never", "Failed")
    assert spec["activeDeadlineSeconds"] > pod["activeDeadlineSeconds"]
    assert "ownerReferences" not in CASES[name]["metadata"]
    assert "ttlSecondsAfterFinished" not in spec  # not before its result is recorded


@every_job
def test_no_api_token_and_a_read_only_root(name: str) -> None:
    pod = CASES[name]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    containers = [*pod.get("initContainers", []), *pod["containers"]]
    assert all(c["securityContext"]["readOnlyRootFilesystem"] for c in containers)
    assert all(c["terminationMessagePolicy"] == "File" for c in containers)


def test_only_the_fetch_container_has_the_git_credential_and_only_main_the_warehouse_s() -> None:
    pod = CASES["plan-git-everything-set"]["spec"]["template"]["spec"]
    mounted = {c["name"]: {m["name"] for m in c["volumeMounts"]} for c in [*pod["initContainers"], *pod["containers"]]}
    secrets = {v["name"]: v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
    by_container = {name: {secrets[m] for m in mounts & set(secrets)} for name, mounts in mounted.items()}
    assert by_container["fetch"] == {"git-credentials"}
    assert "git-credentials" not in by_container["main"] and "read-only" in by_container["main"]


def test_a_plan_has_the_weaker_credentials_and_not_the_others() -> None:
    pod = CASES["plan-git-everything-set"]["spec"]["template"]["spec"]
    names = {v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
    assert "credentials" not in names


def test_what_the_gateway_says_cannot_pass_for_ours_and_reaches_no_host() -> None:
    template = CASES["plan-git-everything-set"]["spec"]["template"]
    assert template["metadata"]["labels"]["vulcan.dev/task"] == "plan"
    assert template["metadata"]["annotations"]["vulcan.dev/nonce"] == "n0nce"
    assert "hostPath" not in str(template)


def test_a_kubelet_expands_nothing_in_the_task() -> None:
    env_ = CASES["plan-git-everything-set"]["spec"]["template"]["spec"]["containers"][0]["env"]
    text = next(e["value"] for e in env_ if e["name"] == "VULCAN_TASK")
    assert "$$(NOT_EXPANDED) $$5" in text and Task.from_json(text.replace("$$", "$")).kind is TaskKind.PLAN


@every_job
def test_every_mount_has_its_volume_and_nothing_is_mounted_twice(name: str) -> None:
    pod = CASES[name]["spec"]["template"]["spec"]
    volumes = [v["name"] for v in pod["volumes"]]
    assert len(volumes) == len(set(volumes))
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        paths = [m["mountPath"] for m in container["volumeMounts"]]
        assert len(paths) == len(set(paths)) and {m["name"] for m in container["volumeMounts"]} <= set(volumes)
