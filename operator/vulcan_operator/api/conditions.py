"""All condition types and the operator's own reasons, each in one place with its description.

Reasons of a task's end live in `vulcan_contract.reasons`; together they are the complete vocabulary
of `status.conditions`. `docs/reference/reasons.md` is generated from both. Read by the planners.
"""

import enum
from typing import Self

# fmt: off


class Type(enum.StrEnum):
    """Condition types: the name, and what True means."""

    description: str

    def __new__(cls, name: str, description: str) -> Self:
        member = str.__new__(cls, name)
        member._value_, member.description = name, description
        return member

    READY = (
        "Ready",
        "The object matches its spec. It summarises the other conditions; they explain it.")
    RECONCILING = (
        "Reconciling",
        "The operator is working on the object, or will continue automatically.")
    STALLED = (
        "Stalled",
        "The operator cannot continue until someone acts; the message says what to do.")
    WAREHOUSE = "WarehouseReachable", "The last Job that tried to connect reached the warehouse."
    STATE = "StateReachable", "The last Job that tried to connect reached the state database."
    APPLIED = "Applied", "The revision and the planning fields of the spec are applied."
    AWAITING = (
        "AwaitingApproval",
        "A plan waits for users with verb approve; the message is the command to run.")
    RUN = "RunSucceeded", "The last scheduled run succeeded."
    FRESH = "Fresh", "No interval has been missing for longer than freshness.maxLag."
    DRIFTED = "Drifted", "A plan was applied from outside since the operator's last apply."
    VERIFIED = (
        "Verified",
        "Audits passed after the promotion that delivered the revision, if one did.")
    ROLLBACK_EXPIRING = (
        "RollbackExpiring",
        "SQLMesh's janitor may remove snapshots of an earlier revision before rollback.window "
        "ends.")
    PLAN_READ_ONLY = (
        "PlanReadOnly",
        "Protected environments only: plan Jobs, which run unapproved code, use spec.planning.")
    SHARED = (
        "CredentialsShared",
        "Gateways only: environments that are protected and others that are not run with the same "
        "credentials. A gateway for which that is not so does not have the condition.")
    CHANGES = (
        "ChangesAllowed",
        "Views may be changed now: promotionWindows permit it and the gateway has no freeze. Set "
        "only where either is configured.")


class Why(enum.StrEnum):
    """Reasons of the operator's own: the name, what it means, and what a user can do about it."""

    meaning: str
    next_step: str

    def __new__(cls, name: str, meaning: str, next_step: str) -> Self:
        member = str.__new__(cls, name)
        member._value_, member.meaning, member.next_step = name, meaning, next_step
        return member

    READY = "Ready", "The object matches its spec.", "Nothing to do."
    SUSPENDED = "Suspended", "spec.suspend is set: no Job is started.", "Set suspend: false."
    GATEWAY_NOT_FOUND = ("GatewayNotFound",
        "gatewayRef names no existing VulcanGateway.", "Create it; work then continues.")
    NOT_GRANTED = ("NotGranted",
        "No grant allows this namespace and environment name.", "Add a grant to the gateway.")
    GATEWAY_NOT_READY = ("GatewayNotReady",
        "The gateway is not Ready.", "See its conditions; work continues once it is Ready.")
    NAME_TAKEN = ("EnvironmentNameTaken",
        "An older VulcanEnvironment on the gateway has the same SQLMesh environment name.",
        "Delete one of the two, or recreate this one with another spec.environment.")
    QUOTA = ("EnvironmentQuotaExceeded",
        "The grant's maxEnvironments is reached.", "Delete environments or raise it.")
    NOT_AUTHORIZED = ("OperatorNotAuthorized",
        "The operator lacks permissions in this namespace.",
        "Bind ClusterRole vulcan-gateway there, as the message says.")
    UNPROTECTED = ("ApprovalsUnprotected",
        "The API server does not enforce the admission policies as the operator's release ships "
        "them, so approvals prove nothing.",
        "Apply deploy/policies.yaml of that release; the message says which policy differs, and "
        "where. Work continues within five minutes.")
    IMAGE_NOT_ALLOWED = ("ImageNotAllowed",
        "runner.image is not in the gateway's allowedImages.", "Use an allowed image, or add it.")
    NO_IMAGE = ("RunnerImageMissing",
        "No runner image is configured.", "Set runner.image on the gateway.")
    CONFIG_MAP_MISSING = ("ConfigMapNotFound",
        "A ConfigMap that the spec names does not exist.", "Create it; work then continues.")
    REPORT_TAMPERED = ("ReportTampered",
        "A plan's report was replaced: approvals of it do not count.",
        "Find out who replaced the ConfigMap, then delete it.")
    INVALID = ("SpecInvalid",
        "The object does not match its schema.", "Apply the current CRDs and correct the spec.")
    NO_REVISION = ("NoRevision",
        "No VulcanPromotion has delivered a revision yet.", "Create a VulcanPromotion to it.")
    AWAITING = "AwaitingApproval", "The plan waits for approval.", "Run the command in the message."
    AUTHOR_UNKNOWN = ("AuthorUnknown",
        "excludeAuthor is set but annotation vulcan.dev/created-by is missing: no approval counts.",
        "Apply deploy/created-by (Kubernetes 1.36 or newer), or put your own user name into the "
        "annotation, and recreate the object; the annotation cannot be added later.")
    REJECTED = ("PlanRejectedByHuman",
        "A user rejected the plan.", "Provide another revision, or withdraw the rejection.")
    NOT_DETERMINISTIC = ("PlanNotDeterministic",
        "The plan of one source changed three times between decision and apply.",
        "Look for random values, dates or sets in macros and Python models; then request a plan.")
    EXPIRED = "Expired", "spec.ttl has elapsed.", "Change the spec, or delete the environment."
    RUN_FAILED = ("RunFailed",
        "The last run failed, including its retries.",
        "See condition RunSucceeded; the next run starts when it is due.")
    RESOLVING = "Resolving", "The ref is being resolved to a commit.", "Wait."
    PLANNING = "Planning", "The plan is being built.", "Wait."
    APPLYING = "Applying", "The plan is being applied.", "Wait."
    PROBING = "Probing", "The connections are being tested.", "Wait."
    INVALIDATING = "Invalidating", "The environment is being removed from SQLMesh.", "Wait."
    WAITING_FOR_WRITER = ("WaitingForWriter",
        "Another Job has the gateway's writer slot.", "Wait; see the gateway's activeWriter.")
    POD_WAITING = ("PodWaiting",
        "The Job's pod has not started.", "See the message; after startDeadline it is retried.")
    WRITER_UNKNOWN = ("WriterUnknown",
        "The node of a Job's pod does not respond, and without a lock in the state database the "
        "pod may still be writing.",
        "Check that the node is dead, then run the command in the message; or wait for the node.")
    SOURCE_NOT_READY = ("SourceNotReady",
        "Nothing is applied in the source environment, or not the files of its current project.",
        "Wait, or see the conditions of that environment.")
    TARGET_REFUSED = ("TargetRefused",
        "The target environment is itself not permitted, or has not been reconciled yet.",
        "See the target's own Ready condition.")
    TARGET_NOT_MANAGED = ("TargetNotManagedByPromotions",
        "The target takes its revision from its own project.",
        "Set revisionFrom: Promotion on it and remove its project.")
    PROMOTION_NOT_GRANTED = ("PromotionNotGranted",
        "The gateway of an environment does not grant promotions to this namespace.",
        "Create the promotion in the environment's namespace or add a grant with promotions: true.")
    ENVIRONMENT_NOT_FOUND = ("EnvironmentObjectNotFound",
        "from or to names no existing VulcanEnvironment.", "Create it; work then continues.")
    QUEUED = ("Queued",
        "An older promotion to the same environment has not ended.", "Wait, or delete that one.")
    SOAKING = ("Soaking",
        "The revision has not run in the source for as long as gates.soak requires.", "Wait.")
    OPEN = "Open", "No freeze and no window blocks changes to the views.", "Nothing to do."
    OUTSIDE_WINDOW = ("OutsideWindow",
        "The target's promotionWindows are closed: no Allow window is open, or a Deny window is.",
        "Wait; the message says when they open. A rollback does not wait.")
    FROZEN = ("Frozen",
        "The gateway has a freeze: only rollbacks may change views.",
        "See its reason in the message; removing spec.freeze needs verb approve on the gateway.")
    AUDITING = "Auditing", "Audits are running.", "Wait."
    COMPARING = "ComparingData", "The data of source and target is being compared.", "Wait."
    CHECKING = "CheckingData", "Data quality checks are running.", "Wait."
    CANCELLING = ("Cancelling",
        "Deleted while its Job may be changing views; that change is completed first.", "Wait.")
    PROMOTING = "Promoting", "The target's views are being changed.", "Wait."
    ROLLING_BACK = "RollingBack", "The target's views are being rolled back.", "Wait."
    PROMOTED = "Promoted", "The target has the revision.", "Nothing to do."
    PROMOTION_FAILED = ("PromotionFailed",
        "A step failed because of the revision or its data.",
        "See status.steps; fix the cause and create another promotion.")
    PROMOTION_ERRORED = ("PromotionErrored",
        "A Job failed for infrastructure reasons more often than retry.limit.", "See status.steps.")
    INCONCLUSIVE = ("Inconclusive",
        "A Required gate could not be evaluated, so it does not pass; nothing was changed.",
        "See status.steps for what was missing; fix it and create another promotion, or create one "
        "where the gate is Optional.")
    ROLLED_BACK = ("RolledBack",
        "The target was rolled back to its previous revision; the promoted one is held.",
        "Promote another revision, or lift the hold as the message says.")
    SUPERSEDED = ("Superseded",
        "A newer promotion with queue: Supersede replaced it before any change.", "Nothing to do.")
    CANCELLED = ("PromotionCancelled",
        "The promotion was deleted before its last step.",
        "See the message or the evidence; promote again, or roll back with rollbackTo.")
    EVIDENCE = ("EvidenceKept",
        "The promotion has ended; status.evidenceRef names its evidence.", "Nothing to do.")
    PENDING = "Pending", "It has not been evaluated yet.", "Wait."
    UP_TO_DATE = "UpToDate", "No interval is missing.", "Nothing to do."
    BEHIND = "IntervalsMissing", "Intervals are missing.", "See condition RunSucceeded."
    OVERDUE = ("RunOverdue",
        "A run is overdue by more than freshness.maxLag.", "See conditions Ready and RunSucceeded.")
    STALE_AFTER_ROLLBACK = ("StaleAfterRollback",
        "The views were rolled back and intervals that have become due since are not computed yet. "
        "The message says how old the data is.",
        "Wait: a run follows at once. Next time, rollback.data: CatchUpThenSwap computes first.")
    VERIFIED = "Verified", "Audits passed after the views were changed.", "Nothing to do."
    VERIFY_FAILED = ("VerifyFailed",
        "Audits failed after a promotion had changed the views, and the views stay changed "
        "(onFailure: Hold, or the rollback failed).",
        "Roll back with the rollbackTo that the message names, or promote a fixed revision. If the "
        "data was fixed instead, promote the same revision again: only its audits run.")
    NOT_VERIFIED = ("NotVerified",
        "No audit results exist for the views as they are now.",
        "Promote the environment's revision again: only its audits run.")
    NOT_APPLIED = "NotApplied", "Nothing has been applied yet.", "See condition Ready."
    OUTDATED = ("RevisionNotApplied",
        "The environment has an earlier revision.", "See condition Ready.")
    NEVER_RAN = "NeverRan", "No run has ended yet.", "Wait."
    NOT_NEEDED = "NotNeeded", "No plan waits for approval.", "Nothing to do."
    REACHED = "Reached", "The last connection attempt succeeded.", "Nothing to do."
    UNKNOWN = "NotProbed", "The connection has not been tested yet.", "Wait."
    IN_SYNC = "InSync", "It has the plan that the operator applied last.", "Nothing to do."
    APPLIED_ELSEWHERE = ("AppliedElsewhere",
        "The environment's plan is not the one that the operator applied last.",
        "Find out who applies plans from outside; the next plan shows what it would revert.")
    EXPIRING = ("RollbackExpiring",
        "SQLMesh's janitor may remove an earlier revision's snapshots before rollback.window ends.",
        "Do not run `sqlmesh janitor` until then; raise snapshot_ttl or lower rollback.window.")
    KEPT = ("Kept",
        "Earlier revisions can be restored by a view swap during rollback.window.",
        "Nothing to do.")
    PLAN_READS = ("PlanRunsWithReadOnlyCredentials",
        "The gateway has spec.planning, which plan Jobs use.", "Nothing to do.")
    PLAN_WRITES = ("PlanRunsWithWriteCredentials",
        "Plan Jobs of a protected environment run with credentials that may write.",
        "Give the gateway spec.planning with read-only credentials.")
    SHARED = ("SharedWithUnprotected",
        "Protected and unprotected environments use this gateway, and so the same credentials.",
        "Give the unprotected ones a gateway whose users cannot write what is protected.")
    DELETION_FORCED = ("InvalidateGivenUp",
        "The environment was not removed from SQLMesh in time; the object was deleted anyway.",
        "Remove it yourself with `sqlmesh invalidate`.")
