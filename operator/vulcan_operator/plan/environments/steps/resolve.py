"""Step resolve: which revision the project's source names now. Pure.

Only a git ref needs a Job; a commit, an image and a ConfigMap say it themselves.
"""

import datetime as dt
import re
from dataclasses import replace
from typing import Any

from vulcan_contract import digest, paths
from vulcan_contract import task as contract
from vulcan_contract.reasons import Outcome
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import (
    DONE_PLANS,
    EnvironmentStatus,
    RevisionStatus,
)
from vulcan_operator.api.fields import TaskStatus, parse_duration
from vulcan_operator.api.source import ConfigMapSource, GitSource
from vulcan_operator.plan.core.deadlines import CONFIG_MAP_CHECK
from vulcan_operator.plan.core.moves import Done, Move, Order, Wait
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.step import Judged, Step, absent, filled
from vulcan_operator.plan.tasks import values
from vulcan_operator.plan.tasks.life import Ended, Extras

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Resolve(Step):
    """From a source to a revision."""

    kind = TaskKind.RESOLVE
    doing = Why.RESOLVING, "resolving the source"

    def next(self, status: EnvironmentStatus, context: Context) -> Move:
        project = context.spec.project
        if project is None:
            # Its changes are promotions; a plan of the project that it had before is void.
            is_void = status.plan is not None and status.plan.state not in DONE_PLANS
            return Done(settles={"plan": None}) if is_void else Done()
        inputs = values.project_inputs(project)
        if project.config_map is not None:
            files, lacks = project_files(project.config_map, context)
            if files is None:
                verdict = absent(context, project.config_map.name, lacks)
                return Wait(verdict, context.now + CONFIG_MAP_CHECK)
            return _known(status, project.config_map.name, digest.of_files(files), inputs)
        if project.image is not None:
            name, _, sha = project.image.partition("@")
            return _known(status, f"{name}@{sha}"[:256], sha, inputs)
        assert project.git is not None
        if _COMMIT.fullmatch(project.git.ref):
            # Not the files' digest, which nobody has computed yet; but another path at this commit
            # is another source.
            known = f"git:{project.git.ref[:40]}:{inputs}"
            return _known(status, project.git.ref, known, inputs)
        return self._ref(status, project.git, inputs, context)

    def _ref(
        self, status: EnvironmentStatus, git: GitSource, inputs: str, context: Context
    ) -> Move:
        old, request = status.revision, context.request("plan", status)
        site = context.site
        assert site is not None
        if old is None or old.inputs != inputs:
            return Order(self.kind, inputs, "the source changed", site, request)
        if request is not None and old.request != request:
            return Order(self.kind, inputs, "requested", site, request)
        if git.poll_interval is None or old.time is None:
            return Done()
        due = old.time + max(parse_duration(git.poll_interval), dt.timedelta(seconds=10))
        is_due = due <= context.now
        return Order(self.kind, inputs, "pollInterval", site) if is_due else Done(until=due)

    def task(
        self, base: contract.Task, current: TaskStatus, status: EnvironmentStatus, context: Context
    ) -> Extras | None:
        project = context.spec.project
        if project is None:
            return None
        source = values.source_of(project, commit=None, digest=None)
        return with_source(filled(base, status, context), source, status, context)

    def judge(self, status: EnvironmentStatus, ended: Ended, context: Context) -> Judged:
        result = ended.result
        assert result.digest is not None
        revision = RevisionStatus(
            resolved=result.commit or result.digest, digest=result.digest,
            inputs=ended.task.inputs, time=context.now, request=ended.task.request,
        )  # fmt: skip
        return Judged(status.but(revision=revision))

    def recovered(self, status: EnvironmentStatus) -> EnvironmentStatus:
        """A source that resolves does not make a plan good."""
        other = status.failure is not None and status.failure.task != self.kind
        return status if other else super().recovered(status)

    def answered(self, ended: Ended) -> dict[str, Any]:
        """A resolved ref goes on to its plan, which answers."""
        return {} if ended.result.outcome is Outcome.SUCCEEDED else super().answered(ended)


def project_files(source: ConfigMapSource, context: Context) -> tuple[dict[str, bytes] | None, str]:
    """The project in a ConfigMap by path: its items, or all keys with `__` as `/`. None and what is
    missing when it cannot be used."""
    content = context.live.config_map(context.meta.namespace, source.name)
    if content is None:
        return None, "does not exist; create it"
    if not source.items:
        found = ((paths.of_key(key), data) for key, data in content.items())
        return {path: data for path, data in found if paths.counts(path)}, ""
    missing = sorted({item.key for item in source.items} - content.keys())
    if missing:
        keys = ", ".join(missing[:5])
        return None, f"has no key {keys}; add it or correct project.configMap.items"
    return {i.path: content[i.key] for i in source.items if paths.counts(i.path)}, ""


def with_source(
    task: contract.Task, source: contract.Source, status: EnvironmentStatus, context: Context
) -> Extras:
    """The Job of a task that reads the project: its copy of the ConfigMap, or git credentials."""
    project = context.spec.project
    assert project is not None
    git, revision = project.git, status.revision
    copy = values.source_copy(context.environment, revision.digest if revision is not None else "")
    return Extras(
        replace(task, source=source),
        source_config_map=copy if project.config_map is not None else None,
        git_secret=values.git_secret(context.gateway, git.url) if git is not None else None,
    )


def _known(status: EnvironmentStatus, resolved: str, known: str, inputs: str) -> Done:
    old = status.revision
    if old is not None and (old.resolved, old.digest, old.inputs) == (resolved, known, inputs):
        return Done()
    revision = RevisionStatus(resolved=resolved, digest=known, inputs=inputs)
    return Done(settles={"revision": revision})
