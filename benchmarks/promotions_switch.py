"""How long a promotion's change of views takes: the runner's promote task against bare SQLMesh applying the same plan.

Called by `promotions`. One system on PostgreSQL whose environments `first` and `second` have one revision each; prod goes
to and fro between them, once by the one side and once by the other, in alternating order. Both build their plan from the
state; only applying it counts, with all that the runner does from then on to the end of its task.
"""

import functools
import statistics
import tempfile
from pathlib import Path

from benchmarks import project, promotions_project
from benchmarks.figures import Figure
from benchmarks.runner import Pods, System, decided
from tools.stand import postgres
from vulcan_contract.task import Promotion, TaskKind


def measure(views: int, pairs: int) -> list[Figure]:
    """The ratio of the medians."""
    server = postgres.Server.create()
    try:
        with tempfile.TemporaryDirectory(prefix="vulcan-bench-", dir="/tmp") as folder:
            ours, bare = _measure(server, Path(folder), views, pairs)
    finally:
        server.remove()
    for name, seconds in (("runner", ours), ("bare", bare)):
        print(f"   switch of {views} views, {name}: {' '.join(f'{s:.2f}' for s in sorted(seconds))} s", flush=True)
    return [Figure("promotion_switch_ratio", statistics.median(ours) / statistics.median(bare))]


def _measure(server: postgres.Server, folder: Path, views: int, pairs: int) -> tuple[list[float], list[float]]:
    system = System(server, folder, folder / "compiled", functools.partial(_write, views, 1))
    switches = Switches(system)
    switches.deploy("prod")
    for number, name in enumerate(("first", "second"), 1):
        _write(views, number, system.project)
        switches.deploy(name)
    ours, bare = list[float](), list[float]()
    switches.ours("second"), switches.bare("first")  # compiles and reads what later ones find compiled and read
    for i in range(pairs):
        if i % 2:
            bare.append(switches.bare("second"))
            ours.append(switches.ours("first"))
        else:
            ours.append(switches.ours("second"))
            bare.append(switches.bare("first"))
    return ours, bare


def _write(views: int, revision: int, folder: Path) -> None:
    project.lay_out(promotions_project.files(views, revision, project.CONFIG), folder)


class Switches:
    """Promotions of an environment to prod, by the runner and without it."""

    def __init__(self, system: System) -> None:
        self._system, self._pods = system, Pods(system)
        self._pods.probe()
        self._plans: dict[str, str] = {}

    def deploy(self, environment: str) -> None:
        """The project as it is now."""
        _, planned = self._pods.task(TaskKind.PLAN, environment)
        _, applied = self._pods.task(TaskKind.APPLY, environment, approved=decided(planned))
        assert applied.work is not None
        self._plans[environment] = applied.work.plan_id

    def ours(self, environment: str) -> float:
        """Seconds of the promote task, from when it begins to apply."""
        promotion = Promotion(environment, self._plans[environment])
        _, planned = self._pods.task(TaskKind.PLAN, source=None, promotion=promotion)
        _, promoted = self._pods.task(
            TaskKind.PROMOTE, source=None, promotion=promotion, approved=decided(planned), audits=False
        )
        return promoted.seconds["apply"]

    def bare(self, environment: str) -> float:
        """Seconds of applying."""
        file = self._system.home / "seconds"
        self._system.bare("promote", environment, str(file))
        return float(file.read_text())
