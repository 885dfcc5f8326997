"""/metrics of a running operator: open from within its pod, and from outside with a token that the API server lets."""

import http.client
import json

from tests.integration.shell.conftest import Process, Start, until
from tools.localcluster import cluster


def outside(operator: Process, path: str, token: str = "") -> int:
    """The status of a request from another address than the operator's own."""
    connection = http.client.HTTPConnection("127.0.0.1", operator.port, timeout=5, source_address=("127.0.0.2", 0))
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
    return connection.getresponse().status


def test_metrics_need_a_token_from_outside_and_health_does_not(start: Start, api: cluster.Cluster) -> None:
    operator = start("one")
    until(operator.ready, what="it is ready")
    users = {user["name"]: user["user"] for user in json.loads(api.kubeconfig.read_text())["users"]}
    assert operator.get("/metrics")[0] == 200
    assert outside(operator, "/metrics") == 401
    assert outside(operator, "/metrics", "wrong") == 401
    assert outside(operator, "/metrics", users["admin"]["token"]) == 200
    assert outside(operator, "/healthz") == 200
    assert outside(operator, "/readyz") == 200


def test_anyone_where_that_is_configured(start: Start) -> None:
    assert outside(start("one", VULCAN_METRICS_ACCESS="anyone"), "/metrics") == 200
