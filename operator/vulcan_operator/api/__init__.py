"""The custom resources: the only source of `crds/` and `docs/reference/api.md`.

Pydantic models of the specs that users write and of the status that the operator reports. The
package has no I/O and no clock, and imports neither Kopf nor a client.
"""

GROUP = "vulcan.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
