"""Who may use a gateway, and what an environment's effective settings are. Pure."""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import Grant
from vulcan_operator.plan.core.facts import EnvironmentFacts, GatewayFacts

AnEnvironment = VulcanEnvironment | EnvironmentFacts


@dataclass(frozen=True)
class Access:
    """What the gateway's grants say of one environment."""

    allowed: bool
    protected: bool = False
    quota: Grant | None = None  # the grant whose maxEnvironments counts


def needs_labels(gateway: GatewayFacts, environment: AnEnvironment) -> bool:
    """Whether a grant can only be judged by the namespace's labels."""
    return any(
        g.namespaces.from_ == "Selector" and covers(g, environment.sqlmesh_environment)
        for g in gateway.spec.grants
    )


def access(
    gateway: GatewayFacts, environment: AnEnvironment, labels: Mapping[str, str] | None
) -> Access:
    """No grants: the gateway's own namespace, every name. Else any that matches; protected if one of them says so."""
    same = gateway.metadata.namespace == environment.metadata.namespace
    if not gateway.spec.grants:
        return Access(allowed=same)
    matching = [
        g
        for g in gateway.spec.grants
        if covers(g, environment.sqlmesh_environment) and _reaches(g, same, dict(labels or {}))
    ]
    return Access(
        allowed=bool(matching),
        protected=any(g.protected for g in matching),
        quota=_most_generous(matching),
    )


def _most_generous(grants: list[Grant]) -> Grant | None:
    limited = [g for g in grants if g.max_environments is not None]
    return (
        None
        if len(limited) < len(grants)
        else max(limited, key=lambda g: g.max_environments or 0, default=None)
    )


def deletion_policy(environment: AnEnvironment, protected: bool) -> str:
    """Retain | Expire | Invalidate. A protected environment is kept, whatever its spec says; prod is by default."""
    if protected:
        return "Retain"
    return environment.spec.deletion_policy or (
        "Retain" if environment.sqlmesh_environment == "prod" else "Expire"
    )


def runner_image(environment: AnEnvironment, gateway: GatewayFacts, default: str) -> str:
    """The image of this environment's Jobs; a project image is the runner image with the project in it."""
    project = environment.spec.project
    own = environment.spec.runner.image or (project.image if project is not None else None)
    return own or gateway.spec.runner.image or default


def image_allowed(environment: AnEnvironment, gateway: GatewayFacts) -> bool:
    """An environment may name only images that the gateway allows."""
    project = environment.spec.project
    named = [i for i in (environment.spec.runner.image, project.image if project else None) if i]
    patterns = [*gateway.spec.runner.allowed_images, *filter(None, [gateway.spec.runner.image])]
    return all(any(fnmatch.fnmatchcase(image, p) for p in patterns) for image in named)


def promotion_allowed(
    gateway: GatewayFacts,
    environment: AnEnvironment,
    namespace: str,
    labels: Mapping[str, str] | None,
) -> bool:
    """Whether a promotion in another namespace may touch an environment: a grant for its name says so."""
    same = gateway.metadata.namespace == namespace
    matching = (
        g
        for g in gateway.spec.grants
        if g.promotions and covers(g, environment.sqlmesh_environment)
    )
    return any(_reaches(g, same, dict(labels or {})) for g in matching)


def covers(grant: Grant, environment: str) -> bool:
    """Whether a grant is for this SQLMesh environment name."""
    return any(fnmatch.fnmatchcase(environment, pattern) for pattern in grant.environments)


def _reaches(grant: Grant, same: bool, labels: dict[str, str]) -> bool:
    match grant.namespaces.from_:
        case "All":
            return True
        case "Selector":
            return grant.namespaces.selector is not None and grant.namespaces.selector.matches(
                labels
            )
        case _:
            return same


def has_quota(grants: Iterable[Grant]) -> bool:
    """Whether one environment can use up the place of another."""
    return any(grant.max_environments is not None for grant in grants)
