"""What every act does with its hands: commands, watching, looking at status. `story` and `promotions` build on it."""

import datetime as dt
import json
import shlex
from collections.abc import Callable
from typing import Any

from tools.demo.narrator import DemoError, Narrator
from tools.localcluster.cluster import ClusterError
from tools.stand.stand import Stand

NONPROD, PROD = "analytics-nonprod", "analytics-prod"


class Scene:
    """A stand and somebody who tells what happens on it."""

    def __init__(self, stand: Stand, narrator: Narrator) -> None:
        self.stand, self.tell = stand, narrator

    def watch(
        self, what: str, until: Callable[[], bool], awaited: str, seconds: float = 120, where: str = "-A"
    ) -> None:
        """Show `kubectl get` until something holds."""
        command = ["get", *what.split(), *where.split()]
        self.tell.command(f"kubectl {' '.join(command)}")
        self.tell.watch(lambda: self.stand.kubectl(*command), until, awaited, seconds)

    def command(self, text: str, *, may_fail: bool = False) -> str:
        """Type it, run it, show what it says."""
        self.tell.command(text)
        try:
            out = self.stand.kubectl(*shlex.split(text)[1:])
        except ClusterError as error:
            if not may_fail:
                raise
            out = str(error).rpartition(": ")[2] or "no"
        self.tell.show(out)
        return out

    def patch(self, kind: str, namespace: str, name: str, **spec: Any) -> None:
        """Merge into spec."""
        change = json.dumps({"spec": spec})
        self.command(f"kubectl patch {kind} {name} -n {namespace} --type merge -p {shlex.quote(change)}")

    def request(self, namespace: str, name: str, task: str) -> None:
        """Ask an environment for a task."""
        now = dt.datetime.now(dt.timezone.utc).isoformat()
        self.command(
            f"kubectl annotate --overwrite vulcanenvironment {name} -n {namespace} vulcan.dev/{task}-requested-at={now}"
        )

    def refused(self, user: str, *arguments: str) -> str | None:
        """What the API server says to somebody who may not; None if they may."""
        try:
            self.stand.kubectl(*arguments, user=user)
        except ClusterError as error:
            return str(error).partition("denied request: ")[2] or str(error)
        return None

    def status(self, namespace: str, name: str, kind: str = "vulcanenvironment") -> dict[str, Any]:
        """Status of one object."""
        return dict((self.stand.get(kind, namespace, name) or {}).get("status", {}))

    def ready(self, kind: str, namespace: str, name: str) -> bool:
        """Ready, and that is about the spec as it is now."""
        found = self.stand.get(kind, namespace, name) or {}
        ready = condition(found, "Ready")
        return ready.get("status") == "True" and ready.get("observedGeneration") == found["metadata"]["generation"]

    def reason(self, namespace: str, name: str) -> str:
        """Why an environment is Ready or not."""
        return str(condition({"status": self.status(namespace, name)}, "Ready").get("reason", ""))


def condition(found: dict[str, Any], kind: str) -> dict[str, Any]:
    """One condition of an object, or nothing."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((dict(c) for c in conditions if c["type"] == kind), {})


def require(holds: bool, otherwise: str) -> None:
    """The demo shows what is so, or ends."""
    if not holds:
        raise DemoError(otherwise)
