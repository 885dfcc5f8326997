"""Every condition type and every reason of the operator's own, each with one sentence.

Reasons of a task's end live in `vulcan_contract.reasons`; together they are all that `status.conditions` may say.
`docs/reference/reasons.md` is generated from both. Read by the planners; nothing here decides.
"""

import enum
from dataclasses import dataclass


class Type(enum.StrEnum):
    """Condition types."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    WAREHOUSE = "WarehouseReachable"
    STATE = "StateReachable"
    APPLIED = "Applied"
    AWAITING = "AwaitingApproval"
    RUN = "RunSucceeded"
    FRESH = "Fresh"
    DRIFTED = "Drifted"
    VERIFIED = "Verified"
    ROLLBACK_EXPIRING = "RollbackExpiring"
    PLAN_READ_ONLY = "PlanReadOnly"
    CHANGES = "ChangesAllowed"


CONDITION_TYPES: dict[str, str] = {
    Type.READY: "The object is as its spec wants it. The summary of all others; everything else explains it.",
    Type.RECONCILING: "The operator is working on it, or will by itself.",
    Type.STALLED: "It cannot go on without a human or a change; the message says which.",
    Type.WAREHOUSE: "The last Job that tried reached the warehouse.",
    Type.STATE: "The last Job that tried reached the state database.",
    Type.APPLIED: "The environment has the revision and planning fields of the spec.",
    Type.AWAITING: "A plan waits for people with verb approve; the message is the command.",
    Type.RUN: "The last scheduled run succeeded.",
    Type.FRESH: "No interval is missing for longer than freshness.maxLag.",
    Type.DRIFTED: "Somebody else applied a plan to the environment since the operator did.",
    Type.VERIFIED: "Audits passed after the promotion that gave the revision. Only where a promotion did.",
    Type.ROLLBACK_EXPIRING: "SQLMesh's janitor may take away what an earlier revision needs, inside rollback.window.",
    Type.PLAN_READ_ONLY: "Protected environments only: plan Jobs, which run unapproved code, cannot write.",
    Type.CHANGES: "Views may be changed now: inside promotionWindows, and no freeze on the gateway. Only where one is set.",
}


class Why(enum.StrEnum):
    """Reasons of the operator's own."""

    READY = "Ready"
    SUSPENDED = "Suspended"
    GATEWAY_NOT_FOUND = "GatewayNotFound"
    NOT_GRANTED = "NotGranted"
    GATEWAY_NOT_READY = "GatewayNotReady"
    NAME_TAKEN = "EnvironmentNameTaken"
    QUOTA = "EnvironmentQuotaExceeded"
    NOT_AUTHORIZED = "OperatorNotAuthorized"
    UNPROTECTED = "ApprovalsUnprotected"
    IMAGE_NOT_ALLOWED = "ImageNotAllowed"
    NO_IMAGE = "RunnerImageMissing"
    CONFIG_MAP_MISSING = "ConfigMapNotFound"
    INVALID = "SpecInvalid"
    NO_REVISION = "NoRevision"
    AWAITING = "AwaitingApproval"
    AUTHOR_UNKNOWN = "AuthorUnknown"
    REJECTED = "PlanRejectedByHuman"
    NOT_DETERMINISTIC = "PlanNotDeterministic"
    EXPIRED = "Expired"
    RUN_FAILED = "RunFailed"
    RESOLVING = "Resolving"
    PLANNING = "Planning"
    APPLYING = "Applying"
    PROBING = "Probing"
    INVALIDATING = "Invalidating"
    WAITING_FOR_WRITER = "WaitingForWriter"
    POD_WAITING = "PodWaiting"
    WRITER_UNKNOWN = "WriterUnknown"
    SOURCE_NOT_READY = "SourceNotReady"
    TARGET_REFUSED = "TargetRefused"
    TARGET_NOT_MANAGED = "TargetNotManagedByPromotions"
    PROMOTION_NOT_GRANTED = "PromotionNotGranted"
    ENVIRONMENT_NOT_FOUND = "EnvironmentObjectNotFound"
    QUEUED = "Queued"
    SOAKING = "Soaking"
    OPEN = "Open"
    OUTSIDE_WINDOW = "OutsideWindow"
    FROZEN = "Frozen"
    AUDITING = "Auditing"
    COMPARING = "ComparingData"
    CHECKING = "CheckingData"
    CANCELLING = "Cancelling"
    PROMOTING = "Promoting"
    ROLLING_BACK = "RollingBack"
    PROMOTED = "Promoted"
    PROMOTION_FAILED = "PromotionFailed"
    PROMOTION_ERRORED = "PromotionErrored"
    INCONCLUSIVE = "Inconclusive"
    ROLLED_BACK = "RolledBack"
    SUPERSEDED = "Superseded"
    CANCELLED = "PromotionCancelled"
    EVIDENCE = "EvidenceKept"
    PENDING = "Pending"
    UP_TO_DATE = "UpToDate"
    BEHIND = "IntervalsMissing"
    OVERDUE = "RunOverdue"
    STALE_AFTER_ROLLBACK = "StaleAfterRollback"
    VERIFIED = "Verified"
    VERIFY_FAILED = "VerifyFailed"
    NOT_VERIFIED = "NotVerified"
    NOT_APPLIED = "NotApplied"
    OUTDATED = "RevisionNotApplied"
    NEVER_RAN = "NeverRan"
    NOT_NEEDED = "NotNeeded"
    REACHED = "Reached"
    UNKNOWN = "NotProbed"
    IN_SYNC = "InSync"
    APPLIED_ELSEWHERE = "AppliedElsewhere"
    EXPIRING = "RollbackExpiring"
    KEPT = "Kept"
    PLAN_READS = "PlanRunsWithReadOnlyCredentials"
    PLAN_WRITES = "PlanRunsWithWriteCredentials"
    DELETION_FORCED = "InvalidateGivenUp"


@dataclass(frozen=True)
class About:
    """What a reason means and what a person can do."""

    meaning: str
    next_step: str


REASONS: dict[str, About] = {
    Why.READY: About("Everything is as the spec wants it.", "Nothing to do."),
    Why.SUSPENDED: About("spec.suspend is set: no Job starts.", "Set suspend: false; nothing is lost meanwhile."),
    Why.GATEWAY_NOT_FOUND: About("gatewayRef names no VulcanGateway.", "Create it; it goes on by itself."),
    Why.NOT_GRANTED: About(
        "No grant of the gateway allows this namespace and environment name.", "Add a grant to the gateway."
    ),
    Why.GATEWAY_NOT_READY: About("The gateway is not Ready.", "See the gateway's conditions; it goes on by itself."),
    Why.NAME_TAKEN: About(
        "An older VulcanEnvironment on the gateway has the same SQLMesh environment name.",
        "Delete one of them, or give this one another spec.environment.",
    ),
    Why.QUOTA: About("The grant's maxEnvironments is used up.", "Delete environments or raise maxEnvironments."),
    Why.NOT_AUTHORIZED: About(
        "The operator may not work in this namespace.", "Bind ClusterRole vulcan-gateway there, as the message says."
    ),
    Why.UNPROTECTED: About(
        "The API server does not refuse what the admission policies are to refuse, so approvals prove nothing.",
        "Apply deploy/policies.yaml; the message names the policies. It goes on by itself.",
    ),
    Why.IMAGE_NOT_ALLOWED: About(
        "runner.image is not in the gateway's allowedImages.", "Use an allowed image or extend allowedImages."
    ),
    Why.NO_IMAGE: About("No runner image is configured.", "Set runner.image on the gateway."),
    Why.CONFIG_MAP_MISSING: About(
        "A ConfigMap that the spec names does not exist.", "Create it; it goes on by itself."
    ),
    Why.INVALID: About("The object does not have the shape of its kind.", "Apply the current CRDs, correct the spec."),
    Why.NO_REVISION: About("No VulcanPromotion has given it a revision yet.", "Create a VulcanPromotion to it."),
    Why.AWAITING: About("The plan waits for approval.", "Run the command in the message."),
    Why.AUTHOR_UNKNOWN: About(
        "excludeAuthor is set, and the object has no annotation vulcan.dev/created-by: nobody's approval can count.",
        "Apply deploy/created-by (Kubernetes 1.36 or newer) or put your own user name into that annotation, and create "
        "the object again; nobody can add it later.",
    ),
    Why.REJECTED: About(
        "Somebody with verb approve rejected the plan.", "Give another revision, or withdraw the word."
    ),
    Why.NOT_DETERMINISTIC: About(
        "Three times the plan changed between decision and apply at one source.",
        "Look for random values, dates or sets in macros and Python models; then request a plan.",
    ),
    Why.EXPIRED: About("spec.ttl is over.", "Change the spec to use it again, or delete it."),
    Why.RUN_FAILED: About("The last run failed after its retries.", "See RunSucceeded; the next due time tries again."),
    Why.RESOLVING: About("The ref is being resolved to a commit.", "Wait."),
    Why.PLANNING: About("The plan is being built.", "Wait."),
    Why.APPLYING: About("The plan is being applied.", "Wait."),
    Why.PROBING: About("The connections are being tested.", "Wait."),
    Why.INVALIDATING: About("The environment is being removed from SQLMesh.", "Wait."),
    Why.WAITING_FOR_WRITER: About("Another Job writes on this gateway.", "Wait; see the gateway's activeWriter."),
    Why.POD_WAITING: About("The Job's pod has not started.", "See the message; after startDeadline it is tried again."),
    Why.WRITER_UNKNOWN: About(
        "The node of a Job's pod does not answer, and without a lock in the state database it may still be writing.",
        "Make sure that the node is dead, then run the command in the message; or wait until the node is back or gone.",
    ),
    Why.SOURCE_NOT_READY: About(
        "The environment that the revision comes from has nothing applied.", "Wait, or see that environment."
    ),
    Why.TARGET_REFUSED: About(
        "The target environment may not be used itself, or was not looked at yet.",
        "See the target's own Ready condition.",
    ),
    Why.TARGET_NOT_MANAGED: About(
        "The target takes its revision from its own project.",
        "Set revisionFrom: Promotion on it and remove its project.",
    ),
    Why.PROMOTION_NOT_GRANTED: About(
        "The gateway of an environment does not grant promotions to this namespace.",
        "Create the promotion in the environment's namespace, or add a grant with promotions: true.",
    ),
    Why.ENVIRONMENT_NOT_FOUND: About(
        "from or to names no VulcanEnvironment.", "Create it; the promotion goes on by itself."
    ),
    Why.QUEUED: About("An older promotion to the same environment has not ended.", "Wait, or delete that one."),
    Why.SOAKING: About("The revision has not been well in the source environment for long enough.", "Wait."),
    Why.OPEN: About("No freeze and no window holds changes of the views.", "Nothing to do."),
    Why.OUTSIDE_WINDOW: About(
        "The target's promotionWindows are shut: outside every Allow window, or inside a Deny window.",
        "Wait; the message says when they open. A rollback does not wait.",
    ),
    Why.FROZEN: About(
        "The gateway has a freeze: nothing changes views but rollbacks.",
        "See the reason in the message; somebody with verb approve on the gateway removes spec.freeze.",
    ),
    Why.AUDITING: About("Audits run.", "Wait."),
    Why.COMPARING: About("Data of source and target is compared.", "Wait."),
    Why.CHECKING: About("Data quality checks run.", "Wait."),
    Why.CANCELLING: About(
        "The promotion was deleted while it may be changing views; those are not left half changed.", "Wait."
    ),
    Why.PROMOTING: About("The target's views are being changed.", "Wait."),
    Why.ROLLING_BACK: About("The target's views are being put back.", "Wait."),
    Why.PROMOTED: About("The target has the revision.", "Nothing to do."),
    Why.PROMOTION_FAILED: About("A step said no.", "See status.steps; create another promotion when it is mended."),
    Why.PROMOTION_ERRORED: About("Machinery broke, more often than retry.limit.", "See status.steps."),
    Why.INCONCLUSIVE: About(
        "A Required gate could not be judged, so it does not pass; nothing was changed.",
        "See status.steps for what was missing; create another promotion once it can be judged, or one where the gate is "
        "Optional.",
    ),
    Why.ROLLED_BACK: About(
        "The target has what it had before; the revision is held.",
        "Promote another revision, or lift the hold as the message says.",
    ),
    Why.SUPERSEDED: About(
        "A newer promotion with queue: Supersede took its place before it had changed anything.", "Nothing to do."
    ),
    Why.CANCELLED: About(
        "The promotion was deleted before its last step.",
        "See what was done in the message or its evidence; promote again, or go back with rollbackTo.",
    ),
    Why.EVIDENCE: About(
        "The promotion is over; what it rests on is in the ConfigMap that status.evidenceRef names.", "Nothing to do."
    ),
    Why.PENDING: About("It was not looked at yet.", "Wait."),
    Why.UP_TO_DATE: About("Nothing is missing.", "Nothing to do."),
    Why.BEHIND: About("Intervals are missing.", "See RunSucceeded."),
    Why.OVERDUE: About("A run is overdue by more than freshness.maxLag.", "See Ready and RunSucceeded."),
    Why.STALE_AFTER_ROLLBACK: About(
        "The views were put back; what fell due meanwhile is not computed yet. The message says how old the data is.",
        "Wait: a run follows at once. With rollback.data: CatchUpThenSwap nobody sees old data.",
    ),
    Why.VERIFIED: About("Audits of the environment passed after its views were changed.", "Nothing to do."),
    Why.VERIFY_FAILED: About(
        "Audits said no after a promotion had changed the views, and they stay changed (onFailure: Hold, or the way back"
        " failed).",
        "Go back with the rollbackTo that the message names, or promote a revision that is mended. Where the data was "
        "mended instead, promote the same revision again: it is there already, so only audits are asked.",
    ),
    Why.NOT_VERIFIED: About(
        "No audits have judged what the views show since they were changed.",
        "Promote what the environment has once more: it is there already, so only audits are asked.",
    ),
    Why.NOT_APPLIED: About("Nothing was applied yet.", "See Ready."),
    Why.OUTDATED: About("The environment has an earlier revision.", "See Ready."),
    Why.NEVER_RAN: About("No run has ended yet.", "Wait."),
    Why.NOT_NEEDED: About("No plan waits for approval.", "Nothing to do."),
    Why.REACHED: About("It answered.", "Nothing to do."),
    Why.UNKNOWN: About("It was not tested yet.", "Wait."),
    Why.IN_SYNC: About("The environment has the plan the operator applied.", "Nothing to do."),
    Why.APPLIED_ELSEWHERE: About(
        "The environment's plan is not the one the operator applied last.",
        "Find who plans from outside; the next plan shows what it would change back.",
    ),
    Why.EXPIRING: About(
        "SQLMesh's janitor may take snapshots of an earlier revision before rollback.window is over.",
        "Do not run `sqlmesh janitor` until then; raise snapshot_ttl in the project, or lower rollback.window.",
    ),
    Why.KEPT: About("Earlier revisions stay a view swap away for as long as rollback.window.", "Nothing to do."),
    Why.PLAN_READS: About("The gateway has spec.planning for plan Jobs.", "Nothing to do."),
    Why.PLAN_WRITES: About(
        "Plan Jobs of a protected environment run with credentials that may write.",
        "Give the gateway spec.planning with read-only credentials.",
    ),
    Why.DELETION_FORCED: About(
        "Removing the environment from SQLMesh did not succeed in time; the object was let go.",
        "Invalidate it by hand.",
    ),
}
