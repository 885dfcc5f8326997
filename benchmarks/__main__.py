"""`python -m benchmarks [group …]`, called by `make bench`. All groups write the results; some groups only print them.

Groups in BY_HAND are measured only when they are named.
"""

import signal
import sys
import time
from collections.abc import Callable

from benchmarks import diff, figures, hostile, operator, promotions, runner, schedule
from benchmarks.figures import Figure

GROUPS: dict[str, Callable[[], list[Figure]]] = {
    "runner": runner.measure,
    "operator": operator.measure,
    "schedule": schedule.measure,
    "diff": diff.measure,
    "promotions": promotions.measure,
}
BY_HAND: dict[str, Callable[[], list[Figure]]] = {"hostile": hostile.measure}


def main(arguments: list[str]) -> int:
    """0 when every figure could be measured, whether goals are met or not."""
    groups = GROUPS | BY_HAND
    unknown = [name for name in arguments if name not in groups]
    if unknown:
        sys.stderr.write(f"no group {', '.join(unknown)}; there are {', '.join(groups)}\n")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that clusters and servers are taken down then, too
    began = time.monotonic()
    if figures.quick():
        print("QUICK=1: fewer objects and repetitions; the figures say less than those of a full run")
    found: list[Figure] = []
    for name in arguments or GROUPS:
        print(f"== {name}", flush=True)
        for figure in groups[name]():
            print(figure, flush=True)
            found.append(figure)
    if not arguments:
        figures.write(found)
    missed = [f.name for f in found if not f.met]
    print(f"{len(found)} figures in {time.monotonic() - began:.0f} s; missed: {', '.join(missed) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
