"""What a checks Job is made from."""

import base64

from tests.unit.plan.seen_objects import env
from vulcan_contract.digest import of_files
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.tasks import checks

FILES = {"a.yml": b"checks for s.a:\n  - row_count > 0\n", "more/b.yml": b"x"}
OWNER = Key(Kind.ENVIRONMENT, "data", "prod")


def test_inputs_are_the_files_and_the_plan_and_nothing_else() -> None:
    first = checks.inputs("p1", FILES)
    assert len(first) == 16 and first == checks.inputs("p1", dict(reversed(FILES.items())))
    assert (
        len({first, checks.inputs("p2", FILES), checks.inputs("p1", {**FILES, "a.yml": b"y"})}) == 3
    )


def test_the_task_names_the_digest_of_what_the_copy_holds() -> None:
    meta = env().metadata
    order = checks.order(OWNER, meta, "test", "data", "0" * 16, FILES)
    held = {k: base64.b64decode(v) for k, v in order.copy.manifest["binaryData"].items()}
    assert sorted(held.values()) == sorted(FILES.values()) and "more_2fb.yml" in held
    assert order.checks.digest == of_files(FILES)
    assert (
        order.config_map
        == order.copy.manifest["metadata"]["name"]
        == checks.copy_name(meta, "0" * 16)
    )


def test_a_copy_in_another_namespace_has_no_owner_for_the_garbage_collector() -> None:
    meta = env().metadata
    near, far = (
        checks.order(OWNER, meta, "test", n, "0" * 16, FILES).copy.manifest["metadata"]
        for n in ("data", "x")
    )
    assert near["ownerReferences"][0]["uid"] == meta.uid and "ownerReferences" not in far
    assert near["labels"] == far["labels"] and (near["namespace"], far["namespace"]) == (
        "data",
        "x",
    )
