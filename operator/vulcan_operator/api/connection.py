"""Connections of a gateway: SQLMesh's own fields, with every secret passed by reference.

Used by `api.gateway`. Knows nothing of particular engines but the names of their secret fields.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from vulcan_operator.api.schemas import IDENTIFIER, Model, cel, rule, schema
from vulcan_operator.api.texts import DataKey, ObjectName

# Secret fields of SQLMesh's connection types and of drivers behind dicts. They go into `secrets`.
SECRET_FIELDS = (
    "password", "token", "access_token", "oauth_client_secret", "refresh_token", "client_secret",
    "keyfile", "private_key", "private_key_passphrase", "jwt_token", "keytab", "client_private_key",
    "aws_secret_access_key", "aws_session_token", "secret_access_key", "session_token",
    "databricks_connect_access_token", "client_cert_key", "ssl_key",
)  # fmt: skip
# BigQuery's key, DuckDB's secret manager, and dicts in which drivers accept keys and tokens.
SECRET_OBJECTS = (
    "keyfile_json", "secrets", "connector_config", "http_headers", "session_parameters",
    "odbc_properties", "connection_settings", "config",
)  # fmt: skip


def _forbidden(field: str) -> dict[str, str]:
    is_, how = (
        ("may hold secrets", " with as: JSON") if field in SECRET_OBJECTS else ("is a secret", "")
    )
    return cel(
        f"!has(self.{field})",
        f"{field} {is_}: put it into a Secret and name that in secrets.{field}{how}",
        reason="FieldValueForbidden",
        fieldPath=f".{field}",
    )


_NO_SECRETS: dict[str, Any] = {
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {
        **{name: {"type": "string", "maxLength": 4096} for name in SECRET_FIELDS},
        **{
            name: {
                "type": "object",
                "maxProperties": 64,
                "x-kubernetes-preserve-unknown-fields": True,
            }
            for name in SECRET_OBJECTS
        },
    },
    "x-kubernetes-validations": [_forbidden(name) for name in (*SECRET_FIELDS, *SECRET_OBJECTS)],
}


class SecretKeyRef(Model):
    """One key of a Secret in the gateway's namespace; Jobs mount it as a file."""

    name: ObjectName = Field(description="Name of the Secret, in the gateway's namespace.")
    key: DataKey = Field(description="Key in the Secret.")
    as_: Literal["Value", "Path", "JSON"] = Field(
        "Value",
        alias="as",
        description="How the connection field is set. Value: to the file's text. Path: to the "
        "file's path. JSON: to the parsed text.",
    )


class Connection(Model):
    """A SQLMesh connection. The fields have the names that SQLMesh uses for the engine."""

    type: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="SQLMesh engine type: postgres, duckdb, snowflake, bigquery, databricks, ..."
    )
    options: dict[str, Any] = Field(
        {},
        max_length=128,
        description="The connection's fields as SQLMesh names them (host, port, database, user, "
        "...). Secret fields are refused here; name them in secrets.",
        json_schema_extra=_NO_SECRETS,
    )
    secrets: dict[str, SecretKeyRef] = Field(
        {},
        max_length=16,
        description="Connection field -> key of a Secret. Jobs mount them as files; the operator "
        "never reads them.",
        json_schema_extra=rule(
            f"self.all(field, field.matches('{IDENTIFIER}'))",
            "keys of secrets are names of connection fields: letters, digits and _",
        ),
    )


class StateConnection(Connection):
    """Where SQLMesh keeps its state: a separate database that no other gateway may use."""

    schema_: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        "sqlmesh",
        alias="schema",
        description="Schema of the state tables.",
        json_schema_extra=rule(
            f"self.matches('{IDENTIFIER}')",
            "schema is an identifier: letters, digits and _, no digit first",
        ),
    )


class PlanningConnections(Model):
    """Credentials with fewer permissions, for tasks that must not write (plan)."""

    connection: Connection | None = Field(
        None, description="Warehouse connection for planning; read-only is enough."
    )
    state_connection: StateConnection | None = Field(
        None, description="State connection for planning; read-only is enough."
    )


class GrantConnections(Model):
    """Connections of the environments of a grant, instead of the gateway's: to the same databases,
    with fewer permissions."""

    connection: Connection | None = Field(None, description="Warehouse connection of their Jobs.")
    state_connection: StateConnection | None = Field(
        None, description="State connection of their Jobs; its schema is the gateway's."
    )


SQLMESH_NAME_RULE = cel(
    "self.matches('^[A-Za-z][A-Za-z0-9_-]*$') && !self.contains('__')",
    "sqlmeshName starts with a letter and has letters, digits, - and single _ only",
)


class AdditionalConnection(Connection):
    """An additional warehouse of the same project, with its own SQLMesh gateway name."""

    sqlmesh_name: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        description="Name of the gateway in the project's models (MODEL(gateway ...)).",
        json_schema_extra=schema(SQLMESH_NAME_RULE),
    )
