"""Task values from a gateway and an environment. Pure; no secret passes here, only their names."""

import dataclasses
import urllib.parse

from vulcan_contract import task as contract
from vulcan_contract.digest import of_json
from vulcan_operator.api.connection import Connection, StateConnection
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import EnvironmentStatus, PlanStatus
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.gateway import GitCredential
from vulcan_operator.api.policy import PlanSpec
from vulcan_operator.api.source import ProjectSource
from vulcan_operator.plan.core.facts import EnvironmentFacts, GatewayFacts
from vulcan_operator.plan.core.moves import Site
from vulcan_operator.plan.core.seen import Settings
from vulcan_operator.plan.tasks import copies

_PORTS = {"https": 443, "http": 80, "ssh": 22}


def gateway_of(site: Site, settings: Settings, *, planning: bool) -> contract.Gateway:
    """The isolated system as the runner needs it, with the connections of the environment's grant
    or the gateway's; of the latter, `planning` prefers the weaker credentials."""
    gateway, spec = site.gateway, site.gateway.spec
    weak = site.connections or (spec.planning if planning else None)
    warehouse = (weak.connection if weak else None) or spec.connection
    state = (weak.state_connection if weak else None) or spec.state_connection
    others = spec.additional_connections
    named = (contract.NamedConnection(c.sqlmesh_name, _connection(c)) for c in others)
    return contract.Gateway(
        sqlmesh_name=gateway.sqlmesh_name,
        connection=_connection(warehouse),
        state_connection=_connection(state),
        state_schema=spec.state_connection.schema_,
        additional=tuple(named),
        variables=spec.variables,
        owner=contract.Owner(settings.cluster, gateway.metadata.namespace, gateway.metadata.name),
        state_identity=gateway.state_identity,
        takeover=spec.takeover,
    )


def secret_env(gateway: GatewayFacts) -> tuple[str, ...]:
    """Names of the variables of runner.env that come from Secrets."""
    env = gateway.spec.runner.env
    secret = (e for e in env if (e.get("valueFrom") or {}).get("secretKeyRef"))
    return tuple(sorted(str(e["name"]) for e in secret))


def secret_paths(gateway: GatewayFacts) -> tuple[str, ...]:
    """Where the Secrets among runner.volumes are mounted."""
    volumes = gateway.spec.runner.volumes
    secret = (v for v in volumes if (v.get("volume") or {}).get("secret"))
    return tuple(sorted(str(v["mountPath"]) for v in secret))


def _connection(connection: Connection | StateConnection) -> contract.Connection:
    secrets = {
        field: contract.SecretRef(ref.name, ref.key, contract.SecretForm(ref.as_))
        for field, ref in connection.secrets.items()
    }
    return contract.Connection(connection.type, connection.options, secrets)


def options_of(plan: PlanSpec) -> contract.PlanOptions:
    """Planning fields by their names, which are SQLMesh's."""
    given = {f.name: getattr(plan, f.name) for f in dataclasses.fields(contract.PlanOptions)}
    lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    return contract.PlanOptions(**given | lists)


def operations_of(
    environment: VulcanEnvironment, status: EnvironmentStatus
) -> tuple[contract.Operation, ...]:
    """One-shots that were not done yet, as the status of this pass says."""
    open_ = (o for o in environment.spec.operations if o.id not in status.operations_done)
    return tuple(contract.Operation(o.id, o.type, tuple(o.models), o.start, o.end) for o in open_)


def limits_of(plan: PlanSpec) -> contract.Limits:
    """The limits by their names; the history's in days."""
    most = plan.limits
    days = parse_duration(most.max_history).days if most.max_history else None
    same = {f.name for f in dataclasses.fields(contract.Limits)} & type(most).model_fields.keys()
    return contract.Limits(max_history_days=days, **{name: getattr(most, name) for name in same})


def source_of(project: ProjectSource, *, commit: str | None, digest: str | None) -> contract.Source:
    """The project source; a resolved commit is fetched instead of the ref."""
    known = None if digest is None or digest.startswith("git:") else digest
    if project.git is not None:
        git = project.git
        return contract.Source(contract.SourceKind.GIT, git.url, git.ref, git.path, commit, known)
    if project.config_map is not None:
        return contract.Source(contract.SourceKind.CONFIG_MAP, digest=known)
    return contract.Source(contract.SourceKind.IMAGE, digest=None)


def approved_of(rules: PlanSpec, plan: PlanStatus, *, by_human: bool) -> contract.Approved:
    """The decision that an apply carries."""
    return contract.Approved(
        token=plan.digest,
        target=plan.target,
        base=plan.base,
        planned_at=plan.time.isoformat(),
        backfill_intervals=plan.summary.backfill_intervals,
        destructive=tuple(plan.summary.destructive),
        destructive_sha256=plan.summary.destructive_sha256,
        by_human=by_human,
        limits=limits_of(rules),
    )


def project_inputs(project: ProjectSource) -> str:
    """Digest of the fields that decide what a source resolves to."""
    data = project.to_json()
    if "git" in data:
        data["git"].pop("pollInterval", None)
    return of_json(data)[:16]


def plan_inputs(
    environment: VulcanEnvironment,
    gateway: GatewayFacts,
    source_digest: str,
    image: str,
    operations: tuple[contract.Operation, ...],
) -> str:
    """Digest of all a plan is made from; not of approvals, limits, schedule, retry and suspend."""
    options, once = options_of(environment.spec.plan).__dict__, [o.__dict__ for o in operations]
    system = [gateway.sqlmesh_name, gateway.spec.variables]
    return of_json([source_digest, options, once, image, *system])[:16]


def pinned(image: str, reported: str) -> str:
    """An image by the digest that a node has reported for a pod of it. As it is named where it has
    a digest already, or where the node tells of another repository (loaded by hand, a mirror)."""
    repository, at, digest = reported.rpartition("@")
    name = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
    same = _full(repository.removeprefix("docker-pullable://")) == _full(name)
    return f"{name}@{digest}" if at and same and "@" not in image else image


def _full(repository: str) -> str:
    """A repository with the registry that is meant where none is named."""
    first, slash, _ = repository.partition("/")
    if not slash:
        return f"docker.io/library/{repository}"
    named = "." in first or ":" in first or first == "localhost"
    return repository if named else f"docker.io/{repository}"


def git_secret(gateway: GatewayFacts, url: str) -> str | None:
    """Secret with credentials for a git URL: the longest prefix of whole path segments."""
    matching = [c for c in gateway.spec.git_credentials if _covers(c, url)]
    best = max(matching, key=lambda c: len(_parsed(c.url_prefix)[2]), default=None)
    return best.secret_ref.name if best is not None else None


def _covers(credential: GitCredential, url: str) -> bool:
    try:
        prefix, target = _parsed(credential.url_prefix), _parsed(url)
    except ValueError:
        return False
    return prefix[:2] == target[:2] and target[2][: len(prefix[2])] == prefix[2]


def _parsed(url: str) -> tuple[str, str, list[str]]:
    """Scheme, host with port, path segments. ValueError for what can be read in two ways."""
    if "://" not in url and "@" in url and ":" in url:
        host, _, path = url.partition(":")  # scp form: user@host:path
        url = f"ssh://{host}/{path}"
    parts = urllib.parse.urlsplit(url)
    segments = [s for s in urllib.parse.unquote(parts.path).split("/") if s]
    if "\\" in url or not url.isprintable() or not parts.hostname or {".", ".."} & set(segments):
        raise ValueError(f"ambiguous: {url!r}")
    scheme = parts.scheme.lower()
    return scheme, f"{parts.hostname.lower()}:{parts.port or _PORTS.get(scheme, '')}", segments


def source_copy(environment: VulcanEnvironment | EnvironmentFacts, digest: str) -> str:
    """Name of the copy of a project's ConfigMap, by the digest of its files."""
    return copies.name_of(environment.metadata, "source", digest)
