"""Sees everything the cluster shows to people while the tests run, and looks for the canary in all of it.

`harness.Stage` starts one per session. It watches objects and pods, keeps the logs of pods that have gone, and wakes
those who wait for something, so that nobody needs to sleep. Must never read Secrets: that is where the canary may be.
"""

import base64
import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Raw = dict[str, Any]

CANARY = "cAnArY7x1Zq"  # letters and digits only: no escaping of anybody can hide it
_WATCHED = (
    "/apis/vulcan.dev/v1alpha1/vulcangateways",
    "/apis/vulcan.dev/v1alpha1/vulcanenvironments",
    "/apis/batch/v1/jobs",
    "/apis/events.k8s.io/v1/events",
    "/api/v1/pods",
    "/api/v1/configmaps",
)


def secret_value(*words: str) -> str:
    """A password with the canary in it, and every character that a URL, SQL or JSON spells in another way."""
    return f"{CANARY}'p%ss/w\"rd@{'-'.join(words)}"


def leak(text: str) -> str | None:
    """The place where the canary is, plain, as base64 (at any offset) or as hex; None: it is not in there."""
    lower = text.lower()
    for needle in _NEEDLES:
        at = lower.find(needle.lower())
        if at >= 0:
            return f"…{text[max(0, at - 60) : at + 60]}…"
    return None


def _base64_forms(word: str) -> Iterator[str]:
    """What every base64 of a text with the word in it contains, for the three ways it may be aligned."""
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + word.encode()).decode().rstrip("=")
        yield coded[(0, 2, 3)[offset] : -1]


_NEEDLES = (CANARY, *_base64_forms(CANARY), CANARY.encode().hex())


class Api:
    """GET, POST and PATCH as one user; one connection per thread."""

    def __init__(self, kubeconfig: Path, user: str = "admin") -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._where = urlsplit(cluster["server"])
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        self._token = next(u["user"]["token"] for u in config["users"] if u["name"] == user)
        self._local = threading.local()

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, str]:
        """Status and text. A connection that went stale (the server was restarted) is opened again once."""
        for attempt in (1, 2):
            try:
                answer = self._send(self._connection(), method, path, body, kind)
                return answer.status, answer.read().decode()
            except (OSError, http.client.HTTPException):
                self._local.connection = None
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def get(self, path: str) -> Raw | None:
        """An object or a list; None when it does not exist."""
        code, text = self.call("GET", path)
        if code == 404:
            return None
        assert code == 200, f"GET {path}: {code} {text[:300]}"
        return dict(json.loads(text))

    def create(self, path: str, body: Raw) -> None:
        """POST; already there is fine."""
        code, text = self.call("POST", path, body)
        assert code in (200, 201, 409), f"POST {path}: {code} {text[:500]}"

    def watch(self, path: str, version: str) -> Iterator[Raw]:
        """Events of a list from a version on, on a connection of its own."""
        connection = self._connect(timeout=None)
        with contextlib.closing(connection):
            query = f"{path}?watch=1&allowWatchBookmarks=true&resourceVersion={version}"
            answer = self._send(connection, "GET", query, None, "application/json")
            while line := answer.readline():
                yield json.loads(line)

    def _connection(self) -> http.client.HTTPSConnection:
        if getattr(self._local, "connection", None) is None:
            self._local.connection = self._connect(timeout=20)
        connection: http.client.HTTPSConnection = self._local.connection
        return connection

    def _connect(self, timeout: float | None) -> http.client.HTTPSConnection:
        host, port = self._where.hostname, self._where.port
        assert host is not None
        return http.client.HTTPSConnection(host, port, context=self._tls, timeout=timeout)

    def _send(
        self, connection: http.client.HTTPSConnection, method: str, path: str, body: Any, kind: str
    ) -> http.client.HTTPResponse:
        data = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        connection.request(method, path, data, headers)
        return connection.getresponse()


class Recorder:
    """Watches until `stop`; `leaks` says where the canary was seen."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.changed = threading.Condition()
        self.leaks: list[str] = []
        self.logs: dict[tuple[str, str], str] = {}  # (namespace/pod, container) -> text
        self.job_of: dict[str, str] = {}  # namespace/pod -> Job
        self.scanned = 0
        self._fetched: set[tuple[str, str]] = set()
        self._stopped = threading.Event()
        self._fetcher = ThreadPoolExecutor(max_workers=1)
        for path in _WATCHED:
            threading.Thread(target=self._follow, args=(path,), daemon=True).start()

    def stop(self) -> None:
        """The threads end with their connections."""
        self._stopped.set()
        self._fetcher.shutdown(wait=True)

    def scan(self, what: str, text: str) -> None:
        """Look for the canary in any text."""
        self.scanned += 1
        found = leak(text)
        if found is not None:
            self.leaks.append(f"{what}: {found}")

    def wait(self, seconds: float) -> None:
        """Until something changes, or the time is over."""
        with self.changed:
            self.changed.wait(seconds)

    def logs_of_job(self, namespace: str, job: str) -> str:
        """Logs of its pods' containers, also of pods that have gone."""
        pods = [pod for pod, owner in self.job_of.items() if owner == job and pod.startswith(f"{namespace}/")]
        return "\n".join(text for (pod, _), text in sorted(self.logs.items()) if pod in pods)

    def _follow(self, path: str) -> None:
        while not self._stopped.is_set():
            try:
                listed = self._api.get(path)
                assert listed is not None
                for item in listed["items"]:
                    self._saw(path, item)
                for event in self._api.watch(path, listed["metadata"]["resourceVersion"]):
                    if event["type"] == "ERROR":
                        break
                    if event["type"] != "BOOKMARK":
                        self._saw(path, event["object"])
            except (OSError, http.client.HTTPException, AssertionError, ValueError):
                self._stopped.wait(0.5)

    def _saw(self, path: str, item: Raw) -> None:
        meta = item["metadata"]
        name = f"{meta.get('namespace')}/{meta['name']}"
        self.scan(f"{path.rpartition('/')[2]} {name}", json.dumps(item))
        if path.endswith("/pods"):
            self._pod(name, item)
        with self.changed:
            self.changed.notify_all()

    def _pod(self, name: str, pod: Raw) -> None:
        self.job_of[name] = pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-name", "")
        status = pod.get("status", {})
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            key = (name, container["name"])
            if "terminated" in container.get("state", {}) and key not in self._fetched:
                self._fetched.add(key)
                with contextlib.suppress(RuntimeError):  # stopped meanwhile
                    self._fetcher.submit(self._fetch, name, container["name"])

    def _fetch(self, name: str, container: str) -> None:
        namespace, pod = name.split("/")
        code, text = self._api.call("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}")
        if code == 200:
            self.logs[name, container] = text
            self.scan(f"log of pod {name}, container {container}", text)
        with self.changed:
            self.changed.notify_all()
