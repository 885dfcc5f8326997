"""The figures of promotions: the change of views against bare SQLMesh, a whole promotion and its rollback on a cluster,
what a reader meets meanwhile, and how soon hundreds of promotions go from step to step.

Called by `__main__`; the parts are modules of their own.
"""

from benchmarks import figures, promotions_live, promotions_steps, promotions_switch
from benchmarks.figures import Figure


def measure() -> list[Figure]:
    """All figures of this group."""
    quick = figures.quick()
    views, pairs = (10, 2) if quick else (100, 11)
    live = promotions_live.Scale(views, timed=1, read=2) if quick else promotions_live.Scale(views, timed=3, read=10)
    steps = promotions_steps.Scale(20, (2, 4)) if quick else promotions_steps.Scale(500, (60, 180))
    return [
        *promotions_switch.measure(views, pairs),
        *promotions_live.measure(live),
        *promotions_steps.measure(steps),
    ]
