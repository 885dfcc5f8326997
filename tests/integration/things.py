"""Thing: one VulcanGateway, VulcanEnvironment or VulcanPromotion, as a test looks at it, changes it and waits for it."""

import datetime as dt
import json
import os
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.integration.recorder import Raw
from tools.localcluster.cluster import ClusterError

if TYPE_CHECKING:
    from tests.integration.harness import System

API = "vulcan.dev/v1alpha1"
GATEWAYS, ENVIRONMENTS, PROMOTIONS = "vulcangateways", "vulcanenvironments", "vulcanpromotions"
KINDS = {GATEWAYS: "VulcanGateway", ENVIRONMENTS: "VulcanEnvironment", PROMOTIONS: "VulcanPromotion"}


class Thing:
    """One VulcanGateway, VulcanEnvironment or VulcanPromotion."""

    def __init__(self, system: "System", plural: str, name: str) -> None:
        self.system, self.plural, self.name = system, plural, name
        self.stage = system.stage
        self.path = f"/apis/{API}/namespaces/{system.namespace}/{plural}/{name}"

    def get(self) -> Raw | None:
        """It, as it is now."""
        return self.stage.api.get(self.path)

    def status(self) -> Raw:
        """Its status."""
        return dict((self.get() or {}).get("status", {}))

    def conditions(self) -> dict[str, Raw]:
        """Its conditions by type."""
        return {c["type"]: c for c in self.status().get("conditions", ())}

    def ready(self) -> bool:
        """Ready, and that is about the spec as it is now."""
        found = self.get()
        if found is None:
            return False
        ready = _ready(found)
        return ready.get("status") == "True" and ready.get("observedGeneration") == found["metadata"]["generation"]

    def reason(self) -> str:
        """Reason of condition Ready."""
        return str(_ready(self.get() or {}).get("reason", ""))

    def message(self) -> str:
        """Message of condition Ready."""
        return str(_ready(self.get() or {}).get("message", ""))

    def wait_ready(self, seconds: float = 90) -> Raw:
        """Its status, once it is Ready (an environment: and its run has ended)."""
        self.stage.wait_for(self.ready, lambda: f"{self} is Ready; {self.tell()}", seconds)
        return self.status()

    def wait_ran(self, seconds: float = 90) -> Raw:
        """Ready, and the run that follows every apply has ended."""

        def ran() -> bool:
            status = self.status()
            last, applied = status.get("lastRun"), status.get("applied")
            return bool(last and applied and last["time"] >= applied["time"] and "task" not in status and self.ready())

        self.stage.wait_for(ran, lambda: f"{self} has run; {self.tell()}", seconds)
        return self.status()

    def wait_reason(self, *reasons: str, seconds: float = 60) -> str:
        """The message of Ready, once its reason is one of these and about the spec as it is now."""

        def reached() -> bool:
            found = self.get() or {}
            ready = _ready(found)
            current = ready.get("observedGeneration") == found.get("metadata", {}).get("generation")
            return ready.get("reason") in reasons and current

        self.stage.wait_for(reached, lambda: f"{self} is {' or '.join(reasons)}; {self.tell()}", seconds)
        return self.message()

    def wait(self, condition: Callable[[Raw], Any], what: str, seconds: float = 60) -> Raw:
        """Its status, once that fulfils something."""
        self.stage.wait_for(lambda: condition(self.status()), lambda: f"{self}: {what}; {self.tell()}", seconds)
        return self.status()

    def wait_gone(self, seconds: float = 60) -> None:
        """Until the object does not exist any more."""
        self.stage.wait_for(lambda: self.get() is None, lambda: f"{self} is gone; {self.tell()}", seconds)

    def patch(self, user: str = "admin", **spec: Any) -> None:
        """Merge into spec."""
        self.stage.kubectl(
            "patch", self.plural, self.name, "-n", self.system.namespace, "--type=merge", "-p",
            json.dumps({"spec": spec}, ensure_ascii=False), user=user,
        )  # fmt: skip

    def request(self, task: str, **said: str) -> str:
        """Ask for a plan, a run or a probe by annotation, with further annotations; what was written."""
        now = dt.datetime.now(dt.timezone.utc).isoformat()
        self.stage.kubectl(
            "annotate", "--overwrite", self.plural, self.name, "-n", self.system.namespace,
            f"vulcan.dev/{task}-requested-at={now}", *(f"vulcan.dev/{name}={value}" for name, value in said.items()),
        )  # fmt: skip
        return now

    def answered(self, task: str, seconds: float = 90) -> Raw:
        """Ask, and wait for the answer; the status then."""
        asked = self.request(task)
        field_name = f"lastHandled{task.capitalize()}RequestedAt"
        return self.wait(lambda s: s.get(field_name) == asked, f"{task} request answered", seconds)

    def wait_plan(self, seconds: float = 60) -> str:
        """The digest of the plan that waits for approval."""
        self.wait_reason("AwaitingApproval", seconds=seconds)
        return str(self.status()["plan"]["digest"])

    def approve(self, user: str, digest: str, **item: str) -> None:
        """As the command in status does it."""
        refusal = self.refused(user, digest, **item)
        assert refusal == "", refusal

    def refused(self, user: str, digest: str, by: str | None = None, **item: str) -> str:
        """The same; the API server's refusal, or nothing."""
        value = {"plan": digest, "by": by or user, **item}
        first = "approvals" not in (self.get() or {})["spec"]
        add = {"op": "add", "path": f"/spec/approvals{'' if first else '/-'}", "value": [value] if first else value}
        where = (self.plural, self.name, "-n", self.system.namespace, "--field-manager=vulcan-approval-by-hand")
        try:
            self.stage.kubectl("patch", *where, "--type=json", "-p", json.dumps([add], ensure_ascii=False), user=user)
        except ClusterError as error:
            return str(error)
        return ""

    def run_approve_command(self, user: str) -> str:
        """What the message of Ready tells people to type, in a shell whose kubectl is this user's; its output."""
        command = self.message().partition("To approve: ")[2]
        shim = self.stage.folder / f"bin-{user}" / "kubectl"
        shim.parent.mkdir(exist_ok=True)
        cluster = self.stage.cluster
        shim.write_text(
            f'#!/bin/sh\nexec {cluster.kubectl_path} --kubeconfig {cluster.kubeconfig} --context {user} "$@"\n'
        )
        shim.chmod(0o755)
        env = {**os.environ, "PATH": f"{shim.parent}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def delete(self, *, wait: bool = False) -> None:
        """kubectl delete."""
        arguments = ("delete", self.plural, self.name, "-n", self.system.namespace, "--ignore-not-found")
        self.stage.kubectl(*arguments, f"--wait={str(wait).lower()}")

    def events(self) -> list[Raw]:
        """Kubernetes Events about it, the oldest first."""
        found = self.stage.api.get(f"/apis/events.k8s.io/v1/namespaces/{self.system.namespace}/events") or {}
        mine = [e for e in found["items"] if e["regarding"].get("name") == self.name]
        return [e for e in mine if e["regarding"]["kind"] == KINDS[self.plural]]

    def jobs(self, *tasks: str, namespace: str = "") -> list[Raw]:
        """Its Jobs, the oldest first; only of these tasks. A promotion's may be in another namespace, too."""
        found = self.stage.api.get(f"/apis/batch/v1/namespaces/{namespace or self.system.namespace}/jobs") or {}
        mine = [j for j in found["items"] if _label(j, "owner-name") == self.name]
        mine = [j for j in mine if _label(j, "owner-kind") == KINDS[self.plural]]
        mine = [j for j in mine if not tasks or _label(j, "task") in tasks]
        return sorted(mine, key=lambda j: (j["metadata"]["creationTimestamp"], j["metadata"]["resourceVersion"]))

    def job_logs(self, *tasks: str) -> str:
        """Logs of its Jobs' pods that have ended."""
        names = [j["metadata"]["name"] for j in self.jobs(*tasks)]
        return "\n".join(self.stage.recorder.logs_of_job(self.system.namespace, name) for name in names)

    def tell(self) -> str:
        """For messages of failed tests."""
        found = self.get()
        if found is None:
            return "it does not exist"
        status = found.get("status", {})
        shown = {
            k: status.get(k)
            for k in ("task", "failure", "runFailure", "plan", "lastRun", "nextRunTime", "steps", "outcome")
        }
        return json.dumps({"Ready": _ready(found), "generation": found["metadata"]["generation"], **shown})[:3000]

    def __str__(self) -> str:
        return f"{KINDS[self.plural]} {self.system.namespace}/{self.name}"


def _ready(found: Raw) -> Raw:
    conditions = found.get("status", {}).get("conditions", ())
    return next((dict(c) for c in conditions if c["type"] == "Ready"), {})


def _label(job: Raw, name: str) -> str:
    return str(job["metadata"].get("labels", {}).get(f"vulcan.dev/{name}", ""))
