"""Everything that operator and runner know of each other.

Standard library only: the operator's image has no SQLMesh, the runner's has no Kubernetes client,
and both import this. `Task` goes from the operator to a Job's pod (environment variable
`VULCAN_TASK`), `Result` comes back in the pod's termination message, a report as framed lines on
stdout. Nothing here reads a clock, a file or the network.
"""

CONTRACT_VERSION = 1
"""Increased when an older runner could misread a task; a runner refuses other versions."""

REFERENCE = "prod"
"""The environment that SQLMesh branches every other one from; its name is SQLMesh's own default."""


class ExitCode:
    """Exit codes of `python -m vulcan_runner`, for people who read pods; the Result says more.

    Only a supervisor that has written the Result itself ends with one of KNOWN. The termination
    message of a container that ends in any other way may be somebody else's."""

    SUCCEEDED = 0
    FAILED = 1
    ERRORED = 2
    ABORTED = 3
    BAD_TASK = 64
    NO_RESULT = 70  # the supervisor could not write it
    KNOWN = frozenset({SUCCEEDED, FAILED, ERRORED, ABORTED, BAD_TASK})


class PodEnv:
    """Environment variables of a Job's containers, so that no path is written in two places."""

    # Of the supervisor alone: the worker's environment has neither.
    TASK = "VULCAN_TASK"  # JSON of Task; never a secret
    RESULT = "VULCAN_RESULT"  # file: the termination message
    SECRETS = "VULCAN_SECRETS"  # folder: <Secret name>/<key>
    PROJECT = "VULCAN_PROJECT"  # folder of the project: fetched, a ConfigMap's, or the image's
    CHECKS = "VULCAN_CHECKS"  # folder of the SodaCL files of a task `checks`
    SODA_PYTHON = "VULCAN_SODA_PYTHON"  # Soda's own interpreter; the runner image sets it
    WORK = "VULCAN_WORK"  # writable folder that the pod's containers share: cache, fetch result
    GIT_CREDENTIALS = "VULCAN_GIT_CREDENTIALS"  # folder with Flux's key names; for `fetch` only
