"""The two isolated systems of the demo: where their databases are, their Secrets, and the objects people apply."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb

from tools.localcluster.cluster import Cluster
from tools.stand.current import CurrentCluster, PodServer
from tools.stand.postgres import Server
from tools.stand.stand import Stand

API = "vulcan.dev/v1alpha1"


class Databases(Protocol):
    """Warehouse and state of one system."""

    columns: str
    """The view that lists all columns, as SQLMesh must name it."""

    def connection(self, role: str) -> dict[str, Any]:
        """`spec.connection` (role warehouse) or `spec.stateConnection` (role state)."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows from the warehouse."""


@dataclass
class PostgresSystem:
    """An own PostgreSQL server with two databases, each with a role and password of its own."""

    name: str
    server: Server | PodServer
    columns: str = "information_schema.columns"

    @classmethod
    def create(cls, stand: Stand, name: str, namespace: str) -> "PostgresSystem":
        server: Server | PodServer
        if isinstance(stand.cluster, CurrentCluster):
            server = PodServer(stand.cluster, namespace, f"{name}-db", f"admin-of-{name}")
        else:
            server = Server.create(state=stand.cluster.state, name=name)
        for role in ("warehouse", "state"):
            server.create_database(role, f"{name}_{role}", password(name, role))
        return cls(name, server)

    def connection(self, role: str) -> dict[str, Any]:
        host = self.server.host if isinstance(self.server, PodServer) else "127.0.0.1"
        options = {"host": host, "port": self.server.port, "database": role, "user": f"{self.name}_{role}"}
        secret = {"name": "credentials", "key": role}
        return {"type": "postgres", "options": options, "secrets": {"password": secret}}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.server.execute(sql, "warehouse")


@dataclass
class DuckDBSystem:
    """Two files: one writer at a time, which is why every Job of such a gateway takes the writer slot."""

    folder: Path
    columns: str = "system.information_schema.columns"

    @classmethod
    def create(cls, cluster: Cluster, name: str) -> "DuckDBSystem":
        folder = cluster.state / "duckdb" / name
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    def connection(self, role: str) -> dict[str, Any]:
        return {"type": "duckdb", "options": {"database": str(self.folder / f"{role}.duckdb")}}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        deadline = time.monotonic() + 60
        while True:
            try:
                with duckdb.connect(str(self.folder / "warehouse.duckdb"), read_only=True) as session:
                    return list(session.execute(sql).fetchall())
            except duckdb.IOException:  # a Job has the file, as after a promotion the run that follows
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def password(system: str, role: str) -> str:
    """Different everywhere, so that a mix-up cannot go unnoticed."""
    return f"{system}-{role}-secret"


def secret(namespace: str, system: str) -> dict[str, Any]:
    """The credentials of one system."""
    data = {role: password(system, role) for role in ("warehouse", "state")}
    meta = {"name": "credentials", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}


def gateway(name: str, namespace: str, databases: Databases, *, protected: bool) -> dict[str, Any]:
    """One isolated system; prod is protected where `protected`."""
    grants = [{"environments": ["prod"], "protected": True}] if protected else []
    spec = {
        "connection": databases.connection("warehouse"),
        "stateConnection": databases.connection("state"),
        **({"grants": grants} if grants else {}),
    }
    return {
        "apiVersion": API,
        "kind": "VulcanGateway",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def environment(name: str, namespace: str, system: str, project: dict[str, Any], approval: str) -> dict[str, Any]:
    """One SQLMesh environment."""
    spec = {
        "gatewayRef": {"name": system},
        "environment": name,
        "project": project,
        "plan": {"approval": {"mode": approval}},
        "retry": {"backoff": "5s"},
    }
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": "VulcanEnvironment", "metadata": meta, "spec": spec}


def promotion(name: str, namespace: str, source: dict[str, Any], **more: Any) -> dict[str, Any]:
    """From an environment to prod of this namespace."""
    spec = {"from": {"environmentRef": source}, "to": {"environmentRef": {"name": "prod"}}, **more}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": "VulcanPromotion", "metadata": meta, "spec": spec}
