"""Keys, tokens and kubeconfigs of a local cluster.

Called by the cluster. Tokens are random per cluster and live only in its state folder. Must not talk to the API server.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

# Bearer tokens by user, and the groups the API server gives them. alice and bob have no power until RBAC grants some.
USERS: Mapping[str, str] = {
    "admin": "system:masters",
    "alice": "",
    "bob": "",
    "system:kube-controller-manager": "system:masters",
    "system:kube-scheduler": "system:masters",
    "localcluster-node": "system:masters",
}
HUMANS = ("admin", "alice", "bob")


def create(folder: Path) -> None:
    """Write the token file and the ServiceAccount key, unless they exist: restarts must not invalidate tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tokens.csv").exists():
        rows = [f'{secrets.token_urlsafe(24)},{user},{user},"{groups}"\n' for user, groups in USERS.items()]
        _write_private(folder / "tokens.csv", "".join(rows))
    if not (folder / "sa.key").exists():
        _write_private(folder / "sa.key", _elliptic_key())


def token(folder: Path, user: str) -> str:
    """The bearer token of one of our users."""
    for row in (folder / "tokens.csv").read_text().splitlines():
        fields = row.split(",")
        if fields[1] == user:
            return fields[0]
    raise KeyError(user)


def write_kubeconfig(
    path: Path, server: str, certificate: Path, tokens: Mapping[str, str], namespace: str = ""
) -> None:
    """A kubeconfig with one context per user; the first one is current."""
    authority = base64.b64encode(certificate.read_bytes()).decode()
    extra = {"namespace": namespace} if namespace else {}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": user, "user": {"token": value}} for user, value in tokens.items()],
        "contexts": [{"name": user, "context": {"cluster": "local", "user": user, **extra}} for user in tokens],
        "current-context": next(iter(tokens)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_private(path, json.dumps(config, indent=1) + "\n")  # JSON is YAML


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.rename(path)


def _elliptic_key() -> str:
    """A P-256 private key in PEM. Readers compute the public half, so a random number in an envelope will do."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    secret = (secrets.randbelow(order - 1) + 1).to_bytes(32, "big")
    version = b"\x02\x01\x01"
    curve = b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
    body = version + b"\x04\x20" + secret + curve
    encoded = base64.b64encode(b"\x30" + bytes([len(body)]) + body).decode()
    lines = "\n".join(encoded[i : i + 64] for i in range(0, len(encoded), 64))
    return f"-----BEGIN EC PRIVATE KEY-----\n{lines}\n-----END EC PRIVATE KEY-----\n"
