"""Whether protected environments share their gateway's credentials with others that are not."""

import pytest

from tests.unit.plan.seen_objects import sibling
from vulcan_operator.api.gateway import Grant
from vulcan_operator.plan.core.facts import Claim, Claims
from vulcan_operator.plan.rules.sharing import shared_credentials

PROD = sibling("prod", protected=True, judged=True)
DEV = sibling("dev", judged=True)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        pytest.param([], "", id="nobody uses it"),
        pytest.param([PROD], "", id="one"),
        pytest.param([PROD, sibling("stable", protected=True, judged=True)], "", id="all protected"),
        pytest.param([DEV, sibling("dev2", judged=True)], "", id="none protected"),
        pytest.param([PROD, DEV], "protected prod shares credentials with unprotected dev:", id="both"),
        pytest.param(
            [DEV, PROD, sibling("a", judged=True)],
            "protected prod shares credentials with unprotected a, dev:", id="in order",
        ),
        pytest.param([PROD, sibling("dev", judged=False)], "", id="it is not known yet whether it is protected"),
        pytest.param([PROD, sibling("dev", judged=True, refused=True)], "", id="no grant allows it"),
        pytest.param(
            [sibling("prod", protected=True, judged=True, refused=True), DEV], "",
            id="no grant allows the protected one",
        ),
        pytest.param(
            [PROD, *(sibling(f"dev{n}", judged=True) for n in range(9))],
            "protected prod shares credentials with unprotected dev0, dev1, dev2, dev3, dev4 and 4 more:", id="many",
        ),
    ],
)  # fmt: skip
def test_shared_credentials(claims: list[Claim], said: str) -> None:
    found = shared_credentials(Claims.of(claims), [], "data")
    assert found.startswith(said) if said else not found


OWN = {"connections": {"connection": {"type": "postgres"}}}


@pytest.mark.parametrize(
    ("grants", "shares"),
    [
        ([{"environments": ["prod"]}, {"environments": ["dev"], **OWN}], False),
        ([{"environments": ["prod"], **OWN}, {"environments": ["dev"]}], False),
        ([{"environments": ["prod"], **OWN}, {"environments": ["dev"], **OWN}], False),
        ([{"environments": ["*"], **OWN}], True),
        ([{"environments": ["dev"], "namespaces": {"from": "Same"}, **OWN}], False),
        ([{"environments": ["other"], **OWN}], True),
    ],
)  # fmt: skip
def test_connections_of_a_grant_are_shared_by_its_environments_only(
    grants: list[dict[str, object]], shares: bool
) -> None:
    found = shared_credentials(
        Claims.of([PROD, DEV]), [Grant.model_validate(g) for g in grants], PROD.key.namespace
    )
    assert bool(found) == shares
