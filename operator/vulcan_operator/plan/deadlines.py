"""How long is waited, where more than one planner does. Pure."""

import datetime as dt

GIVE_UP = dt.timedelta(minutes=10)
"""A deleted object is let go then, whatever would have to be done first: deletion always ends."""
SLOT_CHECK = dt.timedelta(seconds=20)
"""Who waits for a writer slot looks again then, for the holder may die without an event."""
