"""A pointer that stands for a file: from whatever source, before anything is planned."""

from tests.runner.system import System
from vulcan_contract.reasons import Reason
from vulcan_contract.task import TaskKind

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def test_a_pointer_in_any_source_is_refused_or_a_warning_of_the_plan(local: System) -> None:
    local.write({"docs/a.png": POINTER})
    task = local.task(TaskKind.PLAN)
    ended = local.pod(task)
    assert ended.result.reason is Reason.SUCCEEDED, ended.result.message
    warnings = ended.report(task.nonce)["warnings"]
    assert "docs/a.png is a Git LFS pointer; its content is not fetched." in warnings
    local.write({"seeds/rates.csv": POINTER})
    refused = local.plan().result
    assert (refused.reason, "seeds/rates.csv is a Git LFS pointer" in refused.message) == (
        Reason.SOURCE_INCOMPLETE,
        True,
    )
