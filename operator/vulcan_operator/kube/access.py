"""Reads how to reach the API server: address, TLS and the Authorization header.

Used by `kube.transport` and by Kopf's login, so that there is one source of credentials: the
`kubernetes` package. Makes no request of its own.
"""

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config

_REFRESH_SECONDS = 10.0


class AccessError(Exception):
    """There is no usable kubeconfig, nor a cluster around us; the message says what to do."""


@dataclass
class Access:
    """Holds credentials and renews them: rereads token files, reruns exec plugins in time."""

    kubeconfig: str | None = None
    context: str | None = None
    _config: Any = None
    _header: str | None = None
    _fresh_until: float = field(default=0.0)

    def load(self) -> None:
        """Reread everything. Blocks on files and exec plugins."""
        config = kubernetes.client.Configuration()
        try:
            self._load_into(config)
        except (kubernetes.config.ConfigException, OSError) as error:
            raise AccessError(
                f"no access to a Kubernetes API server: {error}. Inside a cluster mount the service"
                " account token; elsewhere pass --kubeconfig or set KUBECONFIG"
            ) from error
        self._config, self._fresh_until = config, 0.0

    def _load_into(self, config: Any) -> None:
        in_cluster = not self.kubeconfig and not self.context
        if in_cluster and Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists():
            kubernetes.config.load_incluster_config(client_configuration=config)
        else:
            kubernetes.config.load_kube_config(
                config_file=self.kubeconfig,
                context=self.context,
                client_configuration=config,
                persist_config=False,
            )

    @property
    def server(self) -> str:
        """Return the base URL of the API server."""
        return str(self._config.host).rstrip("/")

    @property
    def proxy(self) -> str | None:
        """Return the proxy URL of the kubeconfig."""
        return self._config.proxy or None

    @property
    def server_hostname(self) -> str | None:
        """Return the TLS server name of the kubeconfig."""
        return self._config.tls_server_name or None

    @property
    def ca_path(self) -> str | None:
        """Return the file of the certificate authority."""
        return self._config.ssl_ca_cert or None

    @property
    def client_certificate(self) -> tuple[str, str] | None:
        """Return the files of certificate and key."""
        return (self._config.cert_file, self._config.key_file) if self._config.cert_file else None

    @property
    def insecure(self) -> bool:
        """Return whether the server's certificate is not checked."""
        return not self._config.verify_ssl

    def ssl_context(self) -> ssl.SSLContext | bool:
        """Return the TLS context; True if the address is plain http."""
        if not self.server.startswith("https:"):
            return True
        context = ssl.create_default_context(cafile=self.ca_path)
        if hasattr(ssl, "VERIFY_X509_STRICT"):
            # The certificate authorities of many clusters lack the key usage extension.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate:
            context.load_cert_chain(*self.client_certificate)
        return context

    def header(self) -> str | None:
        """Return the current Authorization header. Blocks if a plugin has to run."""
        config = self._config
        for name in ("BearerToken", "authorization"):
            if token := config.get_api_key_with_prefix(name):
                return token if " " in token else f"Bearer {token}"
        return str(config.get_basic_auth_token()) if config.username and config.password else None

    async def current_header(self) -> str | None:
        """Return the Authorization header, which is renewed every few seconds."""
        now = time.monotonic()
        if now >= self._fresh_until:
            self._header = await asyncio.to_thread(self.header)
            self._fresh_until = now + _REFRESH_SECONDS
        return self._header

    async def renew(self) -> None:
        """Reread everything; called after a 401."""
        await asyncio.to_thread(self.load)
