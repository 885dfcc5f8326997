"""Immutable copies of ConfigMaps beside the Jobs that mount them, named by what is in them. Pure.

A user's ConfigMap may lie in another namespace than its Job and may change while the Job starts. Used by `launch` (an
environment's project), `checks` (SodaCL files) and `tidy`, which lets go of them.
"""

import base64
from collections.abc import Mapping

from vulcan_contract.digest import of_json
from vulcan_operator.api import API_VERSION, names
from vulcan_operator.api.fields import ObjectMeta
from vulcan_operator.plan.actions import Key, WriteConfigMap


def name_of(meta: ObjectMeta, what: str, digest: str) -> str:
    """Name of the copy of an object's `what` (source, checks) with this digest."""
    return f"{meta.name}-{what}-{of_json([meta.uid, digest])[:12]}"


def write(
    owner: Key, meta: ObjectMeta, install: str, namespace: str, name: str, files: Mapping[str, bytes]
) -> WriteConfigMap:
    """`files` by key of the ConfigMap. Owned by the object where that is possible: an owner in another namespace is none
    for the garbage collector."""
    reference = {"apiVersion": API_VERSION, "kind": owner.kind.value, "name": meta.name, "uid": meta.uid}
    near = meta.namespace == namespace
    return WriteConfigMap(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {
                    names.MANAGED: "true",
                    names.INSTALL: install,
                    names.OWNER_UID: meta.uid,
                    names.OWNER_NAME: meta.name,
                },
                **(
                    {"ownerReferences": [{**reference, "controller": False, "blockOwnerDeletion": False}]}
                    if near
                    else {}
                ),
            },
            "immutable": True,
            "binaryData": {key: base64.b64encode(content).decode() for key, content in sorted(files.items())},
        }
    )
