"""The composition root: makes the parts of one instance and wires every callback between them.

Called by `loop` for the process and by the tests' World, so that a callback which is forgotten here
is missing in stories, too. Each part is made after those that it calls; nothing runs yet.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from vulcan_operator import metrics
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.wake import Intake
from vulcan_operator.collect import Collector
from vulcan_operator.guard import Guard
from vulcan_operator.kube.client import Kube
from vulcan_operator.kube.clock import Clock
from vulcan_operator.kube.events import Recorder
from vulcan_operator.plan.core.actions import Key, Kind, Note
from vulcan_operator.plan.core.seen import Settings
from vulcan_operator.reconcile.execute import Executor
from vulcan_operator.reconcile.observe import Observer
from vulcan_operator.reconcile.reads import Reader
from vulcan_operator.reconcile.reconcile import Planners, Ports
from vulcan_operator.reconcile.schema import StatusSchema
from vulcan_operator.resync import Resync
from vulcan_operator.work_queue import WorkQueue


@dataclass(frozen=True)
class Parts:
    """Holds the parts of one instance."""

    ports: Ports
    queue: WorkQueue[Key]
    resync: Resync
    collector: Collector
    guard: Guard

    def queue_everything(self) -> None:
        """Queue every object that is known."""
        for key in self.ports.cache.all_keys():
            self.queue.add(key)


def assemble(
    kube: Kube, clock: Clock, settings: Settings, instance: str, leads: Callable[[], bool], *,
    planners: Planners | None = None, noted: Callable[[Key, Note], None] = metrics.noted,
    jitter: Callable[[], float] = random.random,
) -> Parts:  # fmt: skip
    """Make the parts of the instance of that name; `leads` says whether events queue objects."""
    cache = Cache()
    queue: WorkQueue[Key] = WorkQueue(clock.monotonic, jitter, lambda key: key.namespace)

    def wake_guarded() -> None:
        for key in cache.all_keys():
            if key.kind is not Kind.GATEWAY:
                queue.add(key)

    guard = Guard(kube, cache, settings.operator_account, wake_guarded)
    collector = Collector(kube, cache, clock, queue.add, settings.install)

    def wake(key: Key) -> None:
        if leads():  # a standby only keeps its cache; whoever leads next looks at everything
            queue.add(key)
            guard.notice(key)

    intake = Intake(
        cache, settings.install, wake,
        orphan=collector.suspect, finished=metrics.job_finished, ended=collector.inherit,
    )  # fmt: skip
    schema = StatusSchema()
    ports = Ports(
        kube=kube, cache=cache, intake=intake, clock=clock, planners=planners or Planners(),
        reader=Reader(kube, cache, intake, clock),
        observer=Observer(cache, settings, lambda: guard.unguarded),
        executor=Executor(kube, cache, intake, clock),
        schema=schema, recorder=Recorder(kube, clock, instance), noted=noted,
    )  # fmt: skip
    return Parts(ports, queue, Resync(kube, intake, schema, clock), collector, guard)
