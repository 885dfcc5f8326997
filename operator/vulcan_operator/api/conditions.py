"""All condition types and all reasons that the operator itself sets, each with one sentence.

Reasons for the end of a task live in `vulcan_contract.reasons`; `status.conditions` has no others.
`docs/reference/reasons.md` is generated from both. Planners read this module; it decides nothing.
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
    Type.READY: "The object matches its spec. It summarises the other conditions; they explain it.",
    Type.RECONCILING: "The operator is working on the object, or will continue automatically.",
    Type.STALLED: "The operator cannot continue until someone acts; the message says what to do.",
    Type.WAREHOUSE: "The last Job that tried to connect reached the warehouse.",
    Type.STATE: "The last Job that tried to connect reached the state database.",
    Type.APPLIED: "The revision and the planning fields of the spec are applied.",
    Type.AWAITING: "A plan waits for users with verb approve; the message is the command to run.",
    Type.RUN: "The last scheduled run succeeded.",
    Type.FRESH: "No interval has been missing for longer than freshness.maxLag.",
    Type.DRIFTED: "A plan was applied from outside since the operator's last apply.",
    Type.VERIFIED: "Audits passed after the promotion that delivered the revision, if one did.",
    Type.ROLLBACK_EXPIRING: (
        "SQLMesh's janitor may remove snapshots of an earlier revision before rollback.window ends."
    ),
    Type.PLAN_READ_ONLY: ("Protected environments only: plan Jobs, which run unapproved code, use spec.planning."),
    Type.CHANGES: (
        "Views may be changed now: promotionWindows permit it and the gateway has no freeze. "
        "Set only where either is configured."
    ),
}


class Why(enum.StrEnum):
    """Reasons that the operator itself sets."""

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
    """What a reason means and what a user can do about it."""

    meaning: str
    next_step: str


REASONS: dict[str, About] = {
    Why.READY: About("The object matches its spec.", "Nothing to do."),
    Why.SUSPENDED: About("spec.suspend is set: no Job is started.", "Set suspend: false."),
    Why.GATEWAY_NOT_FOUND: About("gatewayRef names no existing VulcanGateway.", "Create it; work then continues."),
    Why.NOT_GRANTED: About("No grant allows this namespace and environment name.", "Add a grant to the gateway."),
    Why.GATEWAY_NOT_READY: About("The gateway is not Ready.", "See its conditions; work continues once it is Ready."),
    Why.NAME_TAKEN: About(
        "An older VulcanEnvironment on the gateway has the same SQLMesh environment name.",
        "Delete one of the two, or recreate this one with another spec.environment.",
    ),
    Why.QUOTA: About("The grant's maxEnvironments is reached.", "Delete environments or raise it."),
    Why.NOT_AUTHORIZED: About(
        "The operator lacks permissions in this namespace.",
        "Bind ClusterRole vulcan-gateway there, as the message says.",
    ),
    Why.UNPROTECTED: About(
        "The API server does not enforce the admission policies, so approvals prove nothing.",
        "Apply deploy/policies.yaml; the message names the policies. Work then continues.",
    ),
    Why.IMAGE_NOT_ALLOWED: About(
        "runner.image is not in the gateway's allowedImages.", "Use an allowed image, or add it."
    ),
    Why.NO_IMAGE: About("No runner image is configured.", "Set runner.image on the gateway."),
    Why.CONFIG_MAP_MISSING: About("A ConfigMap that the spec names does not exist.", "Create it; work then continues."),
    Why.INVALID: About("The object does not match its schema.", "Apply the current CRDs and correct the spec."),
    Why.NO_REVISION: About("No VulcanPromotion has delivered a revision yet.", "Create a VulcanPromotion to it."),
    Why.AWAITING: About("The plan waits for approval.", "Run the command in the message."),
    Why.AUTHOR_UNKNOWN: About(
        "excludeAuthor is set but annotation vulcan.dev/created-by is missing: no approval counts.",
        "Apply deploy/created-by (Kubernetes 1.36 or newer), or put your own user name into the "
        "annotation, and recreate the object; the annotation cannot be added later.",
    ),
    Why.REJECTED: About("A user rejected the plan.", "Provide another revision, or withdraw the rejection."),
    Why.NOT_DETERMINISTIC: About(
        "The plan of one source changed three times between decision and apply.",
        "Look for random values, dates or sets in macros and Python models; then request a plan.",
    ),
    Why.EXPIRED: About("spec.ttl has elapsed.", "Change the spec, or delete the environment."),
    Why.RUN_FAILED: About(
        "The last run failed, including its retries.",
        "See condition RunSucceeded; the next run starts when it is due.",
    ),
    Why.RESOLVING: About("The ref is being resolved to a commit.", "Wait."),
    Why.PLANNING: About("The plan is being built.", "Wait."),
    Why.APPLYING: About("The plan is being applied.", "Wait."),
    Why.PROBING: About("The connections are being tested.", "Wait."),
    Why.INVALIDATING: About("The environment is being removed from SQLMesh.", "Wait."),
    Why.WAITING_FOR_WRITER: About(
        "Another Job has the gateway's writer slot.", "Wait; see the gateway's activeWriter."
    ),
    Why.POD_WAITING: About("The Job's pod has not started.", "See the message; after startDeadline it is retried."),
    Why.WRITER_UNKNOWN: About(
        "The node of a Job's pod does not respond, and without a lock in the state database the "
        "pod may still be writing.",
        "Check that the node is dead, then run the command in the message; or wait for the node.",
    ),
    Why.SOURCE_NOT_READY: About(
        "Nothing is applied in the source environment, or not the files of its current project.",
        "Wait, or see the conditions of that environment.",
    ),
    Why.TARGET_REFUSED: About(
        "The target environment is itself not permitted, or has not been reconciled yet.",
        "See the target's own Ready condition.",
    ),
    Why.TARGET_NOT_MANAGED: About(
        "The target takes its revision from its own project.",
        "Set revisionFrom: Promotion on it and remove its project.",
    ),
    Why.PROMOTION_NOT_GRANTED: About(
        "The gateway of an environment does not grant promotions to this namespace.",
        "Create the promotion in the environment's namespace or add a grant with promotions: true.",
    ),
    Why.ENVIRONMENT_NOT_FOUND: About(
        "from or to names no existing VulcanEnvironment.", "Create it; work then continues."
    ),
    Why.QUEUED: About("An older promotion to the same environment has not ended.", "Wait, or delete that one."),
    Why.SOAKING: About("The revision has not run in the source for as long as gates.soak requires.", "Wait."),
    Why.OPEN: About("No freeze and no window blocks changes to the views.", "Nothing to do."),
    Why.OUTSIDE_WINDOW: About(
        "The target's promotionWindows are closed: no Allow window is open, or a Deny window is.",
        "Wait; the message says when they open. A rollback does not wait.",
    ),
    Why.FROZEN: About(
        "The gateway has a freeze: only rollbacks may change views.",
        "See its reason in the message; removing spec.freeze needs verb approve on the gateway.",
    ),
    Why.AUDITING: About("Audits are running.", "Wait."),
    Why.COMPARING: About("The data of source and target is being compared.", "Wait."),
    Why.CHECKING: About("Data quality checks are running.", "Wait."),
    Why.CANCELLING: About("Deleted while its Job may be changing views; that change is completed first.", "Wait."),
    Why.PROMOTING: About("The target's views are being changed.", "Wait."),
    Why.ROLLING_BACK: About("The target's views are being rolled back.", "Wait."),
    Why.PROMOTED: About("The target has the revision.", "Nothing to do."),
    Why.PROMOTION_FAILED: About(
        "A step failed because of the revision or its data.",
        "See status.steps; fix the cause and create another promotion.",
    ),
    Why.PROMOTION_ERRORED: About(
        "A Job failed for infrastructure reasons more often than retry.limit.", "See status.steps."
    ),
    Why.INCONCLUSIVE: About(
        "A Required gate could not be evaluated, so it does not pass; nothing was changed.",
        "See status.steps for what was missing; fix it and create another promotion, or create "
        "one where the gate is Optional.",
    ),
    Why.ROLLED_BACK: About(
        "The target was rolled back to its previous revision; the promoted one is held.",
        "Promote another revision, or lift the hold as the message says.",
    ),
    Why.SUPERSEDED: About("A newer promotion with queue: Supersede replaced it before any change.", "Nothing to do."),
    Why.CANCELLED: About(
        "The promotion was deleted before its last step.",
        "See the message or the evidence; promote again, or roll back with rollbackTo.",
    ),
    Why.EVIDENCE: About("The promotion has ended; status.evidenceRef names its evidence.", "Nothing to do."),
    Why.PENDING: About("It has not been evaluated yet.", "Wait."),
    Why.UP_TO_DATE: About("No interval is missing.", "Nothing to do."),
    Why.BEHIND: About("Intervals are missing.", "See condition RunSucceeded."),
    Why.OVERDUE: About("A run is overdue by more than freshness.maxLag.", "See conditions Ready and RunSucceeded."),
    Why.STALE_AFTER_ROLLBACK: About(
        "The views were rolled back and intervals that have become due since are not computed yet. "
        "The message says how old the data is.",
        "Wait: a run follows at once. Next time, rollback.data: CatchUpThenSwap computes first.",
    ),
    Why.VERIFIED: About("Audits passed after the views were changed.", "Nothing to do."),
    Why.VERIFY_FAILED: About(
        "Audits failed after a promotion had changed the views, and the views stay changed "
        "(onFailure: Hold, or the rollback failed).",
        "Roll back with the rollbackTo that the message names, or promote a fixed revision. If the "
        "data was fixed instead, promote the same revision again: only its audits run.",
    ),
    Why.NOT_VERIFIED: About(
        "No audit results exist for the views as they are now.",
        "Promote the environment's revision again: only its audits run.",
    ),
    Why.NOT_APPLIED: About("Nothing has been applied yet.", "See condition Ready."),
    Why.OUTDATED: About("The environment has an earlier revision.", "See condition Ready."),
    Why.NEVER_RAN: About("No run has ended yet.", "Wait."),
    Why.NOT_NEEDED: About("No plan waits for approval.", "Nothing to do."),
    Why.REACHED: About("The last connection attempt succeeded.", "Nothing to do."),
    Why.UNKNOWN: About("The connection has not been tested yet.", "Wait."),
    Why.IN_SYNC: About("It has the plan that the operator applied last.", "Nothing to do."),
    Why.APPLIED_ELSEWHERE: About(
        "The environment's plan is not the one that the operator applied last.",
        "Find out who applies plans from outside; the next plan shows what it would revert.",
    ),
    Why.EXPIRING: About(
        "SQLMesh's janitor may remove an earlier revision's snapshots before rollback.window ends.",
        "Do not run `sqlmesh janitor` until then; raise snapshot_ttl or lower rollback.window.",
    ),
    Why.KEPT: About("Earlier revisions can be restored by a view swap during rollback.window.", "Nothing to do."),
    Why.PLAN_READS: About("The gateway has spec.planning, which plan Jobs use.", "Nothing to do."),
    Why.PLAN_WRITES: About(
        "Plan Jobs of a protected environment run with credentials that may write.",
        "Give the gateway spec.planning with read-only credentials.",
    ),
    Why.DELETION_FORCED: About(
        "The environment was not removed from SQLMesh in time; the object was deleted anyway.",
        "Remove it yourself with `sqlmesh invalidate`.",
    ),
}
