"""Secrets in the options of a connection, however they are spelled: everybody who may read the gateway reads them."""

from typing import Any

import pytest

from tests.crds.conftest import ROOT, until
from tests.crds.objects import gateway
from tests.crds.server import User

Raw = dict[str, Any]
pytestmark = pytest.mark.usefixtures("guarded")

NAMES = (
    "PASSWORD", "Password", "passwd", "pwd", "PWD", "db_password", "sslpassword", "passphrase", "api_key", "apiKey",
    "ACCESS_TOKEN", "auth_token", "Secret", "clientSecret", "connection_string", "CONN_STR", "dsn", "DSN",
    "private_key_base64", "Credentials", "account_key", "storage_account_key", "secretAccessKey", "keyFile", "auth",
)  # fmt: skip
TEXTS = (
    "postgresql://alice:hunter2@db/analytics", "https://alice@example.com/", "POSTGRES+psycopg://u:p@h",
    "postgresql+asyncpg://u@h/d", "host=db password=hunter2", "Server=db;PWD=hunter2", "dbname=x PassWord = hunter2",
    "DefaultEndpointsProtocol=https;AccountKey=abc==", "jdbc:postgresql://h/d?user=u&password=p", "amqp://:p@h",
)  # fmt: skip
HARMLESS: Raw = {
    "host": "db", "port": 5432, "user": "vulcan", "database": "analytics", "concurrent_tasks": 4, "sslmode": "require",
    "token_uri": "https://oauth2.googleapis.com/token", "private_key_path": "/keys/rsa.p8", "keepalives_idle": 30,
    "instance_connection_string": "project:region:instance", "credentials_provider": "x", "aws_access_key_id": "AKIA",
    "role": "writer", "warehouse_location": "abfss://container@account.dfs.core.windows.net/x", "authenticator": "oauth",
    "catalogs": {"memory": ":memory:", "lake": {"type": "ducklake", "path": "lake.ducklake", "read_only": True}},
    "extensions": ["httpfs"], "s3_warehouse_location": "s3://bucket/path", "pretend": None, "ca_cert": "/ca.crt",
    "url": "https://example.com/a@b?x=1", "session": "sort_key=a; tokens=1",
}  # fmt: skip
PLACES = ("connection", "stateConnection", "planning.connection", "planning.stateConnection")


def test_what_is_no_secret_is_accepted(admin: User) -> None:
    for place in PLACES:
        answer = admin.create(gateway({f"{place}.type": "postgres", f"{place}.options": HARMLESS}), dry_run=True)
        assert answer.ok, (place, answer.message)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_secrets_are_refused_in_any_spelling(admin: User, name: str) -> None:
    answer = admin.create(gateway({"connection.options": {"host": "db", name: "hunter2"}}), dry_run=True)
    assert not answer.ok and "Secret" in answer.message, answer.message
    assert "hunter2" not in answer.message


@pytest.mark.parametrize("text", TEXTS)
def test_texts_with_secrets_are_refused(admin: User, text: str) -> None:
    nested: list[Raw] = [
        {"host": text}, {"catalogs": {"a": text}}, {"catalogs": {"a": {"path": text}}}
    ]  # fmt: skip
    for options in nested:
        answer = admin.create(gateway({"connection.options": options}), dry_run=True)
        assert answer.code == 403 and "a URL with a user, or a connection string" in answer.message, answer.message
        assert text not in answer.message


@pytest.mark.parametrize("place", PLACES)
def test_every_connection_is_looked_at(admin: User, place: str) -> None:
    document = gateway({f"{place}.type": "postgres", f"{place}.options": {"PASSWORD": "x"}})
    assert "has the name of a secret" in admin.create(document, dry_run=True).message
    more = {"sqlmeshName": "more", "type": "postgres", "options": {"PASSWORD": "x"}}
    document = gateway({"additionalConnections": [more]})
    assert "has the name of a secret" in admin.create(document, dry_run=True).message


def test_what_an_older_release_let_through_can_be_changed_elsewhere(server: Any, admin: User) -> None:
    """The policy is taken away for a moment, as it was not there before."""
    odd, old = {"host": "db", "PASSWORD": "x"}, gateway()
    trial = gateway({"connection.options": odd})
    server.kubectl("delete", "validatingadmissionpolicybinding", "vulcan-gateway-options")
    try:
        until(lambda: admin.patch(old, {}, dry_run=True).ok or admin.create(old).ok, "the object exists")
        until(lambda: admin.patch(old, {"spec": {"connection": {"options": odd}}}).ok, "the policy is gone")
    finally:
        server.kubectl("apply", "--server-side", "-f", str(ROOT / "deploy" / "policies.yaml"))
    until(lambda: not admin.create(trial, dry_run=True).ok, "the policy is back")
    assert admin.patch(old, {"metadata": {"annotations": {"a": "b"}}, "spec": {"suspend": True}}).ok
    again = admin.patch(old, {"spec": {"connection": {"options": {"host": "db2"}}}})
    assert again.code == 403 and "has the name of a secret" in again.message
    assert admin.patch(old, {"spec": {"connection": {"options": {"host": "db2", "PASSWORD": None}}}}).ok
