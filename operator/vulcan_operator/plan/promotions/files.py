"""What a promotion's revision is computed from: across systems from the project's files. Pure.

Used by the steps Resolve, Plan and Apply. Nothing is read from the other system's warehouse or
state: a commit is fetched with the credentials of the target's gateway, a ConfigMap's copy is
copied, an image is pulled. Within one system the state has all of it.
"""

from collections.abc import Mapping
from dataclasses import replace

from vulcan_contract.task import Promotion, Source, SourceKind, Task
from vulcan_operator.api.fields import ObjectMeta
from vulcan_operator.api.promotion_status import PromotionStatus, Relation
from vulcan_operator.api.source import Origin
from vulcan_operator.plan.core.actions import DeleteConfigMap
from vulcan_operator.plan.core.facts import EnvironmentFacts
from vulcan_operator.plan.promotions.route import Route
from vulcan_operator.plan.promotions.step import settled
from vulcan_operator.plan.tasks import copies, values
from vulcan_operator.plan.tasks.life import Extras

_KINDS = {"Git": SourceKind.GIT, "Image": SourceKind.IMAGE, "ConfigMap": SourceKind.CONFIG_MAP}


def of_applied(environment: EnvironmentFacts) -> Origin | None:
    """Files of what an environment has; None: its project has changed since, or none are noted."""
    applied, project, revision = environment.applied, environment.spec.project, environment.revision
    if applied is None or project is None:
        return applied.origin if applied is not None else None
    current = revision is not None and revision.inputs == values.project_inputs(project)
    if revision is None or not current or revision.digest != applied.source_digest:
        return None
    if project.git is not None:
        git = project.git
        return Origin(kind="Git", url=git.url, commit=revision.resolved, path=git.path)
    if project.image is not None:
        return Origin(kind="Image", image=project.image)
    namespace = environment.spec.gateway_ref.namespace or environment.metadata.namespace
    name = values.source_copy(environment, revision.digest)
    return Origin(kind="ConfigMap", copy=f"{namespace}/{name}")


def content(status: PromotionStatus, route: Route) -> Mapping[str, bytes] | None:
    """Files of a ConfigMap by key; None when its copy is gone. It is copied as it is."""
    namespace, _, name = settled(status.origin).copy_.partition("/")
    return route.live.config_map(namespace, name)


def is_copied(status: PromotionStatus) -> bool:
    """Whether the files are in a ConfigMap, which has to be copied beside the target's Jobs."""
    files = status.origin
    return status.relation == Relation.ACROSS and files is not None and files.kind == "ConfigMap"


def computing(task: Task, status: PromotionStatus, route: Route) -> Extras:
    """A Task that plans or applies the revision, with what it computes it from."""
    if not route.is_across:
        source, gates = settled(status.source), route.gates
        virtual, most = gates.virtual_only == "Required", gates.max_catch_up_intervals
        promotion = Promotion(source.environment, source.plan_id, virtual, most)
        return Extras(replace(task, promotion=promotion))
    files = settled(status.origin)
    task = replace(task, source=_source(files, status.source_digest or ""))
    if not is_copied(status):
        secret = values.git_secret(route.gateway, files.url) if files.kind == "Git" else None
        return Extras(task, git_secret=secret)
    name, namespace = _copy_name(route.meta, status), route.to_site.namespace
    found, install = content(status, route), route.seen.settings.install
    if found is None:
        return Extras(task, source_config_map=name)
    copy = copies.write(route.key, route.meta, install, namespace, name, found)
    return Extras(task, (copy,), source_config_map=name)


def leftovers(status: PromotionStatus, meta: ObjectMeta) -> set[DeleteConfigMap]:
    """What deletes the copy beside the target's Jobs: it is named until the promotion is over."""
    if status.outcome is not None or status.target is None or not is_copied(status):
        return set()
    return {DeleteConfigMap(status.target.gateway.partition("/")[0], _copy_name(meta, status))}


def _source(files: Origin, digest: str) -> Source:
    """As a task names it. A commit is its own digest."""
    kind, known = _KINDS[files.kind], None if digest.startswith("git:") else digest
    if kind is SourceKind.GIT:
        return Source(kind, files.url, files.commit, files.path, files.commit, known)
    return Source(kind, digest=known if kind is SourceKind.CONFIG_MAP else None)


def _copy_name(meta: ObjectMeta, status: PromotionStatus) -> str:
    return copies.name_of(meta, "source", status.source_digest or "")
