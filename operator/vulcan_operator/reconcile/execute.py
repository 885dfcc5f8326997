"""Carries out a planner's actions in order. Each is idempotent, so a pass can be repeated.

Called by `reconcile`. Answers of the API server go into the cache at once, so that the next pass
does not act on old versions. Decides nothing.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from vulcan_contract.tasks import TaskKind
from vulcan_operator.api import names
from vulcan_operator.cluster import views
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.kinds import KINDS
from vulcan_operator.cluster.wake import Intake
from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Kube, exists
from vulcan_operator.kube.clock import Clock
from vulcan_operator.kube.resources import CONFIG_MAPS, JOBS, PODS, Raw, Resource
from vulcan_operator.plan.core import actions as act
from vulcan_operator.plan.core.actions import Action, Key, Kind
from vulcan_operator.reconcile import slots

_WRITERS = frozenset(k.value for k in TaskKind if k.traits.ends_by_itself)


class Refused(Exception):
    """The API server refuses an action permanently: rights, quota, admission or content."""


class AttemptTaken(Exception):
    """A Job of this name exists and is not ours; the next attempt has another name."""


@dataclass(frozen=True)
class Executor:
    """Carries out plans."""

    kube: Kube
    cache: Cache
    intake: Intake
    clock: Clock

    async def run(self, key: Key, actions: Iterable[Action], versions: dict[str, str]) -> None:
        """Carry out actions. `versions` maps a resourceVersion as planned to that after our writes.

        Raises Refused, AttemptTaken, slots.SlotBusy, errors.Retriable or errors.NotLeader.
        """
        taken: act.TakeSlot | None = None
        for action in actions:
            taken = action if isinstance(action, act.TakeSlot) else taken
            try:
                await self._do(key, action, versions)
            except errors.Permanent as error:
                if taken is not None:  # its Job will not be created: others must not wait for it
                    free = act.ReleaseSlot(taken.namespace, taken.gateway, taken.job)
                    await self._do(key, free, versions)
                raise Refused(f"{type(action).__name__}: {error.message}") from error

    async def _do(self, key: Key, action: Action, versions: dict[str, str]) -> None:
        match action:
            case act.CreateJob():
                await self._create_job(key, action)
            case act.DeleteJob():
                await self._delete(JOBS, action.namespace, action.name)
            case act.StopPods():
                await self._stop_pods(action)
            case act.KeepJob():
                await self._keep_job(key, action)
            case act.WriteConfigMap():
                await self._write_config_map(action)
            case act.DeleteConfigMap():
                # Without the right to delete it stays, and can be found by its labels.
                with contextlib.suppress(errors.Forbidden):
                    await self._delete(CONFIG_MAPS, action.namespace, action.name)
            case act.SetFinalizer():
                await self._set_finalizer(action, versions)
            case act.DeleteObject():
                await self._delete_object(action)
            case act.TakeSlot(namespace, gateway, job):
                await slots.take(self.kube, self.cache, self.clock, namespace, gateway, job)
            case act.ReleaseSlot(namespace, gateway, job):
                await slots.release(self.kube, self.clock, namespace, gateway, job)
                self.intake.wake_first_waiter((namespace, gateway), key)
            case _:
                assert_never(action)

    async def _create_job(self, key: Key, action: act.CreateJob) -> None:
        wanted, name = action.manifest["metadata"]["labels"], f"{action.namespace}/{action.name}"
        if wanted.get(names.TASK) in _WRITERS and not self._owner_known(wanted):
            # The slot that was taken counts as free by now, so another task may have it.
            raise errors.Conflict(f"the owner of Job {name} is gone", status=409)
        try:
            raw = await self.kube.create(JOBS, action.namespace, dict(action.manifest))
            self.intake.event(JOBS, raw, by=key)
            return
        except errors.AlreadyExists:
            raw = await self._get_job(action)
        found = raw["metadata"].get("labels", {})
        if any(found.get(label) != wanted.get(label) for label in (names.OWNER_UID, names.INPUTS)):
            raise AttemptTaken(f"Job {name} exists and was not created for this task")
        self.intake.event(JOBS, raw, by=key)

    def _owner_known(self, labels: Mapping[str, str]) -> bool:
        kind, name = Kind(labels[names.OWNER_KIND]), labels[names.OWNER_NAME]
        found = self.cache.custom(Key(kind, labels[names.OWNER_NAMESPACE], name))
        return found is not None and found.metadata.uid == labels[names.OWNER_UID]

    async def _get_job(self, action: act.CreateJob) -> Raw:
        try:
            return await self.kube.get(JOBS, action.namespace, action.name)
        except errors.NotFound as error:  # it was deleted in between: the next pass creates it
            raise errors.Conflict(error.message, status=404) from error

    async def _delete(self, resource: Resource, namespace: str, name: str) -> None:
        with contextlib.suppress(errors.NotFound):
            await self.kube.delete(resource, namespace, name)

    async def _stop_pods(self, action: act.StopPods) -> None:
        async for page in self.kube.pages(PODS, action.namespace, f"{views.JOB_NAME}={action.job}"):
            for pod in page.items:
                if "deletionTimestamp" not in pod["metadata"]:
                    await self._delete(PODS, action.namespace, pod["metadata"]["name"])

    async def _keep_job(self, key: Key, action: act.KeepJob) -> None:
        known = self.cache.jobs.get((action.namespace, action.name))
        if known is not None and known.ttl == action.seconds:
            return
        change = {"spec": {"ttlSecondsAfterFinished": action.seconds}}
        with contextlib.suppress(errors.NotFound):
            raw = await self.kube.merge_patch(JOBS, action.namespace, action.name, change)
            self.intake.event(JOBS, raw, by=key)

    async def _write_config_map(self, action: act.WriteConfigMap) -> None:
        namespace, name = (action.manifest["metadata"][part] for part in ("namespace", "name"))
        try:
            await self.kube.create(CONFIG_MAPS, namespace, dict(action.manifest))
        except errors.AlreadyExists:
            found = await exists(self.kube, CONFIG_MAPS, namespace, name)
            if found is None:  # deleted in between
                raise errors.Conflict(f"ConfigMap {namespace}/{name} comes and goes") from None
            if any(found.get(part) != action.manifest.get(part) for part in ("data", "binaryData")):
                problem = f"ConfigMap {namespace}/{name} exists with other content; find out why"
                raise errors.Permanent(f"{problem}, then delete it") from None

    async def _set_finalizer(self, action: act.SetFinalizer, versions: dict[str, str]) -> None:
        version = versions.get(action.resource_version, action.resource_version)
        operations: list[Raw] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/finalizers", "value": list(action.finalizers)},
        ]
        key, resource = action.key, KINDS[action.key.kind].resource
        try:
            raw = await self.kube.json_patch(resource, key.namespace, key.name, operations)
        except errors.NotFound:
            return
        except errors.Invalid as error:  # a failed test is answered like a schema error
            raise errors.Conflict(error.message, status=422) from error
        if raw.get("kind") == key.kind:
            versions[action.resource_version] = raw["metadata"]["resourceVersion"]
            self.intake.event(resource, raw, by=key)

    async def _delete_object(self, action: act.DeleteObject) -> None:
        key, resource = action.key, KINDS[action.key.kind].resource
        # It is gone, or another object has the name.
        with contextlib.suppress(errors.NotFound, errors.Conflict):
            await self.kube.delete(resource, key.namespace, key.name, action.uid)
