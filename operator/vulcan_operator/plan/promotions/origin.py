"""Where the files of a promoted revision are: across systems it is computed anew from them. Pure.

Used by a promotion's steps and by `launch`. Nothing is read from the other system's warehouse or state: a commit
is fetched with the credentials of the target's gateway, a ConfigMap's copy is copied, an image is pulled.
"""

from vulcan_contract import task as contract
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.api.source import Origin
from vulcan_operator.plan.promotions.context import PromotionContext
from vulcan_operator.plan.tasks import copies, retention, values


def of_applied(environment: VulcanEnvironment) -> Origin | None:
    """Of what an environment has applied; None: its project has changed since, or nobody has noted it."""
    applied, project, revision = environment.status.applied, environment.spec.project, environment.status.revision
    if applied is None or project is None:
        return applied.origin if applied is not None else None
    current = revision is not None and revision.inputs == values.project_inputs(project)
    if revision is None or not current or revision.digest != applied.source_digest:
        return None
    if project.git is not None:
        return Origin(kind="Git", url=project.git.url, commit=revision.resolved, path=project.git.path)
    if project.image is not None:
        return Origin(kind="Image", image=project.image)
    namespace = environment.spec.gateway_ref.namespace or environment.metadata.namespace
    return Origin(kind="ConfigMap", copy=f"{namespace}/{retention.copy_name(environment, revision.digest)}")


def source_of(origin: Origin, digest: str) -> contract.Source:
    """As a task names it. A commit is its own digest."""
    known = None if digest.startswith("git:") else digest
    match origin.kind:
        case "Git":
            kind = contract.SourceKind.GIT
            return contract.Source(kind, origin.url, origin.commit, origin.path, origin.commit, known)
        case "Image":
            return contract.Source(contract.SourceKind.IMAGE)
        case _:
            return contract.Source(contract.SourceKind.CONFIG_MAP, digest=known)


def copy_name(context: PromotionContext, status: PromotionStatus) -> str:
    """The copy of the source's copy, beside the target's Jobs."""
    return copies.name_of(context.promotion.metadata, "source", status.source_digest or "")
