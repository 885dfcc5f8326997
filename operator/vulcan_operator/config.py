"""The operator's configuration: environment variables, which `cli` reads once and no other module.

(The one exception, VULCAN_CRASH_AT, is for crash tests and lives in `kube.client`.)
"""

import dataclasses
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_RUNNER = "vulcan-runner:latest"
DEFAULT_ACCOUNT = "system:serviceaccount:vulcan-system:vulcan-operator"


class ConfigError(Exception):
    """A variable has an invalid value; the message says what to set."""


def _env(variable: str, default: Any, about: str) -> Any:
    return field(default=default, metadata={"variable": variable, "about": about})


@dataclass(frozen=True)
class Config:
    """Holds every setting; `about` of each field is its documentation."""

    namespace: str = _env(
        "VULCAN_NAMESPACE", "vulcan-system", "Namespace of the operator: its leader Lease is there."
    )
    install: str = _env(
        "VULCAN_INSTALL", "vulcan", "Id of this installation, a label value; unique in the cluster."
    )
    runner_image: str = _env(
        "VULCAN_RUNNER_IMAGE", DEFAULT_RUNNER, "Runner image of gateways that name none."
    )
    account: str = _env("VULCAN_ACCOUNT", DEFAULT_ACCOUNT, "The operator's own user name.")
    identity: str = _env(
        "VULCAN_IDENTITY", "", "Name of this instance in the Lease; default: host and a random id."
    )
    lease_name: str = _env("VULCAN_LEASE_NAME", "vulcan-operator", "Name of the leader Lease.")
    lease_duration: float = _env(
        "VULCAN_LEASE_DURATION", 15.0, "Seconds without renewal after which another may take over."
    )
    renew_deadline: float = _env(
        "VULCAN_RENEW_DEADLINE", 10.0, "Seconds without renewal after which this one stops writing."
    )
    retry_period: float = _env(
        "VULCAN_RETRY_PERIOD", 2.0, "Seconds between attempts to renew or take over the Lease."
    )
    workers: int = _env("VULCAN_WORKERS", 8, "Number of objects reconciled at the same time.")
    resync_interval: float = _env(
        "VULCAN_RESYNC_INTERVAL", 600.0, "Seconds between resyncs, which list all watched objects."
    )
    write_rate: float = _env(
        "VULCAN_WRITE_RATE",
        0.0,
        "Limit of writes per second, with bursts of twice as many; 0: no limit. VULCAN_WORKERS "
        "limits how many writes are in progress, and the API server protects itself by priority "
        "and fairness.",
    )
    health_host: str = _env(
        "VULCAN_HEALTH_HOST", "0.0.0.0", "Address that serves /healthz, /readyz and /metrics."
    )
    health_port: int = _env(
        "VULCAN_HEALTH_PORT", 8080, "Port that serves them; 0: a free port, which is logged."
    )
    metrics_access: str = _env(
        "VULCAN_METRICS_ACCESS",
        "authorized",
        "Who may read /metrics from outside the pod: `authorized`, accounts that may `get` it "
        "(ClusterRole vulcan-metrics-reader), or `anyone`, where a NetworkPolicy guards the port.",
    )
    stuck_after: float = _env(
        "VULCAN_STUCK_AFTER", 300.0, "Seconds at one object after which a worker counts as stuck."
    )
    log_level: str = _env("VULCAN_LOG_LEVEL", "info", "Level: debug, info, warning or error.")
    kubeconfig: str = _env(
        "VULCAN_KUBECONFIG", "", "Kubeconfig file; default: in-cluster, else KUBECONFIG."
    )
    context: str = _env(
        "VULCAN_KUBE_CONTEXT", "", "Context of the kubeconfig; default: its current one."
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str], **overrides: str) -> "Config":
        """Read and check the settings; `overrides` come from the command line."""
        values: dict[str, Any] = {}
        for setting in dataclasses.fields(cls):
            text = overrides.get(setting.name) or environ.get(setting.metadata["variable"], "")
            if text:
                values[setting.name] = _parse(setting, text)
        values.setdefault("identity", f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}")
        config = cls(**values)
        config.check()
        return config

    def check(self) -> None:
        """Raise ConfigError for values that are out of range or contradict each other."""
        if not self.retry_period < self.renew_deadline < self.lease_duration:
            times = f"{self.retry_period:g}, {self.renew_deadline:g} and {self.lease_duration:g}"
            raise ConfigError(
                "the leader election needs VULCAN_RETRY_PERIOD < VULCAN_RENEW_DEADLINE <"
                f" VULCAN_LEASE_DURATION; they are {times} seconds"
            )
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", self.install):
            problem = f"VULCAN_INSTALL={self.install!r} is not a valid id"
            raise ConfigError(f"{problem}: use up to 40 lower-case letters, digits and dashes")
        if self.metrics_access not in ("authorized", "anyone"):
            given = f"VULCAN_METRICS_ACCESS={self.metrics_access!r}"
            raise ConfigError(f"{given}: use authorized or anyone")
        if self.workers < 1:
            raise ConfigError("VULCAN_WORKERS must be at least 1")
        if self.resync_interval < 1:
            raise ConfigError("VULCAN_RESYNC_INTERVAL must be at least 1 second")
        if self.log_level not in ("debug", "info", "warning", "error"):
            given = f"VULCAN_LOG_LEVEL={self.log_level!r}"
            raise ConfigError(f"{given}: use debug, info, warning or error")

    @property
    def write_timeout(self) -> float:
        """Return the timeout of a write: it must end before another instance may begin to write."""
        return (self.lease_duration - self.renew_deadline) * 0.8


def _parse(setting: "dataclasses.Field[Any]", text: str) -> str | int | float:
    kind = type(setting.default)
    if kind is str:
        return text
    try:
        return int(text) if kind is int else float(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number of seconds"
        raise ConfigError(f"{setting.metadata['variable']}={text!r}: give {wanted}") from error
