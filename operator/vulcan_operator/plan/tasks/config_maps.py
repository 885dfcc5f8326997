"""Immutable ConfigMaps of the operator as manifests: copies, reports, evidence. Pure; used by whoever keeps something."""

from collections.abc import Mapping
from typing import Any

from vulcan_operator.api import API_VERSION, names
from vulcan_operator.api.fields import ObjectMeta


def immutable(
    about: ObjectMeta,
    namespace: str,
    name: str,
    *,
    owner: str | None = None,
    labels: Mapping[str, str] | None = None,
    **content: dict[str, str],
) -> dict[str, Any]:
    """Of the object `about`, whose kind is `owner` where the ConfigMap is to go with it; `content`: data or binaryData."""
    reference = {"apiVersion": API_VERSION, "kind": owner, "name": about.name, "uid": about.uid}
    owners = [{**reference, "controller": False, "blockOwnerDeletion": False}]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                names.MANAGED: "true",
                names.OWNER_NAME: about.name,
                names.OWNER_UID: about.uid,
                **(labels or {}),
            },
            **({"ownerReferences": owners} if owner is not None else {}),
        },
        "immutable": True,
        **content,
    }
