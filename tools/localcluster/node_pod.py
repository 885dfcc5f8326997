"""The life of one pod on this node: volumes, init containers, containers, deadline, deletion.

One worker per pod, created by the node. What it needs to survive a restart of the node is in the pod's folder. Must not
know about other pods; must not lose a container: between the decision to start one and its recorded start is no await.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.localcluster import (
    images,
    networks,
    node_api,
    node_attempt,
    node_env,
    node_publish,
    node_volumes,
    processes,
)
from tools.localcluster.node_status import ContainerState, lost, pod_status, waiting

Object = dict[str, Any]
_RETRY = 0.5
_TOO_LONG = "Pod was active on the node longer than the specified deadline"
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
log = logging.getLogger("node")


@dataclasses.dataclass(frozen=True)
class Context:
    """What all pods of a node share."""

    api: node_api.NodeApi
    state: Path
    service_env: Mapping[str, str]


class PodWorker:
    """Runs one pod to its end and reports on the way."""

    def __init__(self, context: Context, pod: Object) -> None:
        self.pod = pod
        self.folder = context.state / "node" / "pods" / pod["metadata"]["uid"]
        self._context = context
        self._attempts: dict[str, node_attempt.Attempt] = {}
        initial = waiting("PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating")
        self._inits = [ContainerState(spec, initial) for spec in pod["spec"].get("initContainers", [])]
        self._mains = [ContainerState(spec, initial) for spec in pod["spec"]["containers"]]
        self._deleted, self._forced = asyncio.Event(), asyncio.Event()
        self._start_time = pod["status"].get("startTime") or node_publish.now()
        self._ended = False
        self._extra: Object = {}
        self._publisher = node_publish.Publisher(context.api, self._status)
        self.update(pod)
        for item in [*self._inits, *self._mains]:
            self._restore(item)

    def update(self, pod: Object) -> None:
        """The API server has a newer version of the pod."""
        self.pod = pod
        if "deletionTimestamp" in pod["metadata"]:
            self._deleted.set()

    def vanished(self) -> None:
        """The pod is gone from the API server: end at once."""
        self._forced.set()
        self._deleted.set()

    @property
    def is_gone(self) -> bool:
        """Whether the API server has dropped the pod."""
        return self._forced.is_set()

    def waiting_reason(self, container: str) -> str | None:
        """Why a container has not started; None if it has, KeyError if there is no such container."""
        state = {item.spec["name"]: item for item in [*self._inits, *self._mains]}[container]
        reason = state.state.get("waiting", {}).get("reason")
        return None if reason is None else str(reason)

    async def run(self) -> None:
        """Everything, from the first volume to the confirmed deletion."""
        if self.pod["status"].get("phase") not in ("Succeeded", "Failed"):
            await self._live()
        await self._deleted.wait()
        await self._publisher.stop()
        if not self._forced.is_set():
            await node_publish.until_answered(lambda: self._context.api.finish_deletion(self.pod))
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _live(self) -> None:
        if self._was_lost():
            log.warning("pod %s ran before, but nothing of it is left", self.folder.name)
            await self._terminate(0)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._publisher.publish()
        life = asyncio.create_task(self._run_containers())
        deadline = asyncio.create_task(self._deadline())
        deletion = asyncio.create_task(self._deleted.wait())
        await asyncio.wait([life, deadline, deletion], return_when=asyncio.FIRST_COMPLETED)
        over = life.done()
        exceeded = deadline.done() and not over
        for task in (life, deadline, deletion):
            if not task.done():
                task.cancel()
        await asyncio.gather(life, deadline, deletion, return_exceptions=True)
        if over:
            life.result()
            return
        if exceeded:
            self._extra = {"reason": "DeadlineExceeded", "message": _TOO_LONG}
            self._publisher.event(self.pod, "Normal", "DeadlineExceeded", _TOO_LONG)
        grace = self.pod["metadata"].get("deletionGracePeriodSeconds") if self._deleted.is_set() else None
        await self._terminate(self.pod["spec"].get("terminationGracePeriodSeconds", 30) if grace is None else grace)

    async def _deadline(self) -> None:
        """Returns when the pod's own deadline has passed."""
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        if limit is None:
            await asyncio.Event().wait()
        await asyncio.sleep(limit - node_publish.age(self._start_time))

    async def _run_containers(self) -> None:
        folders = await self._mount()
        for item in self._inits:
            await self._run(item, folders)
            if not item.succeeded:
                return  # a policy that restarts would not have come back
        for item in self._mains:
            if "waiting" in item.state:
                item.state = waiting("ContainerCreating")
        await asyncio.gather(*(self._run(item, folders) for item in self._mains))

    async def _mount(self) -> dict[str, Path]:
        while True:
            try:
                return await node_volumes.mount(self._context.api, self.pod, self.folder / "volumes")
            except (node_volumes.MountError, node_api.ApiError) as error:
                self._publisher.event(self.pod, "Warning", "FailedMount", str(error))
            except node_api.UnreachableError:
                pass
            await asyncio.sleep(_RETRY)

    async def _run(self, item: ContainerState, folders: Mapping[str, Path]) -> None:
        """One container, as often as the restart policy wants."""
        while True:
            attempt = self._attempts.get(item.spec["name"])
            if attempt is None:
                attempt = await self._start(item, folders)
            await attempt.started.wait()
            self._observe(item, attempt)
            await attempt.ended.wait()
            self._observe(item, attempt)
            policy = self.pod["spec"].get("restartPolicy", "Always")
            is_init = item in self._inits
            if policy == "Never" or (item.succeeded and (policy == "OnFailure" or is_init)):
                return
            await self._back_off(item)

    async def _back_off(self, item: ContainerState) -> None:
        name, meta = item.spec["name"], self.pod["metadata"]
        delay = min(10 * 2 ** (item.restarts - 1), 300) if item.restarts else 0
        item.last, item.restarts = item.state, item.restarts + 1
        del self._attempts[name]
        if delay:
            pod = f"{meta['name']}_{meta['namespace']}({meta['uid']})"
            message = f"back-off {delay}s restarting failed container={name} pod={pod}"
            item.state = waiting("CrashLoopBackOff", message)
            self._publisher.publish()
            await asyncio.sleep(delay)

    async def _start(self, item: ContainerState, folders: Mapping[str, Path]) -> node_attempt.Attempt:
        pulls = 0
        while True:
            image = images.find(self._context.state / images.FILE, item.spec["image"])
            if image is None:
                self._cannot_pull(item, pulls)
                pulls += 1
                await asyncio.sleep(2 * _RETRY)
                continue
            try:
                env = await node_env.resolve(self._context.api, self.pod, item.spec, self._context.service_env)
                return self._spawn(item, folders, image, env)
            except node_env.ConfigError as error:
                self._wait(item, "CreateContainerConfigError", str(error))
                self._publisher.event(self.pod, "Warning", "Failed", f"Error: {error}")
            except node_api.ApiError as error:
                self._wait(item, "CreateContainerConfigError", str(error))
            except node_api.UnreachableError:
                pass
            await asyncio.sleep(_RETRY)

    def _spawn(
        self, item: ContainerState, folders: Mapping[str, Path], image: images.Image, env: dict[str, str]
    ) -> node_attempt.Attempt:
        """Everything from the values to the running program, in one go."""
        attempt = node_attempt.create(self.folder / "containers" / item.spec["name"])
        paths = dict(image.paths)
        paths[item.spec.get("terminationMessagePath", "/dev/termination-log")] = str(attempt.termination_log)
        for mount in item.spec.get("volumeMounts", []):
            inside = mount.get("subPath") or node_env.expand(mount.get("subPathExpr", ""), env)
            paths[mount["mountPath"]] = str(folders[mount["name"]] / inside)
        mounted = {mount["mountPath"]: paths[mount["mountPath"]] for mount in item.spec.get("volumeMounts", [])}
        paths = {**node_env.parents(mounted, attempt.folder / "root"), **paths}
        rewrite = node_env.rewriter(paths, str(self.folder))
        home = attempt.folder / "home"
        full = {
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TMPDIR": paths.get("/tmp", str(attempt.folder / "tmp")),
            "HOSTNAME": self.pod["spec"].get("hostname") or self.pod["metadata"]["name"],
            **image.variables,
            **self._context.service_env,
            **{name: rewrite(value) for name, value in env.items()},
            processes.MARKER: str(self._context.state),
        }
        full["PATH"] = f"{image.bin}:{full.get('PATH', _SYSTEM_PATH)}"
        argv = [rewrite(part) for part in node_env.command_line(item.spec, image.entrypoint, image.cmd, full)]
        network = self.pod["metadata"].get("annotations", {}).get(networks.ANNOTATION)
        argv = [*networks.inside(network), *argv] if network and argv else argv
        directory = rewrite(item.spec.get("workingDir", "")) or str(home)
        attempt.start(argv or ["(no command)"], full, directory if Path(directory).is_dir() else str(home))
        self._attempts[item.spec["name"]] = attempt
        self._publisher.event(self.pod, "Normal", "Started", f"Started container {item.spec['name']}")
        item.image_id = images.image_id(item.spec["image"])
        return attempt

    async def _terminate(self, grace: float) -> None:
        """End whatever runs and settle every container's state."""
        running = [attempt for attempt in self._attempts.values() if not attempt.ended.is_set()]
        if running:
            self._publisher.event(self.pod, "Normal", "Killing", "Stopping containers")
            for attempt in running:
                await attempt.started.wait()
                attempt.signal(signal.SIGTERM)
            await self._wait_for_end(running, grace)
            for attempt in running:
                attempt.signal(signal.SIGKILL)
                await attempt.ended.wait()
        for item in [*self._inits, *self._mains]:
            if item.spec["name"] in self._attempts:
                self._observe(item, self._attempts[item.spec["name"]])
            elif item.terminated is None:
                item.state = lost(node_publish.now())
        self._ended = True
        self._publisher.publish()

    async def _wait_for_end(self, running: Sequence[node_attempt.Attempt], grace: float) -> None:
        """Returns when all have ended, the grace period is over, or the pod was deleted by force."""

        async def all_ended() -> None:
            for attempt in running:
                await attempt.ended.wait()

        ended, forced = asyncio.create_task(all_ended()), asyncio.create_task(self._forced.wait())
        await asyncio.wait([ended, forced], timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, forced):
            task.cancel()

    def _restore(self, item: ContainerState) -> None:
        """Find a container again as an earlier node left it."""
        attempt = node_attempt.latest(self.folder / "containers" / item.spec["name"])
        if attempt is not None:
            attempt.attach()
            self._attempts[item.spec["name"]] = attempt
            item.restarts = attempt.number if self.pod["spec"].get("restartPolicy") != "Never" else 0
            item.image_id = images.image_id(item.spec["image"])
            self._observe(item, attempt)

    def _observe(self, item: ContainerState, attempt: node_attempt.Attempt) -> None:
        """Take over what the attempt's files say."""
        identity = f"{self.folder.name}/{item.spec['name']}/{attempt.number}"
        item.container_id = f"localcluster://{hashlib.sha256(identity.encode()).hexdigest()}"
        if attempt.ended.is_set():
            limit = min(4096, 12288 // (len(self._inits) + len(self._mains)))  # a kubelet shares 12 KiB fairly
            result = attempt.result(item.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError", limit)
            item.state = lost(node_publish.now()) if result is None else {"terminated": result}
            item.state["terminated"]["containerID"] = item.container_id
        elif (since := attempt.started_at()) is not None:
            item.state = {"running": {"startedAt": since}}
        self._publisher.publish()

    def _was_lost(self) -> bool:
        """The API server says that containers started, but there is no trace of them here."""
        known = [*self.pod["status"].get("initContainerStatuses", []), *self.pod["status"].get("containerStatuses", [])]
        return not self.folder.exists() and any("waiting" not in item.get("state", {"waiting": {}}) for item in known)

    def _cannot_pull(self, item: ContainerState, pulls: int) -> None:
        image = item.spec["image"]
        problem = f'failed to pull and unpack image "{image}": failed to resolve image: {image}: not found'
        if pulls == 0:
            self._publisher.event(self.pod, "Warning", "Failed", f'Failed to pull image "{image}": {problem}')
            self._wait(item, "ErrImagePull", problem)
        else:
            self._publisher.event(self.pod, "Normal", "BackOff", f'Back-off pulling image "{image}"')
            self._wait(item, "ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {problem}')

    def _wait(self, item: ContainerState, reason: str, message: str) -> None:
        item.state = waiting(reason, message)
        self._publisher.publish()

    def _status(self) -> tuple[Object, Object]:
        """The pod and the status it should have now."""
        now = node_publish.now()
        status = pod_status(self.pod, self._inits, self._mains, self._ended, self._start_time, now)
        return self.pod, {**status, **self._extra}
