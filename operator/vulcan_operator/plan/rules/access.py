"""Who may use a gateway, and what an environment's effective settings are. Pure."""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vulcan_contract import REFERENCE
from vulcan_operator.api.connection import GrantConnections
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import AppliedStatus
from vulcan_operator.api.gateway import Grant
from vulcan_operator.plan.core.facts import EnvironmentFacts, GatewayFacts

AnEnvironment = VulcanEnvironment | EnvironmentFacts
_Labels = Mapping[str, str] | None


@dataclass(frozen=True)
class Access:
    """What the gateway's grants say of one environment."""

    allowed: bool
    protected: bool = False
    quota: Grant | None = None  # the grant whose maxEnvironments counts
    matching: tuple[Grant, ...] = ()  # for its name and its namespace
    ruling: tuple[Grant, ...] = ()  # these, and protected ones for its name from any namespace


def needs_labels(gateway: GatewayFacts, environment: AnEnvironment) -> bool:
    """Whether a grant can only be judged by the namespace's labels."""
    selecting = (g for g in gateway.spec.grants if g.namespaces.from_ == "Selector")
    return any(covers(g, environment.sqlmesh_environment) for g in selecting)


def access(gateway: GatewayFacts, environment: AnEnvironment, labels: _Labels) -> Access:
    """No grants: the gateway's own namespace, every name. Else any that matches. Protected is a
    name, whatever namespace it is used from."""
    same = gateway.metadata.namespace == environment.metadata.namespace
    if not gateway.spec.grants:
        return Access(allowed=same)
    named = [g for g in gateway.spec.grants if covers(g, environment.sqlmesh_environment)]
    matching = [g for g in named if _reaches(g, same, dict(labels or {}))]
    ruling = [g for g in named if g.protected or g in matching]
    return Access(
        bool(matching), any(g.protected for g in named), _most_generous(matching),
        tuple(matching), tuple(ruling),
    )  # fmt: skip


def _most_generous(grants: list[Grant]) -> Grant | None:
    if any(g.max_environments is None for g in grants):
        return None
    return max(grants, key=lambda g: g.max_environments or 0, default=None)


def deletion_policy(environment: AnEnvironment, protected: bool) -> str:
    """Retain | Expire | Invalidate. A protected environment is always retained, prod by default."""
    if protected:
        return "Retain"
    usual = "Retain" if environment.sqlmesh_environment == REFERENCE else "Expire"
    return environment.spec.deletion_policy or usual


def runner_image(environment: AnEnvironment, gateway: GatewayFacts, default: str) -> str:
    """The image of an environment's Jobs; a project image is the runner image with the project."""
    project = environment.spec.project
    own = environment.spec.runner.image or (project.image if project is not None else None)
    return own or gateway.spec.runner.image or default


def applied_image(environment: AnEnvironment, applied: AppliedStatus | None) -> str | None:
    """The image of Jobs that write and carry no decision of their own (runs, rollbacks): the one
    that was applied, where the environment's author names an image. None: the gateway's is used,
    which only its owners can change."""
    project = environment.spec.project
    is_named = environment.spec.runner.image or (project is not None and project.image)
    return (applied.image or None) if is_named and applied is not None else None


def image_allowed(environment: AnEnvironment, gateway: GatewayFacts) -> bool:
    """An environment may name only images that the gateway allows."""
    project = environment.spec.project
    named = [i for i in (environment.spec.runner.image, project.image if project else None) if i]
    patterns = [*gateway.spec.runner.allowed_images, *filter(None, [gateway.spec.runner.image])]
    return all(any(fnmatch.fnmatchcase(image, p) for p in patterns) for image in named)


def image_granted(image: str, grants: Iterable[Grant]) -> bool:
    """Whether all grants that apply accept a runner image, by their minimum.runnerImages."""
    asked = (g.minimum.runner_images for g in grants if g.minimum.runner_images)
    return all(any(fnmatch.fnmatchcase(image, p) for p in patterns) for patterns in asked)


def connections(grants: Iterable[Grant]) -> GrantConnections | None:
    """The connections of an environment's own Jobs; None: the gateway's."""
    return next((g.connections for g in grants if g.connections is not None), None)


def connected_by(grants: Iterable[Grant], environment: str, *, same: bool) -> Grant | None:
    """The grant whose connections an environment of this name uses; None: the gateway's. `same`:
    whether it is in the gateway's namespace. (Labels decide nothing: see the CRD.)"""
    mine = (g for g in grants if g.connections is not None and covers(g, environment))
    return next((g for g in mine if _reaches(g, same, {})), None)


def promotion_allowed(
    gateway: GatewayFacts, environment: AnEnvironment, namespace: str, labels: _Labels
) -> bool:
    """Whether a grant lets promotions in another namespace touch an environment of this name."""
    same, granted = gateway.metadata.namespace == namespace, dict(labels or {})
    grants = (g for g in gateway.spec.grants if g.promotions and _reaches(g, same, granted))
    return any(covers(g, environment.sqlmesh_environment) for g in grants)


def covers(grant: Grant, environment: str) -> bool:
    """Whether a grant is for this SQLMesh environment name."""
    return any(fnmatch.fnmatchcase(environment, pattern) for pattern in grant.environments)


def _reaches(grant: Grant, same: bool, labels: dict[str, str]) -> bool:
    selector = grant.namespaces.selector
    match grant.namespaces.from_:
        case "All":
            return True
        case "Selector":
            return selector is not None and selector.matches(labels)
        case _:
            return same


def has_quota(grants: Iterable[Grant]) -> bool:
    """Whether one environment can use up the place of another."""
    return any(grant.max_environments is not None for grant in grants)
