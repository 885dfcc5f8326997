"""The scrubber of a task: it knows all secrets that the main container has.

Called by `__main__`, for what leaves the pod, and by `worker`, which cuts texts and may cut no
secret in two.
"""

from pathlib import Path

from vulcan_contract.task import Task
from vulcan_runner.secrets import Scrubber, Secrets, other_secrets


def of_task(task: Task, folder: Path) -> Scrubber:
    """`folder`: `$VULCAN_SECRETS`."""
    gateway = task.gateway
    connections = [gateway.connection, *(n.connection for n in gateway.additional)]
    connections += [gateway.state_connection] if gateway.state_connection else []
    others = other_secrets(task.secret_env, task.secret_paths)
    return Secrets(folder).scrubber(connections, others)
