"""Whether environments that are protected and others that are not run with the same credentials.

Pure; used by the gateway's conditions. Code that nobody has approved may then change, with its own
credentials, what a protected environment has: approvals do not help against its author.
"""

from collections import defaultdict
from collections.abc import Sequence

from vulcan_contract.words import shortened
from vulcan_operator.api.gateway import Grant
from vulcan_operator.plan.core.facts import Claim, Claims
from vulcan_operator.plan.rules import access

_MOST_NAMED = 5


def shared_credentials(claims: Claims, grants: Sequence[Grant], namespace: str) -> str:
    """Return what a condition says of it; empty if all that use the same connections are alike.
    `grants` and `namespace` are the gateway's."""
    using: defaultdict[int, list[Claim]] = defaultdict(list)
    for claim in claims.all():
        if claim.judged and not claim.refused:
            same = claim.key.namespace == namespace
            own = access.connected_by(grants, claim.environment, same=same)
            using[grants.index(own) if own is not None else -1].append(claim)
    return next(filter(None, map(_shared, using.values())), "")


def _shared(using: list[Claim]) -> str:
    protected = sorted({c.environment for c in using if c.protected})
    others = sorted({c.environment for c in using if not c.protected})
    if not protected or not others:
        return ""
    return (
        f"protected {shortened(protected, _MOST_NAMED)} shares credentials with unprotected"
        f" {shortened(others, _MOST_NAMED)}: code"
        " that is applied there without approval can change both. Give the grant of the unprotected"
        " ones connections, or them a gateway, whose users cannot write what is protected"
    )
