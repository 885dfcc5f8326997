"""`explain`: the Plan for objects from files, as it is printed, and what is said about files that cannot be used."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import builders
from tests.stories.lives import ALWAYS, fresh
from tests.world import World
from vulcan_operator.cli import main
from vulcan_operator.kube.resources import Raw

ROOT = Path(__file__).resolve().parents[3]
HOW_TO = ROOT / "docs" / "how-to"
NOW = "2026-11-22T12:00:00Z"


def listed(world: World, *, but: str = "") -> str:
    """All objects of a cluster but those of one kind, as `kubectl get -o yaml` prints them."""
    items = [raw for raw in world.kube.objects.values() if raw["kind"] != but]
    return yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items})


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> World:
    """A cluster whose environment waits for an approval; `explain` runs with its settings."""
    monkeypatch.setenv("VULCAN_INSTALL", "test")
    return fresh(builders.environment(plan=ALWAYS)).work().world


def explained(
    capsys: pytest.CaptureFixture[str], folder: Path, *documents: str | Raw, extra: tuple[str, ...] = ()
) -> str:
    """What is printed about files with these documents."""
    arguments = ["explain", "--now", NOW, *extra]
    for number, document in enumerate(documents):
        path = folder / f"{number}.yaml"
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
        arguments += ["-f", str(path)]
    assert main(arguments) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], folder: Path, text: str) -> str:
    """What is said about a file that cannot be used."""
    (folder / "objects.yaml").write_text(text)
    assert main(["explain", "-f", str(folder / "objects.yaml")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def test_an_environment_waits_for_approval(waiting: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = explained(capsys, tmp_path, listed(waiting)).split("VulcanEnvironment data/prod\n")[1]
    assert "Ready: False, AwaitingApproval: 1 modified" in out
    assert "status: unchanged, nothing is written" in out
    assert "looks again: at 2026-11-25T12:00:02Z (in 3 days, 0:00:02), or earlier on a change" in out
    assert "Job" not in out.replace("VulcanEnvironment", "") and "not known" not in out


def test_once_approved_it_would_apply(waiting: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waiting.approve("venv/prod", by="alice")
    out = explained(capsys, tmp_path, listed(waiting), extra=("--manifests",))
    job = r"create Job data/(\S+): task apply, inputs [0-9a-f]{16}, attempt 1; why: "
    found = re.search(job, out)
    assert found is not None
    assert out.index("changed status fields:") < out.index("after the status is written:") < found.start()
    assert f"take the writer slot of VulcanGateway data/warehouse for Job {found[1]}" in out
    assert f"task.job: {found[1]}" in out and "Ready: False, Applying: " in out
    assert f"\n      kind: Job\n      metadata:\n        name: {found[1]}\n" in out
    assert not waiting.jobs("apply")


def test_what_was_asked_for_and_is_in_no_file_is_named(
    waiting: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting.approve("venv/prod")
    out = explained(capsys, tmp_path, listed(waiting, but="Lease"))
    assert "not known: Lease data/vulcan-writer-warehouse is in no file and counts as absent" in out


def test_a_lease_in_the_files_says_who_holds_the_slot(
    waiting: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting.approve("venv/prod")
    job = {"metadata": {"name": "other", "namespace": "data", "uid": "o"}, "apiVersion": "batch/v1", "kind": "Job"}
    lease = {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"holderIdentity": "other"},
        "metadata": {"name": "vulcan-writer-warehouse", "namespace": "data"},
    }  # fmt: skip
    out = explained(capsys, tmp_path, listed(waiting, but="Lease"), job, lease)
    assert "Ready: False, WaitingForWriter: " in out and "create Job" not in out


def test_kinds_that_no_planner_reads_are_ignored_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "warehouse"}}
    out = explained(capsys, tmp_path, secret)
    assert out.splitlines() == [
        "nothing to plan: the files have no object of the kinds VulcanEnvironment, VulcanGateway, VulcanPromotion",
        f"ignored: Secret warehouse ({tmp_path}/0.yaml, document 1): no planner reads this kind of v1",
    ]


def test_an_object_that_does_not_fit_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = explained(capsys, tmp_path, builders.environment(project={"git": {"url": 7}}))
    assert "VulcanEnvironment data/prod\n  Ready: False, SpecInvalid: " in out and "project.git.url" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: A\n---\n- b: [1\n", "objects.yaml, document 1 lacks apiVersion, kind or metadata.name"),
        ("---\na: [1\n", "objects.yaml, document 1 is not YAML: "),
        ("# nothing\n---\n---\na: [1\n", "objects.yaml, document 2 is not YAML: "),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: ../a}}\n", 'cannot be: no configmaps "../a" can exist'),
        ("[1, 2]\n", "objects.yaml, document 1 is not a Kubernetes object; pass objects as `kubectl get -o yaml`"),
    ],
)
def test_a_bad_file_is_refused(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, tmp_path, text)


def test_an_object_that_is_there_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = yaml.safe_dump_all([builders.gateway(), builders.gateway()])
    assert "document 2 repeats VulcanGateway data/warehouse; leave one of them" in refused(capsys, tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-f", "/no/such.yaml"]) == 2
    assert "/no/such.yaml cannot be read" in capsys.readouterr().err


def test_a_time_without_zone_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "-f", "-", "--now", "2026-11-22T12:00:00"])
    assert ended.value.code == 2
    assert "is not a time with a zone" in capsys.readouterr().err


def test_the_output_in_the_documentation_is_what_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, example = ((HOW_TO / f"{name}.md").read_text() for name in ("explain", "gateway"))
    block = re.search(r"```text\n\$ python -m vulcan_operator (.*?)\n(.*?)```", page, re.DOTALL)
    gateway = re.search(r"```yaml\n(.*?)```", example, re.DOTALL)
    assert block is not None and gateway is not None
    monkeypatch.setattr(sys, "stdin", io.StringIO(gateway[1]))
    assert main(block[1].replace("gateway.yaml", "-").split()) == 0
    assert capsys.readouterr().out == block[2]


def test_the_command_in_the_documentation_works(waiting: World, tmp_path: Path) -> None:
    command = re.search(r"```bash\n(.*?)```", (HOW_TO / "explain.md").read_text(), re.DOTALL)
    assert command is not None
    (tmp_path / "objects.yaml").write_text(listed(waiting))
    functions = f'kubectl() {{ cat "{tmp_path}/objects.yaml"; }}; python() {{ "{sys.executable}" "$@"; }}\n'
    done = subprocess.run(["bash", "-c", functions + command[1]], capture_output=True, text=True, check=True)
    assert "VulcanEnvironment data/prod\n  Ready: False, " in done.stdout
