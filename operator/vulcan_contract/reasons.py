"""The only failure vocabulary: every reason for which a task can end, which side is at fault and
whether a retry helps.

The runner maps exceptions to reasons in one place (`vulcan_runner.failures`), the operator turns
them into conditions; `docs/reference/reasons.md` is generated from this table. Nothing else may
invent a reason for a task's end.
"""

import enum
from dataclasses import dataclass
from typing import Self


class Outcome(enum.StrEnum):
    """FAILED: the user's project, spec or data; ERRORED: machinery; ABORTED: it was stopped."""

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


_OK, _NO, _ERR, _STOP = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.ERRORED, Outcome.ABORTED
_NEVER, _NOW, _BACK = Retry.NEVER, Retry.NOW, Retry.BACKOFF
_WAIT, _REPLAN = Retry.WAIT, Retry.REPLAN

# fmt: off


class Reason(enum.StrEnum):
    """Why a task ended, and its row of the table. CamelCase, as Kubernetes has its reasons."""

    about: About

    def __new__(
        cls, name: str, outcome: Outcome, retry: Retry, side: Side, leaves: Leaves,
        meaning: str, next_step: str,
    ) -> Self:
        member = str.__new__(cls, name)
        member._value_, member.about = name, About(outcome, retry, side, leaves, meaning, next_step)
        return member

    SUCCEEDED = ("Succeeded", _OK, _NEVER, Side.NOBODY, Leaves.NOTHING,
        "The task did what it was asked to do.", "Nothing to do.")
    NO_CHANGES = ("NoChanges", _OK, _NEVER, Side.NOBODY, Leaves.NOTHING,
        "The environment already has this revision.", "Nothing to do.")
    NOTHING_TO_DO = ("NothingToDo", _OK, _NEVER, Side.NOBODY, Leaves.NOTHING,
        "No interval was due.", "Nothing to do.")
    ALREADY_APPLIED = ("AlreadyApplied", _OK, _NEVER, Side.NOBODY, Leaves.NOTHING,
        "The environment is already at this plan.", "Nothing to do.")
    PLAN_CHANGED = ("PlanChanged", _NO, _REPLAN, Side.ENVIRONMENT, Leaves.NOTHING,
        "The plan rebuilt at apply time is not the one that was decided on.",
        "A new plan is built; look at it and approve that one.")
    CONFIG_INVALID = ("ConfigInvalid", _NO, _NEVER, Side.SETTINGS, Leaves.NOTHING,
        "SQLMesh refuses the project's configuration or the connection's options.",
        "Fix config.yaml in the project or the connection options of the gateway.")
    PROJECT_LOAD_FAILED = ("ProjectLoadFailed", _NO, _NEVER, Side.PROJECT, Leaves.NOTHING,
        "The project does not load: a model, macro or audit has an error.",
        "Fix the file named in the message and push a new revision.")
    PROJECT_EMPTY = ("ProjectEmpty", _NO, _NEVER, Side.PROJECT, Leaves.NOTHING,
        "The source has no models; planning it would remove everything.",
        "Check project.git.path or the ConfigMap's items; an environment is removed by deleting "
        "its object.")
    DBT_UNSUPPORTED = ("DbtProjectUnsupported", _NO, _NEVER, Side.PROJECT, Leaves.NOTHING,
        "The source is a dbt project.",
        "Use a native SQLMesh project; dbt projects are not supported yet.")
    LINT_FAILED = ("LintFailed", _NO, _NEVER, Side.PROJECT, Leaves.NOTHING,
        "The project's own linter rules report errors.", "Fix the models and push a new revision.")
    TESTS_FAILED = ("TestsFailed", _NO, _NEVER, Side.PROJECT, Leaves.NOTHING,
        "Unit tests of the project fail.", "Fix the models or the tests and push a new revision.")
    PLAN_REJECTED = ("PlanRejected", _NO, _NEVER, Side.PROJECT, Leaves.NOTHING,
        "SQLMesh refuses to build this plan.",
        "Change the spec or the project as the message says (selection, dates, destructive "
        "changes).")
    UNCATEGORIZED = ("Uncategorized", _NO, _NEVER, Side.PROJECT, Leaves.NOTHING,
        "A changed model has no category and the project does not categorise automatically.",
        "Set plan.categorization or plan.categories.")
    MODEL_FAILED = ("ModelFailed", _NO, _BACK, Side.PROJECT, Leaves.NOTHING,
        "The SQL or Python of a model failed.",
        "Fix the model or its data; it is retried meanwhile.")
    AUDIT_FAILED = ("AuditFailed", _NO, _BACK, Side.DATA, Leaves.NOTHING,
        "A blocking audit failed; the rows it found are already written.",
        "Fix the data or the model; it is retried meanwhile.")
    CHECKS_FAILED = ("ChecksFailed", _NO, _BACK, Side.DATA, Leaves.NOTHING,
        "A Soda check failed.",
        "Fix the data, the model or the check; it is checked again meanwhile.")
    CHECKS_NOT_EVALUATED = ("ChecksNotEvaluated", _ERR, _BACK, Side.DATA, Leaves.NOTHING,
        "Soda could not evaluate a check, so it counts as not passed: its YAML or SQL is wrong, "
        "or the engine is not supported.",
        "Fix the SodaCL files as the message says; they are retried meanwhile.")
    SIGNAL_NOT_READY = ("SignalNotReady", _OK, _NEVER, Side.OTHERS, Leaves.NOTHING,
        "A signal says that its data is not ready yet.", "The signal is asked again.")
    PLAN_CONFLICT = ("PlanConflict", _NO, _REPLAN, Side.OTHERS, Leaves.NOTHING,
        "Another plan was applied to the environment in the meantime.", "A new plan is built.")
    UNFINALIZED = ("EnvironmentUnfinalized", _ERR, _NOW, Side.ENVIRONMENT, Leaves.MAYBE_VIEWS,
        "An earlier apply was interrupted while it swapped views.", "The apply is retried.")
    ENVIRONMENT_NOT_FOUND = ("EnvironmentNotFound", _ERR, _REPLAN, Side.ENVIRONMENT, Leaves.NOTHING,
        "The environment is not in the state database.", "A new plan is built.")
    REFERENCE_MISSING = ("ReferenceMissing", _NO, _WAIT, Side.ENVIRONMENT, Leaves.NOTHING,
        "The gateway has no environment named prod, which others branch from.",
        "Create a VulcanEnvironment with environment: prod on this gateway; the work then "
        "continues on its own.")
    MANUAL_CHECK = ("ManualCheckRequired", _NO, _NEVER, Side.ENVIRONMENT, Leaves.NOTHING,
        "An append-only model was being written when its Job was lost; rows may be duplicated.",
        "Check the table and interval in the message and remove duplicated rows; then annotate "
        "the environment with vulcan.dev/checked=JOB (the Job in the message) and "
        "vulcan.dev/plan-requested-at (or run-requested-at).")
    STATE_BUSY = ("StateBusy", _ERR, _WAIT, Side.OTHERS, Leaves.NOTHING,
        "Another process holds the writer lock of the state database.",
        "The task is retried; if no Job of this gateway runs, look for another SQLMesh process.")
    STATE_OWNERSHIP = ("StateOwnershipConflict", _NO, _NEVER, Side.STATE, Leaves.NOTHING,
        "The state database belongs to another gateway.",
        "Give this gateway a state database of its own, or set spec.takeover to the owner that "
        "the message quotes.")
    STATE_LOST = ("StateLost", _NO, _NEVER, Side.STATE, Leaves.NOTHING,
        "The state is empty although the warehouse has SQLMesh tables.",
        "Restore the state database from a backup and annotate the gateway with "
        "vulcan.dev/probe-requested-at=now, or set spec.takeover: empty to start from scratch.")
    STATE_IDENTITY = ("StateIdentityChanged", _NO, _NEVER, Side.STATE, Leaves.NOTHING,
        "The state is not the one this gateway used before.",
        "Restore the former state database and annotate the gateway with "
        "vulcan.dev/probe-requested-at=now, or set spec.takeover to accept this one.")
    STATE_MIGRATION = ("StateMigrationRequired", _NO, _NEVER, Side.VERSION, Leaves.NOTHING,
        "The state was written by an older SQLMesh than the runner's.",
        "Back up and migrate the state, then annotate the gateway with "
        "vulcan.dev/probe-requested-at=now; or use a runner image with the former SQLMesh "
        "version.")
    RUNNER_OUTDATED = ("RunnerOutdated", _NO, _NEVER, Side.VERSION, Leaves.NOTHING,
        "The state was written by a newer SQLMesh than the runner's.", "Use a newer runner image.")
    WAREHOUSE_UNREACHABLE = ("WarehouseUnreachable", _ERR, _WAIT, Side.DATABASE, Leaves.NOTHING,
        "The warehouse does not answer.",
        "The task is retried; check host, port and network policies.")
    STATE_UNREACHABLE = ("StateUnreachable", _ERR, _WAIT, Side.DATABASE, Leaves.NOTHING,
        "The state database does not answer.",
        "The task is retried; check host, port and network policies.")
    AUTH_FAILED = ("AuthFailed", _ERR, _WAIT, Side.DATABASE, Leaves.NOTHING,
        "The database refuses the credentials.",
        "Fix the Secret named in the message; the next attempt reads it again.")
    SECRET_MISSING = ("SecretMissing", _ERR, _WAIT, Side.SECRET, Leaves.NOTHING,
        "A Secret that a connection names does not exist.",
        "Create the Secret in the gateway's namespace; the next attempt reads it.")
    SECRET_KEY_MISSING = ("SecretKeyMissing", _ERR, _WAIT, Side.SECRET, Leaves.NOTHING,
        "A Secret lacks the key that a connection names.",
        "Add the key to the Secret or fix the reference; the next attempt reads it.")
    SOURCE_UNREACHABLE = ("SourceUnreachable", _ERR, _WAIT, Side.SOURCE, Leaves.NOTHING,
        "The git server does not answer.",
        "The task is retried; check project.git.url and the network.")
    SOURCE_AUTH_FAILED = ("SourceAuthFailed", _ERR, _WAIT, Side.SOURCE, Leaves.NOTHING,
        "The git server refuses the credentials.",
        "Fix the Secret of the gateway's gitCredentials entry for this URL.")
    SOURCE_REF_MISSING = ("SourceRefMissing", _NO, _WAIT, Side.SOURCE, Leaves.NOTHING,
        "The repository has no such branch, tag or commit.", "Push the ref or fix project.git.ref.")
    SOURCE_PATH_MISSING = ("SourcePathMissing", _NO, _NEVER, Side.SOURCE, Leaves.NOTHING,
        "The repository has no such folder, or it holds no SQLMesh project.",
        "Fix project.git.path.")
    SOURCE_INCOMPLETE = ("SourceIncomplete", _NO, _NEVER, Side.SOURCE, Leaves.NOTHING,
        "SQLMesh would read files that the source does not contain: Git LFS has them, or a "
        "submodule.",
        "Commit the files named in the message themselves, and push a new revision.")
    SOURCE_TOO_LARGE = ("SourceTooLarge", _NO, _NEVER, Side.SOURCE, Leaves.NOTHING,
        "The git repository has more or larger files than are fetched.",
        "Move the project into a repository of its own, or bring it in an image "
        "(project.image).")
    SOURCE_CHANGED = ("SourceDigestMismatch", _ERR, _REPLAN, Side.SOURCE, Leaves.NOTHING,
        "The source in the pod is not the one that was resolved.", "The source is resolved again.")
    NOT_VIRTUAL_ONLY = ("NotVirtualOnly", _NO, _NEVER, Side.ENVIRONMENT, Leaves.NOTHING,
        "The promotion would compute more than a catch-up of recent intervals.",
        "Build the models in the source environment first, or promote with gates.virtualOnly: "
        "Optional.")
    ROLLBACK_UNAVAILABLE = ("RollbackUnavailable", _NO, _NEVER, Side.ENVIRONMENT, Leaves.NOTHING,
        "What a plan left cannot be restored: a snapshot is gone, or its table was altered or "
        "dropped since.",
        "Apply the earlier revision again; it is recomputed. A table that somebody dropped is "
        "filled again by an operation Restate of an environment that has the revision.")
    CONFIGURATION_UNKNOWN = ("ConfigurationUnknown", _NO, _NEVER, Side.ENVIRONMENT, Leaves.NOTHING,
        "The state has no record of how the revision was applied.",
        "Apply it in the source environment with this operator first; what others apply leaves no "
        "record.")
    CANCELLED = ("Cancelled", _STOP, _NOW, Side.CLUSTER, Leaves.BATCHES,
        "The Job was told to stop.", "The next attempt continues where this one stopped.")
    PREEMPTED = ("Preempted", _STOP, _NOW, Side.OTHERS, Leaves.BATCHES,
        "More urgent work needed the gateway.",
        "The next attempt continues where this one stopped.")
    CONTRACT_MISMATCH = ("ContractMismatch", _NO, _NEVER, Side.RUNNER, Leaves.NOTHING,
        "The runner image and the operator do not understand each other.",
        "Use a runner image of the operator's version.")
    RUNNER_CRASHED = ("RunnerCrashed", _ERR, _BACK, Side.RUNNER, Leaves.MAYBE_VIEWS,
        "The runner ended without a result, or with one that cannot be believed (a bug, or its "
        "pod was killed).",
        "The task is retried; see the Job's log.")
    OUT_OF_MEMORY = ("OutOfMemory", _ERR, _BACK, Side.RUNNER, Leaves.MAYBE_VIEWS,
        "The kernel killed the task because its container's memory was used up.",
        "The task is retried; raise the memory limit in runner.resources, or compute less at once "
        "(batch_size of the models).")
    WORKER_KILLED = ("WorkerKilled", _ERR, _BACK, Side.RUNNER, Leaves.MAYBE_VIEWS,
        "A signal ended the process that runs SQLMesh and the project's code.",
        "The task is retried; see the Job's log. SIGSEGV and SIGABRT come from a native library, "
        "SIGKILL mostly from the kernel or a person.")
    WORKER_EXITED = ("WorkerExited", _ERR, _BACK, Side.PROJECT, Leaves.MAYBE_VIEWS,
        "The process that runs SQLMesh and the project's code ended before it gave an answer.",
        "Look for os._exit, or a library that ends the process, in the project's Python code; the "
        "task is retried meanwhile.")
    DEADLINE_EXCEEDED = ("DeadlineExceeded", _ERR, _BACK, Side.CLUSTER, Leaves.MAYBE_VIEWS,
        "The task took longer than runner.deadline.",
        "The next attempt continues where this one stopped; raise runner.deadline.")
    IMAGE_PULL_FAILED = ("ImagePullFailed", _ERR, _WAIT, Side.CLUSTER, Leaves.NOTHING,
        "The runner image cannot be pulled.", "Fix runner.image or its imagePullSecrets.")
    POD_NOT_STARTED = ("PodNotStarted", _ERR, _WAIT, Side.CLUSTER, Leaves.NOTHING,
        "The Job's pod did not start in time.",
        "The message names the cause: quota, nodes, volumes or admission.")
    LOST = ("Lost", _ERR, _BACK, Side.CLUSTER, Leaves.MAYBE_VIEWS,
        "The Job vanished before its result was recorded.",
        "The task is repeated in a Job with a new name.")


# fmt: on
ABOUT: dict[Reason, About] = {reason: reason.about for reason in Reason}
"""The whole table."""
