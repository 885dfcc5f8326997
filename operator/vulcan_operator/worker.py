"""Workers: each takes one key after another from the queue, reconciles it and requeues it.

Started by `term`; `schedule` is used by the tests' World, too. Nothing is decided about objects
here, only when to look at them again after an error.
"""

import itertools
import logging

from vulcan_operator import logs, metrics
from vulcan_operator.kube import errors
from vulcan_operator.kube.clock import Clock
from vulcan_operator.plan.core.actions import Key
from vulcan_operator.reconcile.reconcile import Next, Ports, reconcile
from vulcan_operator.work_queue import WorkQueue

_log = logging.getLogger(__name__)
_ids = itertools.count(1)


async def work(ports: Ports, queue: WorkQueue[Key]) -> None:
    """Reconcile what the queue hands out until cancelled."""
    while True:
        key = await queue.get()
        try:
            await _pass(ports, queue, key)
        finally:
            queue.done(key)


def schedule(queue: WorkQueue[Key], key: Key, after: Next, clock: Clock) -> None:
    """Requeue a key as its reconcile asked."""
    if after.retry:
        _log.info("%s; again in %.1f s", after.retry, queue.retry(key))
        return
    if after.now:
        # At once the first time; when it goes on, others write the object all the time.
        if queue.failures(key) == 0:
            queue.add(key)
        queue.retry(key)
        return
    queue.succeeded(key)
    if after.at is not None:
        queue.add_after(key, (after.at - clock.now()).total_seconds())


async def _pass(ports: Ports, queue: WorkQueue[Key], key: Key) -> None:
    began, result = ports.clock.monotonic(), "ok"
    with logs.bind(object=str(key), kind=key.kind.value, reconcile=str(next(_ids))):
        try:
            after = await reconcile(ports, key)
            schedule(queue, key, after, ports.clock)
            result = "retry" if after.retry else result
        except errors.NotLeader as error:
            _log.info("%s", error)
            result = "not-leader"
        except errors.KubeError as error:
            _log.warning("%s; again in %.1f s", error.message, queue.retry(key))
            result = "error"
        except Exception:  # noqa: BLE001 - a bug in one object's pass must not end the others'
            _log.exception("bug; again in %.1f s", queue.retry(key))
            result = "bug"
    metrics.reconciled(key, result, ports.clock.monotonic() - began)
