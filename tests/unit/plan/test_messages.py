"""What is said in the same words of more than one kind."""

import pytest

from vulcan_operator.plan.rules import messages

FORBIDDEN = 'jobs.batch is forbidden: User "op" cannot create resource "jobs" in API group "batch" in the namespace "{}"'


@pytest.mark.parametrize(
    ("namespace", "role"),
    [("live", "vulcan-gateway"), ("dev", "vulcan-gateway"), ("team", "vulcan-environment")],
)
def test_missing_rights_come_with_the_command_that_gives_them(namespace: str, role: str) -> None:
    """A promotion across systems has two gateways; its own namespace may have none."""
    found = messages.refusal(
        FORBIDDEN.format(namespace), "system:serviceaccount:vulcan-system:vulcan", ["live", "dev"]
    )
    assert (
        f"--clusterrole={role} --serviceaccount=vulcan-system:vulcan --namespace={namespace}"
        in found.message
    )
    assert found.stalled
