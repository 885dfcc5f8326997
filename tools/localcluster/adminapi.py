"""The few requests that the cluster itself sends to its API server, and its health probes.

Called by the cluster's lifecycle. Synchronous and standard library only; the node has its own asynchronous client.
"""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_TIMEOUT = 10.0
_PROBE_TIMEOUT = 2.0  # short: the port may belong to a stranger who never answers


class AdminError(RuntimeError):
    """The API server refused a request, or could not be reached."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class AdminApi:
    """Requests with one user's token, trusting the cluster's own certificate."""

    def __init__(self, server: str, certificate: Path, token: str) -> None:
        self._server = server
        self._certificate = certificate
        self._token = token

    def request(
        self, method: str, path: str, body: dict[str, Any] | None = None, timeout: float = _TIMEOUT
    ) -> dict[str, Any]:
        """One request; raises AdminError for anything but success."""
        request = urllib.request.Request(
            self._server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            context = ssl.create_default_context(cafile=str(self._certificate))  # fails while it is being written
            with urllib.request.urlopen(request, timeout=timeout, context=context) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            reason = error.read().decode(errors="replace")
            raise AdminError(error.code, f"{method} {path}: {error.code} {reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise AdminError(0, f"{method} {path}: {error}") from error
        return dict(json.loads(answer)) if answer.startswith(b"{") else {}

    def succeeds(self, path: str) -> bool:
        """Whether a GET is answered with success, and soon."""
        try:
            self.request("GET", path, timeout=_PROBE_TIMEOUT)
        except AdminError:
            return False
        return True

    def node_ready(self, name: str) -> bool:
        """Whether pods can be scheduled: the Node is Ready, its taints are gone, and namespaces have their account."""
        try:
            node = self.request("GET", f"/api/v1/nodes/{name}")
            self.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        except AdminError:
            return False
        conditions = {item["type"]: item["status"] for item in node.get("status", {}).get("conditions", [])}
        return conditions.get("Ready") == "True" and not node["spec"].get("taints")

    def service_account_token(self, namespace: str, name: str, seconds: int) -> str:
        """A token of a ServiceAccount, from the TokenRequest API."""
        answer = self.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": seconds}},
        )
        return str(answer["status"]["token"])


def answers(url: str) -> bool:
    """Whether a health endpoint says yes. Certificates are not checked: these are self-signed and on loopback."""
    context = ssl._create_unverified_context() if url.startswith("https") else None
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_TIMEOUT, context=context) as response:
            return bool(response.status == 200)
    except (OSError, http.client.HTTPException):
        return False
