"""Lists every field of the three specs: who may change it on an object that is protected.

Read by tests only: a field that is missing here fails, and every row RULE is tried against the
admission policies of `deploy/policies.yaml` on a real API server. A row covers what is below it,
except rows of their own; a row FREE stands for one field only, so that a new field is never free
unless somebody says so.
"""

import enum


class Change(enum.StrEnum):
    """What a change of a field needs."""

    FREE = "free"  # the rights of RBAC
    RULE = "rule"  # verb `approve`, where the object is protected and the change weakens a rule
    IMMUTABLE = "immutable"  # another object


FREE, RULE, IMMUTABLE = Change.FREE, Change.RULE, Change.IMMUTABLE

GATEWAY: dict[str, Change] = {
    "sqlmeshName": IMMUTABLE,
    # Which code reaches which database with whose credentials.
    "connection": RULE,
    "stateConnection": RULE,
    "planning": RULE,
    "additionalConnections": RULE,
    "gitCredentials": RULE,
    "takeover": RULE,
    "runner.image": RULE,
    "runner.allowedImages": RULE,
    "runner.serviceAccountName": RULE,
    "runner.podLabels": RULE,
    "runner.podAnnotations": RULE,
    "runner.env": RULE,
    "runner.volumes": RULE,
    "runner.caBundle": RULE,
    "runner.proxy": RULE,
    "grants": RULE,
    "freeze.until": RULE,  # and its removal
    "freeze.reason": FREE,
    # Part of what is planned and approved.
    "variables": FREE,
    # Where and for how long Jobs run, and that none starts.
    "runner.imagePullSecrets[].name": FREE,
    "runner.resources": FREE,
    "runner.nodeSelector.*": FREE,
    "runner.tolerations[]": FREE,
    "runner.affinity": FREE,
    "runner.deadline": FREE,
    "runner.gracePeriod": FREE,
    "runner.startDeadline": FREE,
    "probe.interval": FREE,
    "janitor.schedule": FREE,
    "suspend": FREE,
    "suspendReason": FREE,
    "suspendUntil": FREE,
}

ENVIRONMENT: dict[str, Change] = {
    "gatewayRef": IMMUTABLE,
    "environment": IMMUTABLE,
    "revisionFrom": RULE,
    # The source is what is approved.
    "project.git.url": FREE,
    "project.git.ref": FREE,
    "project.git.path": FREE,
    "project.git.pollInterval": FREE,
    "project.configMap.name": FREE,
    "project.configMap.items[].key": FREE,
    "project.configMap.items[].path": FREE,
    "project.image": FREE,
    "runner.image": FREE,  # one of the gateway's allowedImages, and part of the plan
    # What decides whether somebody is asked.
    "plan.approval.mode": RULE,
    "plan.approval.risks": RULE,
    "plan.approval.count": RULE,
    "plan.approval.excludeAuthor": RULE,
    "plan.approval.expireAfter": FREE,
    "plan.limits.maxBackfillIntervals": RULE,
    "plan.limits.maxRebuiltModels": RULE,
    "plan.limits.maxHistory": RULE,
    "plan.limits.maxRemovedPercent": RULE,
    "plan.categorization": RULE,
    "plan.categories": RULE,
    "plan.forwardOnly": RULE,
    "plan.effectiveFrom": RULE,
    "plan.allowDestructiveModels": RULE,
    "plan.allowAdditiveModels": RULE,
    "plan.skipTests": RULE,
    "plan.skipLinter": RULE,
    "operations": RULE,
    "approvals": RULE,
    "promotionWindows": RULE,
    "promotionHistory.limit": RULE,
    "promotionHistory.maxAge": RULE,
    "checks.audits": RULE,
    "checks.soda.configMapRef.name": RULE,  # its removal: another ConfigMap is an editor's
    "ttlAction": RULE,
    # How much of the source is planned, which limits bound.
    "plan.selectModels[]": FREE,
    "plan.noGaps": FREE,
    "plan.start": FREE,
    "plan.devStart": FREE,
    # When it runs, and what it tells.
    "schedule.mode": FREE,
    "schedule.cron.cron": FREE,
    "schedule.cron.timeZone": FREE,
    "freshness.maxLag": FREE,
    "retry.limit": FREE,
    "retry.backoff": FREE,
    "retry.maxBackoff": FREE,
    "rollback.window": FREE,
    "deletionPolicy": FREE,  # what is protected is retained
    "ttl": FREE,
    "suspend": FREE,
    "suspendReason": FREE,
    "suspendUntil": FREE,
}

PROMOTION: dict[str, Change] = {
    "from": IMMUTABLE,
    "to": IMMUTABLE,
    "revision": IMMUTABLE,
    "gates": IMMUTABLE,
    "approval": IMMUTABLE,
    "approvals": RULE,
    "queue": IMMUTABLE,
    "onFailure": IMMUTABLE,
    "rollbackTo": IMMUTABLE,
    "rollback": IMMUTABLE,
}

CHANGES: dict[str, dict[str, Change]] = {
    "VulcanGateway": GATEWAY,
    "VulcanEnvironment": ENVIRONMENT,
    "VulcanPromotion": PROMOTION,
}
