"""How long is waited, where more than one planner does. Pure."""

import datetime as dt

from vulcan_operator.api.fields import ObjectMeta

GIVE_UP = dt.timedelta(minutes=10)
"""A deleted object loses our finalizer then, whatever is missing: deletion always ends."""
SLOT_CHECK = dt.timedelta(seconds=20)
"""Who waits for a writer slot looks again then, for the holder may die without an event."""
CONFIG_MAP_CHECK = dt.timedelta(seconds=30)
"""A ConfigMap that cannot be used is read again then: ConfigMaps are not watched."""
GUARD_CHECK = dt.timedelta(seconds=30)
"""Who waits for the API server to guard approvals looks again then."""
REFUSAL_CHECK = dt.timedelta(seconds=30)
"""What the API server refuses is tried again then: rights are not watched."""


def must_go(meta: ObjectMeta, now: dt.datetime) -> bool:
    """Whether a deleted object loses our finalizer by now, whatever is missing."""
    return meta.deletion_timestamp is not None and now >= meta.deletion_timestamp + GIVE_UP
