"""Immutable copies of ConfigMaps beside the Jobs that mount them, named by what is in them. Pure.

A user's ConfigMap may be in another namespace than its Job and may change while the Job starts.
Used by the steps of environments and promotions for projects, and by `checks` for SodaCL files.
"""

import base64
from collections.abc import Mapping

from vulcan_contract.digest import of_json
from vulcan_operator.api import names
from vulcan_operator.api.fields import ObjectMeta
from vulcan_operator.plan.core.actions import Key, WriteConfigMap
from vulcan_operator.plan.core.facts import Identity
from vulcan_operator.plan.tasks import config_maps

Files = Mapping[str, bytes]


def name_of(meta: ObjectMeta | Identity, what: str, digest: str) -> str:
    """Name of the copy of an object's `what` (source, checks) with this digest."""
    return f"{meta.name}-{what}-{of_json([meta.uid, digest])[:12]}"


def write(
    owner: Key, meta: ObjectMeta, install: str, namespace: str, name: str, files: Files
) -> WriteConfigMap:
    """`files` by key of the ConfigMap. The object owns it where both are in one namespace: for the
    garbage collector an owner in another one does not exist."""
    binary = {key: base64.b64encode(content).decode() for key, content in sorted(files.items())}
    kind = owner.kind.value if meta.namespace == namespace else None
    labels = {names.INSTALL: install}
    manifest = config_maps.immutable(
        meta, namespace, name, owner=kind, labels=labels, binaryData=binary
    )
    return WriteConfigMap(manifest)
