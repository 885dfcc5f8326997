"""How Jobs of a gateway run: image, identity, placement, deadlines.

Used by `api.gateway`. Says what users may add to a pod; `plan.manifest` builds it.
"""

from typing import Annotated, Any

from pydantic import Field

from vulcan_operator.api.fields import LocalRef
from vulcan_operator.api.schemas import Model, cel, listed, schema
from vulcan_operator.api.texts import (
    FreeDict,
    ObjectName,
    PositiveDuration,
    ShortText,
    Text63,
    Text512,
)

_FREE = {"type": "object", "maxProperties": 64, "x-kubernetes-preserve-unknown-fields": True}
_NOT_OURS = cel(
    "self.all(k, !k.startsWith('vulcan.dev/'))",
    "keys that start with vulcan.dev/ belong to the operator",
)

_NO_SECRET = cel(
    "!has(self.value) || !self.name.matches("
    "'(?i)(password|passwd|secret|token|credential|private_?key)')",
    "a variable of this name holds a secret: set it with valueFrom.secretKeyRef",
    reason="FieldValueForbidden",
)
_ENV_NAME = cel(
    "self.matches('^[A-Za-z_][A-Za-z0-9_]*$') && !self.startsWith('VULCAN_')",
    "env names have letters, digits and _ only, and do not start with VULCAN_",
)
_VOLUMES = {
    "emptyDir": "A folder that exists as long as the pod.",
    "configMap": "A ConfigMap in the gateway's namespace.",
    "persistentVolumeClaim": "A claim in the gateway's namespace.",
    "secret": "A Secret in the gateway's namespace.",
}
_ONE_VOLUME = cel(
    f"[{', '.join(f'has(self.{name})' for name in _VOLUMES)}].filter(x, x).size() == 1",
    f"exactly one of {', '.join(_VOLUMES)} must be set; other volumes are not allowed",
)
_PATH = cel(
    "self.startsWith('/') && !self.contains('..') && !self.contains(':')",
    "mountPath is an absolute path without .. and :",
)


def _free(description: str) -> dict[str, Any]:
    return {**_FREE, "description": description}


def _text(least: int, most: int, description: str, check: dict[str, str]) -> dict[str, Any]:
    limits = {"type": "string", "minLength": least, "maxLength": most}
    return {**limits, "description": description, **schema(check)}


_ENV_VAR = {
    "required": ["name"],
    "properties": {
        "name": _text(1, 256, "Name of the variable.", _ENV_NAME),
        "value": {"type": "string", "maxLength": 8192, "description": "Its value; never a secret."},
        "valueFrom": _free("A reference (secretKeyRef, configMapKeyRef, fieldRef), as in a Pod."),
    },
}
_VOLUME = {
    "required": ["volume", "mountPath"],
    "properties": {
        "volume": {
            "type": "object",
            "description": "What is mounted: exactly one kind of volume, as in a Pod.",
            "properties": {name: _free(text) for name, text in _VOLUMES.items()},
            **schema(_ONE_VOLUME),
        },
        "mountPath": _text(2, 512, "Absolute path in the pod.", _PATH),
    },
}
EnvVar = Annotated[
    dict[str, Any], Field(max_length=3, json_schema_extra={**schema(_NO_SECRET), **_ENV_VAR})
]
Volume = Annotated[dict[str, Any], Field(max_length=2, json_schema_extra={**_VOLUME})]


class RunnerSpec(Model):
    """How Jobs run. All fields apply to the pod template of every Job of this gateway."""

    image: Text512 | None = Field(
        None, description="Runner image. Default: the one in the operator's configuration."
    )
    allowed_images: list[Annotated[str, Field(min_length=1, max_length=512)]] = Field(
        [],
        max_length=64,
        description="Images (with * wildcards) that environments may use as runner.image or "
        "project.image. Empty: only this gateway's own image.",
    )
    image_pull_secrets: list[LocalRef] = listed(16, "Secrets for private registries.", key="name")
    service_account_name: ObjectName | None = Field(
        None,
        description="Identity for cloud databases; no API token is mounted. Default: the "
        "namespace's `default`.",
    )
    resources: FreeDict | None = Field(
        None,
        description="Requests and limits of each container, as in a Pod. If it says nothing of "
        "ephemeral-storage: 1Gi requested, 10Gi at most. That limit is also the size of each "
        "emptyDir of the pod that has none of its own.",
    )
    node_selector: dict[str, Text63] = Field(
        {}, max_length=32, description="Labels of the nodes that Jobs may run on."
    )
    tolerations: list[FreeDict] = Field(
        [], max_length=32, description="Tolerations of the pods, as in a Pod."
    )
    affinity: FreeDict | None = Field(None, description="Affinity of the pods, as in a Pod.")
    pod_labels: dict[str, Text63] = Field(
        {},
        max_length=32,
        description="Additional labels of the pods (not vulcan.dev/…).",
        json_schema_extra=schema(_NOT_OURS),
    )
    pod_annotations: dict[str, ShortText] = Field(
        {},
        max_length=32,
        description="Additional annotations of the pods (not vulcan.dev/…).",
        json_schema_extra=schema(_NOT_OURS),
    )
    env: list[EnvVar] = listed(
        64, "Additional environment variables of the main container, as in a Pod.", key="name"
    )
    volumes: list[Volume] = listed(
        16,
        "Additional volumes, each {volume, mountPath}: emptyDir, configMap, "
        "persistentVolumeClaim or secret.",
        key="mountPath",
    )
    ca_bundle: LocalRef | None = Field(
        None,
        description="ConfigMap in the gateway's namespace; git and the drivers trust the "
        "certificates in its key ca.crt.",
    )
    proxy: Text512 | None = Field(
        None,
        description="HTTP(S) proxy for git, as a URL without credentials.",
        json_schema_extra=schema(
            cel("self.matches('^https?://')", "proxy is an http or https URL"),
            cel(
                "!self.matches('^https?://[^/]*@')",
                "proxy must not contain credentials: set HTTPS_PROXY from a Secret in runner.env",
                reason="FieldValueForbidden",
            ),
        ),
    )
    deadline: PositiveDuration = Field(
        "6h", description="Maximum duration of a task; another attempt then continues it."
    )
    grace_period: PositiveDuration = Field(
        "5m",
        description="How long a task may take to complete its current batch after SIGTERM (a "
        "drain, or a more urgent task); then it is killed. If this is longer than the longest "
        "batch, no work is lost.",
    )
    start_deadline: PositiveDuration = Field(
        "5m", description="Maximum time until a container starts; then the pod is retried."
    )
