"""How to reach the API server: address, TLS and the Authorization header, through the `kubernetes` package.

Used by `kube.transport` and by Kopf's login, so that there is one source of credentials. Makes no request of its own.
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
    """No usable kubeconfig and not in a cluster; the message says what to do."""


@dataclass
class Access:
    """Credentials that renew themselves: token files are read again, exec plugins run when their token is over."""

    kubeconfig: str | None = None
    context: str | None = None
    _config: Any = None
    _header: str | None = None
    _fresh_until: float = field(default=0.0)

    def load(self) -> None:
        """Read everything anew. Blocking (files, exec plugins)."""
        config = kubernetes.client.Configuration()
        try:
            self._load_into(config)
        except (kubernetes.config.ConfigException, OSError) as error:
            raise AccessError(
                f"no access to a Kubernetes API server: {error}. Inside a cluster mount the service account token;"
                " elsewhere pass --kubeconfig or set KUBECONFIG"
            ) from error
        self._config = config
        self._fresh_until = 0.0

    def _load_into(self, config: Any) -> None:
        in_cluster = not self.kubeconfig and not self.context
        if in_cluster and Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists():
            kubernetes.config.load_incluster_config(client_configuration=config)
        else:
            kubernetes.config.load_kube_config(
                config_file=self.kubeconfig, context=self.context, client_configuration=config, persist_config=False
            )

    @property
    def server(self) -> str:
        """Base URL."""
        return str(self._config.host).rstrip("/")

    @property
    def proxy(self) -> str | None:
        """Proxy URL of the kubeconfig."""
        return self._config.proxy or None

    @property
    def server_hostname(self) -> str | None:
        """TLS server name of the kubeconfig."""
        return self._config.tls_server_name or None

    @property
    def ca_path(self) -> str | None:
        """File of the certificate authority."""
        return self._config.ssl_ca_cert or None

    @property
    def client_certificate(self) -> tuple[str, str] | None:
        """Files of certificate and key."""
        return (self._config.cert_file, self._config.key_file) if self._config.cert_file else None

    @property
    def insecure(self) -> bool:
        """Whether the server's certificate is not checked."""
        return not self._config.verify_ssl

    def ssl_context(self) -> ssl.SSLContext | bool:
        """TLS as configured; True where the address is plain http."""
        if not self.server.startswith("https:"):
            return True
        context = ssl.create_default_context(cafile=self.ca_path)
        if hasattr(ssl, "VERIFY_X509_STRICT"):
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # many clusters' CAs lack the key usage extension
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate:
            context.load_cert_chain(*self.client_certificate)
        return context

    def header(self) -> str | None:
        """The Authorization header now. Blocking when a plugin has to run."""
        config = self._config
        token = config.get_api_key_with_prefix("BearerToken") or config.get_api_key_with_prefix("authorization")
        if token:
            return token if " " in token else f"Bearer {token}"
        return str(config.get_basic_auth_token()) if config.username and config.password else None

    async def current_header(self) -> str | None:
        """The Authorization header, looked at again every few seconds."""
        now = time.monotonic()
        if now >= self._fresh_until:
            self._header = await asyncio.to_thread(self.header)
            self._fresh_until = now + _REFRESH_SECONDS
        return self._header

    async def renew(self) -> None:
        """After a 401: forget everything and read it again."""
        await asyncio.to_thread(self.load)
