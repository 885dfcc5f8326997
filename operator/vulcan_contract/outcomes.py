"""The columns of the table of reasons (`reasons.ABOUT`). Whoever needs a set of reasons asks for a
column's value; nobody keeps a list of reasons by hand.
"""

import enum
from dataclasses import dataclass


class Outcome(enum.StrEnum):
    """FAILED is a no for reasons of content (the user's project or spec), ERRORED is machinery, ABORTED was stopped."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ERRORED = "Errored"
    ABORTED = "Aborted"


class Retry(enum.StrEnum):
    """When the same task may be tried again without a human."""

    NEVER = "Never"  # a new revision, a new spec or a human's word
    NOW = "Now"  # at once; counts as an attempt
    BACKOFF = "Backoff"  # exponential, up to retry.limit attempts
    WAIT = "Wait"  # at retry.maxBackoff at the latest, without limit: somebody else's outage
    REPLAN = "Replan"  # the plan no longer holds: plan again, then ask again


class Side(enum.Enum):
    """Which side must change before the same task can succeed. What serves which of the operator's
    questions:

    - DATABASE, SECRET: an outage, over as soon as a probe has passed again;
    - SETTINGS, STATE, VERSION: the gateway's own, tried again once a probe has passed;
    - DATABASE, STATE: doubts about the gateway, which is probed at once;
    - STATE, VERSION: both databases answered, though this state is not for this runner;
    - DATA: a judgement, taken at its first word; with outcome Failed it rejects a promotion.
    """

    NOBODY = enum.auto()  # nothing is wrong
    DATABASE = enum.auto()  # the warehouse or the state's database, or the access to it
    SECRET = enum.auto()  # a Secret that a connection names
    STATE = enum.auto()  # what is in the state database: another state, none, or somebody else's
    VERSION = enum.auto()  # SQLMesh's version, of the state or of the runner
    SETTINGS = enum.auto()  # the gateway's connections or the project's configuration
    SOURCE = enum.auto()  # the git repository, or the access to it
    PROJECT = enum.auto()  # the models, or how they are planned
    DATA = enum.auto()  # what audits or checks say of the rows, or could not say
    ENVIRONMENT = enum.auto()  # what SQLMesh has of the environment, or of the one it comes from
    OTHERS = enum.auto()  # somebody else at work: a writer, a plan, a signal
    CLUSTER = enum.auto()  # the Job and its pod
    RUNNER = enum.auto()  # the program in the pod


class Leaves(enum.Enum):
    """What an attempt that ended like this may have left half done.

    BATCHES and MAYBE_VIEWS may be finished while a change window is closed: they began in time.
    Only MAYBE_VIEWS counts as having touched a promotion's target.
    """

    NOTHING = enum.auto()  # it ended by its own account, mostly before it began to change anything
    BATCHES = enum.auto()  # it was told to stop, which it never does between two views
    MAYBE_VIEWS = enum.auto()  # it was cut off, or says that it was: some views may be swapped


@dataclass(frozen=True)
class About:
    """One row of the table: outcome, when to retry, which side must change, what may be half done,
    what it means and what a person can do."""

    outcome: Outcome
    retry: Retry
    side: Side
    leaves: Leaves
    meaning: str
    next_step: str
