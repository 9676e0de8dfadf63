"""Certificate rotation: keeps the webhook's certificate and the authorities that API servers trust in step.

Each round reads the Secret, renews the authority if it is due, publishes the trusted authorities to the API servers,
and issues a certificate. Replicas do this independently: the Secret's resourceVersion lets one of them store a new
authority, and the others use it.
"""

from __future__ import annotations

import base64
import logging
import ssl
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from enforcer.errors import EnforcerError
from enforcer.kubernetes.webhook.certificates import Authority, Issued, current, is_due
from enforcer.kubernetes.webhook.own_objects import OwnObjects
from enforcer.yamltext.objects import section

_log = logging.getLogger("enforcer.webhook")

ROUND: Final = timedelta(minutes=1)
"""Time between two rounds: a caBundle that somebody removed is restored within it."""


class CertificateError(EnforcerError):
    """Certificates that cannot be read or renewed."""


class FileCertificate:
    """A certificate and key in files that others renew (cert-manager, for example); they are read in each round."""

    def __init__(self, certificate: Path, key: Path, context: ssl.SSLContext) -> None:
        self._files = certificate, key
        self._context = context
        self._in_use = b""

    async def round(self) -> Mapping[str, datetime]:
        """Do one round and return the expiry times by name; raises CertificateError."""
        try:
            certificate, key = (path.read_bytes() for path in self._files)
            expiry = x509.load_pem_x509_certificate(certificate).not_valid_after_utc
            # Loaded as one text, so that a certificate is never combined with the key of the next one.
            if (pem := key + certificate) != self._in_use:
                _load(self._context, pem)
                self._in_use = pem
        except (OSError, ValueError) as error:
            raise CertificateError(f"{self._files[0]} with {self._files[1]}: {error}") from None
        return {"certificate": expiry}


class SelfSigned:
    """Certificates of the webhook's own authority, which is kept in a Secret."""

    def __init__(self, objects: OwnObjects, context: ssl.SSLContext, clock: Callable[[], datetime]) -> None:
        self._objects = objects
        self._host = objects.names.host
        self._context = context
        self._clock = clock
        self._in_use: Issued | None = None

    async def round(self) -> Mapping[str, datetime]:
        """Do one round and return the expiry times by name; raises ClusterError and CertificateError."""
        authority = await self._authority()
        await self._publish(authority)
        if self._in_use is None or self._is_stale(self._in_use.certificate, authority):
            self._in_use = authority.issue(self._host, self._clock())
            _load(self._context, self._in_use.pem())
            _log.info("issued a new certificate for %s", self._host)
        return {
            "authority": authority.certificate.not_valid_after_utc,
            "certificate": self._in_use.certificate.not_valid_after_utc,
        }

    def _is_stale(self, certificate: x509.Certificate, authority: Authority) -> bool:
        if is_due(certificate, self._clock()):
            return True
        # A new authority issues only when the API servers have had a round's time to learn of it.
        return not authority.has_issued(certificate) and self._clock() >= authority.begins + ROUND

    async def _authority(self) -> Authority:
        secret = await self._objects.secret()
        data = section(secret, "data")
        try:
            authority = current(data, self._host, self._clock())
        except ValueError as error:
            name = self._objects.names.secret
            raise CertificateError(f"Secret {name}: {error}; delete its data to have it filled again") from None
        if not authority.data().items() <= data.items():
            await self._objects.store(secret, authority.data())
            _log.info("created a new authority, valid until %s", authority.certificate.not_valid_after_utc)
        return authority

    async def _publish(self, authority: Authority) -> None:
        """Set the caBundle of our webhooks to the trusted authorities."""
        bundle = base64.b64encode(authority.bundle()).decode()
        await self._objects.publish(("caBundle",), bundle, lambda present: present == bundle)


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Use another certificate from the next handshake on; raises ssl.SSLError, which is an OSError."""
    with tempfile.NamedTemporaryFile() as file:  # readable by its owner only, and deleted at once
        file.write(pem)
        file.flush()
        # A key that does not match would leave the context without a certificate, so test it on another context first.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file.name)
        context.load_cert_chain(file.name)
