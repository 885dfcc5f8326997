"""All that operator and runner know of each other.

Standard library only: the operator's image has no SQLMesh and the runner's no Kubernetes client, and both import this.
`Task` goes from the operator to a Job's pod (environment variable `VULCAN_TASK`), `Result` comes back in the pod's
termination message, the plan's report as framed lines on stdout. Nothing here reads a clock, a file or the network.
"""

CONTRACT_VERSION = 1
"""Raised when an older runner could misread a task; the runner refuses a task of another version."""

REFERENCE = "prod"
"""The environment that SQLMesh branches every other one from; its name is SQLMesh's own default."""


class ExitCode:
    """Exit codes of `python -m vulcan_runner` (the Result has the detail; these are for people reading pods)."""

    SUCCEEDED = 0
    FAILED = 1
    ERRORED = 2
    ABORTED = 3
    BAD_TASK = 64


class PodEnv:
    """Environment variables of a Job's containers; paths are variables so that no path is known in two places."""

    TASK = "VULCAN_TASK"  # JSON of Task; never a secret
    SECRETS = "VULCAN_SECRETS"  # folder: <Secret name>/<key>
    PROJECT = "VULCAN_PROJECT"  # folder of the SQLMesh project (fetched, a ConfigMap, or the image's /project)
    CHECKS = "VULCAN_CHECKS"  # folder of the SodaCL files of a task `checks`
    SODA_PYTHON = "VULCAN_SODA_PYTHON"  # Soda's own interpreter in the runner image, which sets it
    WORK = "VULCAN_WORK"  # writable folder shared by the containers of the pod: cache, fetch result
    RESULT = "VULCAN_RESULT"  # file: the termination message
    GIT_CREDENTIALS = "VULCAN_GIT_CREDENTIALS"  # folder with Flux's key names; init container `fetch` only
