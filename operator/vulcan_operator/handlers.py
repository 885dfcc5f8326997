"""The only module that uses Kopf's handlers: settings, login, and one line per event.

Used by `cli`. Every body only passes on what was said: nothing is decided here, and Kopf writes
nothing to any object.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import kopf

from vulcan_operator.kube import resources
from vulcan_operator.kube.access import Access
from vulcan_operator.loop import Operator
from vulcan_operator.resync import SELECTOR


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps Kopf from storing copies of specs: we compare with the cluster, not with the past."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """Keeps Kopf from storing progress: nothing that it runs can be half done."""

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence

    def touch(self, **_: Any) -> None:
        return None


class _Endless:
    """Yields backoffs that never run out, and can be iterated again.

    An API server that is away is no reason to exit.
    """

    def __iter__(self) -> Iterator[float]:
        yield from (0.2, 0.5, 1.0, 2.0)
        while True:
            yield 5.0


def settings() -> kopf.OperatorSettings:
    """Let Kopf watch and do nothing else."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.peering.standalone = True
    made.scanning.disabled = True
    made.queueing.idle_timeout = 0.2
    made.queueing.exit_timeout = 0.5
    made.watching.chunk_size = 50
    made.watching.label_selectors["jobs.batch"] = SELECTOR
    made.watching.label_selectors["pods"] = SELECTOR
    made.networking.request_timeout = 30
    made.networking.error_backoffs = _Endless()
    made.persistence.diffbase_storage = _NoDiffBase()
    made.persistence.progress_storage = _NoProgress()
    made.process.ultimate_exiting_timeout = 20
    return made


def registry(operator: Operator, access: Access) -> kopf.OperatorRegistry:
    """Return every handler: login, cleanup, and one per watched resource."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await asyncio.to_thread(connection, access)

    @kopf.on.cleanup(registry=made)
    async def cleanup(**_: Any) -> None:
        await operator.stop()

    for resource in resources.WATCHED:
        _watch(made, operator, resource)
    return made


def _watch(made: kopf.OperatorRegistry, operator: Operator, resource: resources.Resource) -> None:
    @kopf.on.event(
        resource.group, resource.version, resource.plural, registry=made, id=resource.plural
    )
    async def event(event: Any, **_: Any) -> None:
        operator.observe_event(resource, event["object"], deleted=event["type"] == "DELETED")


def connection(access: Access) -> kopf.ConnectionInfo:
    """Return the credentials of our own session for Kopf's. This blocks."""
    access.load()
    certificate = access.client_certificate or (None, None)
    scheme, _, token = (access.header() or "").partition(" ")
    return kopf.ConnectionInfo(
        server=access.server, ca_path=access.ca_path, insecure=access.insecure,
        scheme=scheme or None, token=token or None,
        certificate_path=certificate[0], private_key_path=certificate[1], proxy_url=access.proxy,
    )  # fmt: skip
