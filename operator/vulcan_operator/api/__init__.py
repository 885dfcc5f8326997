"""The custom resources: single source of `crds/` and `docs/reference/api.md` (see `tools/generate.py`).

Pydantic models of what users write and of what the operator reports. No I/O, no clock, no Kopf, no client.
"""

GROUP = "vulcan.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
