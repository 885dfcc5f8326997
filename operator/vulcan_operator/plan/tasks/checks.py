"""Soda checks: what their Job is made from, for environments and promotions alike. Pure.

Used by `environments`, and by the promotion step of the same name: read the ConfigMap, announce a
task with `inputs`, start its Job with what `order` gives, and delete the copy (`copy_name`) when
the task has ended.
"""

from dataclasses import dataclass

from vulcan_contract import digest
from vulcan_contract import task as contract
from vulcan_contract.paths import escape
from vulcan_operator.api.fields import ObjectMeta
from vulcan_operator.plan.core.actions import Key, WriteConfigMap
from vulcan_operator.plan.tasks import copies
from vulcan_operator.plan.tasks.copies import Files


@dataclass(frozen=True)
class Order:
    """What a Job of the task `checks` needs besides what every Job does."""

    checks: contract.Checks  # for the Task
    config_map: str  # for JobParts.checks_config_map
    copy: WriteConfigMap  # before the Job: Draft.first


def inputs(plan_id: str, files: Files) -> str:
    """What is checked: these files, on what an environment has since this plan."""
    return digest.of_json([plan_id, digest.of_files(files)])[:16]


def copy_name(meta: ObjectMeta, task_inputs: str) -> str:
    """The copy of the SodaCL files that a task mounts; a status is enough to delete it."""
    return copies.name_of(meta, "checks", task_inputs)


def order(
    owner: Key, meta: ObjectMeta, install: str, namespace: str, task_inputs: str, files: Files
) -> Order:
    """For a task of the object `owner`, whose Job runs in `namespace` (the gateway's)."""
    name = copy_name(meta, task_inputs)
    by_key = {escape(n): text for n, text in files.items()}
    copy = copies.write(owner, meta, install, namespace, name, by_key)
    return Order(contract.Checks(digest.of_files(files)), name, copy)
