"""Removes status fields that the installed CRDs do not have.

Server-side apply answers 500 for unknown fields, so an operator newer than its CRDs would fail on
every status write. The schemas are read by `resync` and applied by `reconcile`; without a schema
nothing is removed.
"""

import logging
from typing import Any

from vulcan_operator.api import API_VERSION
from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Kube

_log = logging.getLogger(__name__)


class StatusSchema:
    """Holds the served status schemas by kind."""

    def __init__(self) -> None:
        self._schemas: dict[str, Any] = {}
        self.dropped: set[str] = set()
        """Each `Kind.status.field` that was left out; a metric counts them."""

    async def read(self, kube: Kube) -> None:
        """Fetch the schemas; if that fails, the previous ones stay."""
        try:
            document = await kube.read(f"/openapi/v3/apis/{API_VERSION}")
        except errors.KubeError as error:
            _log.warning("status fields are not checked against the CRDs: %s", error.message)
            return
        self.load(document)

    def load(self, document: Any) -> None:
        """Take the schemas from an OpenAPI v3 document."""
        for schema in document.get("components", {}).get("schemas", {}).values():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                if "status" in schema.get("properties", {}):
                    self._schemas[kind["kind"]] = schema["properties"]["status"]

    def prune(self, kind: str, status: dict[str, Any]) -> dict[str, Any]:
        """Return the status without unknown fields, nulls and empty maps.

        Server-side apply makes null of a map without entries of ours, which no schema allows.
        """
        pruned = _prune(status, self._schemas.get(kind), f"{kind}.status", self._report)
        assert isinstance(pruned, dict)
        return pruned

    def _report(self, path: str) -> None:
        if path not in self.dropped:
            self.dropped.add(path)
            advice = "left out. Install the CRDs of this release"
            _log.warning("the installed CRD does not know %s: %s", path, advice)


def _prune(value: Any, schema: Any, path: str, report: Any) -> Any:
    schema = schema if isinstance(schema, dict) else {}
    if isinstance(value, list):
        return [_prune(item, schema.get("items"), f"{path}[]", report) for item in value]
    if not isinstance(value, dict):
        return value
    known, others = schema.get("properties"), schema.get("additionalProperties")
    open_ = schema.get("x-kubernetes-preserve-unknown-fields") or (known is None and others is None)
    out = {}
    for name, item in value.items():
        if item is None or item == {}:
            continue
        if known is not None and name in known:
            out[name] = _prune(item, known[name], f"{path}.{name}", report)
        elif others is not None:
            out[name] = _prune(item, others, f"{path}.*", report)
        elif open_:
            out[name] = _prune(item, None, f"{path}.{name}", report)
        else:
            report(f"{path}.{name}")
    return out
