"""The columns of the table of reasons (`reasons.ABOUT`). Whoever needs a set of reasons asks for a
column's value; nobody keeps a list of reasons by hand.
"""

import enum
from dataclasses import dataclass


class Outcome(enum.StrEnum):
    """How a task ended. FAILED is the user's project, spec or data, ERRORED is machinery, ABORTED
    was stopped."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ERRORED = "Errored"
    ABORTED = "Aborted"


class Retry(enum.StrEnum):
    """When the same task may be tried again without a human."""

    NEVER = "Never"  # needs a new revision, a new spec or a request
    NOW = "Now"  # at once; counts as an attempt
    BACKOFF = "Backoff"  # exponential, up to retry.limit attempts
    WAIT = "Wait"  # within retry.maxBackoff, without limit: somebody else's outage
    REPLAN = "Replan"  # the plan is no longer valid: build a new one and ask for approval again


class Side(enum.Enum):
    """Which side must change before the same task can succeed. The operator asks for these sets:

    - DATABASE, SECRET: an outage, over as soon as a probe passes again;
    - SETTINGS, STATE, VERSION: the gateway is at fault, so its tasks are retried after a probe;
    - DATABASE, STATE: the gateway may be unusable and is probed at once;
    - STATE, VERSION: both databases answered, but the runner must not use this state;
    - DATA: a promotion's step is judged by the first answer; with outcome Failed it is rejected.
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
    """What an attempt that ended for this reason may have left half done.

    An apply that left BATCHES or MAYBE_VIEWS may be finished in a closed change window: it began in
    time. Only MAYBE_VIEWS counts as having touched a promotion's target.
    """

    NOTHING = enum.auto()  # it reported its own end, mostly before it changed anything
    BATCHES = enum.auto()  # it was told to stop, which it never does between two views
    MAYBE_VIEWS = enum.auto()  # it was cut off, or found that another was: views may be mixed


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
