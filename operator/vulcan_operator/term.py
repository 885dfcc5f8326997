"""One time in office: list everything, queue everything, then let workers and helpers run.

Made and run by `loop` whenever this instance becomes leader, and cancelled when it stops being it.
What writes to the API server beside the election runs in here. Decides nothing about objects.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from vulcan_operator.assemble import Parts
from vulcan_operator.worker import work


@dataclass(frozen=True)
class Term:
    """What runs while this instance leads."""

    parts: Parts
    workers: int
    resync_interval: float

    async def run(self) -> None:
        """Serve until cancelled; when one task ends with an error, all of them end."""
        await self._resync()
        parts, ports = self.parts, self.parts.ports
        tasks: list[Coroutine[Any, Any, None]] = [self._resync_regularly()]
        tasks += [work(ports, parts.queue) for _ in range(self.workers)]
        tasks += [ports.recorder.run(), parts.collector.run(), parts.guard.run()]
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)

    async def _resync_regularly(self) -> None:
        while True:
            await asyncio.sleep(self.resync_interval)
            await self._resync()

    async def _resync(self) -> None:
        await self.parts.resync.until_done()
        self.parts.queue_everything()
        self.parts.collector.look()
