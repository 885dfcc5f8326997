"""Pod Security Standard `restricted` (and baseline below it), as far as a pod template can break it."""

from typing import Any

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_HOST = ("hostNetwork", "hostPID", "hostIPC")


def violations(pod: dict[str, Any]) -> list[str]:
    """What the admission of a `restricted` namespace would refuse; empty: it is let in."""
    context = pod.get("securityContext", {})
    found = [name for name in _HOST if pod.get(name)]
    found += [f"sysctls: {s}" for s in context.get("sysctls", [])]
    found += [
        f"volume {v['name']}: {kind}" for v in pod.get("volumes", []) for kind in v if kind not in {*VOLUMES, "name"}
    ]
    containers = [*pod.get("initContainers", []), *pod.get("ephemeralContainers", []), *pod["containers"]]
    return found + [f"{c['name']}: {why}" for c in containers for why in _container(c, context)]


def _container(container: dict[str, Any], pod: dict[str, Any]) -> list[str]:
    own = container.get("securityContext", {})
    capabilities = own.get("capabilities", {})
    both = {**pod, **own}
    wrong = {
        "privileged": own.get("privileged"),
        "allowPrivilegeEscalation is not false": own.get("allowPrivilegeEscalation") is not False,
        "does not drop all capabilities": "ALL" not in capabilities.get("drop", []),
        "adds capabilities": set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"},
        "runAsNonRoot is not true": both.get("runAsNonRoot") is not True,
        "runs as root": both.get("runAsUser") == 0,
        "no seccomp profile": both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"),
        "host ports": any(port.get("hostPort") for port in container.get("ports", [])),
        "procMount": own.get("procMount", "Default") != "Default",
        "host probes": any("host" in str(container.get(p, {})) for p in ("livenessProbe", "readinessProbe")),
    }
    return [why for why, is_so in wrong.items() if is_so]
