"""The SQLMesh configuration of a task: the project's own, stripped of its connections, with the
gateway's injected.

Called by `engine`. Keeps what the project's gateway of the same name sets besides connections
(variables, model defaults, test connection) and the notification targets; ignores `.env`,
`SQLMESH__*` and `~/.sqlmesh` by giving SQLMesh a finished Config object. What is ignored is listed,
never dropped silently.
"""

import os
import pickle
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlmesh.core.config import CategorizerConfig, Config, GatewayConfig, RunConfig
from sqlmesh.core.config.connection import ConnectionConfig, parse_connection_config
from sqlmesh.core.config.loader import load_config_from_python_module, load_config_from_yaml

from vulcan_contract import digest
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Connection, Gateway, Task
from vulcan_runner import lock
from vulcan_runner.problem import Problem
from vulcan_runner.project import CONFIG_FILES
from vulcan_runner.secrets import Secrets

_OURS = (
    "gateways", "gateway", "default_gateway", "default_connection", "default_scheduler", "env_vars",
    "cache_dir", "disable_anonymized_analytics",
)  # fmt: skip
_TTL = "environment_ttl"  # ours unless deletionPolicy is Expire
_KEPT = ("variables", "model_defaults", "test_connection")


class Connections:
    """A gateway's connections with their secrets, in SQLMesh's own classes. Built once per task."""

    def __init__(self, task: Task, secrets: Secrets) -> None:
        gateway = task.gateway
        self.application = application_name(task)
        self.warehouse = self._parse(gateway.connection, secrets)
        self.state = self._parse(gateway.state_connection or gateway.connection, secrets)
        others = gateway.additional
        self.additional = {n.sqlmesh_name: self._parse(n.connection, secrets) for n in others}

    def _parse(self, connection: Connection, secrets: Secrets) -> ConnectionConfig:
        values = secrets.fill(connection)
        return parse_connection_config(lock.marked(values, self.application))


def application_name(task: Task) -> str:
    """How PostgreSQL shows our sessions (63 bytes). Writers of a gateway share `writer_prefix`."""
    prefix = writer_prefix(task.gateway) if task.kind.writes else "vulcan-r:"
    name = f"{prefix}{digest.of_json(task.job)[:6]}:{task.job}"
    return name.encode("ascii", "replace").decode()[:63]


def writer_prefix(gateway: Gateway) -> str:
    """The prefix of sessions that may write for this gateway."""
    return f"vulcan-w:{digest.of_json(str(gateway.owner))[:10]}:"


def build(
    task: Task,
    folder: Path | None,
    connections: Connections,
    cache: Path,
    settings: Mapping[str, Any] | None = None,
) -> tuple[Config, list[str]]:
    """The Config, and the names of the project's settings that are ignored. Without a folder, it is
    built from the settings that the state keeps (`kept_project`), or from none."""
    python, yamls = _project_files(folder)
    ours = _OURS if task.expires else (*_OURS, _TTL)
    # Some 50 ms each: Jinja, then YAML.
    texts = {path: load_config_from_yaml(path) for path in yamls}
    ignored = [f"{key} of {path.name}" for path in texts for key in ours if key in texts[path]]
    name = task.gateway.sqlmesh_name
    config, kept, said = _load(python, texts, name)
    ignored += [f"{key} of {python.name}" for key in said if python is not None]
    if folder is not None and (folder / ".env").exists():
        ignored.append(".env")
    variables = [key for key in sorted(os.environ) if key.upper().startswith("SQLMESH__")]
    ignored += [key for key in variables if "ANALYTICS" not in key]
    gateways = {name: _gateway(task.gateway, connections, kept)}
    gateways |= {other: GatewayConfig(connection=c) for other, c in connections.additional.items()}
    if folder is None:
        said_then = dict(settings or {})
        dialect = said_then.pop("dialect", None) or connections.warehouse.DIALECT
        config = Config.parse_obj({"model_defaults": {"dialect": dialect}, **said_then})
    return _finished(config, task, {k.lower(): g for k, g in gateways.items()}, cache), ignored


def _project_files(folder: Path | None) -> tuple[Path | None, list[Path]]:
    if folder is None:
        return None, []
    found = [folder / name for name in CONFIG_FILES if (folder / name).is_file()]
    python = [p for p in found if p.suffix == ".py"]
    return next(iter(python), None), [p for p in found if p not in python]


def _load(
    python: Path | None, yamls: dict[Path, dict[str, Any]], name: str
) -> tuple[Config, dict[str, Any], list[str]]:
    """The project's Config without its gateways; what its gateway of our name sets besides
    connections; and which ignored settings its config.py has."""
    if len(yamls) > 1:
        names = " and ".join(path.name for path in yamls)
        raise Problem(Reason.CONFIG_INVALID, f"Two configurations: {names}.")
    base, kept, said_in_python = None, {}, []
    if python is not None:
        base = load_config_from_python_module(Config, python)
        if "dbt" in base.loader.__name__.lower():
            message = "config.py uses SQLMesh's dbt loader, which is not supported."
            raise Problem(Reason.DBT_UNSUPPORTED, message)
        said_in_python = _connections_of(base)
        own = next((g for key, g in base.gateways.items() if key.lower() == name.lower()), None)
        kept = {key: value for key in _KEPT if own is not None and (value := getattr(own, key))}
        none = {"gateways": {"": GatewayConfig()}, "default_gateway": ""}
        base = base.copy(update={**none, "default_connection": None})
    for said in yamls.values():
        gateways = said.get("gateways") or said.get("gateway") or {}
        named = (g for key, g in gateways.items() if key.lower() == name.lower())
        own_yaml = next((g for g in named if isinstance(g, dict)), {})
        kept |= {key: own_yaml[key] for key in _KEPT if own_yaml.get(key)}
        over = Config.parse_obj({key: value for key, value in said.items() if key not in _OURS})
        base = base.update_with(over) if base is not None else over
    return base or Config(), kept, said_in_python


def _connections_of(config: Config) -> list[str]:
    """Names of the settings in a Python Config that our gateway replaces."""
    has = config.gateways if isinstance(config.gateways, dict) else {"": config.gateways}
    own = [(g.connection, g.state_connection, g.scheduler) for g in has.values() if g is not None]
    known = any(c is not None for parts in own for c in parts)
    found = {"gateways": known, "default_connection": config.default_connection is not None}
    return [name for name, is_set in found.items() if is_set]


def _gateway(gateway: Gateway, connections: Connections, kept: dict[str, Any]) -> GatewayConfig:
    ours = {
        "connection": connections.warehouse,
        "state_connection": connections.state,
        "state_schema": gateway.state_schema,
        "variables": {**kept.get("variables", {}), **gateway.variables},
    }
    return GatewayConfig.parse_obj({**kept, **ours})


def _finished(config: Config, task: Task, gateways: dict[str, Any], cache: Path) -> Config:
    own = gateways[task.gateway.sqlmesh_name.lower()].model_defaults
    if config.dialect is None and (own is None or own.dialect is None):
        message = "model_defaults.dialect is not set in the project's configuration."
        raise Problem(Reason.CONFIG_INVALID, message)
    update: dict[str, Any] = {
        "gateways": gateways,
        "default_gateway": task.gateway.sqlmesh_name,
        "disable_anonymized_analytics": True,
        "cache_dir": str(cache),
        "run": RunConfig(environment_check_interval=5, environment_check_max_wait=60),
    }
    if not task.expires:
        update["environment_ttl"] = None
    mode = task.plan.categorization
    if mode != "Project":
        full, off = CategorizerConfig.all_full, CategorizerConfig.all_off
        categorizer = full() if mode == "Auto" else off()
        update["plan"] = config.plan.copy(update={"auto_categorize_changes": categorizer})
    finished = config.copy(update=update)
    finished.__class__ = _Keyed  # same fields: only the property differs
    return finished


class _Keyed(Config):
    """A Config whose `fingerprint` leaves passwords out. SQLMesh keys its model cache by it, so
    that a rotated Secret would start with a cold cache."""

    @property
    def fingerprint(self) -> str:
        own = {
            n: (g.variables, repr(g.model_defaults), g.connection and g.connection.type_)
            for n, g in self.gateways.items()
        }
        left_out = {"loader", "notification_targets", "users", "gateways", "default_connection"}
        rest = self.dict(exclude=left_out)
        whole = (sorted(own.items()), sorted(rest.items(), key=lambda i: i[0]))
        return str(zlib.crc32(pickle.dumps(whole)))


def effective_categorizer(config: Config) -> str:
    """The mode in words, for the summary."""
    kinds = ("external", "python", "sql", "seed")
    modes = {kind: str(getattr(config.plan.auto_categorize_changes, kind).value) for kind in kinds}
    return next(iter(modes.values())) if len(set(modes.values())) == 1 else str(modes)
