"""Whether environments that are protected and others that are not run with the same credentials.

Pure; used by the gateway's conditions. Code that nobody has approved may then change, with its own
credentials, what a protected environment has: approvals do not help against its author.
"""

from vulcan_operator.plan.core.facts import Claims

_MOST_NAMED = 5


def shared_credentials(claims: Claims) -> str:
    """Return what a condition says of it; empty if all of a gateway's environments are alike."""
    using = [c for c in claims.all() if c.judged and not c.refused]
    protected = sorted({c.environment for c in using if c.protected})
    others = sorted({c.environment for c in using if not c.protected})
    if not protected or not others:
        return ""
    return (
        f"protected {_some(protected)} shares credentials with unprotected {_some(others)}: code"
        " that is applied there without approval can change both. Give unprotected environments a"
        " gateway whose warehouse and state users cannot write what is protected"
    )


def _some(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
