"""The README's main command, as a user runs it, and that nothing of it is left: when it ends, and when it is stopped."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT, missing
from tools.localcluster import processes

SHOWN = (
    "7. A schedule of its own", "needs verb approve", "Everything is cleaned up", "division by zero",
    "bob: ", "alice: patched", "shop.best_day went from 1 row to 3",
    "compared models differ by more than allowed", "shop.daily_sales (", "Outcome: Failed",
    "Outcome: RolledBack", "hold-lifted=",
    "analytics-nonprod: audit; analytics-prod: apply, audit, plan", "12. What is kept",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A state folder of its own, so that it does not end somebody's cluster."""
    why = missing()
    if why is not None:
        pytest.skip(why)
    return tmp_path


def demo(root: Path) -> "subprocess.Popen[str]":
    """`make demo` without make."""
    env = {k: v for k, v in os.environ.items() if k not in ("KEEP", "ENGINE", "CLUSTER")}
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "tools.demo", "--root", str(root)],
        cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def left(root: Path) -> list[str]:
    """What remains of it: processes with its marker, its PostgreSQL servers' folders, its own state."""
    state = root.resolve() / ".local" / "clusters" / "default"
    alive = [f"{p.pid} {p.command()}" for p in processes.marked(state)]
    servers = [str(f.parent) for f in Path("/tmp").glob("vulcan-pg-*/owner") if f.read_text() == str(state)]
    return [*alive, *servers, *([str(state)] if state.exists() else [])]


def test_the_demo_ends_well_and_leaves_nothing(root: Path) -> None:
    with demo(root) as process:
        output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output[-5000:]
    for text in SHOWN:
        assert text in output, f"{text}: {output[-5000:]}"
    assert left(root) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_early_it_cleans_up(root: Path, number: int) -> None:
    lines = random.randint(2, 14)
    with demo(root) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(lines)]
        os.killpg(process.pid, number)  # as a terminal does: the whole group
        rest, _ = process.communicate(timeout=120)
    output = "".join(seen) + rest
    assert process.returncode == 130, f"after {lines} lines: {output}"
    assert left(root) == [], f"after {lines} lines"
