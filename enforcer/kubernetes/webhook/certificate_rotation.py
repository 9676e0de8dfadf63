"""Keeps the certificate that the webhook shows, and the authorities that API servers trust for it, in step.

Round by round: read the Secret, renew the authority where that is due, tell the API servers, issue. Replicas do the
same side by side: the Secret's resourceVersion lets one of them renew, and the others take what it stored.
"""

from __future__ import annotations

import base64
import logging
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography import x509

from enforcer.errors import EnforcerError
from enforcer.kubernetes.webhook.certificates import Authority, Issued, current, is_due
from enforcer.kubernetes.webhook.cluster import Cluster, Document

_log = logging.getLogger("enforcer.webhook")

ROUND: Final = timedelta(minutes=1)
"""From one round to the next: how long a caBundle that somebody emptied stays empty."""


class CertificateError(EnforcerError):
    """The certificates cannot be kept."""


class CertificateSource(Protocol):
    """What keeps a TLS context showing a certificate that API servers trust."""

    async def step(self) -> Mapping[str, datetime]:
        """Do one round, and return what expires when; raises EnforcerError where it could not be done."""


class FileCertificate:
    """Certificate and key that somebody else keeps, as files: read again when they change."""

    def __init__(self, certificate: Path, key: Path, context: ssl.SSLContext) -> None:
        self._files = certificate, key
        self._context = context
        self._shown = b""

    async def step(self) -> Mapping[str, datetime]:
        """Do one round; raises CertificateError."""
        try:
            certificate, key = (path.read_bytes() for path in self._files)
            ends = x509.load_pem_x509_certificate(certificate).not_valid_after_utc
            # One text, so that a certificate never meets the key of the next one.
            if (pem := key + certificate) != self._shown:
                _show(self._context, pem)
                self._shown = pem
        except (OSError, ValueError) as error:
            raise CertificateError(f"{self._files[0]} with {self._files[1]}: {error}") from None
        return {"certificate": ends}


@dataclass(frozen=True, slots=True)
class Names:
    """Where the webhook is found in its cluster."""

    namespace: str
    service: str
    secret: str
    configuration: str

    @property
    def host(self) -> str:
        """The name that API servers call the webhook by."""
        return f"{self.service}.{self.namespace}.svc"


class SelfSigned:
    """Certificates of an authority of our own, which is kept in a Secret."""

    def __init__(self, cluster: Cluster, names: Names, context: ssl.SSLContext, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._names = names
        self._context = context
        self._clock = clock
        self._shown: Issued | None = None

    async def step(self) -> Mapping[str, datetime]:
        """Do one round; raises ClusterError and CertificateError."""
        authority = await self._authority()
        await self._publish(authority)
        if self._shown is None or self._is_stale(self._shown.certificate, authority):
            self._shown = authority.issue(self._names.host, self._clock())
            _show(self._context, self._shown.pem())
            _log.info("a new certificate for %s", self._names.host)
        return {
            "authority": authority.certificate.not_valid_after_utc,
            "certificate": self._shown.certificate.not_valid_after_utc,
        }

    def _is_stale(self, shown: x509.Certificate, authority: Authority) -> bool:
        if is_due(shown, self._clock()):
            return True
        # A new authority has been published just now: it issues once the last of the API servers must have heard.
        return not authority.has_issued(shown) and self._clock() >= authority.begins + ROUND

    async def _authority(self) -> Authority:
        secret = await self._cluster.secret(self._names.namespace, self._names.secret)
        data = secret.get("data") or {}
        try:
            authority = current(data, self._names.host, self._clock())
        except ValueError as error:
            raise CertificateError(
                f"Secret {self._names.secret}: {error}; delete its data, and it is filled anew"
            ) from None
        if data != authority.data():
            await self._cluster.replace_secret({**secret, "data": authority.data()})
            _log.info("a new authority, until %s", authority.certificate.not_valid_after_utc)
        return authority

    async def _publish(self, authority: Authority) -> None:
        """Tell the API servers whom to trust, where they do not know."""
        found = await self._cluster.webhooks(self._names.configuration)
        bundle = base64.b64encode(authority.bundle()).decode()
        patch: list[dict[str, Any]] = []
        for index, webhook in enumerate(found.get("webhooks") or []):
            if self._is_ours(webhook) and webhook["clientConfig"].get("caBundle") != bundle:
                # The list may have changed since it was read.
                patch.append({"op": "test", "path": f"/webhooks/{index}/name", "value": webhook["name"]})
                patch.append({"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle})
        if patch:
            await self._cluster.patch_webhooks(self._names.configuration, patch)
            _log.info("%s: told the API servers whom to trust", self._names.configuration)

    def _is_ours(self, webhook: Document) -> bool:
        service = webhook["clientConfig"].get("service") or {}
        return (service.get("namespace"), service.get("name")) == (self._names.namespace, self._names.service)


def _show(context: ssl.SSLContext, pem: bytes) -> None:
    """Show another certificate from the next handshake on; raises ssl.SSLError, an OSError."""
    with tempfile.NamedTemporaryFile() as file:  # only its owner may read it, and it is gone at once
        file.write(pem)
        file.flush()
        # A key that does not fit leaves a context with neither: tried on another one first.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file.name)
        context.load_cert_chain(file.name)
