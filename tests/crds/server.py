"""A small client of the API server as one user, for tests of what the server accepts: answers are data, not errors."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Raw = dict[str, Any]

PLURALS = {
    "VulcanGateway": "vulcangateways", "VulcanEnvironment": "vulcanenvironments", "VulcanPromotion": "vulcanpromotions",
}  # fmt: skip
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Answer:
    """Status code and body of one request."""

    code: int
    body: Raw

    @property
    def ok(self) -> bool:
        """Whether it was accepted."""
        return self.code < 300

    @property
    def message(self) -> str:
        """What the server says about a refusal."""
        return str(self.body.get("message", ""))


class User:
    """One context of a kubeconfig."""

    def __init__(self, kubeconfig: Path, context: str) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._server = cluster["server"]
        self._tls = ssl.create_default_context(cadata=authority)
        self._token = next(user["user"]["token"] for user in config["users"] if user["name"] == context)

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Answer:
        """Any request."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        request = urllib.request.Request(f"{self._server}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self._tls) as response:
                return Answer(response.status, json.loads(response.read() or b"{}"))
        except urllib.error.HTTPError as error:
            return Answer(error.code, json.loads(error.read() or b"{}"))

    def create(self, document: Raw, dry_run: bool = False) -> Answer:
        """POST an object of ours; with strict field validation, as kubectl does."""
        return self.call("POST", f"{_collection(document)}?fieldValidation=Strict{_dry(dry_run)}", document)

    def replace(self, document: Raw) -> Answer:
        """PUT an object of ours."""
        return self.call("PUT", path_of(document), document)

    def patch(self, document: Raw, change: Any, content_type: str = MERGE, dry_run: bool = False) -> Answer:
        """PATCH an object of ours, by merge patch unless said otherwise."""
        return self.call("PATCH", f"{path_of(document)}?fieldValidation=Strict{_dry(dry_run)}", change, content_type)

    def apply(self, document: Raw, manager: str, sub: str = "", dry_run: bool = False) -> Answer:
        """Forced server-side apply."""
        query = f"fieldManager={manager}&force=true{_dry(dry_run)}"
        return self.call("PATCH", f"{path_of(document)}{sub}?{query}", document, APPLY)

    def get(self, document: Raw) -> Answer:
        """The object as it is now."""
        return self.call("GET", path_of(document))

    def delete(self, document: Raw, dry_run: bool = False) -> Answer:
        """DELETE it."""
        return self.call("DELETE", f"{path_of(document)}?{_dry(dry_run)[1:]}")

    def may(self, verb: str, group: str, resource: str, namespace: str = "", name: str = "", sub: str = "") -> bool:
        """What SelfSubjectAccessReview says."""
        attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace, "name": name}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**attributes, "subresource": sub}},
        }
        answer = self.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool(answer.body["status"]["allowed"])


def _dry(dry_run: bool) -> str:
    return "&dryRun=All" if dry_run else ""


def _collection(document: Raw) -> str:
    namespace = document["metadata"]["namespace"]
    return f"/apis/vulcan.dev/v1alpha1/namespaces/{namespace}/{PLURALS[document['kind']]}"


def path_of(document: Raw) -> str:
    """URL path of an object of ours."""
    return f"{_collection(document)}/{document['metadata']['name']}"
