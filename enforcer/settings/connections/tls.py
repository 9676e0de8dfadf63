"""TLS for client connections and for connections to other servers. Reading the settings loads the files."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from enforcer.settings.external import ReadableFile, Text
from enforcer.units import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTLS(Section):
    """TLS for client connections. Paths are relative to the configuration's folder."""

    certificate: ReadableFile
    """PEM file with the certificate, followed by the intermediate certificates up to its authority."""
    key: ReadableFile
    """PEM file with the certificate's private key, not encrypted."""
    client_ca: ReadableFile | None = None
    """PEM file with the authorities that client certificates are verified with. Default: no client certificate is
    requested."""
    client_certificate: Literal["required", "optional"] = "required"
    """Whether every client must present a certificate of `client_ca`, or may. Without one, a certificate-bound token
    (RFC 8705) is refused. A certificate of another authority is always refused."""
    context: ssl.SSLContext = field(init=False, repr=False, compare=False)
    """The TLS context, made from the files as they were read."""

    def __post_init__(self) -> None:
        if self.client_certificate == "optional" and self.client_ca is None:
            raise ValueError("client_certificate: optional needs client_ca, to verify certificates with")
        object.__setattr__(self, "context", _load_context(self._load))

    def _load(self) -> ssl.SSLContext:
        if any(file.is_missing for file in (self.certificate, self.key, self.client_ca) if file is not None):
            return ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.client_ca)
        context.load_cert_chain(self.certificate, self.key, _no_password)
        if self.client_ca is not None:
            optional = self.client_certificate == "optional"
            context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTLS(Section):
    """TLS for connections to another server. Paths are relative to the configuration's folder."""

    ca: ReadableFile | None = None
    """PEM file with the authorities that the server's certificate is verified with. Default: those of the system."""
    server_name: Text | None = None
    """Name that the server's certificate must have. Default: the URL's host."""
    certificate: ReadableFile | None = None
    """PEM file with the certificate that is presented to the server; needs `key`. Default: none."""
    key: ReadableFile | None = None
    """PEM file with that certificate's private key, not encrypted."""
    context: ssl.SSLContext = field(init=False, repr=False, compare=False)
    """The TLS context, made from the files as they were read."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are set together, or neither")
        object.__setattr__(self, "context", _load_context(self._load))

    def _load(self) -> ssl.SSLContext:
        if any(file.is_missing for file in (self.ca, self.certificate, self.key) if file is not None):
            return ssl.create_default_context()
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key, _no_password)
        return context


def _load_context(load: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    try:
        return load()
    except OSError as error:
        # OpenSSL gives no reason if a file has the wrong content.
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        cause = (reason or "not PEM of the right kind, or an encrypted key").replace("_", " ")
        raise ValueError(f"the files cannot be used for TLS: {cause}") from None


def _no_password() -> str:
    # Without this, OpenSSL asks the terminal for the password of an encrypted key.
    return ""
