"""Immutable ConfigMaps of the operator as manifests: copies, reports, evidence. Pure."""

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
    """Of the object `about`, whose kind is `owner` where the ConfigMap is to be deleted with it;
    `content`: data or binaryData."""
    ours = {names.MANAGED: "true", names.OWNER_NAME: about.name, names.OWNER_UID: about.uid}
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    metadata["labels"] = {**ours, **(labels or {})}
    if owner is not None:
        reference = {"apiVersion": API_VERSION, "kind": owner, "name": about.name, "uid": about.uid}
        flags = {"controller": False, "blockOwnerDeletion": False}
        metadata["ownerReferences"] = [{**reference, **flags}]
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True}
    return {**manifest, **content}
